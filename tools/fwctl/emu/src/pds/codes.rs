// SPDX-License-Identifier: MIT OR Apache-2.0

//! Status codes and opcodes (pds_core_if.h, pds_adminq.h).

use std::fmt;

/// How a command ended (enum pds_core_status_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Status(pub u8);

/// Codes and their names.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Self = Status($number);)*

            /// Its name in the header, without prefix.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The command was executed.
    SUCCESS = 0;
    /// The version of the request is not supported.
    EVERSION = 1;
    /// There is no such command.
    EOPCODE = 2;
    /// There is no such endpoint, operation or piece of memory.
    ENOENT = 7;
    /// Too many clients are registered.
    ENOMEM = 10;
    /// Guest memory cannot be accessed.
    EFAULT = 11;
    /// A field has an invalid value.
    EINVAL = 14;
    /// A length or index is too large.
    ERANGE = 16;
    /// A device command was sent to the admin queue.
    DEV_CMD = 18;
    /// The client is not registered.
    ECLIENT = 33;
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Device commands (enum pds_core_cmd_opcode).
pub mod device {
    #![allow(missing_docs)]
    pub const NOP: u8 = 0;
    pub const IDENTIFY: u8 = 1;
    pub const RESET: u8 = 2;
    pub const INIT: u8 = 3;
    pub const HOST_MEM: u8 = 12;
}

/// Operations of a host memory command (enum pds_core_host_mem_oper).
pub mod host_memory {
    #![allow(missing_docs)]
    pub const GET_COUNT: u8 = 0;
    pub const QUERY: u8 = 1;
    pub const ADD: u8 = 2;
    pub const DEL: u8 = 3;
}

/// Commands of the admin queue (enum pds_core_adminq_opcode).
pub mod admin {
    #![allow(missing_docs)]
    pub const NOP: u8 = 0;
    pub const CLIENT_REG: u8 = 6;
    pub const CLIENT_UNREG: u8 = 7;
    pub const CLIENT_CMD: u8 = 8;
}

/// Commands of a fwctl client, inside CLIENT_CMD (enum pds_fwctl_cmd_opcode).
pub mod fwctl {
    #![allow(missing_docs)]
    pub const IDENT: u8 = 70;
    pub const RPC: u8 = 71;
    pub const QUERY: u8 = 72;
}

/// What a QUERY asks about (enum pds_fwctl_query_entity).
pub mod entity {
    #![allow(missing_docs)]
    pub const ROOT: u8 = 0;
    pub const ENDPOINT: u8 = 1;
    pub const OPERATION: u8 = 2;
}

/// Added to the opcode of an admin queue command where both kinds are numbered together.
pub const ADMIN: u16 = 0x100;

/// The name of a command, numbered as in a fault.
pub fn name(opcode: u16) -> String {
    let name = match (opcode & ADMIN != 0, opcode as u8) {
        (false, device::NOP) => "NOP",
        (false, device::IDENTIFY) => "IDENTIFY",
        (false, device::RESET) => "RESET",
        (false, device::INIT) => "INIT",
        (false, device::HOST_MEM) => "HOST_MEM",
        (true, admin::NOP) => "admin NOP",
        (true, admin::CLIENT_REG) => "CLIENT_REG",
        (true, admin::CLIENT_UNREG) => "CLIENT_UNREG",
        (true, admin::CLIENT_CMD) => "CLIENT_CMD",
        (true, fwctl::IDENT) => "fwctl IDENT",
        (true, fwctl::RPC) => "fwctl RPC",
        (true, fwctl::QUERY) => "fwctl QUERY",
        _ => return format!("{opcode:#05x}"),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(Status::ECLIENT.to_string(), "ECLIENT");
        assert_eq!(Status(200).to_string(), "200");
        assert_eq!(name(2), "RESET");
        assert_eq!(name(0x147), "fwctl RPC");
        assert_eq!(name(0x1ff), "0x1ff");
    }
}
