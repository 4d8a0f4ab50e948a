// SPDX-License-Identifier: MIT OR Apache-2.0

//! The grammar of calls: the structures, and the messages of each type of device.

use crate::case::{Buffer, Call, Carrier, Case, Place};
use crate::devices::{Uuid, EXCLUSIVE, LOOPBACK, LOOPBACK_ERRNO, LOOPBACK_MAGIC, MLX5_FORBIDDEN};
use crate::model::{INFO_LEN, RPC_LEN};
use crate::rng::Rng;
use fwctl_uapi::{device_type, FWCTL_INFO, FWCTL_RPC, FWCTL_TYPE, MAX_RPC_LEN};

/// Operations of the loopback devices, `loopback.h`.
const LOOPBACK_SLEEP: u32 = 2;
const LOOPBACK_FAIL: u32 = 3;

/// Boundary values.
const EDGES: &[u32] = &[
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    11,
    12,
    15,
    16,
    17,
    20,
    23,
    24,
    25,
    31,
    32,
    33,
    40,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    257,
    511,
    512,
    513,
    1024,
    2048,
    4095,
    4096,
    4097,
    8192,
    65535,
    65536,
    65537,
    MAX_RPC_LEN - 1,
    MAX_RPC_LEN,
    MAX_RPC_LEN + 1,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
];

/// Common lengths: most others are refused early.
const LENGTHS: &[u32] = &[0, 1, 8, 16, 24, 32, 48, 64, 96, 128, 256, 512, 4096, 65536];

/// UUID of a feature that does not exist.
const NO_FEATURE: Uuid = [7; 16];

/// Opcodes of ConnectX commands that some scope permits.
const MLX5_OPCODES: &[u16] = &[
    0x100, 0x101, 0x107, 0x109, 0x10a, 0x10c, 0x10e, 0x111, 0x203, 0x303, 0x402, 0x50b, 0x713,
    0x719, 0x732, 0x740, 0x750, 0x752, 0x754, 0x760, 0x762, 0x764, 0x76f, 0x770, 0x773, 0x784,
    0x805, 0x80d, 0x819, 0x820, 0x822, 0x823, 0x831, 0x903, 0x932, 0xa02, 0xa05, 0xb0a, 0xb0c,
    0xb22, 0x8000,
];

/// Registers of a ConnectX.
const MLX5_REGISTERS: &[u16] = &[
    0x4001, 0x4008, 0x5003, 0x5008, 0x9001, 0x900a, 0x9020, 0x9028, 0x9060, 0x9061, 0x9062, 0x907f,
    0x90a0, 0xc00e, 0,
];

/// Generates a message, which may contain one of these UUIDs.
type Message = fn(&mut Rng, &[Uuid]) -> Vec<u8>;

/// The messages of a device.
pub struct Messages {
    /// Device type.
    pub device_type: u32,
    /// Short name.
    pub name: &'static str,
    /// Initial cases: those written by hand for all devices and for this one, and those added by
    /// coverage.
    pub corpus: [&'static str; 3],
    /// UUIDs for messages.
    uuids: Vec<Uuid>,
    message: Message,
}

impl Messages {
    /// Returns the messages of a device type.
    pub fn of(device_type: u32, features: Vec<Uuid>) -> Self {
        const ANY: &str = include_str!("../corpus/any.txt");
        let (name, written, found, message): (_, _, _, Message) = match device_type {
            LOOPBACK => (
                "loopback",
                include_str!("../corpus/loopback.txt"),
                include_str!("../corpus/loopback-found.txt"),
                loopback,
            ),
            device_type::CXL => (
                "cxl",
                include_str!("../corpus/cxl.txt"),
                include_str!("../corpus/cxl-found.txt"),
                cxl,
            ),
            device_type::MLX5 => (
                "mlx5",
                include_str!("../corpus/mlx5.txt"),
                include_str!("../corpus/mlx5-found.txt"),
                mlx5,
            ),
            _ => ("unknown", "", "", |rng, _| noise(rng)),
        };
        Messages {
            device_type,
            name,
            corpus: [ANY, written, found],
            uuids: [features, EXCLUSIVE.to_vec(), vec![NO_FEATURE]].concat(),
            message,
        }
    }

