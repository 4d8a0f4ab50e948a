// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fields of commands, answers and registers, in the notation of `include/linux/mlx5/mlx5_ifc.h`:
//! offset and width in bits, from the most significant bit of the first byte.

/// A field of up to 64 bits, in one or two aligned 32-bit words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    at: usize,
    width: usize,
}

impl Field {
    /// Returns a field of `width` bits at bit `at`.
    pub const fn new(at: usize, width: usize) -> Self {
        assert!(width >= 1 && width <= 64);
        assert!(width <= 32 && at % 32 + width <= 32 || width == 64 && at % 32 == 0);
        Field { at, width }
    }

    /// Returns the same field in a structure that starts at byte `base`.
    pub const fn within(self, base: usize) -> Self {
        Field {
            at: self.at + 8 * base,
            width: self.width,
        }
    }

    const fn range(self) -> (usize, usize, usize) {
        let start = self.at / 32 * 4;
        let len = if self.width > 32 { 8 } else { 4 };
        let shift = 8 * len - self.at % 32 - self.width;
        (start, start + len, shift)
    }

    const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.width)
    }

    /// Returns the value, or 0 if `bytes` is too short.
    pub fn get(self, bytes: &[u8]) -> u64 {
        let (start, end, shift) = self.range();
        let Some(word) = bytes.get(start..end) else {
            return 0;
        };
        let value = word
            .iter()
            .fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
        value >> shift & self.mask()
    }

    /// Sets the field to the low bits of `value`. Does nothing if `bytes` is too short.
    pub fn set(self, bytes: &mut [u8], value: u64) {
        let (start, end, shift) = self.range();
        let Some(word) = bytes.get_mut(start..end) else {
            return;
        };
        let old = word
            .iter()
            .fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
        let new = old & !(self.mask() << shift) | (value & self.mask()) << shift;
        let len = word.len();
        word.copy_from_slice(&new.to_be_bytes()[8 - len..]);
    }

    /// Returns whether the value is not 0.
    pub fn is_set(self, bytes: &[u8]) -> bool {
        self.get(bytes) != 0
    }
}

const fn field(at: usize, width: usize) -> Field {
    Field::new(at, width)
}

/// Header of an input (`mbox_in_hdr` of the drivers).
#[allow(missing_docs)]
pub mod input {
    use super::*;
    pub const OPCODE: Field = field(0x00, 16);
    pub const UID: Field = field(0x10, 16);
    pub const OP_MOD: Field = field(0x30, 16);
    /// Length of the header.
    pub const HEADER: usize = 8;
    /// Minimum length of the input of most commands.
    pub const LEN: usize = 16;
}

/// Header of an answer (`mbox_out_hdr`).
#[allow(missing_docs)]
pub mod output {
    use super::*;
    pub const STATUS: Field = field(0x00, 8);
    pub const SYNDROME: Field = field(0x20, 32);
    /// Length of an answer without content.
    pub const LEN: usize = 16;
}

/// `query_hca_cap_in`, `set_hca_cap_in`, and `cmd_hca_cap`.
#[allow(missing_docs)]
pub mod hca_cap {
    use super::*;
    pub const OTHER_FUNCTION: Field = field(0x40, 1);
    pub const FUNCTION_ID: Field = field(0x50, 16);
    /// Offset of the capability, in inputs and answers.
    pub const CAPABILITY: usize = 0x10;
    /// Length of a capability: `hca_cap_union`.
    pub const LEN: usize = 0x1000;

    pub const HCA_CAP_2: Field = field(0x20, 1);
    pub const VHCA_ID: Field = field(0x30, 16);
    pub const DEBUG: Field = field(0x183, 1);
    pub const LOG_MAX_EQ_SZ: Field = field(0xe0, 8);
    pub const LOG_MAX_EQ: Field = field(0xfc, 4);
    pub const VPORT_GROUP_MANAGER: Field = field(0x1a0, 1);
    pub const MCAM_REG: Field = field(0x1a9, 1);
    pub const PCAM_REG: Field = field(0x1aa, 1);
    /// 1 is Ethernet.
    pub const PORT_TYPE: Field = field(0x1b6, 2);
    pub const NUM_PORTS: Field = field(0x1b8, 8);
    pub const DRIVER_VERSION: Field = field(0x261, 1);
    pub const LOG_MAX_UCTX: Field = field(0x463, 5);
    pub const LOG_MAX_UMEM: Field = field(0x46b, 5);
    pub const MAX_NUM_EQS: Field = field(0x470, 16);
    pub const LOG_UAR_PAGE_SZ: Field = field(0x490, 16);
    pub const NATIVE_PORT_NUM: Field = field(0x608, 8);
    pub const UCTX_CAP: Field = field(0x6a0, 32);
    /// In `cmd_hca_cap_2`.
    pub const QUERY_VUID: Field = field(0x92, 1);
}

