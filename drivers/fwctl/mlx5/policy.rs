// SPDX-License-Identifier: GPL-2.0-only

//! Which commands user space may send, and in which scope.
//!
//! Nothing keeps track of objects that a command makes in the firmware, so they would outlive the
//! file. Hence there are commands here that ask, and those that set what is no object, see
//! [`COMMANDS`]; what the table does not have is refused. Beyond that, the firmware itself checks
//! what the user context may do.
//!
//! No command may make the firmware access host memory that user space names: see [`HOST_MEMORY`].

use fwctl::RpcScope;
use kernel::prelude::*;

use crate::cmd::AccessRegisterIn;

/// What a command takes.
#[derive(Clone, Copy)]
enum Takes {
    /// At least this scope.
    Scope(RpcScope),
    /// At least this scope for the modifier 0, and that one for all others.
    ByMode(RpcScope, RpcScope),
}

const CONFIGURATION: Takes = Takes::Scope(RpcScope::Configuration);
const DEBUG_READ: Takes = Takes::Scope(RpcScope::DebugReadOnly);
const DEBUG_WRITE: Takes = Takes::Scope(RpcScope::DebugWrite);

/// A register: writing, which is modifier 0, is how the device is configured; the firmware refuses
/// it for what is no configuration. Reading, which is 1, shows more than that.
const REGISTER: Takes = Takes::ByMode(RpcScope::Configuration, RpcScope::DebugReadOnly);

/// Builds a table from rows of a number, its name and a value.
///
/// Rust does not need the name: `constants.awk` makes a `static_assert` of the number and the name
/// of each row, which `shim.c` includes. Each row takes one line.
macro_rules! table {
    ($($number:literal $name:ident => $value:expr,)*) => {
        &[$(($number, $value),)*]
    };
}

