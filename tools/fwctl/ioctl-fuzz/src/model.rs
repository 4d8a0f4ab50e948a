// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a call has to come to: the contract of the core, Documentation/userspace-api/fwctl/fwctl.rst, once more.
//!
//! It is written from that document and not from the code, and decides every call of which the device's part is known, see
//! [`crate::devices`]: which errno, or which reply, and whether the kernel is tainted.

use crate::answer::{word, Answer, Reply};
use crate::devices::Device;
use crate::sys::Spot;
use fwctl_uapi::{scope, FWCTL_INFO, FWCTL_RPC, MAX_RPC_LEN};

/// Bytes of `struct fwctl_info`.
pub const INFO_LEN: usize = 24;
/// Bytes of `struct fwctl_rpc`.
pub const RPC_LEN: usize = 32;

/// The longest structure, a page.
const MAX_STRUCT_LEN: usize = 4096;

/// A call that is about to be made.
pub struct Attempt<'a> {
    /// Number of the ioctl.
    pub number: u32,
    /// Where the structure is.
    pub argument: Spot,
    /// What is there: as much as it says, or a page, and more.
    pub structure: &'a [u8],
    /// Where the request is.
    pub input: Spot,
    /// What is there, as long as the structure says.
    pub request: &'a [u8],
    /// Where the reply goes, or the device's data.
    pub output: Spot,
    /// The caller has `CAP_SYS_RAWIO`.
    pub is_privileged: bool,
}

/// What becomes of it.
#[derive(Debug)]
pub struct Prediction {
    /// The kernel is tainted afterwards.
    pub taints: bool,
    /// It may fail with one of these.
    pub errnos: Vec<i32>,
    /// It may succeed.
    pub success: Option<Success>,
}

/// What a call leaves behind that succeeds.
#[derive(Debug)]
pub enum Success {
    /// The device's data, and zeros behind it.
    Info,
    /// A reply.
    Reply(Reply),
}

impl Prediction {
    fn fails(errno: i32) -> Self {
        Self::fails_either(vec![errno])
    }

    fn fails_either(errnos: Vec<i32>) -> Self {
        Prediction {
            taints: false,
            errnos,
            success: None,
        }
    }

    /// Of a call on such a device.
    pub fn of(attempt: &Attempt<'_>, device: &Device) -> Self {
        let known = match attempt.number {
            FWCTL_INFO => INFO_LEN,
            FWCTL_RPC => RPC_LEN,
            _ => return Self::fails(libc::ENOTTY),
        };
        if let Err(errnos) = structure(attempt, known) {
            return Self::fails_either(errnos);
        }
        match attempt.number {
            FWCTL_INFO => info(attempt),
            _ => rpc(attempt, device),
        }
    }
}

/// The size protocol.
fn structure(attempt: &Attempt<'_>, known: usize) -> Result<(), Vec<i32>> {
    let readable = attempt.argument.readable;
    if readable < 4 {
        return Err(vec![libc::EFAULT]);
    }
    let size = word(attempt.structure, 0) as usize;
    if size < known {
        return Err(vec![libc::EINVAL]);
    }
    if size > MAX_STRUCT_LEN {
        return Err(vec![libc::E2BIG]);
    }
    let is_used = attempt.structure[known..size].iter().any(|&byte| byte != 0);
    match (readable >= size, is_used) {
        (true, false) => Ok(()),
        (true, true) => Err(vec![libc::E2BIG]),
        (false, false) => Err(vec![libc::EFAULT]),
        // Whichever is found first.
        (false, true) => Err(vec![libc::EFAULT, libc::E2BIG]),
    }
}

fn info(attempt: &Attempt<'_>) -> Prediction {
    let flags = word(attempt.structure, 4);
    let room = word(attempt.structure, 12) as usize;
    if flags != 0 {
        return Prediction::fails(libc::EOPNOTSUPP);
    }
    if attempt.output.writable < room || attempt.argument.writable < INFO_LEN {
        return Prediction::fails(libc::EFAULT);
    }
    Prediction {
        taints: false,
        errnos: Vec::new(),
        success: Some(Success::Info),
    }
}

