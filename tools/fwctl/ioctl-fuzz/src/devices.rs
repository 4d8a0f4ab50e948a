// SPDX-License-Identifier: MIT OR Apache-2.0

//! Expected behaviour of each type of device, from fwctl-mlx5.rst, fwctl-cxl.rst and `loopback.h`.

use crate::answer::{word, Answer, Reply};
use anyhow::{ensure, Result};
use fwctl_uapi::{device_type, scope};
use std::collections::HashMap;

/// Device type of the loopback devices.
pub const LOOPBACK: u32 = 0;
/// Magic number of their requests.
pub const LOOPBACK_MAGIC: u32 = 0x7030_6c66;
/// The errno that the corpus requests from them.
pub const LOOPBACK_ERRNO: i32 = libc::EL2HLT;
/// Maximum length of their generated replies.
const LOOPBACK_MAX: u32 = 4 << 20;

/// A device without faults.
pub enum Device {
    /// A loopback device, whose answers are all known.
    Loopback,
    /// A CXL memory device: its Features, and the commands that the driver lists.
    Cxl(Vec<Feature>, Commands),
    /// A ConnectX.
    Mlx5(Scopes),
    /// An unknown device: any answer is accepted.
    Unknown,
}

impl Device {
    /// Returns the device of this type. `rpc` sends a request to it.
    pub fn of(
        device_type: u32,
        mut rpc: impl FnMut(&[u8], usize) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        Ok(match device_type {
            LOOPBACK => Device::Loopback,
            device_type::CXL => Device::Cxl(features(&mut rpc)?, cxl_commands(&mut rpc)),
            device_type::MLX5 => Device::Mlx5(Scopes::default()),
            _ => Device::Unknown,
        })
    }

    /// Returns the expected answer to a request.
    pub fn answer(&self, scope: u32, request: &[u8], room: usize) -> Answer {
        match self {
            Device::Loopback => loopback(scope, request, room),
            Device::Cxl(features, commands) => cxl(features, commands, scope, request, room),
            Device::Mlx5(scopes) => mlx5(scopes, scope, request, room),
            Device::Unknown => Answer {
                errnos: &[
                    libc::EINVAL,
                    libc::EOPNOTSUPP,
                    libc::EMSGSIZE,
                    libc::EPERM,
                    libc::ENOMEM,
                    libc::EBADMSG,
                    libc::ENXIO,
                    libc::EBUSY,
                    libc::ETIMEDOUT,
                    libc::EIO,
                ],
                reply: Some(Reply::Any),
            },
        }
    }

    /// Returns the UUIDs of its features.
    pub fn features(&self) -> Vec<Uuid> {
        match self {
            Device::Cxl(features, _) => features.iter().map(|feature| feature.uuid).collect(),
            _ => Vec::new(),
        }
    }

    /// Records the result of a request that was delivered. Fails if it contradicts earlier results.
    pub fn learn(&mut self, scope: u32, request: &[u8], errno: Option<i32>) -> Result<()> {
        match self {
            Device::Mlx5(scopes) => scopes.learn(scope, request, errno),
            _ => Ok(()),
        }
    }
}

fn loopback(scope: u32, request: &[u8], room: usize) -> Answer {
    const EINVAL: &[i32] = &[libc::EINVAL];
    let echo = Answer::replies(Reply::Bytes(request.to_vec()));
    if request.len() < 16 || word(request, 0) != LOOPBACK_MAGIC {
        return echo;
    }
    if word(request, 12) != 0 {
        return Answer::fails(EINVAL);
    }
    let arg = word(request, 8);
    let len = arg as usize;
    match word(request, 4) {
        0 | 1 => echo,
        2 if arg <= 60_000 => echo,
        // The grammar requests no other errno.
        3 if arg == LOOPBACK_ERRNO as u32 => Answer::fails(&[LOOPBACK_ERRNO]),
        4 if len <= request.len() => Answer::replies(Reply::Bytes(request[..len].to_vec())),
        5 if arg <= LOOPBACK_MAX => {
            let bytes = (0..251).cycle().take(len);
            Answer::replies(Reply::Bytes(bytes.collect()))
        }
        6 => Answer::replies(Reply::LoopbackState(scope, room as u32)),
        7 if arg <= LOOPBACK_MAX => Answer::replies(Reply::Bytes(vec![0; len])),
        2..=7 => Answer::fails(EINVAL),
        // Registered memory, which some of the drivers have. No memory has these numbers.
        op @ 8..=10 => Answer {
            errnos: &[libc::EOPNOTSUPP, libc::EINVAL, libc::ENOENT],
            reply: (op == 10 && arg <= 3).then(|| Reply::Bytes(request.to_vec())),
        },
        _ => Answer::fails(&[libc::EOPNOTSUPP]),
    }
}