/// The commands by their opcodes, in ascending order, and what they take.
///
/// Numbers and names are those of
/// [`include/linux/mlx5/mlx5_ifc.h`](srctree/include/linux/mlx5/mlx5_ifc.h), as far as the kernel
/// itself has a use for them. `SET_HCA_CAP` is for preparing other functions: the firmware does not
/// let a user context change its own.
const COMMANDS: &[(u16, Takes)] = table![
    0x100 QUERY_HCA_CAP => CONFIGURATION,
    0x101 QUERY_ADAPTER => CONFIGURATION,
    0x107 QUERY_PAGES => DEBUG_READ,
    0x109 SET_HCA_CAP => CONFIGURATION,
    0x10a QUERY_ISSI => DEBUG_READ,
    0x10c QUERY_DRIVER_VERSION => DEBUG_READ,
    0x10e QUERY_OTHER_HCA_CAP => CONFIGURATION,
    0x111 QUERY_SF_PARTITION => DEBUG_READ,
    0x117 QUERY_VHCA_MIGRATION_STATE => DEBUG_READ,
    0x201 QUERY_MKEY => DEBUG_READ,
    0x203 QUERY_SPECIAL_CONTEXTS => DEBUG_READ,
    0x303 QUERY_EQ => DEBUG_READ,
    0x402 QUERY_CQ => DEBUG_READ,
    0x50b QUERY_QP => DEBUG_READ,
    0x512 QUERY_RDB => DEBUG_READ,
    0x602 QUERY_PSV => DEBUG_READ,
    0x702 QUERY_SRQ => DEBUG_READ,
    0x707 QUERY_XRC_SRQ => DEBUG_READ,
    0x713 QUERY_DCT => DEBUG_READ,
    0x716 QUERY_DC_CNAK_TRACE => DEBUG_READ,
    0x719 QUERY_XRQ => DEBUG_READ,
    0x722 QUERY_NVMF_BACKEND_CONTROLLER => DEBUG_READ,
    0x725 QUERY_XRQ_DC_PARAMS_ENTRY => DEBUG_READ,
    0x727 QUERY_XRQ_ERROR_PARAMS => DEBUG_READ,
    0x728 QUERY_NVMF_NAMESPACE_CONTEXT => DEBUG_READ,
    0x730 QUERY_ADJACENT_FUNCTIONS_ID => DEBUG_READ,
    0x731 DELEGATE_VHCA_MANAGEMENT => CONFIGURATION,
    0x732 QUERY_DELEGATED_VHCA => DEBUG_READ,
    0x740 QUERY_ESW_FUNCTIONS => CONFIGURATION,
    0x750 QUERY_VPORT_STATE => DEBUG_READ,
    0x752 QUERY_ESW_VPORT_CONTEXT => DEBUG_READ,
    0x754 QUERY_NIC_VPORT_CONTEXT => DEBUG_READ,
    0x760 QUERY_ROCE_ADDRESS => CONFIGURATION,
    0x762 QUERY_HCA_VPORT_CONTEXT => CONFIGURATION,
    0x764 QUERY_HCA_VPORT_GID => DEBUG_READ,
    0x765 QUERY_HCA_VPORT_PKEY => DEBUG_READ,
    0x76f QUERY_VNIC_ENV => DEBUG_READ,
    0x770 QUERY_VPORT_COUNTER => DEBUG_READ,
    0x773 QUERY_Q_COUNTER => DEBUG_READ,
    0x781 QUERY_RATE_LIMIT => DEBUG_READ,
    0x784 QUERY_SCHEDULING_ELEMENT => DEBUG_READ,
    0x805 ACCESS_REG => REGISTER,
    0x80b QUERY_MAD_DEMUX => DEBUG_READ,
    0x80d NOP => DEBUG_READ,
    0x813 QUERY_BURST_SIZE => DEBUG_READ,
    0x819 QUERY_DIAGNOSTIC_PARAMS => DEBUG_READ,
    0x820 SET_DIAGNOSTIC_PARAMS => DEBUG_WRITE,
    0x821 QUERY_DIAGNOSTIC_COUNTERS => DEBUG_READ,
    0x822 QUERY_CONG_STATUS => DEBUG_READ,
    0x823 MODIFY_CONG_STATUS => CONFIGURATION,
    0x824 QUERY_CONG_PARAMS => DEBUG_READ,
    0x826 QUERY_CONG_STATISTICS => DEBUG_READ,
    0x82a QUERY_L2_TABLE_ENTRY => DEBUG_READ,
    0x831 QUERY_WOL_ROL => DEBUG_READ,
    0x842 QUERY_LAG => DEBUG_READ,
    0x903 QUERY_TIR => DEBUG_READ,
    0x907 QUERY_SQ => DEBUG_READ,
    0x90b QUERY_RQ => DEBUG_READ,
    0x90f QUERY_RMP => DEBUG_READ,
    0x911 QUERY_DELAY_DROP_PARAMS => DEBUG_READ,
    0x915 QUERY_TIS => DEBUG_READ,
    0x919 QUERY_RQT => DEBUG_READ,
    0x932 QUERY_FLOW_TABLE => DEBUG_READ,
    0x935 QUERY_FLOW_GROUP => DEBUG_READ,
    0x937 QUERY_FLOW_TABLE_ENTRY => DEBUG_READ,
    0x93b QUERY_FLOW_COUNTER => DEBUG_READ,
    0x93f QUERY_PACKET_REFORMAT_CONTEXT => DEBUG_READ,
    0x942 QUERY_MODIFY_HEADER_CONTEXT => DEBUG_READ,
    0x962 FPGA_QUERY_QP => DEBUG_READ,
    0x964 FPGA_QUERY_QP_COUNTERS => DEBUG_READ,
    0x971 QUERY_AFU => DEBUG_READ,
    0x981 QUERY_CAPI_PEC => DEBUG_READ,
    0xa02 QUERY_GENERAL_OBJECT => DEBUG_READ,
    0xa05 QUERY_UCTX => DEBUG_READ,
    0xa09 QUERY_UMEM => DEBUG_READ,
    0xb02 QUERY_NVMF_CC_RESPONSE => DEBUG_READ,
    0xb03 QUERY_EMULATED_FUNCTIONS_INFO => DEBUG_READ,
    0xb05 QUERY_REGEXP_PARAMS => DEBUG_READ,
    0xb07 QUERY_REGEXP_REGISTER => DEBUG_READ,
    0xb08 USER_QUERY_XRQ_DC_PARAMS_ENTRY => DEBUG_READ,
    0xb0a USER_QUERY_XRQ_ERROR_PARAMS => DEBUG_READ,
    0xb0c ACCESS_REGISTER_USER => REGISTER,
    0xb0d QUERY_VHCA_STATE => DEBUG_READ,
    0xb0f QUERY_EMULATION_DEVICE_EQ_MSIX_MAPPING => DEBUG_READ,
    0xb13 QUERY_MATCH_SAMPLE_INFO => DEBUG_READ,
    0xb14 QUERY_CRYPTO_STATE => DEBUG_READ,
    0xb22 QUERY_VUID => CONFIGURATION,
    0xb28 QUERY_DPA_PARTITION => DEBUG_READ,
    0xb2a QUERY_DPA_PARTITIONS => DEBUG_READ,
    0xb2e POSTPONE_CONNECTED_QP_TIMEOUT => CONFIGURATION,
    0xb2f QUERY_EMULATED_RESOURCES_INFO => DEBUG_READ,
    0x8000 QUERY_RSV_RESOURCES => DEBUG_READ,
    0x8001 QUERY_MTT => DEBUG_READ,
    0x8006 QUERY_SCHED_QUEUE => DEBUG_READ,
];

