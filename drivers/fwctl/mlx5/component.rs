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

use core::mem;

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
    new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        SetOnce,
        SpinLock, //
    },
    task::Pid,
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
    core_dev::{
        debug,
        AsyncCommand,
        DevicePages, //
    },
    policy::READ,
    slots::Slot,
    uctx::{
        Uctx,
        UidInUse, //
    }, //
};

/// The page of a program's memory that is its mailbox.
const MAILBOX: usize = 2;

/// The most bytes of one access.
const MAX_SIZE: usize = DevicePages::LEN;

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

/// The answer to the command of an access: its output, or an error if the firmware did not answer.
type Answer = SetOnce<Result<Reply>>;

/// The command of an access.
struct AccessCommand {
    request: Reply,
    output: Reply,
    answer: Arc<Answer>,
    device: ARef<fwctl::Device>,
    log_device: ARef<device::Device>,
    opcode: u16,
    pid: Pid,
    uid: UidInUse,
    _slot: Slot,
}

impl AsyncCommand for AccessCommand {
    fn request(&mut self) -> &mut [u8] {
        &mut self.request
    }

    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn done(this: KBox<Self>, result: Result) {
        let this = KBox::into_inner(this);
        let answer = result.and_then(|()| OutHeader::answer(&this.output));

        debug(
            &this.log_device,
            this.pid,
            this.uid.number(),
            this.opcode,
            answer,
        );
        this.answer.populate(result.map(|()| this.output));
        this.device.notify();
    }
}

/// The pages through which the data move, for one access at a time.
#[pin_data(PinnedDrop)]
pub(crate) struct Bounce {
    #[pin]
    state: SpinLock<State>,
}

struct State {
    /// Allocated for the first access. A caller has them during its access.
    pages: Option<KBox<DevicePages>>,
    user: User,
}

/// The user of the pages.
enum User {
    Nobody,
    /// A caller, which waits for the end of its access.
    Caller,
    /// Possibly the firmware, after the caller has left. The answer shows whether it does.
    Firmware(Arc<Answer>),
}

impl State {
    /// Returns whether the firmware may still access the pages after the caller has left.
    fn is_left(&self) -> bool {
        let (User::Firmware(answer), Some(pages)) = (&self.user, &self.pages) else {
            return false;
        };

        match SetOnce::as_ref(answer) {
            // A refused access does not begin.
            Some(Ok(output)) if is_refusal(output) => false,
            // If the command timed out, the firmware may execute it later.
            _ => !has_ended(pages),
        }
    }
}

impl Bounce {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_spinlock!(
                State {
                    pages: None,
                    user: User::Nobody,
                },
                "mlx5_fwctl::bounce"
            ),
        })
    }

    /// Waits for the end of the access of another caller, and begins one.
    ///
    /// Fails with [`EBUSY`] if the firmware has not ended an access whose caller has left, and like
    /// [`Context::wait`].
    fn begin(&self, cx: &Context<'_, '_, Uctx>) -> Result<Access<'_>> {
        let mut begun = Ok(());
        let mut pages = None;
        // Dropped without the lock.
        let mut before = User::Nobody;

        cx.wait(|| {
            let mut state = self.state.lock();

            if matches!(state.user, User::Caller) {
                return false;
            }
            begun = if state.is_left() {
                Err(EBUSY)
            } else {
                before = mem::replace(&mut state.user, User::Caller);
                pages = state.pages.take();
                Ok(())
            };
            true
        })?;
        begun?;

        Ok(Access {
            bounce: self,
            device: cx.handle(),
            pages,
            left: None,
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Bounce {
    fn drop(self: Pin<&mut Self>) {
        let mut state = self.state.lock();

        if state.is_left() {
            pr_err!("firmware did not end an access: two pages are lost\n");
            if let Some(pages) = state.pages.take() {
                fwctl::leak(pages);
            }
        }
    }
}

/// An access of a caller, which uses the pages alone until it is dropped.
struct Access<'a> {
    bounce: &'a Bounce,
    device: ARef<fwctl::Device>,
    pages: Option<KBox<DevicePages>>,
    /// The answer, if the firmware may access the pages after the caller has left.
    left: Option<Arc<Answer>>,
}

impl Access<'_> {
    /// Allocates the pages for the first access, and empties the mailbox. Fails with [`ENOMEM`].
    fn prepare(&mut self, device: &device::Device<Bound>) -> Result {
        let pages = match self.pages.take() {
            Some(pages) => pages,
            None => KBox::new(DevicePages::new(device)?, GFP_KERNEL)?,
        };

        pages.write_mailbox(&[0; DESCRIPTOR_LEN]);
        self.pages = Some(pages);
        Ok(())
    }
}

