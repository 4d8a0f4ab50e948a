// SPDX-License-Identifier: GPL-2.0-only

//! Policy: the scope that a command requires.
//!
//! The driver does not track objects that commands create in the firmware, so these would outlive
//! the file. So [`COMMANDS`] has only queries, and commands that set something other than an
//! object. Everything that is not in the table is refused. In addition, the firmware checks each
//! command against the privileges of the user context.
//!
//! No command may make the firmware access host memory that user space names, see [`HOST_MEMORY`].

use fwctl::RpcScope;
use kernel::prelude::*;

use crate::cmd::AccessRegisterIn;

/// The scope that a command requires.
#[derive(Clone, Copy)]
enum Requires {
    /// At least this scope.
    Scope(RpcScope),
    /// At least the first scope if `op_mod` is 0, and the second one otherwise.
    ByOpMod(RpcScope, RpcScope),
}

const CONFIGURATION: Requires = Requires::Scope(RpcScope::Configuration);
const DEBUG_READ: Requires = Requires::Scope(RpcScope::DebugReadOnly);
const DEBUG_WRITE: Requires = Requires::Scope(RpcScope::DebugWrite);

/// Access to a register. Writes (`op_mod` 0) configure the device: the firmware itself refuses
/// writes to other registers. Reads (`op_mod` 1) also return debug information.
const REGISTER: Requires = Requires::ByOpMod(RpcScope::Configuration, RpcScope::DebugReadOnly);

