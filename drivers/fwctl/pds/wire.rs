// SPDX-License-Identifier: GPL-2.0-only

//! Layouts of the messages of user space, which are in native byte order, and of the commands to
//! the firmware, which are little-endian.
//!
//! C headers: [`include/uapi/fwctl/pds.h`](srctree/include/uapi/fwctl/pds.h) and
//! [`include/linux/pds/pds_adminq.h`](srctree/include/linux/pds/pds_adminq.h). `shim.c` has static
//! assertions that compare their layouts with those below.

use core::mem::offset_of;

use fwctl::RpcScope;
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    prelude::*, //
};
use zerocopy::{
    little_endian::{
        U16,
        U32,
        U64, //
    },
    Immutable,
    KnownLayout, //
};
use zerocopy_derive::{
    Immutable,
    KnownLayout, //
};

/// Bits of [`Info::uctx_caps`], by the numbers of `enum pds_fwctl_capabilities`.
const CAPABILITIES: u32 =
    1 << PDS_FWCTL_QUERY_CAP | 1 << PDS_FWCTL_SEND_CAP | 1 << PDS_FWCTL_LIST_CAP;
const PDS_FWCTL_QUERY_CAP: u32 = 0;
const PDS_FWCTL_SEND_CAP: u32 = 1;
const PDS_FWCTL_LIST_CAP: u32 = 2;

/// The device data of `FWCTL_INFO`: `struct fwctl_info_pds`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
pub(crate) struct Info {
    uctx_caps: u32,
}

impl Info {
    /// Returns the data of every device.
    pub(crate) const fn new() -> Self {
        Self {
            uctx_caps: CAPABILITIES,
        }
    }
}

/// What a program asks for.
pub(crate) enum Request {
    /// The firmware executes an operation.
    Execute(Message),
    /// The driver returns a list that it has from the firmware.
    List(List),
}

impl Request {
    /// Reads a request, which is a [`ListRequest`] if it has exactly its length.
    ///
    /// Fails with [`EINVAL`] if it is too short, or asks for an unknown list.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        match ListRequest::read_from_bytes(bytes) {
            Ok(request) => request.list().map(Self::List),
            Err(_) => Message::read(bytes).map(Self::Execute),
        }
    }
}

/// A list for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// The endpoints of the firmware.
    Endpoints,
    /// The operations of an endpoint.
    Operations(u32),
}

/// Which list: `enum pds_fwctl_list`.
const PDS_FWCTL_LIST_ENDPOINTS: u32 = 1;
const PDS_FWCTL_LIST_OPERATIONS: u32 = 2;

/// `struct fwctl_pds_list_request`: asks the driver for a list. It is shorter than a [`Message`],
/// so no driver takes it for one.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
struct ListRequest {
    list: u32,
    ep: u32,
    rsvd: [u32; 2],
}

impl ListRequest {
    /// Fails with [`EINVAL`] if there is no such list, or a field that must be 0 is not.
    fn list(&self) -> Result<List> {
        match (self.list, self.ep, self.rsvd) {
            (PDS_FWCTL_LIST_ENDPOINTS, 0, [0, 0]) => Ok(List::Endpoints),
            (PDS_FWCTL_LIST_OPERATIONS, endpoint, [0, 0]) => Ok(List::Operations(endpoint)),
            _ => Err(EINVAL),
        }
    }
}

/// `struct fwctl_pds_list` without its entries.
#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct ListReply {
    num_entries: u32,
    rsvd: u32,
}

/// `struct fwctl_pds_list_entry`: an endpoint or an operation.
#[repr(C)]
#[derive(IntoBytes, Immutable)]
pub(crate) struct ListEntry {
    id: u32,
    attribute: u8,
    scope: u8,
    rsvd: [u8; 2],
}

impl ListEntry {
    /// Returns the entry of an endpoint, whose other fields are 0.
    pub(crate) fn endpoint(id: u32) -> Self {
        Self {
            id,
            attribute: 0,
            scope: 0,
            rsvd: [0; 2],
        }
    }

    /// Returns the entry of an operation, with its attribute and the scope that it requires.
    pub(crate) fn operation(id: u32, attribute: u8, scope: RpcScope) -> Self {
        Self {
            id,
            attribute,
            scope: scope as u8,
            rsvd: [0; 2],
        }
    }
}