/// UUID of a feature.
pub type Uuid = [u8; 16];

/// Features reserved for the kernel: patrol scrub, error check and scrub, both kinds of
/// post-package repair, and four of sparing.
pub const EXCLUSIVE: [Uuid; 8] = [
    0x96dad7d6_fde8_482b_a733_75774e06db8a_u128.to_be_bytes(),
    0xe5b13f22_2328_4a14_b8ba_b9691e893386_u128.to_be_bytes(),
    0x892ba475_fad8_474e_9d3e_692c917568bb_u128.to_be_bytes(),
    0x80ea4521_786f_4127_afb1_ec7459fb0e24_u128.to_be_bytes(),
    0x96c33386_91dd_44c7_9ecb_fdaf6503bac4_u128.to_be_bytes(),
    0x450ebf67_b135_4f97_a498_c2d57f279bed_u128.to_be_bytes(),
    0x78b79636_90ac_4b64_a4ef_faac5d18a863_u128.to_be_bytes(),
    0x34dbaff5_0552_4281_8f76_da0b5e7a76a7_u128.to_be_bytes(),
];

/// The description of a feature by the device.
pub struct Feature {
    /// UUID of the feature.
    pub uuid: Uuid,
    /// Whether it can be changed.
    is_changeable: bool,
    /// Effects of changing it.
    effects: u16,
}

impl Feature {
    fn parse(entry: &[u8]) -> Self {
        Feature {
            uuid: entry[..16].try_into().expect("16 bytes"),
            is_changeable: entry[22] & 1 != 0,
            effects: u16::from_le_bytes([entry[28], entry[29]]),
        }
    }

    /// Returns the lowest scope that permits to set the feature, if any does.
    fn least_scope(&self) -> Option<u32> {
        /// Background operation, and reserved bits.
        const NEVER: u16 = 0xf040;
        /// Immediate changes, and the security state.
        const FULL: u16 = 0x003e;
        /// Changes at a reset.
        const WRITE: u16 = 0x0c01;
        /// Changes at a reset that require [`VALID`].
        const QUALIFIED: u16 = 0x0c00;
        const VALID: u16 = 0x0200;
        let effects = match self.effects & VALID {
            0 => self.effects & !QUALIFIED,
            _ => self.effects,
        };
        match effects {
            _ if !self.is_changeable => None,
            effects if effects & NEVER != 0 => None,
            effects if effects & FULL != 0 => Some(scope::DEBUG_WRITE_FULL),
            effects if effects & WRITE != 0 => Some(scope::DEBUG_WRITE),
            _ => None,
        }
    }
}

/// Requests the list of features.
fn features(rpc: impl FnOnce(&[u8], usize) -> Result<Vec<u8>>) -> Result<Vec<Feature>> {
    let words = [0x500u32, 0, 8, 0, 0xffff, 0];
    let request: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let reply = rpc(&request, 65536)?;
    ensure!(reply.len() >= 16, "the list of features has no header");
    Ok(reply[16..].chunks_exact(48).map(Feature::parse).collect())
}

/// The query for the commands of a CXL memory device.
pub const QUERY_COMMANDS: u32 = 0x1_0000;

/// Least scope of each command that the driver lists; 0xff if there is none.
pub type Commands = HashMap<u16, u32>;

/// Requests the list of commands. Drivers that pass only Feature commands have none.
fn cxl_commands(rpc: impl FnOnce(&[u8], usize) -> Result<Vec<u8>>) -> Commands {
    let request: Vec<u8> = [QUERY_COMMANDS, 0, 0, 0]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    let reply = rpc(&request, 16 + 8 * 65536).unwrap_or_default();
    let entries = reply.get(16..).unwrap_or_default().chunks_exact(8);
    entries
        .map(|entry| (u16::from_ne_bytes([entry[0], entry[1]]), entry[4].into()))
        .collect()
}

