// SPDX-License-Identifier: MIT OR Apache-2.0

//! The expected result of a call: a second implementation of the contract of the core,
//! Documentation/userspace-api/fwctl/fwctl.rst.
//!
//! It is written from that document, not from the code. It predicts the result of each call for
//! which [`crate::devices`] knows the answer of the device: the errno or the reply, and whether the
//! kernel is tainted.

use crate::answer::{word, Answer, Reply};
use crate::devices::Device;
use crate::sys::Spot;
use fwctl_uapi::{scope, FWCTL_INFO, FWCTL_RPC, MAX_RPC_LEN};

/// Size of `struct fwctl_info`.
pub const INFO_LEN: usize = 24;
/// Size of `struct fwctl_rpc`.
pub const RPC_LEN: usize = 32;

/// `FWCTL_RSC_DESTROY`, and the size of its structure.
const RSC_DESTROY: (u32, usize) = (0x9a02, 24);
/// `FWCTL_RSC_UMEM_REG`, and the size of its structure.
const RSC_UMEM_REG: (u32, usize) = (0x9a03, 48);
/// `FWCTL_RSC_UMEM_ALLOC`, and the size of its structure.
const RSC_UMEM_ALLOC: (u32, usize) = (0x9a04, 48);

/// Maximum size of a structure, a page.
const MAX_STRUCT_LEN: usize = 4096;

/// A call before it is made.
pub struct Attempt<'a> {
    /// Number of the ioctl.
    pub number: u32,
    /// Address of the structure.
    pub argument: Spot,
    /// Content of the structure: its `size` or a page, and some bytes more.
    pub structure: &'a [u8],
    /// Address of the request.
    pub input: Spot,
    /// Content of the request.
    pub request: &'a [u8],
    /// Address for the reply, or for the device data.
    pub output: Spot,
    /// Whether the caller has `CAP_SYS_RAWIO`.
    pub is_privileged: bool,
}

/// The predicted result of a call.
#[derive(Debug)]
pub struct Prediction {
    /// Whether it taints the kernel.
    pub taints: bool,
    /// Errors that it may return.
    pub errnos: Vec<i32>,
    /// The result if it may succeed.
    pub success: Option<Success>,
}

/// The result of a successful call.
#[derive(Debug)]
pub enum Success {
    /// The device data, followed by zeros.
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

    /// Predicts the result of a call on `device`.
    pub fn of(attempt: &Attempt<'_>, device: &Device) -> Self {
        let known = match attempt.number {
            FWCTL_INFO => INFO_LEN,
            FWCTL_RPC => RPC_LEN,
            number if number == RSC_DESTROY.0 => return resource(attempt, RSC_DESTROY.1),
            number if number == RSC_UMEM_REG.0 => return resource(attempt, RSC_UMEM_REG.1),
            number if number == RSC_UMEM_ALLOC.0 => return resource(attempt, RSC_UMEM_ALLOC.1),
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

/// The ioctls for registered memory, which some drivers have. A case has no address of memory, no number
/// of a resource, and an address where the length of an allocation is, so they fail.
fn resource(attempt: &Attempt<'_>, known: usize) -> Prediction {
    let mut errnos = vec![libc::ENOTTY];
    match structure(attempt, known) {
        Err(more) => errnos.extend(more),
        Ok(()) => errnos.extend([
            libc::EOPNOTSUPP,
            libc::EINVAL,
            libc::ENOENT,
            libc::EFAULT,
            libc::ENOMEM,
        ]),
    }
    Prediction::fails_either(errnos)
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
        // The order of the two checks is not specified.
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