/// Returns the reply to a [`ListRequest`].
///
/// It is charged to the caller's memory cgroup. Fails with [`ENOMEM`].
pub(crate) fn list_reply(entries: impl ExactSizeIterator<Item = ListEntry>) -> Result<KVVec<u8>> {
    let header = ListReply {
        num_entries: u32::try_from(entries.len()).map_err(|_| EOVERFLOW)?,
        rsvd: 0,
    };
    let len = size_of::<ListReply>() + entries.len() * size_of::<ListEntry>();
    let mut reply = KVVec::with_capacity(len, GFP_KERNEL_ACCOUNT)?;

    reply.extend_from_slice(header.as_bytes(), GFP_KERNEL_ACCOUNT)?;
    for entry in entries {
        reply.extend_from_slice(entry.as_bytes(), GFP_KERNEL_ACCOUNT)?;
    }
    Ok(reply)
}

/// The message of an RPC: `struct fwctl_rpc_pds`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Message {
    /// Identifier of the operation.
    pub(crate) operation: u32,
    /// Identifier of the endpoint.
    pub(crate) endpoint: u32,
    in_rsvd: u32,
    /// Length of the request, in bytes.
    pub(crate) request_len: u32,
    /// Address of the request.
    pub(crate) request: u64,
    retval: u32,
    out_rsvd: [u32; 2],
    /// Length of the response buffer, in bytes.
    pub(crate) response_len: u32,
    /// Address of the response buffer.
    pub(crate) response: u64,
}

impl Message {
    /// Reads a message, or fails with [`EINVAL`] if it is too short.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let (message, _) = Self::read_from_prefix(bytes).map_err(|_| EINVAL)?;

        Ok(message)
    }

    /// Writes the result of the operation into a message.
    pub(crate) fn set_retval(bytes: &mut [u8], retval: u32) -> Result {
        let retval = retval.to_ne_bytes();
        let at = offset_of!(Self, retval);

        bytes
            .get_mut(at..at + retval.len())
            .ok_or(EINVAL)?
            .copy_from_slice(&retval);
        Ok(())
    }
}

/// A command to the firmware. It is at most 60 bytes long, and fields after those of the type are
/// zero.
pub(crate) trait Command: IntoBytes + Immutable {}

/// Opcodes.
const PDS_FWCTL_CMD_IDENT: u8 = 70;
const PDS_FWCTL_CMD_RPC: u8 = 71;
const PDS_FWCTL_CMD_QUERY: u8 = 72;

/// `struct pds_fwctl_ident_cmd`: makes the firmware write an [`Ident`].
#[repr(C)]
#[derive(IntoBytes, Immutable)]
pub(crate) struct IdentCommand {
    opcode: u8,
    rsvd: u8,
    version: u8,
    rsvd2: u8,
    len: U32,
    ident_pa: U64,
}

impl IdentCommand {
    /// Returns a command that writes to the DMA address `ident_pa`.
    pub(crate) fn new(ident_pa: u64) -> Self {
        Self {
            opcode: PDS_FWCTL_CMD_IDENT,
            rsvd: 0,
            version: 0,
            rsvd2: 0,
            len: U32::new(size_of::<Ident>() as u32),
            ident_pa: U64::new(ident_pa),
        }
    }
}

impl Command for IdentCommand {}

/// `struct pds_fwctl_ident`: what the firmware takes.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
pub(crate) struct Ident {
    features: U64,
    version: u8,
    rsvd: [u8; 3],
    /// Maximum length of a request, in bytes.
    pub(crate) max_req_sz: U32,
    /// Maximum length of a response, in bytes.
    pub(crate) max_resp_sz: U32,
    max_req_sg_elems: u8,
    max_resp_sg_elems: u8,
}

/// What a [`QueryCommand`] lists: `enum pds_fwctl_query_entity`.
const PDS_FWCTL_RPC_ROOT: u8 = 0;
const PDS_FWCTL_RPC_ENDPOINT: u8 = 1;

/// The buffer that a [`QueryCommand`] gives the firmware for a list, in bytes.
pub(crate) const LIST_LEN: usize = 4096;

/// `struct pds_fwctl_query_cmd`: makes the firmware write a list: a [`ListHeader`] and its entries.
#[repr(C)]
#[derive(IntoBytes, Immutable)]
pub(crate) struct QueryCommand {
    opcode: u8,
    entity: u8,
    version: u8,
    rsvd: u8,
    query_data_buf_len: U32,
    query_data_buf_pa: U64,
    ep: U32,
}

