// SPDX-License-Identifier: MIT OR Apache-2.0

//! The firmware: device commands, clients and host memory.

use super::catalogue::{ENDPOINTS, NEXT_ENDPOINTS};
use super::codes::{admin, device, host_memory, Status};
use super::queue::Queues;
use super::rpc::{Done, Endpoints};
use super::wire::{
    ClientHead, HostMemory, HostMemoryDone, Identity, InitIn, InitOut, CAPABILITY_HOST_MEMORY,
    COMMAND, COMPLETION, VIF_FWCTL,
};
use super::{identity, Options};
use crate::dma::Memory;
use std::collections::BTreeMap;
use zerocopy::{FromBytes, IntoBytes};

/// Doorbell pages of each logical interface.
const DOORBELL_PAGES: u32 = 2;
/// Number of the core's logical interface: its doorbells are in page `CORE * DOORBELL_PAGES`.
const CORE: u32 = 1;
/// Identifier and type of the admin queue, which its doorbell must name.
const ADMIN_QUEUE: u32 = 5;
const ADMIN_TYPE: u8 = 1;
/// The same of the notify queue, which has no doorbell.
const NOTIFY_QUEUE: u32 = 6;
const NOTIFY_TYPE: u8 = 2;
/// log2 of the sizes that a doorbell page can have.  pds_core takes it to be as large as a page of
/// the kernel (`pdsc_map_dbpage()`), and does not tell the card.
const LOG_PAGES: [u32; 3] = [12, 14, 16];
/// Size of the largest doorbell page.
pub const LARGEST_PAGE: u64 = 1 << LOG_PAGES[LOG_PAGES.len() - 1];
/// Number of doorbell pages.
pub const PAGES: u64 = ((CORE + 1) * DOORBELL_PAGES) as u64;

/// Returns whether the doorbell of the admin queue is at this offset in BAR 2.
pub fn is_doorbell(offset: u64) -> bool {
    let at = |log: &u32| ((CORE * DOORBELL_PAGES) as u64) << log | 8 * ADMIN_TYPE as u64;
    LOG_PAGES.iter().any(|log| offset == at(log))
}

/// Most clients at one time.
const MAX_CLIENTS: usize = 64;
/// The tag of the first piece of host memory.
const FIRST_TAG: u16 = 0x100;
/// Sizes of the pieces of host memory, repeated as often as needed.
const PIECES: [u32; 3] = [0x1_0000, 0x10_0000, 0x1001];
/// Written to both ends of each piece.
const MARK: &[u8; 8] = b"pds-fw\xaa\x55";

/// Identifier of the queue in the value of a doorbell (core.h, PDS_CORE_DBELL_QID).
pub fn doorbell(value: u64) -> Option<u16> {
    let queue = (value >> 24) as u32 & 0xff_ffff;
    let ring = value >> 16 & 7;
    (queue == ADMIN_QUEUE && ring == 0).then_some(value as u16)
}

/// The state of the firmware.
pub struct Firmware {
    options: Options,
    /// Admin and notify queue, if they are initialised.
    pub queues: Option<Queues>,
    /// Clients by identifier, with their names.
    pub clients: BTreeMap<u16, String>,
    next_client: u16,
    /// Host memory by tag: address and size.
    pub host_memory: BTreeMap<u16, (u64, u32)>,
    /// What fwctl clients talk to.
    pub endpoints: Endpoints,
}

/// How a device command ended: its completion and its side data.
pub type DeviceDone = ([u8; COMPLETION], Vec<u8>);

impl Firmware {
    /// Firmware as after power on.
    pub fn new(options: &Options) -> Self {
        Firmware {
            options: *options,
            queues: None,
            clients: BTreeMap::new(),
            next_client: 1,
            host_memory: BTreeMap::new(),
            endpoints: Endpoints::new(options.max_payload),
        }
    }

    /// A RESET: drops queues, clients and host memory.
    pub fn reset(&mut self) {
        self.queues = None;
        self.clients.clear();
        self.host_memory.clear();
        self.endpoints.written.clear();
    }

