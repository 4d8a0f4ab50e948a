// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands that the device knows, who may use them, and when.

use super::cmds::{Refusal, Status, Syndrome};

/// How far a driver has brought the function up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing yet, or DISABLE_HCA.
    Disabled,
    /// ENABLE_HCA.
    Enabled,
    /// INIT_HCA.
    Initialised,
}

/// Who may use a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Only the driver: uid 0, or 0xffff for what is shared.
    Driver,
    /// User contexts as well.
    Anyone,
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct Opcode {
    /// Its number: `MLX5_CMD_OP_*`, include/linux/mlx5/mlx5_ifc.h.
    pub number: u16,
    /// Its name there.
    pub name: &'static str,
    /// The earliest stage.
    pub stage: Stage,
    /// Who may use it.
    pub who: Who,
}

const fn op(number: u16, name: &'static str, stage: Stage, who: Who) -> Opcode {
    Opcode {
        number,
        name,
        stage,
        who,
    }
}

use Stage::{Disabled, Enabled, Initialised};
use Who::{Anyone, Driver};

/// All of them, by number.
pub const OPCODES: &[Opcode] = &[
    op(QUERY_HCA_CAP, "QUERY_HCA_CAP", Enabled, Anyone),
    op(QUERY_ADAPTER, "QUERY_ADAPTER", Enabled, Anyone),
    op(INIT_HCA, "INIT_HCA", Enabled, Driver),
    op(TEARDOWN_HCA, "TEARDOWN_HCA", Enabled, Driver),
    op(ENABLE_HCA, "ENABLE_HCA", Disabled, Driver),
    op(DISABLE_HCA, "DISABLE_HCA", Disabled, Driver),
    op(QUERY_PAGES, "QUERY_PAGES", Enabled, Anyone),
    op(MANAGE_PAGES, "MANAGE_PAGES", Enabled, Driver),
    op(SET_HCA_CAP, "SET_HCA_CAP", Enabled, Anyone),
    op(QUERY_ISSI, "QUERY_ISSI", Disabled, Anyone),
    op(SET_ISSI, "SET_ISSI", Enabled, Driver),
    op(SET_DRIVER_VERSION, "SET_DRIVER_VERSION", Enabled, Driver),
    op(
        QUERY_SPECIAL_CONTEXTS,
        "QUERY_SPECIAL_CONTEXTS",
        Initialised,
        Anyone,
    ),
    op(CREATE_EQ, "CREATE_EQ", Initialised, Driver),
    op(DESTROY_EQ, "DESTROY_EQ", Initialised, Driver),
    op(QUERY_EQ, "QUERY_EQ", Initialised, Anyone),
    op(QUERY_VPORT_STATE, "QUERY_VPORT_STATE", Initialised, Anyone),
    op(
        QUERY_NIC_VPORT_CONTEXT,
        "QUERY_NIC_VPORT_CONTEXT",
        Initialised,
        Anyone,
    ),
    op(
        QUERY_VPORT_COUNTER,
        "QUERY_VPORT_COUNTER",
        Initialised,
        Anyone,
    ),
    op(ALLOC_UAR, "ALLOC_UAR", Initialised, Driver),
    op(DEALLOC_UAR, "DEALLOC_UAR", Initialised, Driver),
    op(ACCESS_REG, "ACCESS_REG", Enabled, Anyone),
    op(NOP, "NOP", Enabled, Anyone),
    op(QUERY_CONG_STATUS, "QUERY_CONG_STATUS", Initialised, Anyone),
    op(
        MODIFY_CONG_STATUS,
        "MODIFY_CONG_STATUS",
        Initialised,
        Anyone,
    ),
    op(QUERY_WOL_ROL, "QUERY_WOL_ROL", Initialised, Anyone),
    op(CREATE_UCTX, "CREATE_UCTX", Initialised, Driver),
    op(DESTROY_UCTX, "DESTROY_UCTX", Initialised, Driver),
    op(
        ACCESS_REGISTER_USER,
        "ACCESS_REGISTER_USER",
        Initialised,
        Anyone,
    ),
    op(QUERY_VUID, "QUERY_VUID", Initialised, Anyone),
];

macro_rules! numbers {
    ($($name:ident = $number:expr;)*) => { $(#[allow(missing_docs)] pub const $name: u16 = $number;)* };
}

numbers! {
    QUERY_HCA_CAP = 0x100;
    QUERY_ADAPTER = 0x101;
    INIT_HCA = 0x102;
    TEARDOWN_HCA = 0x103;
    ENABLE_HCA = 0x104;
    DISABLE_HCA = 0x105;
    QUERY_PAGES = 0x107;
    MANAGE_PAGES = 0x108;
    SET_HCA_CAP = 0x109;
    QUERY_ISSI = 0x10a;
    SET_ISSI = 0x10b;
    SET_DRIVER_VERSION = 0x10d;
    QUERY_SPECIAL_CONTEXTS = 0x203;
    CREATE_EQ = 0x301;
    DESTROY_EQ = 0x302;
    QUERY_EQ = 0x303;
    QUERY_VPORT_STATE = 0x750;
    QUERY_NIC_VPORT_CONTEXT = 0x754;
    QUERY_VPORT_COUNTER = 0x770;
    ALLOC_UAR = 0x802;
    DEALLOC_UAR = 0x803;
    ACCESS_REG = 0x805;
    NOP = 0x80d;
    QUERY_CONG_STATUS = 0x822;
    MODIFY_CONG_STATUS = 0x823;
    QUERY_WOL_ROL = 0x831;
    CREATE_UCTX = 0xa04;
    DESTROY_UCTX = 0xa06;
    ACCESS_REGISTER_USER = 0xb0c; // not in mlx5_ifc.h: drivers/fwctl/mlx5 names it
    QUERY_VUID = 0xb22;
}

/// The command with this number.
pub fn find(number: u16) -> Option<&'static Opcode> {
    let at = OPCODES
        .binary_search_by_key(&number, |opcode| opcode.number)
        .ok()?;
    OPCODES.get(at)
}

/// Name of a number, for people.
pub fn name(number: u16) -> String {
    find(number).map_or_else(
        || format!("{number:#06x}"),
        |opcode| opcode.name.to_string(),
    )
}

/// Whether a command may be used at `stage`, by a user context or not.
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
