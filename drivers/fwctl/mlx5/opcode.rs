// SPDX-License-Identifier: GPL-2.0-only

//! Which commands user space may send, and in which scope.
//!
//! Nothing keeps track of objects that a command makes in the firmware, so they would outlive the
//! file. Hence there are commands here that ask, and those that set what is no object, see
//! [`COMMANDS`]; what the table does not have is refused. Beyond that, the firmware itself checks
//! what the user context may do.

use fwctl::RpcScope;
use kernel::prelude::*;

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

/// The commands by their opcodes, in ascending order, and what they take.
///
/// Numbers and names are those of
/// [`include/linux/mlx5/mlx5_ifc.h`](srctree/include/linux/mlx5/mlx5_ifc.h), as far as the kernel
/// itself has a use for them. `SET_HCA_CAP` is for preparing other functions: the firmware does not
/// let a user context change its own.
#[rustfmt::skip]
const COMMANDS: &[(u16, Takes)] = &[
    (0x100, CONFIGURATION), // QUERY_HCA_CAP
    (0x101, CONFIGURATION), // QUERY_ADAPTER
    (0x107, DEBUG_READ), // QUERY_PAGES
    (0x109, CONFIGURATION), // SET_HCA_CAP
    (0x10a, DEBUG_READ), // QUERY_ISSI
    (0x10c, DEBUG_READ), // QUERY_DRIVER_VERSION
    (0x10e, CONFIGURATION), // QUERY_OTHER_HCA_CAP
    (0x111, DEBUG_READ), // QUERY_SF_PARTITION
    (0x117, DEBUG_READ), // QUERY_VHCA_MIGRATION_STATE
    (0x201, DEBUG_READ), // QUERY_MKEY
    (0x203, DEBUG_READ), // QUERY_SPECIAL_CONTEXTS
    (0x303, DEBUG_READ), // QUERY_EQ
    (0x402, DEBUG_READ), // QUERY_CQ
    (0x50b, DEBUG_READ), // QUERY_QP
    (0x512, DEBUG_READ), // QUERY_RDB
    (0x602, DEBUG_READ), // QUERY_PSV
    (0x702, DEBUG_READ), // QUERY_SRQ
    (0x707, DEBUG_READ), // QUERY_XRC_SRQ
    (0x713, DEBUG_READ), // QUERY_DCT
    (0x716, DEBUG_READ), // QUERY_DC_CNAK_TRACE
    (0x719, DEBUG_READ), // QUERY_XRQ
    (0x722, DEBUG_READ), // QUERY_NVMF_BACKEND_CONTROLLER
    (0x725, DEBUG_READ), // QUERY_XRQ_DC_PARAMS_ENTRY
    (0x727, DEBUG_READ), // QUERY_XRQ_ERROR_PARAMS
    (0x728, DEBUG_READ), // QUERY_NVMF_NAMESPACE_CONTEXT
    (0x730, DEBUG_READ), // QUERY_ADJACENT_FUNCTIONS_ID
    (0x731, CONFIGURATION), // DELEGATE_VHCA_MANAGEMENT
    (0x732, DEBUG_READ), // QUERY_DELEGATED_VHCA
    (0x740, CONFIGURATION), // QUERY_ESW_FUNCTIONS
    (0x750, DEBUG_READ), // QUERY_VPORT_STATE
    (0x752, DEBUG_READ), // QUERY_ESW_VPORT_CONTEXT
    (0x754, DEBUG_READ), // QUERY_NIC_VPORT_CONTEXT
    (0x760, CONFIGURATION), // QUERY_ROCE_ADDRESS
    (0x762, CONFIGURATION), // QUERY_HCA_VPORT_CONTEXT
    (0x764, DEBUG_READ), // QUERY_HCA_VPORT_GID
    (0x765, DEBUG_READ), // QUERY_HCA_VPORT_PKEY
    (0x76f, DEBUG_READ), // QUERY_VNIC_ENV
    (0x770, DEBUG_READ), // QUERY_VPORT_COUNTER
    (0x773, DEBUG_READ), // QUERY_Q_COUNTER
    (0x781, DEBUG_READ), // QUERY_RATE_LIMIT
    (0x784, DEBUG_READ), // QUERY_SCHEDULING_ELEMENT
    (0x805, REGISTER), // ACCESS_REG
    (0x80b, DEBUG_READ), // QUERY_MAD_DEMUX
    (0x80d, DEBUG_READ), // NOP
    (0x813, DEBUG_READ), // QUERY_BURST_SIZE
    (0x819, DEBUG_READ), // QUERY_DIAGNOSTIC_PARAMS
    (0x820, DEBUG_WRITE), // SET_DIAGNOSTIC_PARAMS
    (0x821, DEBUG_READ), // QUERY_DIAGNOSTIC_COUNTERS
    (0x822, DEBUG_READ), // QUERY_CONG_STATUS
    (0x823, CONFIGURATION), // MODIFY_CONG_STATUS
    (0x824, DEBUG_READ), // QUERY_CONG_PARAMS
    (0x826, DEBUG_READ), // QUERY_CONG_STATISTICS
    (0x82a, DEBUG_READ), // QUERY_L2_TABLE_ENTRY
    (0x831, DEBUG_READ), // QUERY_WOL_ROL
    (0x842, DEBUG_READ), // QUERY_LAG
    (0x903, DEBUG_READ), // QUERY_TIR
    (0x907, DEBUG_READ), // QUERY_SQ
    (0x90b, DEBUG_READ), // QUERY_RQ
    (0x90f, DEBUG_READ), // QUERY_RMP
    (0x911, DEBUG_READ), // QUERY_DELAY_DROP_PARAMS
    (0x915, DEBUG_READ), // QUERY_TIS
    (0x919, DEBUG_READ), // QUERY_RQT
    (0x932, DEBUG_READ), // QUERY_FLOW_TABLE
    (0x935, DEBUG_READ), // QUERY_FLOW_GROUP
    (0x937, DEBUG_READ), // QUERY_FLOW_TABLE_ENTRY
    (0x93b, DEBUG_READ), // QUERY_FLOW_COUNTER
    (0x93f, DEBUG_READ), // QUERY_PACKET_REFORMAT_CONTEXT
    (0x942, DEBUG_READ), // QUERY_MODIFY_HEADER_CONTEXT
    (0x962, DEBUG_READ), // FPGA_QUERY_QP
    (0x964, DEBUG_READ), // FPGA_QUERY_QP_COUNTERS
    (0x971, DEBUG_READ), // QUERY_AFU
    (0x981, DEBUG_READ), // QUERY_CAPI_PEC
    (0xa02, DEBUG_READ), // QUERY_GENERAL_OBJECT
    (0xa05, DEBUG_READ), // QUERY_UCTX
    (0xa09, DEBUG_READ), // QUERY_UMEM
    (0xb02, DEBUG_READ), // QUERY_NVMF_CC_RESPONSE
    (0xb03, DEBUG_READ), // QUERY_EMULATED_FUNCTIONS_INFO
    (0xb05, DEBUG_READ), // QUERY_REGEXP_PARAMS
    (0xb07, DEBUG_READ), // QUERY_REGEXP_REGISTER
    (0xb08, DEBUG_READ), // USER_QUERY_XRQ_DC_PARAMS_ENTRY
    (0xb0a, DEBUG_READ), // USER_QUERY_XRQ_ERROR_PARAMS
    (0xb0c, REGISTER), // ACCESS_REGISTER_USER
    (0xb0d, DEBUG_READ), // QUERY_VHCA_STATE
    (0xb0f, DEBUG_READ), // QUERY_EMULATION_DEVICE_EQ_MSIX_MAPPING
    (0xb13, DEBUG_READ), // QUERY_MATCH_SAMPLE_INFO
    (0xb14, DEBUG_READ), // QUERY_CRYPTO_STATE
    (0xb22, CONFIGURATION), // QUERY_VUID
    (0xb28, DEBUG_READ), // QUERY_DPA_PARTITION
    (0xb2a, DEBUG_READ), // QUERY_DPA_PARTITIONS
    (0xb2e, CONFIGURATION), // POSTPONE_CONNECTED_QP_TIMEOUT
    (0xb2f, DEBUG_READ), // QUERY_EMULATED_RESOURCES_INFO
    (0x8000, DEBUG_READ), // QUERY_RSV_RESOURCES
    (0x8001, DEBUG_READ), // QUERY_MTT
    (0x8006, DEBUG_READ), // QUERY_SCHED_QUEUE
];

const _: () = {
    let mut i = 1;

    while i < COMMANDS.len() {
        assert!(COMMANDS[i - 1].0 < COMMANDS[i].0);
        i += 1;
    }
};

/// Does `scope` allow the command of this opcode and modifier?
pub(crate) fn is_allowed(opcode: u16, op_mod: u16, scope: RpcScope) -> bool {
    least_scope(opcode, op_mod).is_some_and(|least| scope >= least)
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

#[kunit_tests(mlx5_fwctl_opcode)]
mod tests {
    use super::*;

    const SCOPES: [RpcScope; 4] = [
        RpcScope::Configuration,
        RpcScope::DebugReadOnly,
        RpcScope::DebugWrite,
        RpcScope::DebugWriteFull,
    ];

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

        SCOPES.into_iter().all(|scope| {
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
}
