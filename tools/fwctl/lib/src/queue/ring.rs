// SPDX-License-Identifier: MIT OR Apache-2.0

//! FWCTL_RPC by io_uring: IORING_OP_URING_CMD with the struct of the ioctl.
//!
//! # Safety argument
//!
//! The kernel reads and writes the memory of an operation from the submission of its SQE until its
//! CQE has been read. All of that memory, the ioctl's struct and both buffers, is on the heap in
//! an [`Op`], which is owned through a raw pointer in [`Ops`]. It is freed in [`Ops::take`] only,
//! when the CQE has been read. A ring that is dropped with operations in flight moves to a thread
//! that waits for their CQEs; one that is forgotten, or for which there is no thread, leaks them.
//! No borrow is involved, so nothing depends on a destructor.

use super::{Call, Ended, NoRing, Until};
use crate::transport::Node;
use fwctl_uapi::{FwctlInfo, FwctlRpc, FWCTL_INFO, FWCTL_RPC};
use io_uring::squeue::Entry;
use io_uring::{opcode, types, IoUring};
use std::collections::HashMap;
use std::io;
use std::mem::{size_of, ManuallyDrop};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::{addr_of_mut, NonNull};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// `user_data` of requests that cancel others. No ticket has this number.
const CANCEL: u64 = 0;

/// `user_data` of the trial. No ticket is that high.
const TRIAL: u64 = u64::MAX;

/// Limit for the answer to the trial, which asks only the driver.
const TRIAL_LIMIT: Duration = Duration::from_secs(2);

/// The memory that one request gives to the kernel.
struct Op {
    rpc: FwctlRpc,
    info: FwctlInfo,
    request: Vec<u8>,
    reply: Vec<u8>,
}

/// The operations in flight.
#[derive(Default)]
struct Ops(HashMap<u64, NonNull<Op>>);

// SAFETY: An `Op` is plain memory without a tie to a thread, and `Ops` is its only owner besides
// the kernel.
unsafe impl Send for Ops {}

impl Ops {
    /// Stores an operation until its CQE is read. The pointer is valid until then.
    fn put(&mut self, id: u64, op: Op) -> NonNull<Op> {
        let op = NonNull::from(Box::leak(Box::new(op)));
        let old = self.0.insert(id, op);
        debug_assert!(old.is_none(), "tickets are unique");
        op
    }

    /// Frees an operation.
    ///
    /// # Safety
    ///
    /// The kernel does not use the operation: its CQE has been read, or its SQE was never pushed.
    unsafe fn take(&mut self, id: u64) -> Option<Box<Op>> {
        let op = self.0.remove(&id)?;
        // SAFETY: The pointer is from `Box::leak` in `put`, and was removed from the map, so this
        // is the only owner: the caller vouches for the kernel.
        Some(unsafe { Box::from_raw(op.as_ptr()) })
    }
}

/// Makes the SQE of an operation. The pointer is valid until the CQE is read.
type MakeEntry = fn(RawFd, u32, NonNull<Op>) -> Entry;

pub(super) struct Ring {
    inner: ManuallyDrop<Inner>,
}

struct Inner {
    // Declared before the ring: nothing of it is touched when it is dropped.
    ops: Ops,
    ring: IoUring,
    /// Open while an SQE that names it may be submitted.
    fd: OwnedFd,
    make_entry: MakeEntry,
}

impl Ring {
    /// Creates a ring, and tries it on the node with FWCTL_INFO.
    pub(super) fn new(node: &Node, depth: usize) -> Result<Ring, NoRing> {
        let mut ring = Ring::on(node.as_fd(), depth, command)?;
        ring.inner.try_info().map_err(NoRing::Refused)?;
        Ok(ring)
    }

    fn on(fd: BorrowedFd<'_>, depth: usize, make_entry: MakeEntry) -> Result<Ring, NoRing> {
        let fd = fd.try_clone_to_owned().map_err(NoRing::Setup)?;
        // Enough for a cancellation of each.
        let entries = 2 * depth.next_power_of_two() as u32;
        let ring = IoUring::new(entries).map_err(NoRing::Setup)?;
        if !ring.params().is_feature_nodrop() {
            return Err(NoRing::TooOld("IORING_FEAT_NODROP"));
        }
        if !ring.params().is_feature_ext_arg() {
            return Err(NoRing::TooOld("IORING_FEAT_EXT_ARG"));
        }
        let inner = Inner {
            ops: Ops::default(),
            ring,
            fd,
            make_entry,
        };
        Ok(Ring {
            inner: ManuallyDrop::new(inner),
        })
    }

