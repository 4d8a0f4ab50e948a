// SPDX-License-Identifier: GPL-2.0-only

//! Pages of firmware components: the register MCDD.
//!
//! A component is burned or read back page by page. MCDD names two pages of the host by their DMA
//! addresses: the data, and a *mailbox* in which the firmware reports the end of the access, after
//! it has answered the command. A program writes the number of a page of its registered memory, and
//! the number of that memory, where the register has addresses. The mailbox is the third page.
//!
//! The firmware does not relate these accesses to the umem: destroying the umem does not end them,
//! and the program could write the mailbox itself, so it cannot show that they have ended. So the
//! firmware never gets addresses of the program's memory. The driver moves the data through two
//! separate pages, waits for the end of the access there, and copies the data and the mailbox to
//! the program's pages before it replies. A program that polls its mailbox finds the access
//! finished.

use fwctl::{
    Context,
    MemoryFlags,
    MemoryIds,
    Reply,
    Submission,
    Submitted, //
};
use kernel::{
    device,
    device::Bound,
    page::PAGE_SIZE,
    prelude::*,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};

use crate::{
    cmd::{
        AccessRegisterIn,
        OutHeader, //
    },
    core_dev::DevicePages,
    policy::READ,
    uctx::Uctx, //
};

/// The page of a program's memory that is its mailbox.
const MAILBOX: usize = 2;

/// The most bytes of one access.
const MAX_SIZE: usize = DevicePages::LEN;

/// Length of the register, without its header.
const REGISTER_LEN: usize = 0x20;

/// Length of what the firmware writes to the mailbox: the register, a status and an error.
const DESCRIPTOR_LEN: usize = 0x24;

/// Offset of the status in it.
const STATUS: usize = 0x20;

/// Where the register has addresses: of the data, then of the mailbox.
const ADDRESSES: core::ops::Range<usize> = 0x10..0x20;

/// The longest time that an access may take. The vendor's tools wait as long.
const TIMEOUT: Delta = Delta::from_secs(20);

/// Delay between two looks at the mailbox.
const PAUSE: Delta = Delta::from_millis(1);

/// The flags of a registration, as part of [`MemoryIds::private`].
pub(crate) fn private(pd: u32, flags: MemoryFlags) -> u64 {
    u64::from(pd) | u64::from(flags.contains(MemoryFlags::MCDD)) << 32
}

fn has_mcdd(ids: MemoryIds) -> bool {
    ids.private >> 32 & 1 != 0
}

/// What a register names.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    umem: u32,
    page: usize,
    size: usize,
}

impl Names {
    /// Parses the register. Fails with [`EBADMSG`] if it has anything but the numbers of a page
    /// and of registered memory, or is too short.
    fn of(register: &[u8]) -> Result<Self> {
        let word = |at: usize| {
            let bytes = register.get(at..)?.first_chunk()?;
            Some(u32::from_be_bytes(*bytes))
        };
        let words = [0x08, 0x10, 0x14, 0x18, 0x1c].map(word);
        let [Some(size), Some(0), Some(page), Some(0), Some(umem)] = words else {
            return Err(EBADMSG);
        };
        let size = (size & 0xffff) as usize;

        if size == 0 || size > MAX_SIZE || page as usize == MAILBOX {
            return Err(EBADMSG);
        }
        Ok(Self {
            umem,
            page: page as usize,
            size,
        })
    }
}

/// The pages through which the data move, for one access at a time.
pub(crate) struct Bounce {
    pages: Option<DevicePages>,
    /// Whether the firmware may still access the pages.
    is_busy: bool,
}

impl Bounce {
    pub(crate) const fn new() -> Self {
        Self {
            pages: None,
            is_busy: false,
        }
    }

    /// Returns the pages, allocated for the first access, with an empty mailbox.
    ///
    /// Fails with [`EBUSY`] if an access has not ended yet, and with [`ENOMEM`].
    fn begin(&mut self, device: &device::Device<Bound>) -> Result<&DevicePages> {
        if self.is_busy {
            self.is_busy = !self.pages.as_ref().is_some_and(has_ended);
        }
        if self.is_busy {
            return Err(EBUSY);
        }

        if self.pages.is_none() {
            self.pages = Some(DevicePages::new(device)?);
        }
        let pages = self.pages.as_ref().ok_or(ENOMEM)?;
        pages.write_mailbox(&[0; DESCRIPTOR_LEN]);
        Ok(pages)
    }
}

impl Drop for Bounce {
    fn drop(&mut self) {
        if let Some(pages) = self.pages.take() {
            if self.is_busy && !has_ended(&pages) {
                pr_err!("firmware did not end an access: two pages are lost\n");
                core::mem::forget(pages);
            }
        }
    }
}

/// Returns whether the mailbox says that the access has ended: 0 is unknown, 1 is busy.
fn has_ended(pages: &DevicePages) -> bool {
    pages.mailbox_byte(STATUS) > 1
}

impl Uctx {
    /// Carries out an access to MCDD, whose command is complete except for the addresses.
    ///
    /// Fails with [`EBADMSG`] if it does not name memory that the file has registered for that;
    /// with [`EAGAIN`] if the caller may not wait; like
    /// [`Share::take`](crate::slots::Share::take) if there is no slot; with [`EBUSY`] while the
    /// firmware does not end an earlier access, and [`ETIMEDOUT`] if it does not end this one; with
    /// [`ENOMEM`]; and with the error of `mlx5_core` if the firmware does not answer.
    pub(crate) fn access_component<'rpc>(
        self: Pin<&Self>,
        cx: &Context<'_, '_, Self>,
        mut rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        const HEADER: usize = size_of::<AccessRegisterIn>();

