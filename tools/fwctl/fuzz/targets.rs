// SPDX-License-Identifier: MIT OR Apache-2.0

//! One function per decoder of the library: for all input it must return a value or an error, soon
//! and without a panic.
//!
//! `fuzz_targets/` passes them to libFuzzer, and `lib/tests/hostile.rs` runs them on noise.

use fwctl::cxl::{
    effect_names, feature_fields, known_features, writable_part, CxlDevice, GetFeature, Selection,
    SetFeature, Settings,
};
use fwctl::mlx5::{self, Capability, Mlx5Device};
use fwctl::replay::Replay;
use fwctl::sysfs::Root;
use fwctl::trace::{Event, Pairing};
use fwctl::{Device, DeviceType, DriverInfo, FirmwareStatus, InfoReply, Scope, Transport, Uuid};
use std::io;
use std::sync::{Mutex, PoisonError};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All targets, by the names of their libFuzzer binaries.
pub const TARGETS: [(&str, Target); 7] = [
    ("cxl", cxl),
    ("info", info),
    ("machine", machine),
    ("mlx5", mlx5),
    ("recording", recording),
    ("status", status),
    ("trace", trace),
];

/// A device whose answers are the input. The first byte of an answer selects how it misreports its
/// length, and the rest is the reply.
struct Fed {
    device_type: DeviceType,
    input: Mutex<Vec<u8>>,
}

impl Fed {
    fn device(device_type: DeviceType, bytes: &[u8]) -> Device {
        let input = Mutex::new(bytes.iter().rev().copied().collect());
        Device::with_transport("fwctl0", Fed { device_type, input })
    }

    /// Fills `buffer` from the input, and returns the length that the answer claims to have.
    fn answer(&self, buffer: &mut [u8]) -> io::Result<u32> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let lie = input
            .pop()
            .ok_or_else(|| io::Error::from_raw_os_error(19))?;
        let mut filled = 0;
        for byte in &mut *buffer {
            let Some(next) = input.pop() else { break };
            *byte = next;
            filled += 1;
        }
        match lie {
            0..=191 => Ok(filled),
            192..=223 => Ok(buffer.len() as u32),
            224..=239 => Ok(u32::MAX - u32::from(lie)),
            240..=250 => Ok(u32::from(lie - 240)),
            _ => Err(io::Error::from_raw_os_error(i32::from(lie) - 240)),
        }
    }
}

impl Transport for Fed {
    fn info(&self, data: &mut [u8]) -> io::Result<InfoReply> {
        // A request for the type only is not fuzzed.
        let data_len = if data.is_empty() {
            0
        } else {
            self.answer(data)?
        };
        Ok(InfoReply {
            device_type: self.device_type.number(),
            data_len,
        })
    }

    fn rpc(&self, _: Scope, _: &[u8], reply: &mut [u8]) -> io::Result<u32> {
        self.answer(reply)
    }
}

/// Fuzzes the replies of a CXL memory device.
pub fn cxl(bytes: &[u8]) {
    let open =
        || CxlDevice::new(Fed::device(DeviceType::Cxl, bytes)).expect("the device type matches");
    if let Ok(features) = open().features() {
        assert!(features.len() <= usize::from(u16::MAX));
        for feature in features {
            let _ = (
                feature.set_policy(),
                feature.name(),
                effect_names(feature.effects),
                feature.uuid.to_string(),
            );
        }
    }
    let text = String::from_utf8_lossy(bytes);
    for (_, uuid) in known_features() {
        let _ = feature_fields(uuid, bytes);
        let _ = Settings::parse(uuid, &[&text]);
        let data = writable_part(uuid, bytes);
        assert!(data.is_none_or(|data| data.len() <= bytes.len()));
    }
    let uuid = Uuid([7; 16]);
    let size = u16::from(bytes.first().copied().unwrap_or(0)) + 1;
    let get = GetFeature {
        uuid,
        selection: Selection::Current,
        offset: 0,
        size,
    };
    if let Ok(value) = open().get(&get) {
        assert_eq!(value.len(), usize::from(size));
    }
    let set = SetFeature {
        uuid,
        version: 1,
        offset: 0,
        is_saved: false,
        data: bytes,
    };
    let _ = open().set(Scope::DebugWrite, &set);
}

