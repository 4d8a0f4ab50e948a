// SPDX-License-Identifier: MIT OR Apache-2.0

//! Executes the commands of a fwctl client: IDENT, QUERY and RPC.
//!
//! A command does not write to guest memory itself; it returns what is to be written, so that a
//! fault can change it or hold it back.

use super::catalogue::{Action, Endpoint, ENDPOINTS};
use super::codes::{entity, fwctl, Status};
use super::identity;
use super::wire::{
    Buffer, Element, Ident, IdentCommand, ListHead, ListedOperation, QueryCommand, RpcCommand,
    INDIRECT_REQUEST, INDIRECT_RESPONSE,
};
use crate::dma::Memory;
use zerocopy::{FromBytes, IntoBytes};

/// Most elements of a scatter-gather list.
pub const MAX_ELEMENTS: u8 = 16;
/// The longest request and response that are executed, whatever the firmware claims to take.
pub const MAX_PAYLOAD: u32 = 4 << 20;
/// Bytes of an endpoint's value.
pub const VALUE: usize = 64;
/// Version of the commands and of the lists.
const VERSION: u8 = 0;

/// Error of an RPC whose request is too short or too long for the operation.  The error codes of
/// RPCs are the firmware's own.
pub const ERROR_LENGTH: u32 = 0x101;

/// A command that was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Error of an RPC.
    pub error: u32,
    /// Bytes of an RPC's response.
    pub size: u32,
    /// The data, without gaps.
    pub data: Vec<u8>,
    /// Where they go: addresses and lengths, in order.
    pub places: Vec<(u64, u32)>,
}

/// A list that was written to guest memory.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// Where it is.
    pub address: u64,
    /// Its kind, one of [`entity`].
    pub entity: u8,
    /// Its entries.
    pub entries: u32,
}

/// The endpoints and their values.
pub struct Endpoints {
    max_payload: u32,
    /// Endpoints of the running firmware.
    pub list: &'static [Endpoint],
    version: &'static str,
    values: Vec<[u8; VALUE]>,
    /// The lists that the driver was given, until the next reset.
    pub written: Vec<List>,
    /// The next list of this kind claims an entry behind its buffer if each byte of that is the
    /// second one: memory that a test has filled.
    pub overreach: Option<(u8, u8)>,
    /// Whether the last such list did.
    pub overreached: bool,
}

/// Most lists that are remembered.
const MAX_WRITTEN: usize = 64;

impl Endpoints {
    /// Endpoints as after power on.
    pub fn new(max_payload: u32) -> Self {
        Endpoints {
            max_payload,
            list: ENDPOINTS,
            version: identity::FIRMWARE,
            values: vec![[0; VALUE]; ENDPOINTS.len()],
            written: Vec::new(),
            overreach: None,
            overreached: false,
        }
    }

    /// Starts firmware of another version; all values are lost.
    pub fn start(&mut self, list: &'static [Endpoint], version: &'static str) {
        self.values = vec![[0; VALUE]; list.len()];
        (self.list, self.version) = (list, version);
        self.written.clear();
    }

    /// Executes a command.  `claim` replaces the limits of an IDENT, the number of entries of a
    /// list, or the size of a response.
    pub fn execute(
        &mut self,
        memory: &Memory,
        command: &[u8],
        claim: Option<u32>,
    ) -> Result<Done, Status> {
        let opcode = command.first();
        match opcode {
            Some(&fwctl::IDENT) => self.ident(parse(command)?, claim),
            Some(&fwctl::QUERY) => self.query(memory, parse(command)?, claim),
            Some(&fwctl::RPC) => {
                let mut done = self.rpc(memory, &parse(command)?)?;
                done.size = claim.unwrap_or(done.size);
                Ok(done)
            }
            _ => Err(Status::EOPCODE),
        }
    }

    fn ident(&self, command: IdentCommand, claim: Option<u32>) -> Result<Done, Status> {
        let max_payload = claim.unwrap_or(self.max_payload);
        let ident = Ident {
            features: 0.into(),
            version: VERSION,
            reserved: [0; 3],
            max_request: max_payload.into(),
            max_response: max_payload.into(),
            max_request_elements: MAX_ELEMENTS,
            max_response_elements: MAX_ELEMENTS,
        };
        let bytes = ident.as_bytes();
        let len = (command.len.get() as usize).min(bytes.len());
        Ok(Done {
            data: bytes[..len].to_vec(),
            places: vec![(command.address.get(), len as u32)],
            ..Done::default()
        })
    }