    pub(super) fn start(&mut self, id: u64, call: Call) -> io::Result<()> {
        let rpc = FwctlRpc {
            size: size_of::<FwctlRpc>() as u32,
            scope: call.scope.number(),
            ..FwctlRpc::default()
        };
        let op = Op {
            rpc,
            info: FwctlInfo::default(),
            request: call.request,
            reply: call.reply,
        };
        self.inner.start(id, FWCTL_RPC, op)
    }

    pub(super) fn submit(&mut self) -> io::Result<()> {
        self.inner.submit()
    }

    /// Asks the kernel to end a request, which then ends with ECANCELED or with its own result.
    pub(super) fn cancel(&mut self, id: u64) {
        self.inner.cancel(id);
    }

    pub(super) fn reap(&mut self, until: Until) -> io::Result<Vec<Ended>> {
        self.inner.reap(until)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: `inner` is not used again.
        let mut inner = unsafe { ManuallyDrop::take(&mut self.inner) };
        for id in inner.ops.0.keys().copied().collect::<Vec<_>>() {
            inner.cancel(id);
        }
        let _ = inner.outlive();
    }
}

impl Inner {
    fn start(&mut self, id: u64, number: u32, op: Op) -> io::Result<()> {
        let op = self.ops.put(id, op);
        let at = op.as_ptr();
        // SAFETY: `at` is valid, and nothing else uses the operation before it is pushed. The
        // buffers of the vectors do not move until `Ops::take`.
        unsafe {
            (*at).rpc.in_len = length((*at).request.len());
            (*at).rpc.in_ = (*at).request.as_ptr() as u64;
            (*at).rpc.out_len = length((*at).reply.len());
            (*at).rpc.out = (*at).reply.as_mut_ptr() as u64;
        }
        let entry = (self.make_entry)(self.fd.as_raw_fd(), number, op).user_data(id);
        if let Err(error) = self.push(&entry) {
            // SAFETY: It was not pushed.
            drop(unsafe { self.ops.take(id) });
            return Err(error);
        }
        Ok(())
    }

    fn push(&mut self, entry: &Entry) -> io::Result<()> {
        if self.ring.submission().is_full() {
            self.submit()?;
        }
        // SAFETY: What the entry points to is an operation in `ops`, which stays valid until its
        // CQE has been read; or the entry points to nothing.
        unsafe { self.ring.submission().push(entry) }
            .map_err(|_| io::Error::from_raw_os_error(libc::EBUSY))
    }