impl QueryCommand {
    /// Returns a command for a list of [`EndpointEntry`] in [`LIST_LEN`] bytes at a DMA address.
    pub(crate) fn endpoints(list_pa: u64) -> Self {
        Self::new(PDS_FWCTL_RPC_ROOT, list_pa, 0)
    }

    /// Returns a command for a list of [`OperationEntry`] of an endpoint.
    pub(crate) fn operations(list_pa: u64, endpoint: u32) -> Self {
        Self::new(PDS_FWCTL_RPC_ENDPOINT, list_pa, endpoint)
    }

    fn new(entity: u8, list_pa: u64, ep: u32) -> Self {
        Self {
            opcode: PDS_FWCTL_CMD_QUERY,
            entity,
            version: 0,
            rsvd: 0,
            query_data_buf_len: U32::new(LIST_LEN as u32),
            query_data_buf_pa: U64::new(list_pa),
            ep: U32::new(ep),
        }
    }
}

impl Command for QueryCommand {}

/// `struct pds_fwctl_query_data` without its entries.
#[repr(C)]
#[derive(FromBytes, Immutable, KnownLayout)]
struct ListHeader {
    version: u8,
    rsvd: [u8; 3],
    num_entries: U32,
}

/// `struct pds_fwctl_query_data_endpoint`.
#[repr(C)]
#[derive(FromBytes, Immutable, KnownLayout)]
pub(crate) struct EndpointEntry {
    /// Identifier of the endpoint.
    pub(crate) id: U32,
}

/// `struct pds_fwctl_query_data_operation`.
#[repr(C)]
#[derive(FromBytes, Immutable, KnownLayout)]
pub(crate) struct OperationEntry {
    /// Identifier of the operation.
    pub(crate) id: U32,
    /// One of `PDSFC_FW_CMD_ATTR_*`.
    pub(crate) attribute: u8,
    rsvd: [u8; 3],
}

/// Returns the entries of a list that the firmware wrote.
///
/// Fails with [`EPROTO`] if the list claims more entries than its buffer holds.
pub(crate) fn entries<T: FromBytes + Immutable + KnownLayout>(list: &[u8]) -> Result<&[T]> {
    let (header, rest) = ListHeader::ref_from_prefix(list).map_err(|_| EPROTO)?;
    let count = usize::try_from(header.num_entries.get()).map_err(|_| EPROTO)?;
    let (entries, _) = <[T]>::ref_from_prefix_with_elems(rest, count).map_err(|_| EPROTO)?;

    Ok(entries)
}

/// Flags of [`RpcCommand`]: request and response are at the addresses.
const PDS_FWCTL_RPC_IND_REQ: u16 = 1;
const PDS_FWCTL_RPC_IND_RESP: u16 = 2;

/// `struct pds_fwctl_rpc_cmd`: executes an operation of an endpoint.
#[repr(C)]
#[derive(IntoBytes, Immutable)]
pub(crate) struct RpcCommand {
    opcode: u8,
    rsvd: u8,
    flags: U16,
    ep: U32,
    op: U32,
    inline_req0: [u8; 16],
    request: Place,
    response: Place,
}

/// Where a request or a response is, and its length in bytes.
#[repr(C)]
#[derive(IntoBytes, Immutable)]
pub(crate) struct Place {
    pa: U64,
    sz: U32,
    sg_elems: u8,
    rsvd: [u8; 3],
}

impl Place {
    /// Returns a place at a DMA address.
    pub(crate) fn new(pa: u64, len: u32) -> Self {
        Self {
            pa: U64::new(pa),
            sz: U32::new(len),
            sg_elems: 0,
            rsvd: [0; 3],
        }
    }
}

impl RpcCommand {
    /// Returns the command for an operation of an endpoint.
    pub(crate) fn new(endpoint: u32, operation: u32, request: Place, response: Place) -> Self {
        Self {
            opcode: PDS_FWCTL_CMD_RPC,
            rsvd: 0,
            flags: U16::new(PDS_FWCTL_RPC_IND_REQ | PDS_FWCTL_RPC_IND_RESP),
            ep: U32::new(endpoint),
            op: U32::new(operation),
            inline_req0: [0; 16],
            request,
            response,
        }
    }
}

impl Command for RpcCommand {}