    fn query(
        &mut self,
        memory: &Memory,
        command: QueryCommand,
        claim: Option<u32>,
    ) -> Result<Done, Status> {
        let mut entries = Vec::new();
        let count = match command.entity {
            entity::ROOT => {
                entries.extend(
                    self.list
                        .iter()
                        .flat_map(|endpoint| endpoint.id.to_le_bytes()),
                );
                self.list.len()
            }
            entity::ENDPOINT => {
                let operations = self.list[self.find(command.subject.get())?].operations;
                for operation in operations {
                    let listed = ListedOperation {
                        id: operation.id().into(),
                        attribute: operation.attribute,
                        reserved: [0; 3],
                    };
                    entries.extend(listed.as_bytes());
                }
                operations.len()
            }
            // The header has no layout for its answer.
            entity::OPERATION => return Err(Status::EINVAL),
            _ => return Err(Status::EINVAL),
        };
        let overreach = self.overreach.take_if(|(kind, _)| *kind == command.entity);
        let claim = match overreach {
            Some((_, mark)) => self.reach_behind(memory, &command, mark),
            None => claim,
        };
        let head = ListHead {
            version: VERSION,
            reserved: [0; 3],
            entries: claim.unwrap_or(count as u32).into(),
        };
        let data = [head.as_bytes(), &entries].concat();
        if data.len() > command.len.get() as usize {
            return Err(Status::ERANGE);
        }
        if self.written.len() < MAX_WRITTEN {
            self.written.push(List {
                address: command.address.get(),
                entity: command.entity,
                entries: count as u32,
            });
        }
        Ok(Done {
            places: vec![(command.address.get(), data.len() as u32)],
            data,
            ..Done::default()
        })
    }

    /// Returns how many entries to claim: as many as the buffer holds, and one more. Returns `None`
    /// if a byte of the last one is not `mark`: it may be memory that the guest uses.
    fn reach_behind(&mut self, memory: &Memory, command: &QueryCommand, mark: u8) -> Option<u32> {
        let size = match command.entity {
            entity::ROOT => size_of::<u32>(),
            _ => size_of::<ListedOperation>(),
        };
        let buffer = command.len.get() as usize;
        let index = buffer.checked_sub(size_of::<ListHead>())?.div_ceil(size);
        let offset = (size_of::<ListHead>() + index * size) as u64;
        let mut entry = vec![0; size];
        memory
            .read(command.address.get().checked_add(offset)?, &mut entry)
            .ok()?;
        self.overreached = entry.iter().all(|byte| *byte == mark);
        self.overreached.then_some(index as u32 + 1)
    }

    fn rpc(&mut self, memory: &Memory, command: &RpcCommand) -> Result<Done, Status> {
        let at = self.find(command.endpoint.get())?;
        let id = command.operation.get();
        let operations = self.list[at].operations;
        let operation = operations.iter().find(|operation| operation.accepts(id));
        let action = match operation {
            Some(operation) => operation.action,
            None if operations.iter().any(|op| op.command == id as u16) => {
                return Err(Status::EVERSION)
            }
            None => return Err(Status::ENOENT),
        };
        let flags = command.flags.get();
        if flags & !(INDIRECT_REQUEST | INDIRECT_RESPONSE) != 0 {
            return Err(Status::EINVAL);
        }
        let request = if flags & INDIRECT_REQUEST != 0 {
            self.read(memory, &self.places(memory, &command.request)?)?
        } else {
            // A request in the command itself has no length: it takes all the bytes there are.
            let tail = match flags & INDIRECT_RESPONSE {
                0 => command.response.as_bytes(),
                _ => &[],
            };
            [&command.inline, command.request.as_bytes(), tail].concat()
        };
        let places = match flags & INDIRECT_RESPONSE {
            0 => Vec::new(),
            _ => self.places(memory, &command.response)?,
        };
        let capacity: usize = places.iter().map(|(_, len)| *len as usize).sum();
        match self.act(at, action, &request, capacity) {
            Ok(mut data) => {
                data.truncate(capacity);
                Ok(Done {
                    error: 0,
                    size: data.len() as u32,
                    data,
                    places,
                })
            }
            Err(error) => Ok(Done {
                error,
                ..Done::default()
            }),
        }
    }

