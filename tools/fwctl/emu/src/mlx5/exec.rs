// SPDX-License-Identifier: MIT OR Apache-2.0

//! The function: the state that commands change, and their execution.

use super::caps::{Capabilities, ADAPTER_PAGE};
use super::cmds::{self, Access, Header, PageNeed, Request};
use super::component::{self, Direction};
use super::counters::Counters;
use super::cr_space::{self, CoreDumps};
use super::diagnostics::Diagnostics;
use super::dump::{self, Dumps, Objects};
use super::eq::{self, EventQueues};
use super::fields::{issi, output, register, uar};
use super::management::{self, Management};
use super::memory::{HostMemory, Target};
use super::opcodes::{self, Stage};
use super::pages::Pages;
use super::query::{self, Congestion};
use super::refusal::{Refusal, Status, Syndrome};
use super::registers;
use super::transfer::{Host, Transfers, Work};
use super::uctx::Contexts;
use super::Options;
use crate::counters::count;
use crate::dma::Memory;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

/// Size of BAR 0.
pub const BAR0: u64 = 32 << 20;
/// Numbers of the UARs if a UAR page is 4 KiB. The lower pages have the initialisation segment.
const UARS: Range<u32> = 16..1024;
/// Number of MSI-X vectors.
pub const VECTORS: u16 = 8;
/// The supported ISSI besides 0 (`supported_issi_dw0`, bit 1).
const ISSI: u16 = 1;

/// The state of the function.
#[derive(Clone, Debug)]
pub struct Function {
    options: Options,
    /// The stage of initialisation.
    pub stage: Stage,
    issi: u16,
    caps: Capabilities,
    /// Pages given by the driver.
    pub pages: Pages,
    /// Event queues.
    pub eqs: EventQueues,
    uars: BTreeSet<u32>,
    /// User contexts.
    pub contexts: Contexts,
    /// Host memory that contexts have given to the device.
    pub memory: HostMemory,
    /// Registers.
    pub management: Management,
    congestion: Congestion,
    diagnostics: Diagnostics,
    dumps: Dumps,
    core_dumps: CoreDumps,
    /// What is written to host memory.
    pub transfers: Transfers,
}

impl Function {
    /// Returns a function after power on.
    pub fn new(options: Options) -> Self {
        Function {
            options,
            stage: Stage::Disabled,
            issi: 0,
            caps: Capabilities::new(&options),
            pages: Pages::new(options.boot_pages, options.init_pages),
            eqs: EventQueues::default(),
            uars: BTreeSet::new(),
            contexts: Contexts::new(options.uctx_caps, options.max_uctx),
            memory: HostMemory::default(),
            management: Management::new(&options),
            congestion: Congestion::default(),
            diagnostics: Diagnostics::default(),
            dumps: Dumps::default(),
            core_dumps: CoreDumps::default(),
            transfers: Transfers::default(),
        }
    }

    /// Releases all resources of drivers, and returns their number.
    pub fn reset(&mut self) -> u64 {
        let dropped = self.alive().len() as u64;
        self.stage = Stage::Disabled;
        self.issi = 0;
        self.caps = Capabilities::new(&self.options);
        self.pages.clear();
        self.eqs.clear();
        self.uars.clear();
        self.contexts.clear();
        self.memory.clear();
        self.congestion = Congestion::default();
        self.diagnostics = Diagnostics::default();
        self.dumps.clear();
        self.core_dumps.clear();
        self.transfers.clear();
        self.management.components.reset();
        dropped
    }

    /// Executes a command and returns its answer, with status and syndrome 0.
    pub fn execute(
        &mut self,
        input: &[u8],
        host: &mut Host<'_>,
        counters: &mut Counters,
    ) -> Result<Vec<u8>, Refusal> {
        let header = Header::of(input);
        let is_user = self.contexts.check(header.uid)?;
        let opcode = opcodes::admit(header.opcode, self.stage, is_user)?;
        let request = cmds::parse(opcode, input)?;
        self.run(header.uid, request, host, counters)
    }