    /// Generates a case.
    pub fn generate(&self, rng: &mut Rng) -> Case {
        let calls = (0..1 + rng.below(4)).map(|_| self.call(rng));
        Case {
            calls: calls.collect(),
        }
    }

    /// Mutates a case, possibly with a part of `other`.
    pub fn mutate(&self, case: &mut Case, other: &Case, rng: &mut Rng) {
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(case.calls.len().max(1));
            match rng.below(10) {
                0 if case.calls.len() < 12 => case.calls.insert(at, self.call(rng)),
                1 if case.calls.len() > 1 => drop(case.calls.remove(at)),
                2 if case.calls.len() < 12 && !other.calls.is_empty() => {
                    let call = other.calls[rng.below(other.calls.len())].clone();
                    case.calls.insert(at, call);
                }
                3 if !case.calls.is_empty() => case.calls[at] = self.call(rng),
                _ => {
                    if let Some(call) = case.calls.get_mut(at) {
                        change(call, rng);
                        self.calm(call);
                    }
                }
            }
        }
    }

    fn call(&self, rng: &mut Rng) -> Call {
        let mut call = match rng.below(16) {
            0 | 1 => Call::Info {
                size: INFO_LEN as u32,
                flags: 0,
                data: buffer(rng),
                arg: Place::Good,
                tail: 0,
            },
            2 => Call::Raw {
                number: match rng.below(3) {
                    0 => FWCTL_INFO,
                    1 => FWCTL_RPC,
                    _ => (FWCTL_TYPE << 8) | rng.below(256) as u32,
                },
                arg: place(rng),
                bytes: noise(rng),
            },
            3 => Call::Reopen,
            4 => Call::Caller {
                is_privileged: rng.below(3) == 0,
            },
            5 => Call::Via(carrier(rng)),
            _ => {
                let request = (self.message)(rng, &self.uuids);
                Call::Rpc {
                    size: RPC_LEN as u32,
                    scope: rng.below(4) as u32,
                    input: Buffer {
                        len: request.len() as u32,
                        place: Place::Good,
                    },
                    request,
                    output: Buffer {
                        len: rng.of(LENGTHS),
                        place: Place::Good,
                    },
                    arg: Place::Good,
                    tail: 0,
                }
            }
        };
        // Most calls are valid; some have one defect.
        if rng.below(3) == 0 {
            change(&mut call, rng);
        }
        self.calm(&mut call);
        call
    }

    /// Shortens sleeps of loopback devices, and requests only the errno that the model expects.
    fn calm(&self, call: &mut Call) {
        let Call::Rpc { request, .. } = call else {
            return;
        };
        if self.device_type != LOOPBACK
            || request.len() < 12
            || request[..4] != LOOPBACK_MAGIC.to_ne_bytes()
        {
            return;
        }
        let op = u32::from_ne_bytes(request[4..8].try_into().expect("4 bytes"));
        let arg = u32::from_ne_bytes(request[8..12].try_into().expect("4 bytes"));
        let arg = match (op, arg) {
            (LOOPBACK_SLEEP, 3..=60_000) => arg % 3,
            (LOOPBACK_FAIL, 1..=4095) => LOOPBACK_ERRNO as u32,
            _ => return,
        };
        request[8..12].copy_from_slice(&arg.to_ne_bytes());
    }
}

/// Mutates one field of a call.
fn change(call: &mut Call, rng: &mut Rng) {
    match call {
        Call::Info {
            size,
            flags,
            data,
            arg,
            tail,
        } => match rng.below(6) {
            0 => *size = edge(rng, INFO_LEN as u32),
            1 => *flags = 1 << rng.below(32),
            2 => data.len = edge(rng, data.len),
            3 => data.place = place(rng),
            4 => *arg = place(rng),
            _ => *tail = rng.below(2) as u8,
        },
        Call::Rpc {
            size,
            scope,
            input,
            request,
            output,
            arg,
            tail,
        } => match rng.below(16) {
            0 => *size = edge(rng, RPC_LEN as u32),
            1 => *scope = edge(rng, 3),
            2 => input.len = edge(rng, input.len),
            3 => input.place = place(rng),
            4 => output.len = edge(rng, output.len),
            5 => output.place = place(rng),
            6 => *arg = place(rng),
            7 => *tail = rng.below(2) as u8,
            8 => *scope = rng.below(4) as u32,
            9 => output.len = rng.of(LENGTHS),
            _ => {
                let was_whole = input.len as usize == request.len();
                change_bytes(request, rng);
                if was_whole {
                    input.len = request.len() as u32;
                }
            }
        },
        Call::Raw { number, arg, bytes } => match rng.below(3) {
            // Not the type: the kernel has ioctls of other types.
            0 => *number ^= 1 << rng.of(&[0, 1, 2, 7, 16, 29, 30, 31]),
            1 => *arg = place(rng),
            _ => change_bytes(bytes, rng),
        },
        Call::Caller { is_privileged } => *is_privileged = !*is_privileged,
        Call::Via(how) => *how = carrier(rng),
        Call::Reopen => {}
    }
}