    fn find(&self, id: u32) -> Result<usize, Status> {
        let at = self.list.iter().position(|endpoint| endpoint.id == id);
        at.ok_or(Status::ENOENT)
    }

    /// The pieces of memory that a buffer consists of.  Together they have its length.
    fn places(&self, memory: &Memory, buffer: &Buffer) -> Result<Vec<(u64, u32)>, Status> {
        let len = buffer.len.get();
        if len > self.max_payload.min(MAX_PAYLOAD) || buffer.elements > MAX_ELEMENTS {
            return Err(Status::ERANGE);
        }
        if buffer.elements == 0 {
            return Ok(vec![(buffer.address.get(), len)]);
        }
        let mut list = vec![0; usize::from(buffer.elements) * size_of::<Element>()];
        let read = memory.read(buffer.address.get(), &mut list);
        read.map_err(|_| Status::EFAULT)?;
        let mut places = Vec::new();
        let mut sum = 0u32;
        for bytes in list.chunks_exact(size_of::<Element>()) {
            let element: Element = parse(bytes)?;
            sum = sum.checked_add(element.len.get()).ok_or(Status::EINVAL)?;
            places.push((element.address.get(), element.len.get()));
        }
        match sum == len {
            true => Ok(places),
            false => Err(Status::EINVAL),
        }
    }

    fn read(&self, memory: &Memory, places: &[(u64, u32)]) -> Result<Vec<u8>, Status> {
        let mut bytes = Vec::new();
        for (address, len) in places.iter().filter(|(_, len)| *len > 0) {
            let at = bytes.len();
            bytes.resize(at + *len as usize, 0);
            let read = memory.read(*address, &mut bytes[at..]);
            read.map_err(|_| Status::EFAULT)?;
        }
        Ok(bytes)
    }

    /// Executes an operation; the response can take `capacity` bytes.
    fn act(
        &mut self,
        at: usize,
        action: Action,
        request: &[u8],
        capacity: usize,
    ) -> Result<Vec<u8>, u32> {
        Ok(match action {
            Action::Version => self.version.into(),
            Action::Echo => request.to_vec(),
            Action::Count => (0..capacity.div_ceil(4) as u32)
                .flat_map(u32::to_le_bytes)
                .collect(),
            Action::Sum => {
                let sum = request
                    .iter()
                    .fold(0u32, |sum, byte| sum.wrapping_add((*byte).into()));
                sum.to_le_bytes().into()
            }
            Action::Get => self.values[at].into(),
            Action::Set if request.len() > VALUE => return Err(ERROR_LENGTH),
            Action::Set => {
                self.values[at].fill(0);
                self.values[at][..request.len()].copy_from_slice(request);
                Vec::new()
            }
            Action::Fail => {
                let error = request.first_chunk().copied().map(u32::from_le_bytes);
                return Err(error.unwrap_or(ERROR_LENGTH));
            }
        })
    }
}