/// `query_pages_*`, `manage_pages_*`.
#[allow(missing_docs)]
pub mod pages {
    use super::*;
    pub const FUNCTION_ID: Field = field(0x50, 16);
    /// Of `query_pages_out`.
    pub const NUM_PAGES: Field = field(0x60, 32);
    /// Of `manage_pages_in`.
    pub const IN_ENTRIES: Field = field(0x60, 32);
    /// Of `manage_pages_out`.
    pub const OUT_ENTRIES: Field = field(0x40, 32);
    /// Offset of the addresses.
    pub const PAS: usize = 0x10;
}

/// `query_issi_out`, `set_issi_in`.
#[allow(missing_docs)]
pub mod issi {
    use super::*;
    pub const CURRENT: Field = field(0x50, 16);
    pub const SUPPORTED_DW0: Field = field(0x360, 32);
    pub const OUT_LEN: usize = 0x70;
}

/// `create_eq_in`, `destroy_eq_in`, `query_eq_out`, `eqc`.
#[allow(missing_docs)]
pub mod eq {
    use super::*;
    /// Of `create_eq_out`, `destroy_eq_in`, `query_eq_in`.
    pub const NUMBER: Field = field(0x58, 8);
    /// Offset of the context, in inputs and answers. The fields below are relative to it.
    pub const CONTEXT: usize = 0x10;
    pub const CONTEXT_LEN: usize = 0x40;
    pub const STATE: Field = field(0x14, 4);
    pub const PAGE_OFFSET: Field = field(0x54, 6);
    pub const LOG_EQ_SIZE: Field = field(0x63, 5);
    pub const UAR_PAGE: Field = field(0x68, 24);
    pub const INTR: Field = field(0xb4, 12);
    pub const LOG_PAGE_SIZE: Field = field(0xc3, 5);
    pub const CONSUMER: Field = field(0x148, 24);
    pub const PRODUCER: Field = field(0x168, 24);
    /// Offset of `event_bitmask`, in `create_eq_in` and `query_eq_out`.
    pub const MASK: usize = 0x58;
    /// Offset of the page addresses, in both.
    pub const PAS: usize = 0x110;
}

/// `alloc_uar_out`, `dealloc_uar_in`.
#[allow(missing_docs)]
pub mod uar {
    use super::*;
    pub const NUMBER: Field = field(0x48, 24);
}

/// `create_uctx_in`, `create_uctx_out`, `destroy_uctx_in`.
#[allow(missing_docs)]
pub mod uctx {
    use super::*;
    pub const CAP: Field = field(0x80, 32);
    pub const IN_LEN: usize = 0x40;
    /// Of the answer, and of `destroy_uctx_in`.
    pub const UID: Field = field(0x50, 16);
}

/// `umem`, `mtt`, `create_umem_in`, `create_umem_out`, `destroy_umem_in`.
#[allow(missing_docs)]
pub mod umem {
    use super::*;
    /// Offset of the umem in `create_umem_in`. The next fields are relative to it.
    pub const CONTEXT: usize = 0x10;
    pub const ATS: Field = field(0x80, 1);
    pub const LOG_PAGE_SIZE: Field = field(0x9b, 5);
    pub const PAGE_OFFSET: Field = field(0xa0, 32);
    pub const NUM_OF_MTT: Field = field(0xc0, 64);
    /// Offset of the list of pages.
    pub const MTT: usize = 0x20;
    /// Of `create_umem_in`, without pages.
    pub const IN_LEN: usize = CONTEXT + MTT;
    /// Of an entry of the list: `ptag` with the low byte, which has other fields.
    pub const PTAG: Field = field(0x00, 64);
    pub const WR_EN: Field = field(0x3e, 1);
    /// Of the answer, and of `destroy_umem_in`.
    pub const ID: Field = field(0x48, 24);
}

/// `alloc_pd_out`, `dealloc_pd_in`.
#[allow(missing_docs)]
pub mod pd {
    use super::*;
    pub const PD: Field = field(0x48, 24);
}