/// The opcode that accesses a register.
const MLX5_CMD_OP_ACCESS_REG: u16 = 0x805;

/// Another one, with the same layout.
const MLX5_CMD_OP_ACCESS_REGISTER_USER: u16 = 0xb0c;

/// The modifier of both that reads a register.
const READ: u16 = 1;

/// Which accesses to a register in [`HOST_MEMORY`] are allowed.
#[derive(Clone, Copy)]
enum Allows {
    /// None.
    Nothing,
    /// Reads, to which the fields that name memory are no input.
    Reads,
    /// Accesses whose first word of data, masked with the first value, is the second one.
    FirstWord(u32, u32),
}

/// Registers that name host memory, by a DMA address or by a memory key, in ascending order.
///
/// The firmware reads or writes that memory. As long as no memory can be registered with this
/// driver, user space has none that it could rightly name. So such an access is refused in every
/// scope: no taint and no capability makes it safe.
///
/// Of the commands in [`COMMANDS`], none has an address or a key in its input as far as the headers
/// have a layout for it, but for those that ask about a key (`QUERY_MKEY`).
const HOST_MEMORY: &[(u16, Allows)] = table![
    // mlx5_ifc.h has type 0, which dumps to the tracer, and nothing behind the QP number; the
    // vendor's mlx5ctl has a type that dumps to memory, with key, size and address.
    0x402e CORE_DUMP => Allows::FirstWord(0xff, 0),
    // trace_mkey in mlx5_ifc.h.
    0x9041 MTRC_CONF => Allows::Reads,
    // DMA addresses of two pages, in the register database of mstflint. The tool reads the register
    // that way, too; it burns through MCDA (0x9063), which has the data in the command.
    0x905c MCDD => Allows::Nothing,
    // The address of the tracer's buffer in host memory, in the same database.
    0x911d MTDC => Allows::Reads,
    // Like RESOURCE_DUMP, in the same database.
    0x9153 MORD => Allows::FirstWord(INLINE_DUMP, INLINE_DUMP),
    // mkey and address in mlx5_ifc.h, unless inline_dump is set.
    0xc000 RESOURCE_DUMP => Allows::FirstWord(INLINE_DUMP, INLINE_DUMP),
];

/// The bit `inline_dump` in the first word of `resource_dump`: the reply has the data.
const INLINE_DUMP: u32 = 1 << 30;

/// Are the opcodes or registers at the front of the entries in ascending order?
macro_rules! is_sorted {
    ($table:expr) => {{
        let mut i = 1;

        while i < $table.len() && $table[i - 1].0 < $table[i].0 {
            i += 1;
        }
        i >= $table.len()
    }};
}

const _: () = assert!(is_sorted!(COMMANDS));
const _: () = assert!(is_sorted!(HOST_MEMORY));

/// Does `scope` allow the command of this opcode and modifier?
pub(crate) fn is_allowed(opcode: u16, op_mod: u16, scope: RpcScope) -> bool {
    least_scope(opcode, op_mod).is_some_and(|least| scope >= least)
}

