// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands that the device supports, and when and by which contexts they may be used.

use super::refusal::{Refusal, Status, Syndrome};

/// Stage of initialisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Before ENABLE_HCA, or after DISABLE_HCA.
    Disabled,
    /// After ENABLE_HCA.
    Enabled,
    /// After INIT_HCA.
    Initialised,
}

impl Stage {
    /// Name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Disabled => "disabled",
            Stage::Enabled => "enabled",
            Stage::Initialised => "initialised",
        }
    }
}

/// The contexts that may use a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Only the driver: uid 0, or 0xffff for shared resources.
    Driver,
    /// The driver and user contexts.
    Anyone,
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct Opcode {
    /// The number: `MLX5_CMD_OP_*`, include/linux/mlx5/mlx5_ifc.h.
    pub number: u16,
    /// The name there.
    pub name: &'static str,
    /// The earliest stage in which it is admitted.
    pub stage: Stage,
    /// The contexts that may use it.
    pub who: Who,
}

/// Defines a constant per opcode, and the table of all.
macro_rules! opcodes {
    ($($name:ident = $number:literal, $stage:ident, $who:ident;)*) => {
        $(#[allow(missing_docs)] pub const $name: u16 = $number;)*

        /// All commands, sorted by number.
        pub const OPCODES: &[Opcode] = &[$(Opcode {
            number: $name,
            name: stringify!($name),
            stage: Stage::$stage,
            who: Who::$who,
        }),*];
    };
}

opcodes! {
    QUERY_HCA_CAP = 0x100, Enabled, Anyone;
    QUERY_ADAPTER = 0x101, Enabled, Anyone;
    INIT_HCA = 0x102, Enabled, Driver;
    TEARDOWN_HCA = 0x103, Enabled, Driver;
    ENABLE_HCA = 0x104, Disabled, Driver;
    DISABLE_HCA = 0x105, Disabled, Driver;
    QUERY_PAGES = 0x107, Enabled, Anyone;
    MANAGE_PAGES = 0x108, Enabled, Driver;
    SET_HCA_CAP = 0x109, Enabled, Anyone;
    QUERY_ISSI = 0x10a, Disabled, Anyone;
    SET_ISSI = 0x10b, Enabled, Driver;
    SET_DRIVER_VERSION = 0x10d, Enabled, Driver;
    CREATE_MKEY = 0x200, Initialised, Anyone;
    QUERY_MKEY = 0x201, Initialised, Anyone;
    DESTROY_MKEY = 0x202, Initialised, Anyone;
    QUERY_SPECIAL_CONTEXTS = 0x203, Initialised, Anyone;
    CREATE_EQ = 0x301, Initialised, Driver;
    DESTROY_EQ = 0x302, Initialised, Driver;
    QUERY_EQ = 0x303, Initialised, Anyone;
    QUERY_VPORT_STATE = 0x750, Initialised, Anyone;
    QUERY_NIC_VPORT_CONTEXT = 0x754, Initialised, Anyone;
    QUERY_VPORT_COUNTER = 0x770, Initialised, Anyone;
    ALLOC_PD = 0x800, Initialised, Anyone;
    DEALLOC_PD = 0x801, Initialised, Anyone;
    ALLOC_UAR = 0x802, Initialised, Driver;
    DEALLOC_UAR = 0x803, Initialised, Driver;
    ACCESS_REG = 0x805, Enabled, Anyone;
    NOP = 0x80d, Enabled, Anyone;
    QUERY_DIAGNOSTIC_PARAMS = 0x819, Initialised, Anyone;
    SET_DIAGNOSTIC_PARAMS = 0x820, Initialised, Anyone;
    QUERY_DIAGNOSTIC_COUNTERS = 0x821, Initialised, Anyone;
    QUERY_CONG_STATUS = 0x822, Initialised, Anyone;
    MODIFY_CONG_STATUS = 0x823, Initialised, Anyone;
    QUERY_WOL_ROL = 0x831, Initialised, Anyone;
    CREATE_UCTX = 0xa04, Initialised, Driver;
    DESTROY_UCTX = 0xa06, Initialised, Driver;
    CREATE_UMEM = 0xa08, Initialised, Anyone;
    DESTROY_UMEM = 0xa0a, Initialised, Anyone;
    ACCESS_REGISTER_USER = 0xb0c, Initialised, Anyone; // named in drivers/fwctl/mlx5 only
    QUERY_VUID = 0xb22, Initialised, Anyone;
}

/// Returns the command with this number.
pub fn find(number: u16) -> Option<&'static Opcode> {
    let at = OPCODES
        .binary_search_by_key(&number, |opcode| opcode.number)
        .ok()?;
    OPCODES.get(at)
}

/// Returns the name of a command, or its number if it is unknown.
pub fn name(number: u16) -> String {
    find(number).map_or_else(
        || format!("{number:#06x}"),
        |opcode| opcode.name.to_string(),
    )
}

/// Checks that a command may be used in `stage`, and by a user context if `is_user`.
pub fn admit(number: u16, stage: Stage, is_user: bool) -> Result<&'static Opcode, Refusal> {
    let opcode = find(number).ok_or(Refusal(Status::BAD_OP, Syndrome::UNKNOWN_OPCODE))?;
    if is_user && opcode.who == Who::Driver {
        return Err(Refusal(Status::BAD_OP, Syndrome::NOT_FOR_USERS));
    }
    if stage < opcode.stage {
        return Err(Refusal(Status::BAD_SYS_STATE, Syndrome::TOO_EARLY));
    }
    Ok(opcode)
}

#[cfg(test)]
mod tests {
    use super::Stage::{Disabled, Enabled, Initialised};
    use super::*;

    #[test]
    fn table_is_sorted() {
        assert!(OPCODES.is_sorted_by(|a, b| a.number < b.number));
        for opcode in OPCODES {
            assert_eq!(find(opcode.number).unwrap().name, opcode.name);
        }
        assert_eq!(name(0xd00), "0x0d00");
    }

    #[test]
    fn every_number() {
        for number in 0..=u16::MAX {
            let known = OPCODES.iter().any(|opcode| opcode.number == number);
            let admitted = admit(number, Stage::Initialised, false);
            assert_eq!(admitted.is_ok(), known, "{number:#x}");
            if !known {
                assert_eq!(
                    admitted.unwrap_err(),
                    Refusal(Status::BAD_OP, Syndrome::UNKNOWN_OPCODE)
                );
            }
        }
    }

    #[test]
    fn stage_and_user() {
        let status =
            |number, stage, is_user| admit(number, stage, is_user).err().map(|refusal| refusal.0);
        assert_eq!(
            status(CREATE_EQ, Enabled, false),
            Some(Status::BAD_SYS_STATE)
        );
        assert_eq!(
            status(QUERY_HCA_CAP, Disabled, false),
            Some(Status::BAD_SYS_STATE)
        );
        assert_eq!(status(ENABLE_HCA, Disabled, false), None);
        assert_eq!(status(CREATE_EQ, Initialised, true), Some(Status::BAD_OP));
        assert_eq!(
            status(MANAGE_PAGES, Initialised, true),
            Some(Status::BAD_OP)
        );
        assert_eq!(status(ACCESS_REG, Initialised, true), None);
    }
}