/// `mkc`, `create_mkey_in`, `create_mkey_out`, `query_mkey_out`, `destroy_mkey_in`. The umem's
/// number and offset are in a reserved part of mlx5_ifc.h; the header of rdma-core names them.
#[allow(missing_docs)]
pub mod mkey {
    use super::*;
    /// Of `create_mkey_in`.
    pub const IN_LEN: usize = 0x110;
    pub const UMEM_VALID: Field = field(0x61, 1);
    pub const UMEM_ID: Field = field(0x320, 32);
    pub const UMEM_OFFSET: Field = field(0x340, 64);
    /// Offset of the context, in inputs and answers. The next fields are relative to it.
    pub const CONTEXT: usize = 0x10;
    pub const CONTEXT_LEN: usize = 0x40;
    pub const FREE: Field = field(0x01, 1);
    pub const ACCESS_MODE_4_2: Field = field(0x03, 3);
    pub const LW: Field = field(0x14, 1);
    pub const LR: Field = field(0x15, 1);
    pub const ACCESS_MODE_1_0: Field = field(0x16, 2);
    pub const QPN: Field = field(0x20, 24);
    pub const MKEY_7_0: Field = field(0x38, 8);
    pub const LENGTH64: Field = field(0x60, 1);
    pub const PD: Field = field(0x68, 24);
    pub const START_ADDR: Field = field(0x80, 64);
    pub const LEN: Field = field(0xc0, 64);
    /// Of `create_mkey_out`, `query_mkey_in` and `destroy_mkey_in`.
    pub const INDEX: Field = field(0x48, 24);
    pub const QUERY_LEN: usize = 0x130;
}

/// `teardown_hca_in`.
#[allow(missing_docs)]
pub mod teardown {
    use super::*;
    pub const PROFILE: Field = field(0x50, 16);
}

/// `access_register_in`, `access_register_out`.
#[allow(missing_docs)]
pub mod register {
    use super::*;
    pub const ID: Field = field(0x50, 16);
    pub const ARGUMENT: Field = field(0x60, 32);
    /// Offset of the content, in both.
    pub const DATA: usize = 0x10;
}

/// `query_adapter_out`.
#[allow(missing_docs)]
pub mod adapter {
    use super::*;
    pub const LEN: usize = 0x110;
    pub const IEEE_VENDOR_ID: Field = field(0x80 + 0xc8, 24);
    pub const VSD_VENDOR_ID: Field = field(0x80 + 0xf0, 16);
    /// Offset of the PSID.
    pub const PSID: usize = 0x100;
}

/// Inputs and answers about virtual ports, and `query_wol_rol_out`, `query_special_contexts_out`.
#[allow(missing_docs)]
pub mod vport {
    use super::*;
    /// Of each `query_*vport*_in`.
    pub const OTHER: Field = field(0x40, 1);
    /// Of `query_vport_state_out`.
    pub const MAX_TX_SPEED: Field = field(0x60, 16);
    pub const ADMIN_STATE: Field = field(0x78, 4);
    pub const STATE: Field = field(0x7c, 4);
    /// Length of `query_vport_counter_out`: all counters are 0.
    pub const COUNTER_LEN: usize = 0x210;
    /// Of `query_nic_vport_context_out`; the context begins at byte 0x10.
    pub const NIC_LEN: usize = 0x110;
    pub const NIC_MTU: Field = field(0x80 + 0x130, 16);
    pub const NIC_SYSTEM_GUID: Field = field(0x80 + 0x140, 64);
    pub const NIC_PORT_GUID: Field = field(0x80 + 0x180, 64);
    pub const NIC_NODE_GUID: Field = field(0x80 + 0x1c0, 64);
    pub const NIC_MAC_HIGH: Field = field(0x80 + 0x7a0 + 0x10, 16);
    pub const NIC_MAC_LOW: Field = field(0x80 + 0x7a0 + 0x20, 32);
    /// Of `query_special_contexts_out`.
    pub const SPECIAL_LEN: usize = 0x20;
    pub const RESERVED_LKEY: Field = field(0x60, 32);
    pub const NULL_MKEY: Field = field(0x80, 32);
}

/// `query_cong_status_*`, `modify_cong_status_in`.
#[allow(missing_docs)]
pub mod congestion {
    use super::*;
    pub const PRIORITY: Field = field(0x58, 4);
    pub const PROTOCOL: Field = field(0x5c, 4);
    pub const ENABLE: Field = field(0x60, 1);
    pub const TAG_ENABLE: Field = field(0x61, 1);
}