fn rpc(attempt: &Attempt<'_>, device: &Device) -> Prediction {
    let scope = word(attempt.structure, 4);
    let in_len = word(attempt.structure, 8);
    let room = word(attempt.structure, 12);
    if in_len > MAX_RPC_LEN || room > MAX_RPC_LEN {
        return Prediction::fails(libc::EMSGSIZE);
    }
    if scope > scope::DEBUG_WRITE_FULL {
        return Prediction::fails(libc::EOPNOTSUPP);
    }
    if scope == scope::DEBUG_WRITE_FULL && !attempt.is_privileged {
        return Prediction::fails(libc::EPERM);
    }
    let taints = scope >= scope::DEBUG_WRITE;
    if attempt.input.readable < in_len as usize {
        return Prediction {
            taints,
            ..Prediction::fails(libc::EFAULT)
        };
    }

    let Answer { errnos, reply } = device.answer(scope, attempt.request, room as usize);
    let mut errnos = errnos.to_vec();
    let success = reply.filter(|reply| {
        let lens = reply.lens();
        let writable = attempt.output.writable.min(room as usize);
        let is_cut = |len: &usize| writable < (*len).min(room as usize);
        let must_fail = is_cut(lens.start()) || attempt.argument.writable < RPC_LEN;
        if must_fail || is_cut(lens.end()) {
            errnos.push(libc::EFAULT);
        }
        !must_fail
    });
    Prediction {
        taints,
        errnos,
        success: success.map(Success::Reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Place;
    use crate::sys::{Memory, Role};

    struct Rpc {
        size: u32,
        scope: u32,
        in_len: u32,
        room: u32,
        tail: u8,
        argument: Place,
        input: Place,
        output: Place,
        is_privileged: bool,
    }

    const ECHO: Rpc = Rpc {
        size: 32,
        scope: 0,
        in_len: 8,
        room: 8,
        tail: 0,
        argument: Place::Good,
        input: Place::Good,
        output: Place::Good,
        is_privileged: true,
    };

    fn predict(rpc: Rpc) -> Prediction {
        let mut memory = Memory::new().unwrap();
        let words = [rpc.size, rpc.scope, rpc.in_len, rpc.room, 0, 0, 0, 0];
        let mut structure: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        structure.resize(8192, rpc.tail);
        let request = vec![7; rpc.in_len.min(MAX_RPC_LEN) as usize];
        let mut put = |role, place, content: &[u8]| memory.put(role, place, content, 0).unwrap();
        let attempt = Attempt {
            number: FWCTL_RPC,
            argument: put(Role::Argument, rpc.argument, &structure),
            structure: &structure,
            input: put(Role::Input, rpc.input, &request),
            request: &request,
            output: put(Role::Output, rpc.output, &[]),
            is_privileged: rpc.is_privileged,
        };
        Prediction::of(&attempt, &Device::Loopback)
    }

    fn fails(rpc: Rpc) -> Vec<i32> {
        let prediction = predict(rpc);
        assert!(prediction.success.is_none());
        prediction.errnos
    }

    #[test]
    fn an_echo() {
        let prediction = predict(ECHO);
        assert!(!prediction.taints && prediction.errnos.is_empty());
        let Some(Success::Reply(reply)) = prediction.success else {
            panic!("{prediction:?}");
        };
        assert!(reply.is(8, &[7; 8]) && reply.is(8, &[7; 3]));
        assert!(!reply.is(9, &[7; 8]) && !reply.is(8, &[7, 8]));
    }

    #[test]
    fn sizes() {
        assert_eq!(fails(Rpc { size: 31, ..ECHO }), [libc::EINVAL]);
        assert_eq!(fails(Rpc { size: 4097, ..ECHO }), [libc::E2BIG]);
        let tail = |size| Rpc {
            size,
            tail: 1,
            ..ECHO
        };
        assert_eq!(fails(tail(33)), [libc::E2BIG]);
        assert!(predict(tail(32)).success.is_some());
        assert!(predict(Rpc { size: 4096, ..ECHO }).success.is_some());
    }

    #[test]
    fn addresses() {
        for place in [Place::Null, Place::Kernel, Place::Ends(7)] {
            let input = Rpc {
                input: place,
                ..ECHO
            };
            assert_eq!(fails(input), [libc::EFAULT]);
            let output = Rpc {
                output: place,
                ..ECHO
            };
            assert_eq!(fails(output), [libc::EFAULT]);
            let argument = Rpc {
                argument: place,
                ..ECHO
            };
            assert_eq!(fails(argument), [libc::EFAULT]);
            assert!(predict(Rpc {
                input: place,
                output: place,
                in_len: 0,
                room: 0,
                ..ECHO
            })
            .success
            .is_some());
        }
        let argument = Rpc {
            argument: Place::ReadOnly,
            ..ECHO
        };
        assert_eq!(fails(argument), [libc::EFAULT]);
    }

    #[test]
    fn scopes() {
        for scope in 0..4 {
            let prediction = predict(Rpc { scope, ..ECHO });
            assert!(prediction.success.is_some() && prediction.taints == (scope > 1));
        }
        assert_eq!(fails(Rpc { scope: 4, ..ECHO }), [libc::EOPNOTSUPP]);
        let full = predict(Rpc {
            scope: 3,
            is_privileged: false,
            ..ECHO
        });
        assert!(full.errnos == [libc::EPERM] && full.success.is_none() && !full.taints);
        let late = predict(Rpc {
            scope: 2,
            input: Place::Null,
            ..ECHO
        });
        assert!(late.errnos == [libc::EFAULT] && late.taints);
    }
}