        let function = cx.data();
        let (access, register) = AccessRegisterIn::of(rpc.request())?;
        let is_read = access.op_mod.get() == READ;
        let names = Names::of(register)?;
        let memory = cx.memory(self, names.umem).map_err(|_| EBADMSG)?;
        if !has_mcdd(memory.ids())
            || memory.len() <= MAILBOX * PAGE_SIZE
            || names.page >= memory.len() / PAGE_SIZE
        {
            return Err(EBADMSG);
        }
        if !rpc.may_wait() {
            return Err(EAGAIN);
        }

        let _slot = function.rpcs.take(cx, &function.core_dev, true)?;
        let mut reply = Reply::zeroed(rpc.out_len())?;
        let mut data = KVVec::with_capacity(names.size, GFP_KERNEL)?;
        data.resize(names.size, 0, GFP_KERNEL)?;
        let mut bounce = function.bounce.lock();
        let pages = bounce.begin(function.core_dev.dma_device())?;

        if !is_read {
            memory.read(names.page * PAGE_SIZE, &mut data)?;
            pages.write_data(&data);
        }
        let request = rpc.request_mut();
        let addresses = request
            .get_mut(HEADER..)
            .and_then(|register| register.get_mut(ADDRESSES))
            .ok_or(EBADMSG)?;
        let mut named = [0; ADDRESSES.end - ADDRESSES.start];
        named.copy_from_slice(addresses);
        addresses[..8].copy_from_slice(&pages.data_address().to_be_bytes());
        addresses[8..].copy_from_slice(&pages.mailbox_address().to_be_bytes());
        let answered = function.core_dev.execute(request, &mut reply);
        // Programs do not learn addresses.
        if let Some(addresses) = request[HEADER..].get_mut(ADDRESSES) {
            addresses.copy_from_slice(&named);
        }
        if let Some(register) = reply.get_mut(HEADER..) {
            let len = register.len().min(ADDRESSES.end);

            if let Some(addresses) = register.get_mut(ADDRESSES.start..len) {
                addresses.copy_from_slice(&named[..addresses.len()]);
            }
        }
        if let Err(error) = answered {
            // The firmware may have begun the access, or do so later.
            bounce.is_busy = true;
            return Err(error);
        }
        if OutHeader::of(&reply)?.status != 0 {
            return Ok(rpc.reply(reply));
        }

        // Not for longer if the caller was killed or the device is being unbound: the firmware
        // accesses the pages in any case.
        let start = Instant::<Monotonic>::now();
        while !has_ended(pages) {
            if start.elapsed() > TIMEOUT {
                bounce.is_busy = true;
                return Err(ETIMEDOUT);
            }
            fsleep(PAUSE);
        }
        if is_read {
            pages.read_data(&mut data);
            memory.write(names.page * PAGE_SIZE, &data)?;
        }
        // Last: a program that looks at the status finds the data.
        let mut descriptor = [0; DESCRIPTOR_LEN];
        pages.read_mailbox(&mut descriptor);
        descriptor[ADDRESSES].copy_from_slice(&named);
        memory.write(MAILBOX * PAGE_SIZE, &descriptor)?;
        Ok(rpc.reply(reply))
    }
}

const _: () = assert!(ADDRESSES.end == REGISTER_LEN && REGISTER_LEN == STATUS);

#[kunit_tests(mlx5_fwctl_component)]
mod tests {
    use super::*;

    /// A register with these words from 0x08 on.
    fn register(words: [u32; 6]) -> [u8; REGISTER_LEN] {
        let mut register = [0; REGISTER_LEN];

        for (to, word) in register[8..].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        register
    }

    #[test]
    fn registers_name_pages_by_number() {
        assert_eq!(
            Names::of(&register([0x80, 0, 0, 1, 0, 7])),
            Ok(Names {
                umem: 7,
                page: 1,
                size: 0x80
            })
        );
        // The upper half of the size is reserved.
        assert!(Names::of(&register([0xffff_1000, 0, 0, 0, 0, 7])).is_ok());
        for words in [
            [0, 0, 0, 1, 0, 7],
            [0x1001, 0, 0, 1, 0, 7],
            [0xffff, 0, 0, 1, 0, 7],
            [0x80, 0, 1, 1, 0, 7],
            [0x80, 0, 0, 1, 1, 7],
            [0x80, 0, 0, 2, 0, 7],
        ] {
            assert_eq!(Names::of(&register(words)), Err(EBADMSG));
        }
        let whole = register([0x80, 0, 0, 1, 0, 7]);
        for len in 0..REGISTER_LEN {
            assert_eq!(Names::of(&whole[..len]), Err(EBADMSG));
        }
    }

    #[test]
    fn flags_and_domains_share_a_word() {
        let ids = |pd, flags| MemoryIds {
            umem: 1,
            mkey: 2,
            private: private(pd, flags),
        };

        assert!(has_mcdd(ids(0xff_ffff, MemoryFlags::MCDD)));
        assert!(!has_mcdd(ids(0xff_ffff, MemoryFlags::MKEY)));
        // CAST: As in `remove_umem()`.
        assert_eq!(ids(0xab_cdef, MemoryFlags::MCDD).private as u32, 0xab_cdef);
    }
}