fn carrier(rng: &mut Rng) -> Carrier {
    rng.of(&Carrier::ALL).1
}

fn change_bytes(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.is_empty() {
        bytes.extend_from_slice(&rng.next().to_ne_bytes());
        return;
    }
    let at = rng.below(bytes.len());
    let width = rng.of(&[1, 2, 4]).min(bytes.len() - at);
    match rng.below(7) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.next() as u8,
        2 => bytes[at..at + width].copy_from_slice(&rng.of(EDGES).to_le_bytes()[..width]),
        3 => bytes[at..at + width].copy_from_slice(&rng.of(EDGES).to_be_bytes()[4 - width..]),
        4 => bytes.truncate(at),
        5 if bytes.len() < 8192 => {
            let more = rng.of(LENGTHS).min(4096) as usize;
            bytes.resize(bytes.len() + more, rng.next() as u8);
        }
        _ => {
            let from = rng.below(bytes.len());
            let part = bytes[from..(from + 8).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
            bytes.truncate(8192);
        }
    }
}

/// Returns a boundary value, possibly one next to `around`.
fn edge(rng: &mut Rng, around: u32) -> u32 {
    match rng.below(4) {
        0 => around.wrapping_add(1),
        1 => around.wrapping_sub(1),
        _ => rng.of(EDGES),
    }
}

fn buffer(rng: &mut Rng) -> Buffer {
    Buffer {
        len: rng.of(LENGTHS),
        place: Place::Good,
    }
}

fn place(rng: &mut Rng) -> Place {
    match rng.below(5) {
        0 => Place::Good,
        1 => Place::Null,
        2 => Place::Kernel,
        3 => Place::ReadOnly,
        _ => Place::Ends(rng.of(LENGTHS)),
    }
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    let len = rng.of(LENGTHS).min(512) as usize;
    (0..len).map(|_| rng.next() as u8).collect()
}

fn loopback(rng: &mut Rng, _: &[Uuid]) -> Vec<u8> {
    if rng.below(6) == 0 {
        return noise(rng);
    }
    let arg = match rng.below(3) {
        0 => rng.below(64) as u32,
        1 => rng.of(LENGTHS),
        _ => rng.of(EDGES),
    };
    let reserved = u32::from(rng.below(16) == 0);
    let words = [LOOPBACK_MAGIC, rng.below(8) as u32, arg, reserved];
    let mut request: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let more = rng.of(LENGTHS) as usize;
    request.resize(request.len() + more, rng.next() as u8);
    request
}

/// Commands of a CXL memory device that are allowed, reserved for the kernel, of the vendor of the
/// emulated one, and unknown; and the query for them.
const CXL_COMMANDS: &[u32] = &[
    0x0002, 0x0005, 0x0101, 0x0102, 0x0201, 0x0300, 0x0402, 0x0404, 0x0600, 0x4000, 0x4100, 0x4101,
    0x4200, 0x4400, 0x5300, 0xc000, 0xc001, 0xc003, 0xc010, 0xc020, 0xc023, 0xc024, 0xc030, 0xc042,
    0xc050, 0xc051, 0xc0ff, 0xffff, 0x1_0000, 0x1_0001, 0x1_c000,
];