    /// The firmware starts, as the version that it has or as the next one.
    pub fn start(&mut self, is_next: bool) -> &'static str {
        // Identifiers of clients are not used again, so that a stale one is recognised.
        self.reset();
        let (list, version) = match is_next {
            true => (NEXT_ENDPOINTS, identity::NEXT_FIRMWARE),
            false => (ENDPOINTS, identity::FIRMWARE),
        };
        self.endpoints.start(list, version);
        version
    }

    /// Executes a device command.  `claim` replaces a number that the driver depends on.
    pub fn execute(
        &mut self,
        memory: &mut Memory,
        command: &[u8; COMMAND],
        data: &[u8],
        claim: Option<u32>,
    ) -> Result<DeviceDone, Status> {
        let mut completion = [0; COMPLETION];
        let data = match command[0] {
            device::NOP => Vec::new(),
            device::IDENTIFY => {
                let version = command[1];
                if version == 0 || version > self.options.identity_version {
                    return Err(Status::EVERSION);
                }
                completion[1] = version;
                self.identity(version, claim).as_bytes().to_vec()
            }
            device::RESET => {
                self.reset();
                Vec::new()
            }
            device::INIT => self.init(data, claim)?.as_bytes().to_vec(),
            device::HOST_MEM if self.has_host_memory() => {
                let parsed = HostMemory::read_from_prefix(command);
                let (command, _) = parsed.map_err(|_| Status::EINVAL)?;
                let done = self.host_memory(memory, &command, claim)?;
                completion.copy_from_slice(done.as_bytes());
                Vec::new()
            }
            _ => return Err(Status::EOPCODE),
        };
        Ok((completion, data))
    }

    fn has_host_memory(&self) -> bool {
        self.options.identity_version >= 2 && self.options.host_memory > 0
    }

    fn identity(&self, version: u8, claim: Option<u32>) -> Identity {
        let mut vif_types = [0.into(); 16];
        vif_types[VIF_FWCTL] = u16::from(self.options.has_fwctl).into();
        let mut capabilities = 0;
        if version >= 2 && self.has_host_memory() {
            capabilities |= CAPABILITY_HOST_MEMORY;
        }
        Identity {
            version,
            kind: 0,
            state: 0,
            reserved: 0,
            lifs: 1.into(),
            interrupts: claim.unwrap_or(self.options.interrupts.into()).into(),
            doorbell_pages_per_lif: DOORBELL_PAGES.into(),
            coalescing_multiplier: 1.into(),
            coalescing_divisor: 1.into(),
            vif_types,
            firmware_slots: 0.into(),
            reserved2: [0; 6],
            capabilities: capabilities.into(),
        }
    }

    fn init(&mut self, data: &[u8], claim: Option<u32>) -> Result<InitOut, Status> {
        let parsed = InitIn::read_from_prefix(data);
        let (init, _) = parsed.map_err(|_| Status::EINVAL)?;
        self.queues = Some(Queues::new(&init, self.options.interrupts.into())?);
        Ok(InitOut {
            core_index: claim.unwrap_or(CORE).into(),
            admin_index: ADMIN_QUEUE.into(),
            notify_index: NOTIFY_QUEUE.into(),
            admin_type: ADMIN_TYPE,
            notify_type: NOTIFY_TYPE,
        })
    }

    fn host_memory(
        &mut self,
        memory: &mut Memory,
        command: &HostMemory,
        claim: Option<u32>,
    ) -> Result<HostMemoryDone, Status> {
        let mut done = HostMemoryDone {
            status: Status::SUCCESS.0,
            operation: command.operation,
            count: 0.into(),
            size: 0.into(),
            tag: command.tag,
            reserved: [0; 6],
        };
        let size_of = |index: u16| PIECES[usize::from(index) % PIECES.len()];
        let index_of = |tag: u16| {
            let index = tag.checked_sub(FIRST_TAG);
            index.filter(|index| *index < self.options.host_memory)
        };
        match command.operation {
            host_memory::GET_COUNT => {
                let count = self.options.host_memory.min(command.index.get());
                done.count.set(claim.map_or(count, |claim| claim as u16));
            }
            host_memory::QUERY => {
                let index = command.index.get();
                if index >= self.options.host_memory {
                    return Err(Status::ERANGE);
                }
                done.size.set(claim.unwrap_or(size_of(index)));
                done.tag.set(FIRST_TAG + index);
            }
            host_memory::ADD => {
                let tag = command.tag.get();
                let index = index_of(tag).ok_or(Status::ENOENT)?;
                let (address, size) = (command.address.get(), command.size.get());
                if size != size_of(index) {
                    return Err(Status::EINVAL);
                }
                let end = address.wrapping_add(u64::from(size) - MARK.len() as u64);
                for at in [address, end] {
                    memory.write(at, MARK).map_err(|_| Status::EFAULT)?;
                }
                self.host_memory.insert(tag, (address, size));
            }
            host_memory::DEL => {
                let tag = command.tag.get();
                index_of(tag).ok_or(Status::ENOENT)?;
                self.host_memory.remove(&tag);
            }
            _ => return Err(Status::EINVAL),
        }
        Ok(done)
    }

    /// Executes a command of the admin queue.  `claim` replaces the identifier of a new client, or
    /// what [`Endpoints::execute`] says.
    pub fn execute_admin(
        &mut self,
        memory: &Memory,
        command: &[u8; COMMAND],
        claim: Option<u32>,
    ) -> Result<Done, Status> {
        let parsed = ClientHead::read_from_prefix(command);
        let (head, wrapped) = parsed.map_err(|_| Status::EINVAL)?;
        let client = head.client.get();
        match head.opcode {
            admin::NOP => Ok(Done::default()),
            admin::CLIENT_REG => {
                if self.clients.len() >= MAX_CLIENTS {
                    return Err(Status::ENOMEM);
                }
                let name: Vec<u8> = wrapped.iter().copied().take(32).collect();
                let name = String::from_utf8_lossy(&name);
                let name = name.trim_end_matches('\0').to_string();
                while self.next_client == 0 || self.clients.contains_key(&self.next_client) {
                    self.next_client = self.next_client.wrapping_add(1);
                }
                let id = self.next_client;
                self.next_client = id.wrapping_add(1);
                self.clients.insert(id, name);
                Ok(Done {
                    error: claim.unwrap_or(id.into()),
                    ..Done::default()
                })
            }
            admin::CLIENT_UNREG => match self.clients.remove(&client) {
                Some(_) => Ok(Done::default()),
                None => Err(Status::ECLIENT),
            },
            admin::CLIENT_CMD if !self.clients.contains_key(&client) => Err(Status::ECLIENT),
            admin::CLIENT_CMD if self.options.has_fwctl => {
                self.endpoints.execute(memory, wrapped, claim)
            }
            device::IDENTIFY | device::RESET | device::INIT => Err(Status::DEV_CMD),
            _ => Err(Status::EOPCODE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dma::test::memory;

    const BASE: u64 = 0x10_0000;

    fn command(bytes: &[u8]) -> [u8; COMMAND] {
        let mut command = [0; COMMAND];
        command[..bytes.len()].copy_from_slice(bytes);
        command
    }

    fn run(firmware: &mut Firmware, bytes: &[u8]) -> Result<DeviceDone, Status> {
        let mut memory = memory(BASE, 0x20_0000);
        firmware.execute(&mut memory, &command(bytes), &[0; 1912], None)
    }

    #[test]
    fn versions_of_identify() {
        for (newest, accepted) in [(1, [false, true, false]), (2, [false, true, true])] {
            let mut firmware = Firmware::new(&Options {
                identity_version: newest,
                ..Options::default()
            });
            for (version, is_accepted) in accepted.into_iter().enumerate() {
                let done = run(&mut firmware, &[device::IDENTIFY, version as u8]);
                assert_eq!(done.is_ok(), is_accepted, "{version} of {newest}");
                if let Ok((_, data)) = done {
                    assert_eq!(usize::from(data[0]), version);
                    assert_eq!(data[64], if version == 2 { 2 } else { 0 }, "capabilities");
                    assert_eq!(data[36], 1, "fwctl");
                }
            }
        }
    }

    #[test]
    fn pieces_of_host_memory() {
        let mut firmware = Firmware::new(&Options::default());
        let (count, _) = run(&mut firmware, &[12, 0, 0, 1]).unwrap();
        assert_eq!(count[..4], [0, 0, 2, 0]);
        let (few, _) = run(&mut firmware, &[12, 0, 1, 0]).unwrap();
        assert_eq!(few[2], 1, "the driver takes no more");
        let (query, _) = run(&mut firmware, &[12, 1, 1, 0]).unwrap();
        assert_eq!(query[..10], [0, 1, 0, 0, 0, 0, 0x10, 0, 1, 1]);
        let add = |tag: u8, size: u8, address: u8| {
            let mut bytes = [
                12, 2, 0, 0, tag, 1, 0, 0, 0, 0, 0, 0, 0, 0, size, 0, 0, 0, 0,
            ];
            bytes[18] = address;
            bytes
        };
        assert!(run(&mut firmware, &add(1, 0x10, 0x10)).is_ok());
        assert_eq!(firmware.host_memory[&0x101], (BASE, 0x10_0000));
        for (bytes, status) in [
            (add(1, 0x20, 0x10), Status::EINVAL),
            (add(2, 0x10, 0x10), Status::ENOENT),
            (add(1, 0x10, 0x80), Status::EFAULT),
        ] {
            assert_eq!(run(&mut firmware, &bytes).err(), Some(status));
        }
        assert_eq!(
            run(&mut firmware, &[12, 1, 2, 0]).err(),
            Some(Status::ERANGE)
        );
        assert!(run(&mut firmware, &[12, 3, 0, 0, 1, 1]).is_ok());
        assert!(firmware.host_memory.is_empty());
        assert_eq!(run(&mut firmware, &[12, 4]).err(), Some(Status::EINVAL));
    }

    #[test]
    fn clients() {
        let mut firmware = Firmware::new(&Options::default());
        let memory = Memory::default();
        let admin = |firmware: &mut Firmware, bytes: &[u8]| {
            firmware.execute_admin(&memory, &command(bytes), None)
        };
        let register = b"\x06\0\0\0pds_core.fwctl.0";
        assert_eq!(admin(&mut firmware, register).unwrap().error, 1);
        assert_eq!(firmware.clients[&1], "pds_core.fwctl.0");
        assert_eq!(admin(&mut firmware, register).unwrap().error, 2);
        let ident = |client| [8, 0, client, 0, 70];
        assert!(admin(&mut firmware, &ident(1)).is_ok());
        assert_eq!(admin(&mut firmware, &ident(3)), Err(Status::ECLIENT));
        assert!(admin(&mut firmware, &[7, 0, 1, 0]).is_ok());
        assert_eq!(admin(&mut firmware, &[7, 0, 1, 0]), Err(Status::ECLIENT));
        assert_eq!(admin(&mut firmware, &ident(1)), Err(Status::ECLIENT));
        assert_eq!(admin(&mut firmware, &[3]), Err(Status::DEV_CMD));
        assert_eq!(admin(&mut firmware, &[99]), Err(Status::EOPCODE));
        firmware.start(false);
        assert_eq!(admin(&mut firmware, &ident(2)), Err(Status::ECLIENT));
        assert_eq!(
            admin(&mut firmware, register).unwrap().error,
            3,
            "not used again"
        );
        for _ in 1..MAX_CLIENTS {
            admin(&mut firmware, register).unwrap();
        }
        assert_eq!(admin(&mut firmware, register), Err(Status::ENOMEM));
    }

    #[test]
    fn doorbells() {
        // The third page, of 4, 16 and 64 KiB.
        let found: Vec<u64> = (0..PAGES * LARGEST_PAGE)
            .step_by(8)
            .filter(|&offset| is_doorbell(offset))
            .collect();
        assert_eq!(found, [0x2008, 0x8008, 0x2_0008]);
        assert_eq!(doorbell(5 << 24 | 7), Some(7));
        assert_eq!(doorbell(6 << 24 | 7), None);
        assert_eq!(doorbell(5 << 24 | 1 << 16 | 7), None);
    }
}