    fn submit(&mut self) -> io::Result<()> {
        // An entry that is not accepted stops the submission of those behind it.
        while !self.ring.submission().is_empty() {
            match self.ring.submit() {
                Ok(_) => {}
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn cancel(&mut self, id: u64) {
        let entry = opcode::AsyncCancel::new(id).build().user_data(CANCEL);
        // Without the cancellation the request ends later.
        let _ = self.push(&entry).and_then(|()| self.submit());
    }

    /// Waits for one CQE or the time; takes all that are there.
    fn reap(&mut self, until: Until) -> io::Result<Vec<Ended>> {
        loop {
            let mut ended = Vec::new();
            while let Some((id, result)) = self.next_cqe() {
                // SAFETY: Its CQE has been read. A request has only one: IORING_CQE_F_MORE is for
                // multishot requests, which this file does not make.
                let Some(op) = (unsafe { self.ops.take(id) }) else {
                    continue;
                };
                let result = match result {
                    0.. => Ok(op.rpc.out_len),
                    errno => Err(io::Error::from_raw_os_error(-errno)),
                };
                let reply = op.reply;
                ended.push(Ended { id, reply, result });
            }
            if !ended.is_empty() || until.is_over() {
                return Ok(ended);
            }
            self.wait(until)?;
        }
    }

    /// Keeps the ring until all requests have ended, in a thread if that is not yet so.
    fn outlive(mut self) -> Option<JoinHandle<()>> {
        let _ = self.reap(Until::Now);
        if self.ops.0.is_empty() {
            return None;
        }
        // If there is no thread, the closure is dropped, and the operations are leaked: `Ops` frees
        // none by itself.
        let wait = move || while !self.ops.0.is_empty() && self.reap(Until::Ever).is_ok() {};
        thread::Builder::new().spawn(wait).ok()
    }

    fn next_cqe(&mut self) -> Option<(u64, i32)> {
        let entry = self.ring.completion().next()?;
        Some((entry.user_data(), entry.result()))
    }

    /// Waits for a CQE or the time.
    fn wait(&self, until: Until) -> io::Result<()> {
        let waited = match until.left() {
            None => self.ring.submit_and_wait(1),
            Some(left) => {
                let time = types::Timespec::from(left);
                let args = types::SubmitArgs::new().timespec(&time);
                self.ring.submitter().submit_with_args(1, &args)
            }
        };
        match waited {
            Ok(_) => Ok(()),
            Err(error) if is_transient(&error) || error.raw_os_error() == Some(libc::ETIME) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// FWCTL_INFO without a buffer for the driver's data.
    fn try_info(&mut self) -> io::Result<()> {
        let info = FwctlInfo {
            size: size_of::<FwctlInfo>() as u32,
            ..FwctlInfo::default()
        };
        let op = Op {
            rpc: FwctlRpc::default(),
            info,
            request: Vec::new(),
            reply: Vec::new(),
        };
        self.start(TRIAL, FWCTL_INFO, op)?;
        self.submit()?;
        let end = Instant::now() + TRIAL_LIMIT;
        match self.reap(Until::Time(end))?.pop() {
            Some(ended) => ended.result.map(drop),
            None => Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
        }
    }
}

/// A signal, or a lack of memory or completion slots that ends by itself.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
    )
}

/// The kernel refuses longer messages than [`crate::MAX_RPC_LEN`], and so does `Queue::begin`.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The SQE of a fwctl command.
///
/// The opcode's type in the crate has no `addr` in the version of Debian 13, so it is written into
/// the finished SQE.
fn command(fd: RawFd, number: u32, op: NonNull<Op>) -> Entry {
    const { assert!(size_of::<Entry>() == 64) };
    /// Place of `addr` in `struct io_uring_sqe`.
    const ADDR: usize = 16;
    let op = op.as_ptr();
    // SAFETY: The operation is valid, and only addresses of its fields are computed.
    let argument = unsafe {
        match number {
            FWCTL_INFO => addr_of_mut!((*op).info) as u64,
            _ => addr_of_mut!((*op).rpc) as u64,
        }
    };
    let mut entry = opcode::UringCmd16::new(types::Fd(fd), number).build();
    // SAFETY: The crate copies an `Entry` into the ring as it is, so it is a struct io_uring_sqe,
    // whose bytes 16 to 23 are `addr`; all values are valid.
    unsafe {
        addr_of_mut!(entry)
            .cast::<u8>()
            .add(ADDR)
            .cast::<[u8; 8]>()
            .write(argument.to_ne_bytes());
    }
    // `len` stays 0: the struct has its own size.
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;
    use std::fs::File;
    use std::io::{Read, Write};

    /// A read of a pipe in the place of an RPC: it ends when the test writes, or is cancelled.
    fn read(fd: RawFd, _: u32, op: NonNull<Op>) -> Entry {
        // SAFETY: The operation is valid until the CQE is read.
        let reply = unsafe { &mut (*op.as_ptr()).reply };
        opcode::Read::new(types::Fd(fd), reply.as_mut_ptr(), reply.len() as u32).build()
    }

    fn call(reply_len: usize) -> Call {
        Call {
            scope: Scope::Configuration,
            request: vec![1, 2, 3],
            reply: vec![0; reply_len],
        }
    }

    fn pipe() -> (File, File) {
        use std::os::fd::FromRawFd;
        let mut fds = [0; 2];
        // SAFETY: pipe2() writes two descriptors, which are owned here.
        let (read, write) = unsafe {
            assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0);
            (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
        };
        (read.into(), write.into())
    }

    /// A ring on a pipe; none where io_uring is forbidden, as in many containers.
    fn ring(on: &File) -> Option<Ring> {
        match Ring::on(on.as_fd(), 4, read) {
            Ok(ring) => Some(ring),
            Err(why) => {
                eprintln!("skipped: {why}");
                None
            }
        }
    }

    fn soon() -> Until {
        Until::Time(Instant::now() + Duration::from_secs(30))
    }

    #[test]
    fn an_entry_is_a_command_with_the_address_of_its_struct() {
        let op = Ops::default().put(
            1,
            Op {
                rpc: FwctlRpc::default(),
                info: FwctlInfo::default(),
                request: Vec::new(),
                reply: Vec::new(),
            },
        );
        let entry = command(7, FWCTL_RPC, op).user_data(9);
        // SAFETY: An Entry is 64 bytes of plain data, see `command`.
        let bytes: [u8; 64] = unsafe { std::mem::transmute_copy(&entry) };
        let mut expected = [0; 64];
        expected[0] = 46; // IORING_OP_URING_CMD
        expected[4..8].copy_from_slice(&7i32.to_ne_bytes());
        expected[8..12].copy_from_slice(&0x9a01u32.to_ne_bytes());
        // SAFETY: The operation is valid.
        let rpc = unsafe { addr_of_mut!((*op.as_ptr()).rpc) as u64 };
        expected[16..24].copy_from_slice(&rpc.to_ne_bytes());
        expected[32..40].copy_from_slice(&9u64.to_ne_bytes());
        assert_eq!(bytes, expected);
        // SAFETY: It was never pushed.
        drop(unsafe { Box::from_raw(op.as_ptr()) });
    }

    #[test]
    fn requests_end_in_any_number_and_keep_their_buffers() {
        let (from, mut to) = pipe();
        let Some(mut ring) = ring(&from) else { return };
        ring.start(1, call(2)).unwrap();
        ring.start(2, call(2)).unwrap();
        ring.submit().unwrap();
        assert!(ring.reap(Until::Now).unwrap().is_empty());
        to.write_all(&[1, 2, 3, 4]).unwrap();
        let mut all = Vec::new();
        while all.len() < 2 {
            let some = ring.reap(soon()).unwrap();
            assert!(!some.is_empty(), "no answer");
            all.extend(some);
        }
        let mut bytes: Vec<u8> = all.into_iter().flat_map(|ended| ended.reply).collect();
        bytes.sort();
        assert_eq!(bytes, [1, 2, 3, 4]);
        assert!(ring.inner.ops.0.is_empty());
    }

    #[test]
    fn a_cancelled_request_ends_and_a_wait_has_a_limit() {
        let (from, _to) = pipe();
        let Some(mut ring) = ring(&from) else { return };
        ring.start(1, call(2)).unwrap();
        ring.submit().unwrap();
        let time = Instant::now() + Duration::from_millis(20);
        assert!(ring.reap(Until::Time(time)).unwrap().is_empty());
        assert!(Instant::now() >= time);
        ring.cancel(1);
        let ended = ring.reap(soon()).unwrap();
        let [Ended { result: Err(e), .. }] = ended.as_slice() else {
            panic!("{}", ended.len())
        };
        assert!(matches!(
            e.raw_os_error(),
            Some(libc::ECANCELED | libc::EINTR)
        ));
    }

    #[test]
    fn more_requests_than_entries() {
        let (from, mut to) = pipe();
        let Some(mut ring) = ring(&from) else { return };
        // The SQ has 8 entries; the CQ has 16.
        for id in 1..=40 {
            ring.start(id, call(1)).unwrap();
        }
        ring.submit().unwrap();
        to.write_all(&[7; 40]).unwrap();
        let mut count = 0;
        while count < 40 {
            let some = ring.reap(soon()).unwrap().len();
            assert!(some > 0, "no answer after {count}");
            count += some;
        }
    }

    #[test]
    fn requests_that_cannot_be_cancelled_keep_their_ring() {
        let (from, mut to) = pipe();
        let Some(mut ring) = ring(&from) else { return };
        ring.start(1, call(4096)).unwrap();
        ring.submit().unwrap();
        // SAFETY: The ring is forgotten.
        let inner = unsafe { ManuallyDrop::take(&mut ring.inner) };
        std::mem::forget(ring);
        let thread = inner.outlive().expect("the request is in flight");
        thread::sleep(Duration::from_millis(20));
        assert!(!thread.is_finished());
        to.write_all(&[5; 4096]).unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn dropping_a_ring_cancels_its_requests() {
        let (from, mut to) = pipe();
        let Some(mut ring) = ring(&from) else { return };
        ring.start(1, call(4)).unwrap();
        ring.submit().unwrap();
        drop(ring);
        // The cancelled read is not there to take it.
        thread::sleep(Duration::from_millis(20));
        to.write_all(&[1, 2, 3, 4]).unwrap();
        let mut bytes = [0; 4];
        (&from).read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [1, 2, 3, 4]);
    }

    #[test]
    fn a_ring_that_is_forgotten_leaks_its_buffers() {
        let (from, mut to) = pipe();
        let Some(mut ring) = ring(&from) else { return };
        ring.start(1, call(4096)).unwrap();
        ring.submit().unwrap();
        let at = ring.inner.ops.0[&1];
        std::mem::forget(ring);
        to.write_all(&[5; 4096]).unwrap();
        // SAFETY: The operation was leaked, so it is valid for ever.
        let byte = || unsafe { (*at.as_ptr()).reply.as_ptr().add(4095).read_volatile() };
        let end = Instant::now() + Duration::from_secs(30);
        while byte() != 5 {
            assert!(Instant::now() < end, "the kernel did not write");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// /dev/null takes any command since Linux 6.16, and other files take none.
    #[test]
    fn a_node_without_commands_is_refused() {
        let (from, _to) = pipe();
        match Ring::new(&Node(from), 4) {
            Err(NoRing::Refused(error)) => {
                assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
            }
            Err(why @ (NoRing::Setup(_) | NoRing::TooOld(_))) => eprintln!("skipped: {why}"),
            Err(why) => panic!("{why}"),
            Ok(_) => panic!("a pipe took FWCTL_INFO"),
        }
    }
}