    fn run(
        &mut self,
        uid: u16,
        request: Request<'_>,
        host: &mut Host<'_>,
        counters: &mut Counters,
    ) -> Result<Vec<u8>, Refusal> {
        let done = || Ok(vec![0; output::LEN]);
        match request {
            Request::EnableHca => {
                // The previous driver did not tear down, for example after fatal health.
                counters.dropped += self.reset();
                self.stage = Stage::Enabled;
                done()
            }
            Request::DisableHca => {
                self.leaks("at DISABLE_HCA", counters);
                self.reset();
                done()
            }
            Request::InitHca => {
                let wanted = self.options.boot_pages as usize + self.options.init_pages as usize;
                if self.pages.alive() < wanted {
                    return Err(Refusal(Status::LIMIT, Syndrome::TOO_EARLY));
                }
                self.stage = Stage::Initialised;
                done()
            }
            Request::TeardownHca { profile } => {
                // Only graceful teardown is supported.
                if profile != 0 {
                    return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_VALUE));
                }
                self.leaks_but_pages("at TEARDOWN_HCA", counters);
                self.eqs.clear();
                self.uars.clear();
                self.contexts.clear();
                self.memory.clear();
                self.stage = Stage::Enabled;
                done()
            }
            Request::QueryIssi => {
                let mut answer = vec![0; issi::OUT_LEN];
                issi::CURRENT.set(&mut answer, self.issi.into());
                issi::SUPPORTED_DW0.set(&mut answer, 1 << ISSI);
                Ok(answer)
            }
            Request::SetIssi(version) => {
                if version > ISSI {
                    return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_VALUE));
                }
                self.issi = version;
                done()
            }
            Request::QueryHcaCap { kind, is_current } => self.caps.query(kind, is_current),
            Request::SetHcaCap { kind, capability } => {
                self.caps.set(kind, capability)?;
                done()
            }
            Request::QueryPages(need) => Ok(self.pages.query(match (need, self.stage) {
                // Before INIT_HCA only the init pages are missing.
                (PageNeed::Regular, Stage::Disabled | Stage::Enabled) => PageNeed::Init,
                (need, _) => need,
            })),
            Request::ManagePages {
                op,
                count,
                addresses,
            } => self.pages.manage(op, count, addresses, self.stage),
            Request::CreateEq { input } => {
                let uars = &self.uars;
                let number = self
                    .eqs
                    .create(input, VECTORS.into(), |uar| uars.contains(&uar))?;
                Ok(eq::created(number))
            }
            Request::DestroyEq(number) => {
                self.eqs.destroy(number)?;
                done()
            }
            Request::QueryEq(number) => self.eqs.query(number),
            Request::AllocUar => {
                let free = self
                    .uar_numbers()
                    .find(|number| !self.uars.contains(number));
                let number = free.ok_or(Refusal(Status::LIMIT, Syndrome::TOO_MANY))?;
                self.uars.insert(number);
                let mut answer = vec![0; output::LEN];
                uar::NUMBER.set(&mut answer, number.into());
                Ok(answer)
            }
            Request::DeallocUar(number) => {
                if self.eqs.use_uar(number) {
                    return Err(Refusal(Status::BAD_RES, Syndrome::IN_USE));
                }
                if !self.uars.remove(&number) {
                    return Err(Refusal(Status::BAD_RES, Syndrome::NOT_ALIVE));
                }
                done()
            }
            Request::CreateUctx { caps } => self.contexts.create(caps),
            Request::DestroyUctx(uid) => {
                if self.memory.is_owner(uid) {
                    return Err(Refusal(Status::BAD_RES_STATE, Syndrome::IN_USE));
                }
                self.contexts.destroy(uid)?;
                done()
            }
            Request::CreateUmem { input } => self.memory.create_umem(uid, input),
            Request::DestroyUmem(id) => {
                self.memory.destroy_umem(uid, id)?;
                done()
            }
            Request::AllocPd => self.memory.create_domain(uid),
            Request::DeallocPd(id) => {
                self.memory.destroy_domain(uid, id)?;
                done()
            }
            Request::CreateMkey { input } => self.memory.create_key(uid, input),
            Request::QueryMkey(index) => self.memory.query_key(uid, index),
            Request::DestroyMkey(index) => {
                self.memory.destroy_key(uid, index)?;
                done()
            }
            Request::AccessRegister {
                id,
                access,
                argument: _,
                data,
            } => {
                count(&mut counters.registers, id);
                match id {
                    registers::RESOURCE_DUMP if access == Access::Read => {
                        self.dump(uid, data, host)
                    }
                    registers::CORE_DUMP => self.core_dump(uid, access, data, host),
                    registers::MCDD => self.component_page(access, data, host),
                    _ => management::access(&mut self.management, id, access, data),
                }
            }
            Request::QueryCongStatus { priority, protocol } => {
                self.congestion.query(priority, protocol)
            }
            Request::ModifyCongStatus {
                priority,
                protocol,
                is_enabled,
                is_tagged,
            } => {
                self.congestion
                    .modify(priority, protocol, is_enabled, is_tagged)?;
                done()
            }
            Request::SetDiagnosticParams { params } => {
                self.diagnostics.set(params)?;
                done()
            }
            Request::QueryDiagnosticParams => Ok(self.diagnostics.query()),
            Request::QueryDiagnosticCounters { samples, first } => {
                self.diagnostics.read(samples, first)
            }
            Request::QueryAdapter => Ok(query::adapter()),
            Request::QuerySpecialContexts => Ok(query::special_contexts()),
            Request::QueryVportState => Ok(query::vport_state()),
            Request::QueryNicVportContext => Ok(query::nic_vport(self.options.serial)),
            Request::QueryVportCounter => Ok(query::vport_counter()),
            Request::QueryWolRol => Ok(query::wol_rol()),
            Request::QueryVuid => Ok(query::vuid(self.options.serial)),
            Request::SetDriverVersion | Request::Nop => done(),
        }
    }

    /// Reads RESOURCE_DUMP, whose content is the function's objects.
    fn dump(&mut self, uid: u16, data: &[u8], host: &mut Host<'_>) -> Result<Vec<u8>, Refusal> {
        let mut answer = register_answer(registers::RESOURCE_DUMP, Access::Read, data)?;
        let body = &mut answer[register::DATA..];
        let place = dump::Ask::of(body).target;
        let target = match place {
            dump::Target::Inline => None,
            dump::Target::Memory { mkey, address, .. } => {
                let room = place.room() as u64;
                Some(self.memory.writable(uid, mkey, address, room)?)
            }
        };
        let objects = Objects {
            eqs: &self.eqs,
            uars: &self.uars,
            contexts: &self.contexts,
            vhca_id: self.options.serial,
        };
        let bytes = self.dumps.read(&objects, uid, body)?;
        if let Some(target) = target {
            self.write(host, target, bytes)?;
        }
        Ok(answer)
    }

    /// Accesses CORE_DUMP: dumps the CR space into memory.
    fn core_dump(
        &mut self,
        uid: u16,
        access: Access,
        data: &[u8],
        host: &mut Host<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let mut answer = register_answer(registers::CORE_DUMP, access, data)?;
        let body = &mut answer[register::DATA..];
        let ask = cr_space::Ask::of(body)?;
        let target = self
            .memory
            .writable(uid, ask.mkey, ask.address, ask.room())?;
        let bytes = self.core_dumps.part(uid, self.options.serial, &ask, body)?;
        self.write(host, target, bytes)?;
        Ok(answer)
    }

    fn write(
        &mut self,
        host: &mut Host<'_>,
        target: Target,
        bytes: Vec<u8>,
    ) -> Result<(), Refusal> {
        self.transfers
            .write(host, target, bytes)
            .map_err(|_| Refusal(Status::INTERNAL, Syndrome::DMA_ERROR))
    }

    /// Accesses MCDD: begins to move a page of a component. The addresses are not checked.
    fn component_page(
        &mut self,
        access: Access,
        data: &[u8],
        host: &mut Host<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let answer = register_answer(registers::MCDD, access, data)?;
        let direction = match access {
            Access::Read => Direction::Read,
            Access::Write => Direction::Burn,
        };
        let page = self.management.components.mcdd(direction, data)?;
        if host.fate.is_lost {
            self.transfers.lose();
            return Ok(answer);
        }
        if host.fate.late.is_some() {
            self.transfers.delay();
        }
        let delay = component::STEP + host.fate.late.unwrap_or_default();
        self.transfers.push(delay, Work::Component(page));
        Ok(answer)
    }

    /// Does the transfers that are due. A device that is not a bus master can do none.
    pub fn run_transfers(&mut self, memory: &mut Memory, now: Instant, is_master: bool) {
        for work in self.transfers.take_due(now) {
            match work {
                _ if !is_master => self.transfers.drop_one(),
                Work::Write { target, bytes } => {
                    self.transfers
                        .write_late(memory, &self.memory, &target, &bytes)
                }
                Work::Component(page) => self.move_page(memory, page),
            }
        }
    }

    /// Moves a page of a component, after its mailbox page has said that it begins.
    fn move_page(&mut self, memory: &mut Memory, mut page: component::Access) {
        if !page.has_begun {
            let descriptor = page.descriptor(Ok(()));
            self.write_mailbox(memory, page.mailbox, &descriptor);
            page.has_begun = true;
            self.transfers.push(component::STEP, Work::Component(page));
            return;
        }
        let components = &mut self.management.components;
        let result = match page.direction {
            Direction::Burn => {
                let mut bytes = vec![0; page.len];
                self.transfers
                    .read_from(memory, page.page, &mut bytes)
                    .map_err(|_| component::DMA_FAILED)
                    .and_then(|()| components.burn_page(&page, &bytes))
            }
            Direction::Read => components.read_page(&page).and_then(|bytes| {
                if !self.memory.has_page_at(page.page, bytes.len()) {
                    self.transfers.stray();
                }
                self.transfers
                    .write_to(memory, page.page, bytes)
                    .map_err(|_| component::DMA_FAILED)
            }),
        };
        self.write_mailbox(memory, page.mailbox, &page.descriptor(result));
    }

    /// Writes a descriptor: the status after all else.
    fn write_mailbox(&mut self, memory: &mut Memory, address: u64, descriptor: &[u8]) {
        if !self.memory.has_page_at(address, descriptor.len()) {
            self.transfers.stray();
        }
        let mut bytes = descriptor.to_vec();
        let status = std::mem::take(&mut bytes[component::STATUS_AT]);
        let status_at = address.wrapping_add(component::STATUS_AT as u64);
        // What was the status before stays until it is known that all else is written.
        let (head, tail) = bytes.split_at(component::STATUS_AT);
        let written = self
            .transfers
            .write_to(memory, address, head)
            .and_then(|()| {
                self.transfers
                    .write_to(memory, status_at.wrapping_add(1), &tail[1..])
            });
        if written.is_ok() {
            // Mapped as the bytes around it are, or it is an error that has been counted.
            let _ = memory.publish(status_at, status);
        }
    }

    /// Returns descriptions of the resources that have not been released.
    pub fn alive(&self) -> Vec<String> {
        let mut alive = self.alive_but_pages();
        if self.pages.alive() > 0 {
            alive.push(format!("{} pages", self.pages.alive()));
        }
        alive
    }

    fn alive_but_pages(&self) -> Vec<String> {
        let mut alive = Vec::new();
        if self.eqs.alive() > 0 {
            alive.push(format!("{} event queues", self.eqs.alive()));
        }
        if !self.uars.is_empty() {
            alive.push(format!("{} UARs", self.uars.len()));
        }
        alive.extend(self.memory.alive());
        alive.extend(self.contexts.alive().iter().map(|uid| format!("uid {uid}")));
        alive
    }

    fn leaks_but_pages(&self, when: &str, counters: &mut Counters) {
        self.alive_but_pages()
            .into_iter()
            .for_each(|what| counters.leak(format!("{what} alive {when}")));
    }

    fn leaks(&self, when: &str, counters: &mut Counters) {
        self.alive()
            .into_iter()
            .for_each(|what| counters.leak(format!("{what} alive {when}")));
    }

    /// Size of a UAR page. UAR n starts at page n of BAR 0 (`uar2pfn()`, uar.c).
    fn uar_page(&self) -> u64 {
        ADAPTER_PAGE << self.caps.log_uar_page_size()
    }

    /// Numbers of the UARs whose page is in BAR 0.
    fn uar_numbers(&self) -> Range<u32> {
        UARS.start..UARS.end.min((BAR0 / self.uar_page()) as u32)
    }

    /// Returns the UAR at an offset in BAR 0 and the offset in the UAR, or `None` if there is none.
    pub fn uar_at(&self, offset: u64) -> Option<(u32, u64)> {
        let page = self.uar_page();
        let number = u32::try_from(offset / page).ok()?;
        self.uar_numbers()
            .contains(&number)
            .then_some((number, offset % page))
    }

    /// Number of UARs.
    pub fn uars(&self) -> usize {
        self.uars.len()
    }
}

/// Checks an access to a register, and returns an answer that repeats its data.
fn register_answer(id: u16, access: Access, data: &[u8]) -> Result<Vec<u8>, Refusal> {
    management::check(id, access, data)?;
    let mut answer = vec![0; register::DATA];
    answer.extend_from_slice(data);
    Ok(answer)
}

/// Returns the answer of a refused command.
pub fn refused(status: u8, syndrome: u32) -> Vec<u8> {
    let mut answer = vec![0; output::LEN];
    output::STATUS.set(&mut answer, status.into());
    output::SYNDROME.set(&mut answer, syndrome.into());
    answer
}

#[cfg(test)]
mod tests;
