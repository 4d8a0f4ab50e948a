// SPDX-License-Identifier: MIT OR Apache-2.0

//! Layouts of what the driver and the device exchange, little-endian throughout.
//!
//! Each type names the structure of Linux that it agrees with.  They are in
//! include/linux/pds/pds_core_if.h and pds_adminq.h.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Declares layouts and checks their sizes.
macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident, $size:literal {
        $($(#[$field_doc:meta])* $field:ident: $kind:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        #[allow(missing_docs)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }
        const _: () = assert!(size_of::<$name>() == $size);
    )*};
}

layouts! {
    /// pds_core_dev_info_regs, as far as it is defined: the information registers.
    Info, 0x4c {
        signature: U32,
        version: u8,
        asic_type: u8,
        asic_revision: u8,
        /// Bit 0 running, bits 4 to 7 generation.
        status: u8,
        heartbeat: U32,
        firmware: [u8; 32],
        serial: [u8; 32],
    }
    /// pds_core_dev_identity.
    Identity, 72 {
        version: u8,
        kind: u8,
        state: u8,
        reserved: u8,
        lifs: U32,
        interrupts: U32,
        doorbell_pages_per_lif: U32,
        coalescing_multiplier: U32,
        coalescing_divisor: U32,
        /// Number of devices of each type (enum pds_core_vif_types).
        vif_types: [U16; 16],
        firmware_slots: U16,
        reserved2: [u8; 6],
        capabilities: U64,
    }
    /// pds_core_dev_init_data_in.
    InitIn, 32 {
        admin_queue: U64,
        admin_completions: U64,
        notify_completions: U64,
        /// [`QUEUE_IRQ`] and [`QUEUE_ENABLE`].
        flags: U32,
        interrupt: U16,
        /// Logarithms to base 2.
        admin_size: u8,
        notify_size: u8,
    }
    /// pds_core_dev_init_data_out, without the padding at its end.
    InitOut, 14 {
        core_index: U32,
        admin_index: U32,
        notify_index: U32,
        admin_type: u8,
        notify_type: u8,
    }
    /// pds_core_host_mem_cmd.
    HostMemory, 24 {
        opcode: u8,
        operation: u8,
        index: U16,
        tag: U16,
        reason: u8,
        reserved: u8,
        max_contiguous: U32,
        size: U32,
        address: U64,
    }
    /// pds_core_host_mem_comp.
    HostMemoryDone, 16 {
        status: u8,
        operation: u8,
        count: U16,
        size: U32,
        tag: U16,
        reserved: [u8; 6],
    }
    /// pds_core_client_unreg_cmd, pds_core_client_request_cmd: what both begin with.
    ClientHead, 4 {
        opcode: u8,
        reserved: u8,
        client: U16,
    }
    /// pds_fwctl_ident_cmd.
    IdentCommand, 16 {
        opcode: u8,
        reserved: u8,
        version: u8,
        reserved2: u8,
        len: U32,
        address: U64,
    }
    /// pds_fwctl_ident.
    Ident, 22 {
        features: U64,
        version: u8,
        reserved: [u8; 3],
        max_request: U32,
        max_response: U32,
        max_request_elements: u8,
        max_response_elements: u8,
    }
    /// pds_fwctl_query_cmd.
    QueryCommand, 20 {
        opcode: u8,
        entity: u8,
        version: u8,
        reserved: u8,
        len: U32,
        address: U64,
        /// The endpoint or the operation.
        subject: U32,
    }
    /// pds_fwctl_query_data: the head of a list.
    ListHead, 8 {
        version: u8,
        reserved: [u8; 3],
        entries: U32,
    }
    /// pds_fwctl_query_data_operation.
    ListedOperation, 8 {
        id: U32,
        attribute: u8,
        reserved: [u8; 3],
    }
    /// The indirect half of a pds_fwctl_rpc_cmd: a buffer, or the list of its elements.
    Buffer, 16 {
        address: U64,
        len: U32,
        /// 0 if `address` is the buffer itself.
        elements: u8,
        reserved: [u8; 3],
    }
    /// pds_fwctl_rpc_cmd.  The two buffers hold inline bytes if the flags do not say otherwise.
    RpcCommand, 60 {
        opcode: u8,
        reserved: u8,
        /// [`INDIRECT_REQUEST`] and [`INDIRECT_RESPONSE`].
        flags: U16,
        endpoint: U32,
        operation: U32,
        inline: [u8; 16],
        request: Buffer,
        response: Buffer,
    }
    /// pds_sg_elem.
    Element, 16 {
        address: U64,
        len: U32,
        reserved: [u8; 4],
    }
    /// pds_fwctl_rpc_comp, which is a superset of the other completions of the admin queue.
    Completion, 16 {
        status: u8,
        reserved: u8,
        index: U16,
        /// Error of an RPC, or the new client in the lower half.
        value: U32,
        /// Size of an RPC's response.
        size: U32,
        reserved2: [u8; 3],
        /// Bit 7.
        color: u8,
    }
    /// pds_core_notifyq_event in an entry of the notify queue.
    Event, 64 {
        id: U64,
        code: U16,
        reserved: [u8; 54],
    }
}