fn cxl(rng: &mut Rng, uuids: &[Uuid]) -> Vec<u8> {
    let opcode = match rng.below(8) {
        0 => 0x400 + rng.below(3) as u32,
        1 => rng.of(EDGES),
        2 => rng.of(CXL_COMMANDS),
        _ => 0x500 + rng.below(4) as u32,
    };
    let mut payload = Vec::new();
    match opcode {
        0x500 => {
            payload.extend(rng.of(LENGTHS).to_le_bytes());
            payload.extend((rng.below(6) as u16).to_le_bytes());
            payload.extend([0; 2]);
        }
        0x501 => {
            payload.extend(rng.of(uuids));
            payload.extend((rng.of(EDGES) as u16).to_le_bytes());
            payload.extend((rng.of(EDGES) as u16).to_le_bytes());
            payload.push(rng.below(4) as u8);
        }
        0x502 => {
            payload.extend(rng.of(uuids));
            let flags = rng.of(&[0u32, 1, 2, 3, 4, 5, 8, 0x80]);
            payload.extend(flags.to_le_bytes());
            payload.extend((rng.of(LENGTHS) as u16).to_le_bytes());
            payload.push(1 + rng.below(2) as u8);
            payload.extend([0; 9]);
            let len = rng.of(LENGTHS).min(4096) as usize;
            payload.resize(payload.len() + len, rng.next() as u8);
        }
        _ => payload = noise(rng),
    }
    let len = match rng.below(8) {
        0 => rng.of(EDGES),
        _ => payload.len() as u32,
    };
    let flags = u32::from(rng.below(16) == 0);
    let words = [opcode, flags, len, 0];
    let mut request: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    request.append(&mut payload);
    request
}

fn mlx5(rng: &mut Rng, _: &[Uuid]) -> Vec<u8> {
    let opcode = match rng.below(8) {
        0 => rng.next() as u16,
        1 => rng.of(MLX5_FORBIDDEN),
        2 | 3 => 0x805,
        _ => rng.of(MLX5_OPCODES),
    };
    let mut request = Vec::new();
    request.extend(opcode.to_be_bytes());
    request.extend((rng.of(&[0u16, 0, 0, 1, 0xffff])).to_be_bytes());
    request.extend([0; 2]);
    request.extend((rng.below(6) as u16).to_be_bytes());
    if opcode == 0x805 {
        request.extend([0; 2]);
        request.extend(rng.of(MLX5_REGISTERS).to_be_bytes());
        request.extend((rng.below(3) as u32).to_be_bytes());
        let len = rng.of(LENGTHS).min(4096) as usize;
        request.resize(request.len() + len, 0);
    } else {
        let len = rng.of(LENGTHS).min(4096) as usize;
        request.resize(8 + len, 0);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_cases_round_trip() {
        for device_type in [LOOPBACK, device_type::CXL, device_type::MLX5, 77] {
            let messages = Messages::of(device_type, Vec::new());
            let mut rng = Rng::new(5);
            let mut last = Case::default();
            for case in messages
                .corpus
                .iter()
                .flat_map(|text| Case::parse_all(text).unwrap())
            {
                assert!(!case.calls.is_empty());
                last = case;
            }
            for _ in 0..500 {
                let mut case = messages.generate(&mut rng);
                messages.mutate(&mut case, &last, &mut rng);
                let text = case.to_string();
                let read = Case::parse_all(&text).unwrap();
                assert_eq!(read.len(), usize::from(!case.calls.is_empty()));
                assert!(read.is_empty() || read[0] == case);
                last = case;
            }
        }
    }

    #[test]
    fn no_case_waits() {
        let messages = Messages::of(LOOPBACK, Vec::new());
        let mut request = LOOPBACK_MAGIC.to_ne_bytes().to_vec();
        request.extend(LOOPBACK_SLEEP.to_ne_bytes());
        request.extend(60_000u32.to_ne_bytes());
        let mut call = Call::Rpc {
            size: 32,
            scope: 0,
            input: Buffer {
                len: 12,
                place: Place::Good,
            },
            request,
            output: Buffer {
                len: 0,
                place: Place::Good,
            },
            arg: Place::Good,
            tail: 0,
        };
        messages.calm(&mut call);
        assert!(
            matches!(call, Call::Rpc { request, .. } if request[8] < 3 && request[9..12] == [0; 3])
        );
    }

    #[test]
    fn cases_depend_on_the_seed_only() {
        let messages = Messages::of(LOOPBACK, Vec::new());
        let cases = |seed| {
            let mut rng = Rng::new(seed);
            (0..50)
                .map(|_| messages.generate(&mut rng))
                .collect::<Vec<_>>()
        };
        assert_eq!(cases(3), cases(3));
        assert_ne!(cases(3), cases(4));
    }
}