/// The answer to a command other than a Feature command.
fn cxl_command(commands: &Commands, scope: u32, opcode: u32, len: usize, room: usize) -> Answer {
    /// The smallest payload of a mailbox.
    const LEAST_PAYLOAD: usize = 256;
    /// The largest.
    const MOST_PAYLOAD: usize = 1 << 20;
    let refused = Answer::fails(&[libc::EINVAL, libc::EPERM]);
    let Ok(opcode) = u16::try_from(opcode) else {
        return match (opcode, len, commands.is_empty()) {
            (QUERY_COMMANDS, 0, false) => Answer::replies(Reply::CxlValue(16 + 8 * 65536)),
            _ => Answer::fails(&[libc::EINVAL]),
        };
    };
    match commands.get(&opcode) {
        Some(least) if scope >= *least => {}
        _ => return refused,
    }
    if room < 8 {
        return refused;
    }
    // EPERM: it was found to continue in the background.  EBUSY: another program waits for one that
    // does so, which its effects say.
    let errnos: &[i32] = match (len > LEAST_PAYLOAD, scope == scope::DEBUG_WRITE_FULL) {
        (true, true) => &[libc::E2BIG, libc::EPERM, libc::EBUSY],
        (true, false) => &[libc::E2BIG, libc::EPERM],
        (false, true) => &[libc::EPERM, libc::EBUSY],
        (false, false) => &[libc::EPERM],
    };
    Answer {
        errnos,
        reply: Some(Reply::CxlValue(MOST_PAYLOAD)),
    }
}

fn cxl(
    features: &[Feature],
    commands: &Commands,
    scope: u32,
    request: &[u8],
    room: usize,
) -> Answer {
    let refused = || Answer::fails(&[libc::EINVAL]);
    if request.len() < 16 || word(request, 4) != 0 || word(request, 12) != 0 {
        return refused();
    }
    let Some(payload) = request[16..].get(..word(request, 8) as usize) else {
        return refused();
    };
    let half = |at: usize| usize::from(u16::from_le_bytes([payload[at], payload[at + 1]]));
    match (word(request, 0), payload.len()) {
        (0x500, 8) => {
            let count = word(payload, 0).to_le() as usize / 48;
            let all = features.len();
            if half(6) != 0 || half(4) >= all {
                return refused();
            }
            let entries = count.min(all - half(4));
            Answer::replies(Reply::CxlList(entries as u16, all as u16))
        }
        (0x501, 21) => {
            let (offset, count) = (half(16), half(18));
            if count == 0 || offset + count > 65536 || room < 8 + count {
                return refused();
            }
            Answer::replies(Reply::CxlValue(count))
        }
        (0x502, 33..) => {
            let flags = word(payload, 16).to_le();
            let is_whole = half(20) + payload.len() - 32 <= 65536;
            let is_plain = payload[23..32].iter().all(|&byte| byte == 0);
            let feature = features.iter().find(|one| one.uuid == payload[..16]);
            let Some(feature) = feature.filter(|_| flags & !8 == 0 && is_whole && is_plain) else {
                return refused();
            };
            if EXCLUSIVE.contains(&feature.uuid) {
                return Answer::fails(&[libc::EPERM]);
            }
            match feature.least_scope() {
                Some(least) if scope >= least && room >= 8 => Answer::replies(Reply::CxlValue(0)),
                _ => refused(),
            }
        }
        (0x500..=0x502, _) => refused(),
        (opcode, len) => cxl_command(commands, scope, opcode, len, room),
    }
}

/// Commands of a ConnectX that no scope permits: they create or destroy objects, or are reserved
/// for the kernel.
pub const MLX5_FORBIDDEN: &[u16] = &[
    0x000, 0x102, 0x103, 0x104, 0x105, 0x108, 0x10b, 0x10d, 0x200, 0x202, 0x204, 0x301, 0x302,
    0x304, 0x400, 0x401, 0x403, 0x500, 0x501, 0x502, 0x503, 0x700, 0x701, 0x710, 0x711, 0x717,
    0x718, 0x751, 0x753, 0x755, 0x761, 0x763, 0x771, 0x772, 0x780, 0x782, 0x783, 0x785, 0x800,
    0x801, 0x802, 0x803, 0x806, 0x80a, 0x80c, 0x816, 0x817, 0x82f, 0x830, 0x833, 0x840, 0x841,
    0x843, 0x900, 0x901, 0x902, 0x904, 0x908, 0x912, 0x916, 0x930, 0x931, 0x933, 0x934, 0x936,
    0x938, 0x939, 0x93a, 0x93d, 0x93e, 0x940, 0x941, 0x960, 0xa00, 0xa01, 0xa03, 0xa04, 0xa06,
    0xa08, 0xa0a, 0xffff,
];

