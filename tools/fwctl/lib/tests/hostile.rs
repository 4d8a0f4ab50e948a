// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices and files that say anything at all: every decoder answers with a value or an error,
//! soon, and in bounded memory.
//!
//! The bytes are random with a fixed seed, half of them small numbers and lengths that nearly fit,
//! which get further than noise.

#[path = "../../fuzz/targets.rs"]
mod targets;

use fwctl::cxl::{CxlDevice, GetFeature, Selection, SetFeature};
use fwctl::mlx5::{self, Capability, Mlx5Device};
use fwctl::replay::Replay;
use fwctl::trace::{Event, Pairing};
use fwctl::{Device, DeviceType, DriverInfo, FirmwareStatus, InfoReply, Scope, Transport, Uuid};
use std::io;
use std::sync::Mutex;

/// Numbers without pattern (xorshift64*).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_mut(4) {
            let value = match self.below(4) {
                0 => 0,
                1 => self.next() as u32,
                _ => self.below(4 * 48) as u32,
            };
            word.copy_from_slice(&value.to_le_bytes()[..word.len()]);
        }
    }
}

/// A device of some type that answers with noise.
struct Noisy {
    device_type: DeviceType,
    noise: Mutex<Noise>,
}

impl Transport for Noisy {
    fn info(&self, data: &mut [u8]) -> io::Result<InfoReply> {
        let mut noise = self.noise.lock().unwrap();
        noise.fill(data);
        let data_len = if noise.below(2) == 0 {
            noise.below(64) as u32
        } else {
            noise.next() as u32
        };
        Ok(InfoReply {
            device_type: self.device_type.number(),
            data_len,
        })
    }

    fn rpc(&self, _: Scope, _: &[u8], reply: &mut [u8]) -> io::Result<u32> {
        let mut noise = self.noise.lock().unwrap();
        noise.fill(reply);
        // Mostly success, so that what follows the header is looked at.
        let success = if self.device_type == DeviceType::Cxl {
            4..8
        } else {
            0..1
        };
        if let (Some(status), true) = (reply.get_mut(success), noise.below(8) > 0) {
            status.fill(0);
        }
        match noise.below(8) {
            0 => Err(io::Error::from_raw_os_error(19)),
            1 => Ok(noise.next() as u32),
            2 => Ok(noise.below(reply.len()) as u32),
            _ => {
                let size = reply.len().saturating_sub(8) as u32;
                if let (Some(first), true) = (reply.get_mut(..4), noise.below(2) == 0) {
                    first.copy_from_slice(&size.to_ne_bytes());
                }
                Ok(reply.len() as u32)
            }
        }
    }
}

fn device(device_type: DeviceType, seed: u64) -> Device {
    Device::with_transport(
        "fwctl0",
        Noisy {
            device_type,
            noise: Mutex::new(Noise(seed + 1)),
        },
    )
}

#[test]
fn cxl_replies() {
    for seed in 0..3000 {
        let cxl = CxlDevice::new(device(DeviceType::Cxl, seed)).unwrap();
        if let Ok(features) = cxl.features() {
            assert!(features.len() <= usize::from(u16::MAX));
        }
        let uuid = Uuid([1; 16]);
        let size = (seed % 200) as u16 + 1;
        if let Ok(value) = cxl.get(&GetFeature {
            uuid,
            selection: Selection::Current,
            offset: 0,
            size,
        }) {
            assert_eq!(value.len(), usize::from(size));
        }
        let set = SetFeature {
            uuid,
            version: 1,
            offset: 0,
            is_saved: false,
            data: &[1],
        };
        let _ = cxl.set(Scope::DebugWrite, &set);
    }
}

#[test]
fn mlx5_replies() {
    for seed in 0..1000 {
        let mlx5 = Mlx5Device::new(device(DeviceType::Mlx5, seed)).unwrap();
        for register in mlx5::registers() {
            if let Ok(data) = mlx5.read_register(register.id, &vec![0; register.size]) {
                assert!(
                    register
                        .fields
                        .iter()
                        .all(|field| field.get(&data).is_some()),
                    "{}",
                    register.name
                );
            }
        }
        let _ = mlx5.capability(0, Capability::Current);
    }
}