/// `resource_dump`, and the segments of a dump: `resource_dump_*_segment`,
/// `resource_dump_menu_record`.
#[allow(missing_docs)]
pub mod resource_dump {
    use super::*;
    pub const MORE_DUMP: Field = field(0x00, 1);
    pub const INLINE_DUMP: Field = field(0x01, 1);
    pub const SEQ_NUM: Field = field(0x0c, 4);
    pub const SEGMENT_TYPE: Field = field(0x10, 16);
    pub const VHCA_ID: Field = field(0x30, 16);
    pub const INDEX1: Field = field(0x40, 32);
    pub const INDEX2: Field = field(0x60, 32);
    pub const NUM_OF_OBJ1: Field = field(0x80, 16);
    pub const NUM_OF_OBJ2: Field = field(0x90, 16);
    pub const DEVICE_OPAQUE: Field = field(0xc0, 64);
    pub const MKEY: Field = field(0x100, 32);
    pub const SIZE: Field = field(0x120, 32);
    pub const ADDRESS: Field = field(0x140, 64);
    /// Offset and length of the inline data.
    pub const INLINE_DATA: usize = 0x30;
    pub const INLINE_LEN: usize = 0xd0;
    /// Length of the register.
    pub const LEN: usize = INLINE_DATA + INLINE_LEN;
    /// Of a segment's header.
    pub const LENGTH_DW: Field = field(0x00, 16);
    pub const HEADER: usize = 4;
    /// Length of a menu record.
    pub const RECORD: usize = 0x34;
}

/// `core_dump_reg`, as the public tool mlx5ctl has it.
#[allow(missing_docs)]
pub mod core_dump {
    use super::*;
    pub const MORE_DUMP: Field = field(0x00, 1);
    pub const TYPE: Field = field(0x18, 8);
    pub const MKEY: Field = field(0x80, 32);
    pub const SIZE: Field = field(0xa0, 32);
    pub const ADDRESS: Field = field(0xc0, 64);
    pub const COOKIE: Field = field(0x100, 64);
    /// In `debug_cap`.
    pub const LOG_MEMORY: Field = field(0x04, 5);
}

/// `mcc_reg`, `mcda_reg`; and `tools_open_mcdd_reg` of mstflint, which begins as `mcda_reg` does.
#[allow(missing_docs)]
pub mod component {
    use super::*;
    pub const INSTRUCTION: Field = field(0x18, 8);
    pub const COMPONENT_INDEX: Field = field(0x30, 16);
    pub const HANDLE: Field = field(0x48, 24);
    pub const PROGRESS: Field = field(0x69, 7);
    pub const ERROR_CODE: Field = field(0x70, 8);
    pub const STATE: Field = field(0x7c, 4);
    pub const COMPONENT_SIZE: Field = field(0x80, 32);
    /// Of MCDA and MCDD.
    pub const MCDA_HANDLE: Field = field(0x08, 24);
    pub const OFFSET: Field = field(0x20, 32);
    pub const SIZE: Field = field(0x50, 16);
    /// Offset of the data in MCDA.
    pub const MCDA_DATA: usize = 0x10;
    /// Of MCDD.
    pub const DATA_PAGE: Field = field(0x80, 64);
    pub const MAILBOX_PAGE: Field = field(0xc0, 64);
}

/// Diagnostic counters: `diagnostic_params_context` and the entries of the commands that use it,
/// which mlx5_ifc.h does not describe; layouts of the public tool mlx5ctl.
#[allow(missing_docs)]
pub mod diagnostics {
    use super::*;
    /// Offset of the parameters in `set_diagnostic_params_in` and `query_diagnostic_params_out`.
    /// The next fields are relative to it; in the debug capability they have the maximum.
    pub const PARAMS: usize = 8;
    pub const NUM_OF_COUNTERS: Field = field(0x00, 16);
    pub const LOG_NUM_OF_SAMPLES: Field = field(0x18, 8);
    pub const SINGLE: Field = field(0x20, 1);
    pub const REPETITIVE: Field = field(0x21, 1);
    pub const SYNC: Field = field(0x22, 1);
    pub const CLEAR: Field = field(0x23, 1);
    pub const ON_DEMAND: Field = field(0x24, 1);
    pub const ENABLE: Field = field(0x25, 1);
    pub const LOG_SAMPLE_PERIOD: Field = field(0x38, 8);
    /// Offset of the counters in the parameters; the fields are relative to an entry.
    pub const COUNTERS: usize = 0x18;
    /// The same in the debug capability.
    pub const CAP_COUNTERS: usize = 0x40;
    pub const CAP_SYNC: Field = field(0x00, 1);
    pub const COUNTER_ID: Field = field(0x10, 16);
    pub const COUNTER_LEN: usize = 4;
    /// Of `query_diagnostic_counters_in`.
    pub const ASK_SAMPLES: Field = field(0x40, 16);
    pub const ASK_INDEX: Field = field(0x50, 16);
    /// Offset of the samples in `query_diagnostic_counters_out`; the fields are relative to one.
    pub const SAMPLES: usize = 0x10;
    pub const SAMPLE_COUNTER: Field = field(0x00, 16);
    pub const SAMPLE_INDEX: Field = field(0x10, 16);
    pub const SAMPLE_TIME: Field = field(0x20, 32);
    pub const SAMPLE_VALUE: Field = field(0x40, 64);
    pub const SAMPLE_LEN: usize = 16;
}