impl Drop for Access<'_> {
    fn drop(&mut self) {
        let mut state = self.bounce.state.lock();

        state.pages = self.pages.take();
        state.user = self.left.take().map_or(User::Nobody, User::Firmware);
        drop(state);
        self.device.notify();
    }
}

/// Returns whether the firmware refused the command with this output.
fn is_refusal(output: &[u8]) -> bool {
    OutHeader::answer(output).is_ok_and(|(status, _)| status != 0)
}

/// Returns whether the mailbox says that the access has ended: 0 is unknown, 1 is busy.
fn has_ended(pages: &DevicePages) -> bool {
    pages.mailbox_byte(STATUS) > 1
}

impl Uctx {
    /// Carries out an access to MCDD, whose command is complete except for the addresses.
    ///
    /// A caller that is killed, or whose device is being unregistered, does not wait for the
    /// firmware, which may still access the pages of the driver. They are not used again before the
    /// access has ended.
    ///
    /// Fails with [`EBADMSG`] if the command does not name memory that the file has registered for
    /// that; with [`EAGAIN`] if the caller may not wait; like
    /// [`Share::take`](crate::slots::Share::take) if there is no slot; with [`EBUSY`] while the
    /// firmware does not end an earlier access, and [`ETIMEDOUT`] if it does not end this one; with
    /// [`ENOMEM`]; with the error of `mlx5_core` if the firmware does not answer; and like
    /// [`Context::wait`].
    pub(crate) fn access_component<'rpc>(
        self: Pin<&Self>,
        cx: &Context<'_, '_, Self>,
        rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        const HEADER: usize = size_of::<AccessRegisterIn>();

        let function = cx.data();
        let (header, register) = AccessRegisterIn::of(rpc.request())?;
        let is_read = header.op_mod.get() == READ;
        let opcode = header.opcode.get();
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

        let slot = function.rpcs.take(cx, &function.core_dev, true)?;
        let mut reply = Reply::zeroed(rpc.out_len())?;
        let mut data = KVVec::with_capacity(names.size, GFP_KERNEL)?;
        data.resize(names.size, 0, GFP_KERNEL)?;
        let mut access = function.bounce.begin(cx)?;
        access.prepare(function.core_dev.dma_device())?;
        let pages = access.pages.as_ref().ok_or(ENOMEM)?;

        if !is_read {
            memory.read(names.page * PAGE_SIZE, &mut data)?;
            pages.write_data(&data);
        }
        let mut request = Reply::copy_of(rpc.request())?;
        let addresses = addresses_in(&mut request, HEADER).ok_or(EBADMSG)?;
        let mut named = [0; ADDRESSES.end - ADDRESSES.start];
        named.copy_from_slice(addresses);
        addresses[..8].copy_from_slice(&pages.data_address().to_be_bytes());
        addresses[8..].copy_from_slice(&pages.mailbox_address().to_be_bytes());

        let answer = Arc::new(Answer::new(), GFP_KERNEL)?;
        let command = KBox::new(
            AccessCommand {
                request,
                output: Reply::zeroed(rpc.out_len())?,
                answer: answer.clone(),
                device: cx.handle(),
                log_device: cx.device().into(),
                opcode,
                pid: current!().pid(),
                uid: self.uid_for_command(),
                _slot: slot,
            },
            GFP_KERNEL,
        )?;
        function
            .begin(cx, command, true)
            .map_err(|(error, _)| error)?;

        access.left = Some(answer.clone());
        let mut output = None;
        cx.wait(|| {
            output = SetOnce::as_ref(&answer);
            output.is_some()
        })?;
        match output {
            Some(Ok(output)) => reply.copy_from_slice(output),
            Some(Err(error)) => return Err(*error),
            None => return Err(EINTR),
        }
        // Programs do not learn addresses.
        if let Some(addresses) = addresses_in(&mut reply, HEADER) {
            addresses.copy_from_slice(&named[..addresses.len()]);
        }
        if is_refusal(&reply) {
            return Ok(rpc.reply(reply));
        }

        let start = Instant::<Monotonic>::now();
        while !has_ended(pages) {
            cx.check()?;
            if start.elapsed() > TIMEOUT {
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

/// Returns the addresses of the register after `header` bytes, as far as `bytes` has them.
fn addresses_in(bytes: &mut [u8], header: usize) -> Option<&mut [u8]> {
    let register = bytes.get_mut(header..)?;
    let len = register.len().min(ADDRESSES.end);

    register.get_mut(ADDRESSES.start..len)
}

// The addresses are the end of the register, which the status follows.
const _: () = assert!(ADDRESSES.end == STATUS);

#[kunit_tests(mlx5_fwctl_component)]
mod tests {
    use super::*;

    /// A register with these words from 0x08 on.
    fn register(words: [u32; 6]) -> [u8; STATUS] {
        let mut register = [0; STATUS];

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
        for len in 0..STATUS {
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