#[test]
fn information_and_long_replies() {
    for seed in 0..3000 {
        for number in 0..6 {
            let device = device(DeviceType::from_number(number), seed);
            let info = device.info().unwrap();
            assert!(info.data.len() <= 4096 && info.data.len() <= info.data_len);
            if let Ok(reply) = device.rpc_whole(Scope::DebugReadOnly, &[0; 4], 64) {
                assert!(reply.bytes.len() <= fwctl::MAX_RPC_LEN as usize);
            }
        }
    }
}

#[test]
fn bytes_and_texts_of_any_kind() {
    let mut noise = Noise(7);
    for _ in 0..20_000 {
        let mut bytes = vec![0; noise.below(80)];
        noise.fill(&mut bytes);
        for number in 0..6 {
            let device_type = DeviceType::from_number(number);
            let _ = FirmwareStatus::of_reply(device_type, &bytes).map(|status| status.to_string());
            let _ = DriverInfo::decode(device_type, &bytes).capabilities();
        }
        for register in mlx5::registers() {
            for field in &register.fields {
                let _ = field.get(&bytes);
            }
        }
    }
    const WORDS: [&str; 22] = [
        "fwctl-1",
        " [000]",
        ": ",
        "fwctl_rpc_start",
        "fwctl_rpc_done",
        ": fwctl_rpc_done: ",
        "dev=fwctl0",
        "ret=",
        "0x",
        "-1",
        "=",
        "info",
        "cxl",
        "rpc",
        " configuration ",
        "->",
        "errno ",
        "len ",
        "é",
        "\n",
        " ",
        "99999999999999999999",
    ];
    for _ in 0..20_000 {
        let text: String = (0..noise.below(12))
            .map(|_| WORDS[noise.below(WORDS.len())])
            .collect();
        let mut pairing = Pairing::default();
        for line in text.lines() {
            let _ = Event::parse(line).and_then(|event| pairing.take(event));
        }
        let _ = Replay::parse(&text);
        let _ = text.parse::<Uuid>();
    }
}

/// Inputs that get further than noise does: right answers and right texts, from which some bytes
/// are changed.
const SEEDS: [&[u8]; 6] = [
    b"fwctl-1 [000] ..... 12.3: fwctl_rpc_start: dev=fwctl0 pid=1 scope=configuration in_len=24 out_len=4096\nfwctl-1 [000] ..... \
      12.4: fwctl_rpc_done: dev=fwctl0 pid=1 scope=configuration ret=-22 out_len=0 duration_ns=100\n",
    b"info mlx5 0700 0000\nrpc debug-read-only 01 02 -> len 6 aabb\nrpc configuration 04 -> errno 19\n",
    b"MAJOR=240\nMINOR=0\nDEVNAME=fwctl/fwctl0\n\x000x15b3\n\x000x1021\n\x000xabcd\n\x00root:x:0:0:root:/root:/bin/sh\n\x00root:x:0:\n\x00\
      15b3  Mellanox\n\t1021  ConnectX-7\n\x007.3.4\n",
    b"96dad7d6-fde8-482b-a733-75774e06db8a",
    // Get Supported Features: two features, then the first of them.
    b"\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\xc0\x38\x00\x00\x00\x00\x00\x00\x00\x01\x00\x02\x00",
    b"\xc0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x12",
];

#[test]
fn every_fuzz_target_on_noise() {
    let mut noise = Noise(11);
    for (name, target) in targets::TARGETS {
        // Each target makes files, or tries every layout: some dear, some cheap.
        let rounds = if matches!(name, "machine" | "mlx5") {
            300
        } else {
            5000
        };
        for round in 0..rounds {
            let mut bytes = SEEDS[noise.below(SEEDS.len())].to_vec();
            match round % 3 {
                0 => {
                    bytes = vec![0; noise.below(600)];
                    noise.fill(&mut bytes);
                }
                _ => {
                    for _ in 0..noise.below(4) {
                        let at = noise.below(bytes.len());
                        bytes[at] = noise.next() as u8;
                    }
                    bytes.truncate(noise.below(2 * bytes.len()));
                }
            }
            target(&bytes);
        }
    }
}

/// libFuzzer has a program for each.
#[test]
fn every_fuzz_target_has_a_program() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap();
    for (name, _) in targets::TARGETS {
        let program = format!("fuzz_targets/{name}.rs");
        assert!(
            manifest.contains(&program) && dir.join(&program).exists(),
            "{name}"
        );
    }
    // The others are the emulated devices.
    let count = manifest.matches("[[bin]]").count() - manifest.matches("name = \"emu_").count();
    assert_eq!(count, targets::TARGETS.len());
}