/// The completion of a command: `struct pds_fwctl_rpc_comp`, of which all completions have the
/// status.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub(crate) struct Completion {
    /// 0 if the firmware executed the command.
    pub(crate) status: u8,
    rsvd: u8,
    comp_index: U16,
    /// The result of the operation of an [`RpcCommand`].
    pub(crate) err: U32,
    resp_sz: U32,
    rsvd2: [u8; 3],
    color: u8,
}

const _: () = {
    assert!(size_of::<Info>() == 4);
    assert!(size_of::<Message>() == 48);
    assert!(offset_of!(Message, request) == 16);
    assert!(offset_of!(Message, retval) == 24);
    assert!(offset_of!(Message, response_len) == 36);
    assert!(offset_of!(Message, response) == 40);
    assert!(size_of::<ListRequest>() == 16);
    assert!(size_of::<ListRequest>() < size_of::<Message>());
    assert!(size_of::<ListReply>() == 8);
    assert!(size_of::<ListEntry>() == 8);
    assert!(offset_of!(ListEntry, attribute) == 4);
    assert!(offset_of!(ListEntry, scope) == 5);
    assert!(size_of::<IdentCommand>() == 16);
    assert!(size_of::<Ident>() == 22);
    assert!(offset_of!(Ident, max_req_sz) == 12);
    assert!(offset_of!(Ident, max_resp_sz) == 16);
    assert!(size_of::<QueryCommand>() == 20);
    assert!(offset_of!(QueryCommand, ep) == 16);
    assert!(size_of::<ListHeader>() == 8);
    assert!(size_of::<EndpointEntry>() == 4);
    assert!(size_of::<OperationEntry>() == 8);
    assert!(offset_of!(OperationEntry, attribute) == 4);
    assert!(size_of::<RpcCommand>() == 60);
    assert!(offset_of!(RpcCommand, request) == 28);
    assert!(offset_of!(RpcCommand, response) == 44);
    assert!(size_of::<Completion>() == 16);
    assert!(offset_of!(Completion, err) == 4);
};

