// SPDX-License-Identifier: MIT OR Apache-2.0

//! Refusals: the status and syndrome of a command that is not executed.

use std::fmt;

/// Status of an answer: `MLX5_CMD_STAT_*`, include/linux/mlx5/device.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(
    /// The byte.
    pub u8,
);

#[allow(missing_docs)]
impl Status {
    pub const INTERNAL: Status = Status(0x01);
    pub const BAD_OP: Status = Status(0x02);
    pub const BAD_PARAM: Status = Status(0x03);
    pub const BAD_SYS_STATE: Status = Status(0x04);
    pub const BAD_RES: Status = Status(0x05);
    pub const LIMIT: Status = Status(0x08);
    pub const BAD_RES_STATE: Status = Status(0x09);
    pub const BAD_INDEX: Status = Status(0x0a);
    pub const BAD_IN_LEN: Status = Status(0x50);
}

/// Why a command was refused. Specific to this firmware; README.md lists the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syndrome(
    /// The number in the answer.
    pub u32,
);

#[allow(missing_docs)]
impl Syndrome {
    pub const UNKNOWN_OPCODE: Syndrome = Syndrome(0xe0001);
    pub const NOT_FOR_USERS: Syndrome = Syndrome(0xe0002);
    pub const UNKNOWN_UID: Syndrome = Syndrome(0xe0003);
    pub const TOO_EARLY: Syndrome = Syndrome(0xe0004);
    pub const SHORT_INPUT: Syndrome = Syndrome(0xe0005);
    pub const BAD_OP_MOD: Syndrome = Syndrome(0xe0006);
    pub const OTHER_FUNCTION: Syndrome = Syndrome(0xe0007);
    pub const UNKNOWN_CAPABILITY: Syndrome = Syndrome(0xe0008);
    pub const TOO_MANY: Syndrome = Syndrome(0xe0009);
    pub const NOT_ALIVE: Syndrome = Syndrome(0xe000a);
    pub const IN_USE: Syndrome = Syndrome(0xe000b);
    pub const BAD_SIZE: Syndrome = Syndrome(0xe000c);
    pub const BAD_ADDRESS: Syndrome = Syndrome(0xe000d);
    pub const BAD_VALUE: Syndrome = Syndrome(0xe000e);
    pub const UNKNOWN_REGISTER: Syndrome = Syndrome(0xe000f);
    pub const READ_ONLY_REGISTER: Syndrome = Syndrome(0xe0010);
    pub const BAD_INDEX: Syndrome = Syndrome(0xe0011);
    pub const NO_UCTX_CAP: Syndrome = Syndrome(0xe0012);
    pub const NOT_NEXT: Syndrome = Syndrome(0xe0013);
    pub const NO_MEMORY_KEY: Syndrome = Syndrome(0xe0014);
    pub const OTHER_OWNER: Syndrome = Syndrome(0xe0015);
    pub const DMA_ERROR: Syndrome = Syndrome(0xe0016);
}

/// A command that was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(
    /// Status of the answer.
    pub Status,
    /// Syndrome of the answer.
    pub Syndrome,
);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {:#04x} syndrome {:#x}", self.0 .0, self.1 .0)
    }
}