/// `query_vuid_*`.
#[allow(missing_docs)]
pub mod vuid {
    use super::*;
    pub const NUM_OF_ENTRIES: Field = field(0x1f0, 16);
    /// Offset of the first entry.
    pub const ENTRIES: usize = 0x40;
    /// Length of an entry (`array1024_auto`).
    pub const ENTRY_LEN: usize = 0x80;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_front() {
        let mut bytes = [0; 8];
        field(0x05, 3).set(&mut bytes, 0xff);
        assert_eq!(bytes, [7, 0, 0, 0, 0, 0, 0, 0]);
        field(0x3f, 1).set(&mut bytes, 1);
        assert_eq!(bytes[7], 1);
        field(0x05, 3).set(&mut bytes, 2);
        assert_eq!((bytes[0], field(0x05, 3).get(&bytes)), (2, 2));
        field(0, 64).set(&mut bytes, 0x0102_0304_0506_0708);
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(field(0, 64).get(&bytes), 0x0102_0304_0506_0708);
        assert_eq!(field(0x28, 24).get(&bytes), 0x060708);
        assert_eq!(field(0x28, 24).within(4).get(&[0; 8]), 0);
        assert_eq!(field(0x20, 32).get(&bytes[..7]), 0, "cut short");
        field(0x20, 32).set(&mut bytes[..7], 9);
        assert_eq!(bytes[4..], [5, 6, 7, 8]);
    }

    /// Offsets counted by hand in the structures of mlx5_ifc.h.
    #[test]
    fn golden_offsets() {
        let at = |field: Field| field.range().0 + (field.at % 32) / 8;
        for (field, byte) in [
            (input::OPCODE, 0x00),
            (input::UID, 0x02),
            (input::OP_MOD, 0x06),
            (output::SYNDROME, 0x04),
            (pages::FUNCTION_ID, 0x0a),
            (pages::NUM_PAGES, 0x0c),
            (pages::OUT_ENTRIES, 0x08),
            (issi::SUPPORTED_DW0, 0x6c),
            (eq::NUMBER, 0x0b),
            (eq::LOG_EQ_SIZE.within(eq::CONTEXT), 0x1c),
            (eq::UAR_PAGE.within(eq::CONTEXT), 0x1d),
            (eq::INTR.within(eq::CONTEXT), 0x26),
            (eq::LOG_PAGE_SIZE.within(eq::CONTEXT), 0x28),
            (uar::NUMBER, 0x09),
            (uctx::CAP, 0x10),
            (uctx::UID, 0x0a),
            (umem::LOG_PAGE_SIZE.within(umem::CONTEXT), 0x23),
            (umem::NUM_OF_MTT.within(umem::CONTEXT), 0x28),
            (umem::ID, 0x09),
            (pd::PD, 0x09),
            (mkey::PD.within(mkey::CONTEXT), 0x1d),
            (mkey::START_ADDR.within(mkey::CONTEXT), 0x20),
            (mkey::LEN.within(mkey::CONTEXT), 0x28),
            (mkey::UMEM_ID, 0x64),
            (mkey::INDEX, 0x09),
            (register::ID, 0x0a),
            (register::ARGUMENT, 0x0c),
            (hca_cap::UCTX_CAP.within(hca_cap::CAPABILITY), 0xe4),
            (hca_cap::LOG_MAX_UCTX, 0x8c),
            (hca_cap::MAX_NUM_EQS, 0x8e),
            (hca_cap::LOG_UAR_PAGE_SZ, 0x92),
            (vport::NIC_MTU, 0x36),
            (vport::NIC_MAC_HIGH, 0x106),
            (vuid::NUM_OF_ENTRIES, 0x3e),
        ] {
            assert_eq!(at(field), byte, "{field:?}");
        }
    }
}