/// Fuzzes the replies of a ConnectX, and all layouts.
pub fn mlx5(bytes: &[u8]) {
    let open =
        || Mlx5Device::new(Fed::device(DeviceType::Mlx5, bytes)).expect("the device type matches");
    for register in mlx5::registers() {
        let _ = register
            .fields_of(bytes)
            .filter_map(|field| field.get(bytes))
            .count();
        let _ = register.has_unknown_part(bytes);
        if let Ok(data) = open().read_register(register.id, &vec![0; register.size]) {
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
    for command in mlx5::commands() {
        if let Ok(reply) = open().query(command, &command.request()) {
            assert_eq!(reply.len(), command.output.size, "{}", command.output.name);
        }
    }
    if let Ok(capability) = open().capability(0, Capability::Current) {
        assert_eq!(capability.len(), 4096);
    }
    let _ = open().write_register(Scope::Configuration, 0x900a, bytes);
}

/// Fuzzes answers to FWCTL_INFO, and replies longer than the buffer, of all device types.
pub fn info(bytes: &[u8]) {
    for number in 0..6 {
        let device_type = DeviceType::from_number(number);
        let _ = DriverInfo::decode(device_type, bytes).capabilities();
        if let Ok(info) = Fed::device(device_type, bytes).info() {
            assert!(info.data.len() <= 4096 && info.data.len() <= info.data_len);
        }
        let request = bytes.get(..bytes.len().min(64)).unwrap_or_default();
        if let Ok(reply) =
            Fed::device(device_type, bytes).rpc_whole(Scope::DebugReadOnly, request, 16)
        {
            assert!(reply.bytes.len() <= fwctl::MAX_RPC_LEN as usize);
            assert_eq!(reply.is_truncated(), reply.true_len > reply.bytes.len());
        }
    }
}

/// Fuzzes the firmware status at the start of a reply.
pub fn status(bytes: &[u8]) {
    for number in 0..6 {
        if let Some(status) = FirmwareStatus::of_reply(DeviceType::from_number(number), bytes) {
            assert!(status.code != 0 && !status.to_string().is_empty());
        }
    }
}

/// Fuzzes lines of the kernel's trace.
pub fn trace(bytes: &[u8]) {
    let mut pairing = Pairing::default();
    for line in String::from_utf8_lossy(bytes).lines() {
        let _ = Event::parse(line).and_then(|event| pairing.take(event));
    }
}

/// Fuzzes recordings and other parsed text.
pub fn recording(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Replay::parse(&text);
    if let Ok(uuid) = text.parse::<Uuid>() {
        assert!(uuid.to_string().eq_ignore_ascii_case(&text));
    }
    let _ = text.parse::<Scope>();
    let _ = text.parse::<Selection>();
}

/// Fuzzes system files: sysfs, users, names of PCI devices. A zero byte ends a file.
pub fn machine(bytes: &[u8]) {
    const FILES: [&str; 8] = [
        "sys/class/fwctl/fwctl0/uevent",
        "sys/devices/pci/vendor",
        "sys/devices/pci/device",
        "sys/devices/pci/serial",
        "etc/passwd",
        "etc/group",
        "usr/share/misc/pci.ids",
        "proc/sys/kernel/osrelease",
    ];
    let dir = tempfile::tempdir().expect("creating a directory");
    for (file, content) in FILES.iter().zip(bytes.split(|&byte| byte == 0)) {
        let path = dir.path().join(file);
        let parent = path.parent().expect("a file in a directory");
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, content))
            .expect("writing a file");
    }
    let root = Root::copy(dir.path());
    let text = String::from_utf8_lossy(bytes);
    for name in ["fwctl0", "0d:00.0", "mem0", &text] {
        if let Ok(entry) = root.resolve(name) {
            let _ = (entry.likely_type(), entry.open());
        }
    }
    let _ = root
        .devices()
        .map_err(|error| (error.to_string(), error.advice()));
}