/// What the information registers begin with (PDS_CORE_DEV_INFO_SIGNATURE).
pub const SIGNATURE: u32 = 0x4445_5649;
/// Bit of [`Info::status`]: the firmware runs.
pub const RUNNING: u8 = 1;
/// Bits of [`InitIn::flags`] (PDS_CORE_QINIT_F_IRQ, PDS_CORE_QINIT_F_ENA).
pub const QUEUE_IRQ: u32 = 1 << 0;
/// See [`QUEUE_IRQ`].
pub const QUEUE_ENABLE: u32 = 1 << 1;
/// Index in [`Identity::vif_types`] (PDS_DEV_TYPE_FWCTL).
pub const VIF_FWCTL: usize = 6;
/// Bit of [`Identity::capabilities`] (PDS_CORE_DEV_CAP_HOST_MEM).
pub const CAPABILITY_HOST_MEMORY: u64 = 1 << 1;
/// Bit of [`RpcCommand::flags`]: the request is in memory.
pub const INDIRECT_REQUEST: u16 = 1 << 0;
/// Bit of [`RpcCommand::flags`]: the response goes to memory.
pub const INDIRECT_RESPONSE: u16 = 1 << 1;
/// Bit of [`Completion::color`].
pub const COLOR: u8 = 0x80;

/// Bytes of a command and of a completion in the registers and in the admin queue.
pub const COMMAND: usize = 64;
/// See [`COMMAND`].
pub const COMPLETION: usize = size_of::<Completion>();