/// Commands and modifiers, and the lowest scope that permits them.
const MLX5_SCOPES: &[(u16, RangeOfModes, u32)] = &[
    (0x100, RangeOfModes::All, 0),
    (0x101, RangeOfModes::All, 0),
    (0x107, RangeOfModes::All, 1),
    (0x10a, RangeOfModes::All, 1),
    (0x203, RangeOfModes::All, 1),
    (0x50b, RangeOfModes::All, 1),
    (0x719, RangeOfModes::All, 1),
    (0x750, RangeOfModes::All, 1),
    (0x754, RangeOfModes::All, 1),
    (0x762, RangeOfModes::All, 0),
    (0x770, RangeOfModes::All, 1),
    (0x773, RangeOfModes::All, 1),
    (0x805, RangeOfModes::Zero, 0),
    (0x805, RangeOfModes::Others, 1),
    (0x820, RangeOfModes::All, 2),
    (0x823, RangeOfModes::All, 0),
    (0x903, RangeOfModes::All, 1),
    (0xb22, RangeOfModes::All, 0),
];

#[derive(Clone, Copy)]
enum RangeOfModes {
    All,
    Zero,
    Others,
}

/// The scopes of ConnectX commands, as far as they have been observed. A scope permits all that
/// lower ones permit.
#[derive(Default)]
pub struct Scopes {
    /// By opcode and whether the modifier is 0: the scope below which all requests were refused,
    /// and the one from which on all were permitted.
    seen: HashMap<(u16, bool), (u32, u32)>,
}

/// Returns the opcode and whether the modifier is 0.
fn command(request: &[u8]) -> (u16, bool) {
    let half = |at| u16::from_be_bytes([request[at], request[at + 1]]);
    (half(0), half(6) == 0)
}

fn mlx5(scopes: &Scopes, scope: u32, request: &[u8], room: usize) -> Answer {
    const REFUSED: &[i32] = &[libc::EBADMSG];
    if request.len() < 16 || room < 16 {
        return Answer::fails(&[libc::EMSGSIZE]);
    }
    let (opcode, is_zero) = command(request);
    let delivered = Answer::replies(Reply::Len(room));
    let listed = MLX5_SCOPES.iter().find(|(listed, modes, _)| {
        *listed == opcode
            && match modes {
                RangeOfModes::All => true,
                RangeOfModes::Zero => is_zero,
                RangeOfModes::Others => !is_zero,
            }
    });
    let (refused, allowed) = match (listed, MLX5_FORBIDDEN.contains(&opcode)) {
        (Some((_, _, least)), _) => (*least, *least),
        (None, true) => (4, 4),
        (None, false) => scopes.bounds(opcode, is_zero),
    };
    if scope < refused {
        Answer::fails(REFUSED)
    } else if scope >= allowed {
        delivered
    } else {
        Answer {
            errnos: REFUSED,
            ..delivered
        }
    }
}

impl Scopes {
    fn bounds(&self, opcode: u16, is_zero: bool) -> (u32, u32) {
        let known = self.seen.get(&(opcode, is_zero));
        known.copied().unwrap_or((0, 4))
    }