/// Returns whether the command makes the firmware access host memory that it names.
///
/// Then no scope allows it. It must have an [`InHeader`](crate::cmd::InHeader); what is too short
/// to say that it names no memory counts as one that does.
pub(crate) fn names_host_memory(command: &[u8]) -> bool {
    let Ok((access, data)) = AccessRegisterIn::of(command) else {
        return true;
    };
    if !accesses_register(access.opcode.get()) {
        return false;
    }
    let register = access.register_id.get();
    let Ok(index) = HOST_MEMORY.binary_search_by_key(&register, |&(register, _)| register) else {
        return false;
    };

    !match HOST_MEMORY[index].1 {
        Allows::Nothing => false,
        Allows::Reads => access.op_mod.get() == READ,
        Allows::FirstWord(mask, value) => first_word(data).is_some_and(|word| word & mask == value),
    }
}

/// Returns whether the command of this opcode accesses a register.
fn accesses_register(opcode: u16) -> bool {
    matches!(
        opcode,
        MLX5_CMD_OP_ACCESS_REG | MLX5_CMD_OP_ACCESS_REGISTER_USER
    )
}

/// Returns the first word of the data of a register.
fn first_word(data: &[u8]) -> Option<u32> {
    data.first_chunk().map(|&word| u32::from_be_bytes(word))
}

/// Returns the least scope that allows the command, if there is one.
fn least_scope(opcode: u16, op_mod: u16) -> Option<RpcScope> {
    let index = COMMANDS
        .binary_search_by_key(&opcode, |&(opcode, _)| opcode)
        .ok()?;

    Some(match COMMANDS[index].1 {
        Takes::Scope(scope) => scope,
        Takes::ByMode(scope, _) if op_mod == 0 => scope,
        Takes::ByMode(_, scope) => scope,
    })
}

#[kunit_tests(mlx5_fwctl_policy)]
mod tests {
    use super::*;

    /// Opcodes that scope 1 allows and scope 0 does not, whatever the modifier.
    const DEBUG_READ: [u16; 80] = [
        0x107, 0x10a, 0x10c, 0x111, 0x117, 0x201, 0x203, 0x303, 0x402, 0x50b, 0x512, 0x602, 0x702,
        0x707, 0x713, 0x716, 0x719, 0x722, 0x725, 0x727, 0x728, 0x730, 0x732, 0x750, 0x752, 0x754,
        0x764, 0x765, 0x76f, 0x770, 0x773, 0x781, 0x784, 0x80b, 0x80d, 0x813, 0x819, 0x821, 0x822,
        0x824, 0x826, 0x82a, 0x831, 0x842, 0x903, 0x907, 0x90b, 0x90f, 0x911, 0x915, 0x919, 0x932,
        0x935, 0x937, 0x93b, 0x93f, 0x942, 0x962, 0x964, 0x971, 0x981, 0xa02, 0xa05, 0xa09, 0xb02,
        0xb03, 0xb05, 0xb07, 0xb08, 0xb0a, 0xb0d, 0xb0f, 0xb13, 0xb14, 0xb28, 0xb2a, 0xb2f, 0x8000,
        0x8001, 0x8006,
    ];

    /// What the C driver of Linux 7.3 decides, found out by asking it about every opcode.
    ///
    /// Returns the least scope, or 4 if no scope is enough.
    fn mainline(opcode: u16, op_mod: u16) -> u32 {
        match opcode {
            0x100 | 0x101 | 0x109 | 0x10e | 0x731 | 0x740 | 0x760 | 0x762 | 0x823 | 0xb22
            | 0xb2e => 0,
            0x820 => 2,
            0x805 | 0xb0c => u32::from(op_mod != 0),
            _ if DEBUG_READ.contains(&opcode) => 1,
            _ => 4,
        }
    }

    /// Does the table decide likewise in all scopes? Says where it does not.
    fn decides_like_mainline(opcode: u16, op_mod: u16) -> bool {
        let least = mainline(opcode, op_mod);

        RpcScope::ALL.into_iter().all(|scope| {
            let is_same = is_allowed(opcode, op_mod, scope) == (scope as u32 >= least);
            if !is_same {
                pr_err!("opcode {opcode:#x}, op_mod {op_mod:#x}, {scope:?}\n");
            }
            is_same
        })
    }

    // Together, these two are all opcodes with all modifiers in all scopes: no modifier makes a
    // difference to an opcode that is not in the table.