#[kunit_tests(pds_fwctl_wire)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_bits() {
        assert_eq!(Info::new().as_bytes(), &7u32.to_ne_bytes());
    }

    /// Returns which list a request asks for.
    fn asked(list: u32, ep: u32, rsvd: [u32; 2]) -> Result<List> {
        match Request::read(ListRequest { list, ep, rsvd }.as_bytes())? {
            Request::List(list) => Ok(list),
            Request::Execute(_) => Err(EBADMSG),
        }
    }

    #[test]
    fn requests_for_lists() {
        assert_eq!(asked(1, 0, [0, 0]), Ok(List::Endpoints));
        assert_eq!(asked(2, 0, [0, 0]), Ok(List::Operations(0)));
        assert_eq!(asked(2, u32::MAX, [0, 0]), Ok(List::Operations(u32::MAX)));
        for (list, ep, rsvd) in [
            (0, 0, [0, 0]),
            (3, 0, [0, 0]),
            (u32::MAX, 0, [0, 0]),
            (1, 1, [0, 0]),
            (1, 0, [1, 0]),
            (2, 0, [0, 1]),
        ] {
            assert_eq!(asked(list, ep, rsvd), Err(EINVAL));
        }
    }

    #[test]
    fn only_the_length_distinguishes_requests() {
        let mut bytes = [0; 60];

        // The first word is an operation in a message.
        bytes[0] = 1;
        for len in 0..=bytes.len() {
            let request = Request::read(&bytes[..len]);
            match len {
                16 => assert!(matches!(request, Ok(Request::List(List::Endpoints)))),
                48.. => assert!(matches!(request, Ok(Request::Execute(_)))),
                _ => assert_eq!(request.err(), Some(EINVAL)),
            }
        }
    }

    #[test]
    fn lists_for_programs() -> Result {
        let entries = [
            ListEntry::operation(0x2_0102, 0x08, RpcScope::DebugWrite),
            ListEntry::endpoint(u32::MAX),
        ];
        let mut expected = [0; 24];

        expected[0..4].copy_from_slice(&2u32.to_ne_bytes());
        expected[8..12].copy_from_slice(&0x2_0102u32.to_ne_bytes());
        expected[12..14].copy_from_slice(&[0x08, 2]);
        expected[16..20].copy_from_slice(&[0xff; 4]);
        assert_eq!(&list_reply(entries.into_iter())?[..], &expected);
        assert_eq!(&list_reply(core::iter::empty())?[..], &[0; 8]);
        Ok(())
    }

    #[test]
    fn messages() -> Result {
        let message = Message {
            operation: 0x2_0102,
            endpoint: 0x20,
            in_rsvd: 0,
            request_len: 0x11,
            request: 0x1234,
            retval: 0,
            out_rsvd: [0; 2],
            response_len: 0x22,
            response: 0x5678,
        };
        let bytes = message.as_bytes();

        for len in 0..bytes.len() {
            assert_eq!(Message::read(&bytes[..len]).err(), Some(EINVAL));
        }
        let read = Message::read(bytes)?;
        assert_eq!((read.request, read.response), (0x1234, 0x5678));
        Ok(())
    }

    #[test]
    fn only_the_result_changes() -> Result {
        let mut bytes = [0xee; 50];

        Message::set_retval(&mut bytes, 0x0102_0304)?;
        assert_eq!(&bytes[24..28], &0x0102_0304u32.to_ne_bytes());
        assert!(bytes[..24].iter().all(|&byte| byte == 0xee));
        assert!(bytes[28..].iter().all(|&byte| byte == 0xee));
        assert_eq!(Message::set_retval(&mut bytes[..27], 0), Err(EINVAL));
        Ok(())
    }

    #[test]
    fn commands() {
        let mut rpc = [0; 60];
        rpc[..12].copy_from_slice(&[71, 0, 3, 0, 0x20, 0, 0, 0, 0x02, 0x01, 0x02, 0]);
        rpc[28..40].copy_from_slice(&[0x00, 0xb0, 0xaa, 0, 0, 0, 0, 0, 0x11, 0, 0, 0]);
        rpc[44..56].copy_from_slice(&[0x00, 0xd0, 0xcc, 0, 0, 0, 0, 0, 0x22, 0, 0, 0]);
        assert_eq!(
            RpcCommand::new(
                0x20,
                0x2_0102,
                Place::new(0xaa_b000, 0x11),
                Place::new(0xcc_d000, 0x22),
            )
            .as_bytes(),
            &rpc
        );
        assert_eq!(
            IdentCommand::new(0xaa_b000).as_bytes(),
            &[70, 0, 0, 0, 22, 0, 0, 0, 0x00, 0xb0, 0xaa, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            QueryCommand::operations(0xaa_b000, 0x20).as_bytes(),
            &[72, 1, 0, 0, 0, 0x10, 0, 0, 0x00, 0xb0, 0xaa, 0, 0, 0, 0, 0, 0x20, 0, 0, 0]
        );
        assert_eq!(QueryCommand::endpoints(0).as_bytes()[1], 0);
    }

    /// Returns the header of a list that claims `count` entries, in a buffer of [`LIST_LEN`] bytes.
    fn list(count: u32) -> Result<KVVec<u8>> {
        let mut list = KVVec::from_elem(0, LIST_LEN, GFP_KERNEL)?;

        list[4..8].copy_from_slice(&count.to_le_bytes());
        Ok(list)
    }

    #[test]
    fn lists_end_with_their_buffer() -> Result {
        for (count, fits) in [
            (0, true),
            (1, true),
            (511, true),
            (512, false),
            (u32::MAX, false),
        ] {
            let list = list(count)?;
            let entries = entries::<OperationEntry>(&list);
            assert_eq!(
                entries.map(|entries| entries.len() as u32).ok(),
                fits.then_some(count)
            );
        }
        assert_eq!(entries::<EndpointEntry>(&list(1022)?)?.len(), 1022);
        assert_eq!(entries::<EndpointEntry>(&list(1023)?).err(), Some(EPROTO));
        assert_eq!(entries::<EndpointEntry>(&[0; 7]).err(), Some(EPROTO));
        Ok(())
    }

    #[test]
    fn entries_of_a_list() -> Result {
        let mut list = list(2)?;

        list[8..24].copy_from_slice(&[1, 1, 2, 0, 0x08, 9, 9, 9, 2, 1, 0, 0, 0x40, 9, 9, 9]);
        let entries = entries::<OperationEntry>(&list)?;
        assert_eq!(
            (entries[0].id.get(), entries[0].attribute),
            (0x2_0101, 0x08)
        );
        assert_eq!((entries[1].id.get(), entries[1].attribute), (0x0102, 0x40));
        Ok(())
    }
}