/// Reads a layout from the beginning of `bytes`.
fn parse<T: FromBytes>(bytes: &[u8]) -> Result<T, Status> {
    let parsed = T::read_from_prefix(bytes);
    parsed.map(|(parsed, _)| parsed).map_err(|_| Status::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dma::test::memory;

    const BASE: u64 = 0x10_0000;

    fn endpoints() -> (Endpoints, Memory) {
        (Endpoints::new(4096), memory(BASE, 0x1_0000))
    }

    fn buffer(address: u64, len: u32, elements: u8) -> Buffer {
        Buffer {
            address: address.into(),
            len: len.into(),
            elements,
            reserved: [0; 3],
        }
    }

    fn rpc(endpoint: u32, operation: u32, request: Buffer, response: Buffer) -> RpcCommand {
        RpcCommand {
            opcode: fwctl::RPC,
            reserved: 0,
            flags: 3.into(),
            endpoint: endpoint.into(),
            operation: operation.into(),
            inline: [0; 16],
            request,
            response,
        }
    }

    fn query(entity: u8, len: u32, subject: u32) -> QueryCommand {
        QueryCommand {
            opcode: fwctl::QUERY,
            entity,
            version: 0,
            reserved: 0,
            len: len.into(),
            address: BASE.into(),
            subject: subject.into(),
        }
    }

    #[test]
    fn lists() {
        let (mut endpoints, memory) = endpoints();
        let mut run =
            |command: QueryCommand, claim| endpoints.execute(&memory, command.as_bytes(), claim);
        let done = run(query(entity::ROOT, 4096, 0), None).unwrap();
        assert_eq!(done.data[..12], [0, 0, 0, 0, 4, 0, 0, 0, 0x10, 0, 0, 0]);
        assert_eq!(done.places, [(BASE, 24)]);
        let done = run(query(entity::ENDPOINT, 4096, 0x20), None).unwrap();
        assert_eq!(done.data.len(), 8 + 5 * 8);
        assert_eq!(done.data[8..16], [1, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(done.data[16..24], [2, 1, 1, 0, 4, 0, 0, 0]);
        let done = run(query(entity::ENDPOINT, 4096, u32::MAX), None).unwrap();
        assert_eq!(done.data, [0; 8]);
        let done = run(query(entity::ROOT, 4096, 0), Some(0x1234)).unwrap();
        assert_eq!(done.data[4..8], [0x34, 0x12, 0, 0]);
        for (command, status) in [
            (query(entity::ROOT, 23, 0), Status::ERANGE),
            (query(entity::ENDPOINT, 4096, 0x21), Status::ENOENT),
            (query(entity::OPERATION, 4096, 1), Status::EINVAL),
            (query(3, 4096, 0), Status::EINVAL),
        ] {
            assert_eq!(run(command, None), Err(status));
        }
    }

    #[test]
    fn lists_that_reach_behind_their_buffer() {
        for (entity, marked, count) in [
            (entity::ROOT, 4096..4100, Some(1023)),
            (entity::ROOT, 4096..4099, None),
            (entity::ROOT, 4097..4101, None),
            (entity::ENDPOINT, 4096..4104, Some(512)),
            (entity::ENDPOINT, 4096..4103, None),
            (entity::ENDPOINT, 4097..4105, None),
        ] {
            let (mut endpoints, mut memory) = endpoints();
            for at in marked.clone() {
                memory.write(BASE + at, &[0xa5]).unwrap();
            }
            endpoints.overreach = Some((entity, 0xa5));
            let command = query(entity, 4096, 0x20);
            let done = endpoints.execute(&memory, command.as_bytes(), None);
            let usual = if entity == entity::ROOT { 4 } else { 5 };
            let claimed = u32::from_le_bytes(done.unwrap().data[4..8].try_into().unwrap());
            assert_eq!(claimed, count.unwrap_or(usual), "{marked:?}");
            assert_eq!(endpoints.overreached, count.is_some());
            assert_eq!(endpoints.overreach, None, "once");
        }
        for (address, len) in [(u64::MAX, 4096), (BASE, 0), (BASE, u32::MAX)] {
            let (mut endpoints, memory) = endpoints();
            endpoints.overreach = Some((entity::ENDPOINT, 0xa5));
            let mut command = query(entity::ENDPOINT, len, 0x20);
            command.address = address.into();
            let _ = endpoints.execute(&memory, command.as_bytes(), None);
            assert!(!endpoints.overreached);
        }
    }

    #[test]
    fn limits() {
        let (mut endpoints, memory) = endpoints();
        let command = IdentCommand {
            opcode: fwctl::IDENT,
            reserved: 0,
            version: 0,
            reserved2: 0,
            len: 22.into(),
            address: BASE.into(),
        };
        for (claim, limit) in [(None, [0, 0x10, 0, 0]), (Some(u32::MAX), [0xff; 4])] {
            let done = endpoints.execute(&memory, command.as_bytes(), claim);
            let data = done.unwrap().data;
            assert_eq!((&data[12..16], &data[16..20]), (&limit[..], &limit[..]));
        }
    }

    #[test]
    fn values() {
        let (mut endpoints, mut memory) = endpoints();
        memory.write(BASE, b"hello").unwrap();
        let nothing = buffer(0, 0, 0);
        let set = rpc(0x20, 0x0102, buffer(BASE, 5, 0), nothing);
        let done = endpoints.execute(&memory, set.as_bytes(), None).unwrap();
        assert_eq!((done.error, done.size), (0, 0));
        let get = rpc(0x20, 0x1_0101, nothing, buffer(BASE + 64, 8, 0));
        let done = endpoints.execute(&memory, get.as_bytes(), None).unwrap();
        assert_eq!((done.data.as_slice(), done.size), (&b"hello\0\0\0"[..], 8));
        let long = rpc(0x20, 0x0102, buffer(BASE, 65, 0), nothing);
        let done = endpoints.execute(&memory, long.as_bytes(), None).unwrap();
        assert_eq!(done.error, ERROR_LENGTH);
    }

    #[test]
    fn scattered() {
        let (mut endpoints, mut memory) = endpoints();
        memory.write(BASE, b"abcdef").unwrap();
        let element = |address: u64, len: u32| Element {
            address: address.into(),
            len: len.into(),
            reserved: [0; 4],
        };
        let list = [element(BASE + 3, 3), element(BASE, 2)];
        memory.write(BASE + 0x100, list.as_bytes()).unwrap();
        let echo = |len, elements| {
            rpc(
                0x10,
                0x0002,
                buffer(BASE + 0x100, len, elements),
                buffer(BASE + 0x100, len, elements),
            )
        };
        let done = endpoints.execute(&memory, echo(5, 2).as_bytes(), None);
        let done = done.unwrap();
        assert_eq!(done.data, b"defab");
        assert_eq!(done.places, [(BASE + 3, 3), (BASE, 2)]);
        for (len, elements, status) in [
            (6, 2, Status::EINVAL),
            (5, 17, Status::ERANGE),
            (4097, 0, Status::ERANGE),
        ] {
            let done = endpoints.execute(&memory, echo(len, elements).as_bytes(), None);
            assert_eq!(done, Err(status), "{len} bytes, {elements} elements");
        }
    }

    #[test]
    fn inline() {
        let (mut endpoints, memory) = endpoints();
        let mut sum = rpc(0x10, 0x0004, buffer(1, 2, 3), buffer(BASE, 4, 0));
        sum.flags = INDIRECT_RESPONSE.into();
        sum.inline[15] = 4;
        let done = endpoints.execute(&memory, sum.as_bytes(), None).unwrap();
        assert_eq!(done.data, [10, 0, 0, 0]);
        sum.flags = 0.into();
        let done = endpoints.execute(&memory, sum.as_bytes(), None).unwrap();
        assert!(done.data.is_empty(), "the response has no buffer");
        sum.flags = 4.into();
        let done = endpoints.execute(&memory, sum.as_bytes(), None);
        assert_eq!(done, Err(Status::EINVAL));
    }

    #[test]
    fn refused() {
        let (mut endpoints, memory) = endpoints();
        let one = buffer(BASE, 1, 0);
        for (command, status) in [
            (rpc(0x11, 0x0001, one, one), Status::ENOENT),
            (rpc(0x10, 0x0101, one, one), Status::ENOENT),
            (rpc(0x10, 0x3_0002, one, one), Status::EVERSION),
            (rpc(0x10, 0x0002, buffer(0, 1, 0), one), Status::EFAULT),
            (
                rpc(0x10, 0x0002, buffer(u64::MAX, 9, 0), one),
                Status::EFAULT,
            ),
            (rpc(0x10, 0x0002, buffer(0, 16, 1), one), Status::EFAULT),
        ] {
            let done = endpoints.execute(&memory, command.as_bytes(), None);
            assert_eq!(done, Err(status));
        }
        assert_eq!(
            endpoints.execute(&memory, &[73; 60], None),
            Err(Status::EOPCODE)
        );
        assert_eq!(
            endpoints.execute(&memory, &[71; 59], None),
            Err(Status::EINVAL)
        );
        assert_eq!(endpoints.execute(&memory, &[], None), Err(Status::EOPCODE));
    }
}