    #[test]
    fn all_opcodes_decide_like_mainline() {
        for opcode in 0..=u16::MAX {
            for op_mod in [0, 1, 2, 0xff, 0x100, 0x8000, 0xffff] {
                assert!(decides_like_mainline(opcode, op_mod));
            }
        }
    }

    #[test]
    fn all_modifiers_decide_like_mainline() {
        for &(opcode, _) in COMMANDS {
            for op_mod in 0..=u16::MAX {
                assert!(decides_like_mainline(opcode, op_mod));
            }
        }
    }

    #[test]
    fn nothing_makes_or_destroys_objects() {
        // CREATE_MKEY, CREATE_EQ, CREATE_QP, ALLOC_PD, ALLOC_UAR, CREATE_GENERAL_OBJECT,
        // CREATE_UCTX, DESTROY_UCTX, MANAGE_PAGES, INIT_HCA, TEARDOWN_HCA, and none at all.
        for opcode in [
            0x200, 0x301, 0x500, 0x800, 0x802, 0xa00, 0xa04, 0xa06, 0x108, 0x102, 0x103, 0,
        ] {
            assert!(!is_allowed(opcode, 0, RpcScope::DebugWriteFull));
        }
    }

    const ACCESS_REG: u16 = 0x805;
    const ACCESS_REGISTER_USER: u16 = 0xb0c;

    /// `ACCESS_REG`, or another opcode, on a register whose first word of data is `word`.
    fn access(opcode: u16, op_mod: u16, register: u16, word: u32) -> [u8; 24] {
        let mut command = [0; 24];

        command[..2].copy_from_slice(&opcode.to_be_bytes());
        command[6..8].copy_from_slice(&op_mod.to_be_bytes());
        command[10..12].copy_from_slice(&register.to_be_bytes());
        command[16..20].copy_from_slice(&word.to_be_bytes());
        command
    }

    const OP_MODS: [u16; 5] = [0, 1, 2, 0x100, 0xffff];

    #[test]
    fn registers_that_name_host_memory() {
        // Register, first word, refused for each other modifier, refused for a read.
        let cases = [
            (0x905c, 0, true, true),
            (0x905c, u32::MAX, true, true),
            (0x9041, 0, true, false),
            (0x9041, 1, true, false),
            (0x911d, 0, true, false),
            (0x402e, 0, false, false),
            (0x402e, 0xffff_ff00, false, false),
            (0x402e, 1, true, true),
            (0x402e, 2, true, true),
            (0xc000, 0, true, true),
            (0xc000, 0xbfff_ffff, true, true),
            (0xc000, 0x4000_0000, false, false),
            (0xc000, 0xc123_4567, false, false),
            (0x9153, 0, true, true),
            (0x9153, 0x4000_0000, false, false),
        ];

        for (register, word, is_refused, is_read_refused) in cases {
            for opcode in [ACCESS_REG, ACCESS_REGISTER_USER] {
                for op_mod in OP_MODS {
                    let expected = if op_mod == READ {
                        is_read_refused
                    } else {
                        is_refused
                    };
                    let command = access(opcode, op_mod, register, word);
                    assert_eq!(names_host_memory(&command), expected);
                }
            }
        }
    }

    #[test]
    fn all_other_registers_pass() {
        for register in 0..=u16::MAX {
            if matches!(
                register,
                0x402e | 0x9041 | 0x905c | 0x911d | 0x9153 | 0xc000
            ) {
                continue;
            }
            for op_mod in OP_MODS {
                for word in [0, u32::MAX] {
                    assert!(!names_host_memory(&access(
                        ACCESS_REG, op_mod, register, word
                    )));
                }
            }
        }
    }

    #[test]
    fn other_commands_name_no_register() {
        for &(opcode, _) in COMMANDS {
            if !matches!(opcode, ACCESS_REG | ACCESS_REGISTER_USER) {
                assert!(!names_host_memory(&access(opcode, 0, 0x905c, 0)));
            }
        }
    }

    #[test]
    fn what_is_too_short_to_say_is_refused() {
        let command = access(ACCESS_REG, 1, 0xc000, INLINE_DUMP);

        for len in 0..20 {
            assert!(names_host_memory(&command[..len]));
        }
        assert!(!names_host_memory(&command[..20]));
        // A register of no interest needs no data.
        assert!(!names_host_memory(&access(ACCESS_REG, 1, 0x9020, 0)[..16]));
    }
}