/// Defines a table from rows of a number, its name and a value, and a module with the numbers as
/// constants.
///
/// The name is checked in C: `constants.awk` writes a `static_assert` for each row, which `shim.c`
/// compiles with the kernel's headers. A row must be on a single line.
macro_rules! table {
    (
        $(#[$doc:meta])*
        const $table:ident: &[(u16, $value_type:ty)] = $numbers:ident[
            $($number:literal $name:ident => $value:expr,)*
        ];
    ) => {
        $(#[$doc])*
        const $table: &[(u16, $value_type)] = &[$(($numbers::$name, $value),)*];

        mod $numbers {
            $(pub(super) const $name: u16 = $number;)*
        }
    };
}

table! {
    /// The allowed commands, in ascending order of opcodes.
    ///
    /// Opcodes and names are from
    /// [`include/linux/mlx5/mlx5_ifc.h`](srctree/include/linux/mlx5/mlx5_ifc.h), or from `shim.c`
    /// if the header lacks them. `SET_HCA_CAP` sets the capabilities of another function before
    /// that starts. The firmware refuses it for the function that a user context belongs to.
    const COMMANDS: &[(u16, Requires)] = opcode[
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
}

/// `op_mod` of a register access that reads.
pub(crate) const READ: u16 = 1;

/// The accesses to a register in [`HOST_MEMORY`] that are allowed.
#[derive(Clone, Copy)]
enum Allows {
    /// None.
    Nothing,
    /// Reads: the fields that name memory are not an input of these.
    Reads,
    /// Accesses whose first dword of data, masked with the first value, equals the second one.
    FirstDword(u32, u32),
}

table! {
    /// Registers that name host memory, by a DMA address or by a memory key, in ascending order.
    ///
    /// The firmware reads or writes that memory. Such an access is refused in every scope, since
    /// neither a taint nor a capability makes it safe. The exceptions are accesses to memory that
    /// the file has registered, see [`memory_key`] and [`is_component_page`].
    ///
    /// The only command in [`COMMANDS`] that takes an address or a key according to the layouts in
    /// the kernel's headers is `QUERY_MKEY`, which returns the properties of a key.
    const HOST_MEMORY: &[(u16, Allows)] = register[
        // Type 0 dumps to the tracer. It is the only one in mlx5_ifc.h, whose layout ends with the
        // QP number. The vendor's mlx5ctl has a type that dumps to memory, with key, size and
        // address.
        0x402e CORE_DUMP => Allows::FirstDword(0xff, 0),
        // trace_mkey, see mlx5_ifc.h.
        0x9041 MTRC_CONF => Allows::Reads,
        // DMA addresses of two pages, also for reads, see the register database of mstflint.
        // mstflint itself burns through MCDA (0x9063), which has the data in the command.
        0x905c MCDD => Allows::Nothing,
        // Address of the tracer's buffer in host memory, see the same database.
        0x911d MTDC => Allows::Reads,
        // Like RESOURCE_DUMP, see the same database.
        0x9153 MORD => Allows::FirstDword(INLINE_DUMP, INLINE_DUMP),
        // mkey and address unless inline_dump is set, see mlx5_ifc.h.
        0xc000 RESOURCE_DUMP => Allows::FirstDword(INLINE_DUMP, INLINE_DUMP),
    ];
}

/// The bit `inline_dump` in the first dword of `resource_dump`: the data is part of the reply.
const INLINE_DUMP: u32 = 1 << 30;

/// Returns whether the numbers of a table are in strictly ascending order.
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

/// Returns whether `scope` allows the command.
pub(crate) fn is_allowed(opcode: u16, op_mod: u16, scope: RpcScope) -> bool {
    least_scope(opcode, op_mod).is_some_and(|least| scope >= least)
}

/// Returns whether the command may make the firmware access host memory that it names.
///
/// No scope allows such a command, unless [`memory_key`] returns a key of the file. `command` must
/// begin with an [`InHeader`](crate::cmd::InHeader). A command that is too short to tell counts as
/// one that names memory.
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
        Allows::FirstDword(mask, value) => {
            first_dword(data).is_some_and(|dword| dword & mask == value)
        }
    }
}

/// Returns the memory key that a command names, if it is one that may name a key of the caller's
/// file: a read of a register that dumps into its memory.
///
/// For other commands that name host memory, returns [`None`]. The caller must check the key.
pub(crate) fn memory_key(command: &[u8]) -> Option<u32> {
    /// `core_dump_type`: registers of the device, into memory.
    const CR_DUMP_TO_MEM: u32 = 2;

    let (access, data) = AccessRegisterIn::of(command).ok()?;
    if !accesses_register(access.opcode.get()) || access.op_mod.get() != READ {
        return None;
    }
    let dword = first_dword(data)?;
    let offset = match access.register_id.get() {
        // By the vendor's mlx5ctl.
        register::CORE_DUMP if dword & 0xff == CR_DUMP_TO_MEM => 0x10,
        // By mlx5_ifc.h. The caller has checked that the dump is not inline.
        register::RESOURCE_DUMP => 0x20,
        _ => return None,
    };
    first_dword(data.get(offset..)?)
}

/// Returns whether the command accesses MCDD, which names pages of the host.
///
/// The caller must replace what it names by addresses.
pub(crate) fn is_component_page(command: &[u8]) -> bool {
    AccessRegisterIn::of(command).is_ok_and(|(access, _)| {
        accesses_register(access.opcode.get())
            && access.register_id.get() == register::MCDD
            && access.op_mod.get() <= READ
    })
}

/// Returns whether the command of this opcode accesses a register. Both have the same layout.
fn accesses_register(opcode: u16) -> bool {
    matches!(opcode, opcode::ACCESS_REG | opcode::ACCESS_REGISTER_USER)
}

/// Returns the first dword of the data of a register.
fn first_dword(data: &[u8]) -> Option<u32> {
    data.first_chunk().map(|&bytes| u32::from_be_bytes(bytes))
}

/// Returns the least scope that allows the command, or `None` if no scope does.
fn least_scope(opcode: u16, op_mod: u16) -> Option<RpcScope> {
    let index = COMMANDS
        .binary_search_by_key(&opcode, |&(opcode, _)| opcode)
        .ok()?;

    Some(match COMMANDS[index].1 {
        Requires::Scope(scope) => scope,
        Requires::ByOpMod(scope, _) if op_mod == 0 => scope,
        Requires::ByOpMod(_, scope) => scope,
    })
}

#[kunit_tests(mlx5_fwctl_policy)]
mod tests {
    use super::opcode::{
        ACCESS_REG,
        ACCESS_REGISTER_USER, //
    };
    use super::*;

    /// Opcodes that require scope 1 for every `op_mod`.
    const DEBUG_READ: [u16; 80] = [
        0x107, 0x10a, 0x10c, 0x111, 0x117, 0x201, 0x203, 0x303, 0x402, 0x50b, 0x512, 0x602, 0x702,
        0x707, 0x713, 0x716, 0x719, 0x722, 0x725, 0x727, 0x728, 0x730, 0x732, 0x750, 0x752, 0x754,
        0x764, 0x765, 0x76f, 0x770, 0x773, 0x781, 0x784, 0x80b, 0x80d, 0x813, 0x819, 0x821, 0x822,
        0x824, 0x826, 0x82a, 0x831, 0x842, 0x903, 0x907, 0x90b, 0x90f, 0x911, 0x915, 0x919, 0x932,
        0x935, 0x937, 0x93b, 0x93f, 0x942, 0x962, 0x964, 0x971, 0x981, 0xa02, 0xa05, 0xa09, 0xb02,
        0xb03, 0xb05, 0xb07, 0xb08, 0xb0a, 0xb0d, 0xb0f, 0xb13, 0xb14, 0xb28, 0xb2a, 0xb2f, 0x8000,
        0x8001, 0x8006,
    ];

    /// The decisions of the C driver in Linux 7.3, recorded by running it with every opcode.
    ///
    /// Returns the least scope, or 4 if no scope is enough.
    fn c_driver(opcode: u16, op_mod: u16) -> u32 {
        match opcode {
            0x100 | 0x101 | 0x109 | 0x10e | 0x731 | 0x740 | 0x760 | 0x762 | 0x823 | 0xb22
            | 0xb2e => 0,
            0x820 => 2,
            0x805 | 0xb0c => u32::from(op_mod != 0),
            _ if DEBUG_READ.contains(&opcode) => 1,
            _ => 4,
        }
    }

    /// Returns whether the table decides the same in all scopes, and logs where it does not.
    fn decides_like_c_driver(opcode: u16, op_mod: u16) -> bool {
        let least = c_driver(opcode, op_mod);

        RpcScope::ALL.into_iter().all(|scope| {
            let is_same = is_allowed(opcode, op_mod, scope) == (scope as u32 >= least);
            if !is_same {
                pr_err!("opcode {opcode:#x}, op_mod {op_mod:#x}, {scope:?}\n");
            }
            is_same
        })
    }

    // Together, the following two tests cover every opcode and `op_mod` in every scope: for an
    // opcode that is not in the table, `op_mod` has no influence.

    #[test]
    fn all_opcodes_decide_like_c_driver() {
        for opcode in 0..=u16::MAX {
            for op_mod in [0, 1, 2, 0xff, 0x100, 0x8000, 0xffff] {
                assert!(decides_like_c_driver(opcode, op_mod));
            }
        }
    }

    #[test]
    fn all_modifiers_decide_like_c_driver() {
        for &(opcode, _) in COMMANDS {
            for op_mod in 0..=u16::MAX {
                assert!(decides_like_c_driver(opcode, op_mod));
            }
        }
    }

    #[test]
    fn no_command_creates_or_destroys_objects() {
        // CREATE_MKEY, CREATE_EQ, CREATE_QP, ALLOC_PD, ALLOC_UAR, CREATE_GENERAL_OBJECT,
        // CREATE_UCTX, DESTROY_UCTX, MANAGE_PAGES, INIT_HCA, TEARDOWN_HCA, and an invalid opcode.
        for opcode in [
            0x200, 0x301, 0x500, 0x800, 0x802, 0xa00, 0xa04, 0xa06, 0x108, 0x102, 0x103, 0,
        ] {
            assert!(!is_allowed(opcode, 0, RpcScope::DebugWriteFull));
        }
    }

    /// A command of `opcode` on a register, whose first dword of data is `dword`.
    fn access(opcode: u16, op_mod: u16, register: u16, dword: u32) -> [u8; 24] {
        let mut command = [0; 24];

        command[..2].copy_from_slice(&opcode.to_be_bytes());
        command[6..8].copy_from_slice(&op_mod.to_be_bytes());
        command[10..12].copy_from_slice(&register.to_be_bytes());
        command[16..20].copy_from_slice(&dword.to_be_bytes());
        command
    }

    const OP_MODS: [u16; 5] = [0, 1, 2, 0x100, 0xffff];

    #[test]
    fn registers_that_name_host_memory() {
        // Register, first dword, whether other accesses are refused, whether reads are refused.
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

        for (register, dword, is_refused, is_read_refused) in cases {
            for opcode in [ACCESS_REG, ACCESS_REGISTER_USER] {
                for op_mod in OP_MODS {
                    let expected = if op_mod == READ {
                        is_read_refused
                    } else {
                        is_refused
                    };
                    let command = access(opcode, op_mod, register, dword);
                    assert_eq!(names_host_memory(&command), expected);
                }
            }
        }
    }

    #[test]
    fn keys_of_dumps() {
        let dump = |register, op_mod, dword| {
            let mut command = [0; 16 + 0x40];

            command[..24].copy_from_slice(&access(ACCESS_REG, op_mod, register, dword));
            command[16 + 0x10..][..4].copy_from_slice(&[1, 2, 3, 4]);
            command[16 + 0x20..][..4].copy_from_slice(&[5, 6, 7, 8]);
            command
        };

        assert_eq!(memory_key(&dump(0x402e, READ, 2)), Some(0x0102_0304));
        assert_eq!(
            memory_key(&dump(0x402e, READ, 0xffff_ff02)),
            Some(0x0102_0304)
        );
        assert_eq!(memory_key(&dump(0xc000, READ, 0)), Some(0x0506_0708));
        for (register, op_mod, dword) in [
            (0x402e, 0, 2),
            (0x402e, READ, 1),
            (0x402e, READ, 3),
            (0xc000, 0, 0),
            (0xc000, 2, 0),
            (0x905c, READ, 0),
            (0x905c, 0, 0),
            (0x9041, 0, 0),
            (0x911d, 0, 0),
            (0x9153, READ, 0),
        ] {
            assert_eq!(memory_key(&dump(register, op_mod, dword)), None);
        }
        // Too short for the key.
        let command = dump(0xc000, READ, 0);
        for len in 0..16 + 0x24 {
            assert_eq!(memory_key(&command[..len]), None);
        }
        assert!(memory_key(&command[..16 + 0x24]).is_some());
    }

    #[test]
    fn component_pages() {
        for opcode in [ACCESS_REG, ACCESS_REGISTER_USER] {
            assert!(is_component_page(&access(opcode, 0, 0x905c, 0)));
            assert!(is_component_page(&access(opcode, READ, 0x905c, 0)));
            assert!(!is_component_page(&access(opcode, 2, 0x905c, 0)));
            assert!(!is_component_page(&access(opcode, 0, 0x905d, 0)));
        }
        assert!(!is_component_page(&access(0x80d, 0, 0x905c, 0)));
    }

    #[test]
    fn all_other_registers_are_allowed() {
        for register in 0..=u16::MAX {
            if matches!(
                register,
                0x402e | 0x9041 | 0x905c | 0x911d | 0x9153 | 0xc000
            ) {
                continue;
            }
            for op_mod in OP_MODS {
                for dword in [0, u32::MAX] {
                    assert!(!names_host_memory(&access(
                        ACCESS_REG, op_mod, register, dword
                    )));
                }
            }
        }
    }

    #[test]
    fn other_commands_access_no_register() {
        for &(opcode, _) in COMMANDS {
            if !matches!(opcode, ACCESS_REG | ACCESS_REGISTER_USER) {
                assert!(!names_host_memory(&access(opcode, 0, 0x905c, 0)));
            }
        }
    }

    #[test]
    fn too_short_commands_are_refused() {
        let command = access(ACCESS_REG, 1, 0xc000, INLINE_DUMP);

        for len in 0..20 {
            assert!(names_host_memory(&command[..len]));
        }
        assert!(!names_host_memory(&command[..20]));
        // Other registers need no data.
        assert!(!names_host_memory(&access(ACCESS_REG, 1, 0x9020, 0)[..16]));
    }
}