/// `text` with zeros after it; what does not fit is cut off.
pub fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let len = text.len().min(N);
    bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// pds_adminq.h, struct pds_fwctl_rpc_cmd: req_pa at 28, resp_pa at 44.
    #[test]
    fn rpc_command() {
        let mut bytes = [0; 60];
        bytes[0] = 71;
        bytes[2] = 3;
        bytes[4..8].copy_from_slice(&[0x10, 0, 0, 0]);
        bytes[8..12].copy_from_slice(&[0x34, 0x12, 2, 0]);
        bytes[12] = 0xaa;
        bytes[28..36].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        bytes[36..41].copy_from_slice(&[0, 0x10, 0, 0, 4]);
        bytes[44..52].copy_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1]);
        bytes[52..57].copy_from_slice(&[0, 0x20, 0, 0, 5]);
        let command = RpcCommand::read_from_bytes(&bytes).unwrap();
        assert_eq!((command.opcode, command.flags.get()), (71, 3));
        assert_eq!(command.endpoint.get(), 0x10);
        assert_eq!(command.operation.get(), 0x2_1234);
        assert_eq!(command.inline[0], 0xaa);
        let request = command.request;
        assert_eq!(request.address.get(), 0x0807_0605_0403_0201);
        assert_eq!((request.len.get(), request.elements), (0x1000, 4));
        let response = command.response;
        assert_eq!(response.address.get(), 0x0102_0304_0506_0708);
        assert_eq!((response.len.get(), response.elements), (0x2000, 5));
        assert_eq!(command.as_bytes(), bytes);
    }

    /// pds_core_if.h, struct pds_core_dev_init_data_in and _out.
    #[test]
    fn initialisation() {
        let mut bytes = [0; 32];
        bytes[1] = 0x10;
        bytes[9] = 0x20;
        bytes[17] = 0x30;
        bytes[24] = 3;
        bytes[28] = 1;
        bytes[30..].copy_from_slice(&[4, 6]);
        let data = InitIn::read_from_bytes(&bytes).unwrap();
        assert_eq!(data.admin_queue.get(), 0x1000);
        assert_eq!(data.admin_completions.get(), 0x2000);
        assert_eq!(data.notify_completions.get(), 0x3000);
        assert_eq!(data.flags.get(), QUEUE_IRQ | QUEUE_ENABLE);
        assert_eq!(data.interrupt.get(), 1);
        assert_eq!((data.admin_size, data.notify_size), (4, 6));
        let out = InitOut {
            core_index: 1.into(),
            admin_index: 2.into(),
            notify_index: 3.into(),
            admin_type: 4,
            notify_type: 5,
        };
        assert_eq!(out.as_bytes(), [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 5]);
    }

    /// pds_core_if.h, struct pds_core_dev_identity: vif_types at 24, capabilities at 64.
    #[test]
    fn identity() {
        let mut identity = Identity::read_from_bytes(&[0; 72]).unwrap();
        identity.version = 2;
        identity.interrupts.set(0x44);
        identity.vif_types[VIF_FWCTL].set(1);
        identity.firmware_slots.set(0x55);
        identity.capabilities.set(CAPABILITY_HOST_MEMORY);
        let bytes = identity.as_bytes();
        let set = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
        let set: Vec<(usize, u8)> = set.map(|(at, byte)| (at, *byte)).collect();
        assert_eq!(set, [(0, 2), (8, 0x44), (36, 1), (56, 0x55), (64, 2)]);
    }

    /// pds_adminq.h, struct pds_fwctl_ident.
    #[test]
    fn ident() {
        let ident = Ident {
            features: 0x0102.into(),
            version: 3,
            reserved: [0; 3],
            max_request: 0x0405.into(),
            max_response: 0x0607.into(),
            max_request_elements: 8,
            max_response_elements: 9,
        };
        let golden = [
            2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 5, 4, 0, 0, 7, 6, 0, 0, 8, 9,
        ];
        assert_eq!(ident.as_bytes(), golden);
    }

    /// pds_adminq.h, struct pds_fwctl_query_cmd, pds_fwctl_query_data_operation.
    #[test]
    fn query() {
        let bytes = [
            72, 1, 2, 0, 0, 0x10, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x21, 0, 0, 0,
        ];
        let command = QueryCommand::read_from_bytes(&bytes).unwrap();
        assert_eq!((command.entity, command.version), (1, 2));
        assert_eq!(command.len.get(), 0x1000);
        assert_eq!(command.address.get(), 0x0807_0605_0403_0201);
        assert_eq!(command.subject.get(), 0x21);
        let operation = ListedOperation {
            id: 0x2_1234.into(),
            attribute: 0x10,
            reserved: [0; 3],
        };
        assert_eq!(operation.as_bytes(), [0x34, 0x12, 2, 0, 0x10, 0, 0, 0]);
    }

    /// pds_core_if.h, struct pds_core_host_mem_cmd and _comp.
    #[test]
    fn host_memory() {
        let mut bytes = [0; 24];
        bytes[..6].copy_from_slice(&[12, 2, 1, 0, 7, 1]);
        bytes[12..16].copy_from_slice(&[0, 0x10, 0, 0]);
        bytes[17] = 0x20;
        let command = HostMemory::read_from_bytes(&bytes).unwrap();
        assert_eq!((command.operation, command.index.get()), (2, 1));
        assert_eq!(command.tag.get(), 0x107);
        assert_eq!(command.size.get(), 0x1000);
        assert_eq!(command.address.get(), 0x2000);
        let done = HostMemoryDone {
            status: 0,
            operation: 1,
            count: 2.into(),
            size: 0x1000.into(),
            tag: 0x107.into(),
            reserved: [0; 6],
        };
        assert_eq!(
            done.as_bytes(),
            [0, 1, 2, 0, 0, 0x10, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0]
        );
    }

    /// pds_adminq.h, struct pds_fwctl_rpc_comp, pds_core_client_reg_comp, pds_core_notifyq_event.
    #[test]
    fn completions() {
        let completion = Completion {
            status: 33,
            reserved: 0,
            index: 0x0102.into(),
            value: 0x0304_0506.into(),
            size: 0x0708.into(),
            reserved2: [0; 3],
            color: COLOR,
        };
        assert_eq!(
            completion.as_bytes(),
            [33, 0, 2, 1, 6, 5, 4, 3, 8, 7, 0, 0, 0, 0, 0, 0x80]
        );
        let event = Event {
            id: 0x0102.into(),
            code: 5.into(),
            reserved: [0; 54],
        };
        assert_eq!(event.as_bytes()[..10], [2, 1, 0, 0, 0, 0, 0, 0, 5, 0]);
    }

    #[test]
    fn texts_are_cut() {
        assert_eq!(text::<4>("ab"), *b"ab\0\0");
        assert_eq!(text::<2>("abc"), *b"ab");
    }
}