    fn learn(&mut self, scope: u32, request: &[u8], errno: Option<i32>) -> Result<()> {
        if request.len() < 16 {
            return Ok(());
        }
        let (opcode, is_zero) = command(request);
        let (refused, allowed) = self.seen.entry((opcode, is_zero)).or_insert((0, 4));
        match errno {
            Some(libc::EBADMSG) => *refused = (*refused).max(scope + 1),
            Some(_) => {}
            None => *allowed = (*allowed).min(scope),
        }
        ensure!(
            refused <= allowed,
            "opcode {opcode:#x}: permitted in scope {allowed} but refused in one that is not lower"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(opcode: u16, op_mod: u16) -> Vec<u8> {
        let mut request = vec![0; 16];
        request[..2].copy_from_slice(&opcode.to_be_bytes());
        request[6..8].copy_from_slice(&op_mod.to_be_bytes());
        request
    }

    #[test]
    fn scopes_permit_what_lower_ones_do() {
        let mut device = Device::Mlx5(Scopes::default());
        let (query, refused) = (request(0xb0a, 0), Some(libc::EBADMSG));
        assert_eq!(device.answer(0, &query, 16).errnos, [libc::EBADMSG]);
        assert!(device.learn(1, &query, None).is_ok());
        assert!(device.answer(2, &query, 16).errnos.is_empty());
        assert!(device.learn(0, &query, refused).is_ok());
        assert!(device.answer(0, &query, 16).reply.is_none());
        assert!(device.learn(2, &query, refused).is_err());
    }

    #[test]
    fn scopes_that_are_known() {
        let device = Device::Mlx5(Scopes::default());
        assert!(MLX5_SCOPES
            .iter()
            .all(|(opcode, ..)| !MLX5_FORBIDDEN.contains(opcode)));
        for (opcode, op_mod, least) in [(0x805, 0, 0), (0x805, 1, 1), (0x820, 0, 2), (0xa04, 0, 4)]
        {
            for scope in 0..4 {
                let answer = device.answer(scope, &request(opcode, op_mod), 16);
                assert_eq!(answer.reply.is_some(), scope >= least);
                assert_eq!(answer.errnos.is_empty(), scope >= least);
            }
        }
    }

    #[test]
    fn requests_of_a_memory_device() {
        let feature = |uuid, effects| Feature {
            uuid,
            is_changeable: true,
            effects,
        };
        let features = vec![feature(EXCLUSIVE[0], 1), feature([7; 16], 1)];
        let commands = Commands::from([(0x101, 0xff), (0xc000, 1), (0xc020, 3)]);
        let device = Device::Cxl(features, commands);
        let send = |opcode: u32, payload: &[u8], room| {
            let words = [opcode, 0, payload.len() as u32, 0];
            let mut request: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            request.extend(payload);
            device.answer(2, &request, room)
        };
        let list = |count: u8, start: u8| send(0x500, &[count, 0, 0, 0, start, 0, 0, 0], 0);
        assert!(matches!(list(47, 0).reply, Some(Reply::CxlList(0, 2))));
        assert!(matches!(list(200, 1).reply, Some(Reply::CxlList(1, 2))));
        assert_eq!(list(200, 2).errnos, [libc::EINVAL]);
        let get = |count: u8, room| {
            let mut payload = [0; 21];
            payload[18] = count;
            send(0x501, &payload, room)
        };
        assert!(get(4, 12).errnos.is_empty());
        assert_eq!(get(4, 11).errnos, [libc::EINVAL]);
        assert_eq!(get(0, 11).errnos, [libc::EINVAL]);
        let set = |uuid: Uuid, len, room| {
            let mut payload = vec![0; len];
            payload[..16].copy_from_slice(&uuid);
            send(0x502, &payload, room).errnos
        };
        assert_eq!(set(EXCLUSIVE[0], 33, 64), [libc::EPERM]);
        assert_eq!(set(EXCLUSIVE[0], 32, 64), [libc::EINVAL]);
        assert_eq!(set([9; 16], 33, 64), [libc::EINVAL]);
        assert_eq!(set([7; 16], 33, 7), [libc::EINVAL]);
        assert!(set([7; 16], 33, 8).is_empty());
        for opcode in [0x101, 0x400, 0xc020] {
            assert!(send(opcode, &[], 64).reply.is_none(), "{opcode:#x}");
        }
        assert!(send(0xc000, &[], 7).reply.is_none());
        assert_eq!(send(0xc000, &[1], 8).errnos, [libc::EPERM]);
        assert_eq!(send(0xc000, &[1; 600], 8).errnos.len(), 2);
        assert!(send(0xc000, &[1], 8).reply.is_some());
        assert!(send(0x1_0000, &[], 0).errnos.is_empty());
        assert_eq!(send(0x1_0000, &[1], 64).errnos, [libc::EINVAL]);
        assert_eq!(send(0x1_c000, &[], 64).errnos, [libc::EINVAL]);
    }

    #[test]
    fn scopes_of_features() {
        for (is_changeable, effects, least) in [
            (true, 0x0001, Some(2)),
            (true, 0x0a00, Some(2)),
            (true, 0x0c00, None),
            (true, 0x0020, Some(3)),
            (true, 0x0401 | 0x0010, Some(3)),
            (true, 0x0001 | 0x0040, None),
            (true, 0x0002 | 0x8000, None),
            (true, 0x0380, None),
            (false, 0x0001, None),
        ] {
            let feature = Feature {
                uuid: [7; 16],
                is_changeable,
                effects,
            };
            assert_eq!(feature.least_scope(), least, "{effects:#x}");
        }
    }

    #[test]
    fn operations_of_the_loopback() {
        let say = |op: u32, arg: u32, len| {
            let words = [LOOPBACK_MAGIC, op, arg, 0];
            let mut request: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            request.resize(len, 1);
            Device::Loopback.answer(2, &request, 99)
        };
        let len = |answer: Answer| answer.reply.map(|reply| *reply.lens().end());
        assert_eq!(len(say(1, 0, 20)), Some(20));
        assert_eq!(len(say(4, 20, 20)), Some(20));
        assert_eq!(len(say(4, 21, 20)), None);
        assert_eq!(len(say(5, 300, 16)), Some(300));
        assert_eq!(len(say(7, (4 << 20) + 1, 16)), None);
        assert!(matches!(
            say(6, 0, 16).reply,
            Some(Reply::LoopbackState(2, 99))
        ));
        assert_eq!(say(11, 0, 16).errnos, [libc::EOPNOTSUPP]);
    }
}
