// SPDX-License-Identifier: GPL-2.0-only

//! Wait queues.
//!
//! A wait queue lets tasks sleep until a condition holds. Unlike a [`CondVar`] it needs no lock:
//! the condition is usually an atomic variable.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)
//!
//! [`CondVar`]: kernel::sync::CondVar

use core::{
    marker::PhantomPinned,
    pin::Pin, //
};

use kernel::{
    bindings,
    prelude::*,
    sync::LockClassKey,
    task::{
        MAX_SCHEDULE_TIMEOUT,
        TASK_INTERRUPTIBLE,
        TASK_NORMAL,
        TASK_UNINTERRUPTIBLE, //
    },
    time::Jiffies,
    types::Opaque, //
};

/// A wait queue, `wait_queue_head_t`.
///
/// Whatever makes a condition true has to call [`WaitQueue::wake_all`] afterwards.
#[pin_data]
pub struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: A wait queue can be used from any thread.
unsafe impl Send for WaitQueue {}
// SAFETY: A wait queue contains the spinlock that protects it.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// Creates an initialiser; `name` and `key` are for lockdep.
    pub fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY:
            // - `slot` is valid for writes and pinned.
            // - `name` and `key` are static.
            head <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr())
            }),
            _pin: PhantomPinned,
        })
    }

    /// Returns the C structure.
    pub fn as_raw(&self) -> *mut bindings::wait_queue_head {
        self.head.get()
    }

    /// Wakes all waiters, which then check their conditions again.
    ///
    /// Can be called in any context.
    pub fn wake_all(&self) {
        // SAFETY: `head` is initialised.
        unsafe {
            bindings::__wake_up(self.head.get(), TASK_NORMAL, 0, core::ptr::null_mut());
        }
    }

    /// Sleeps until `condition` returns `true`, whatever signals arrive.
    ///
    /// `condition` must not sleep.
    pub fn wait(&self, condition: impl FnMut() -> bool) {
        // Without a signal and without a limit, there is only one way to end.
        let _ = self.sleep(TASK_UNINTERRUPTIBLE, MAX_SCHEDULE_TIMEOUT, condition);
    }

    /// Sleeps until `condition` returns `true`, for at most `timeout` jiffies.
    ///
    /// Returns whether the condition became true. Fails with [`EINTR`] if the task is killed.
    /// `condition` must not sleep.
    pub fn wait_killable(
        &self,
        timeout: Option<Jiffies>,
        condition: impl FnMut() -> bool,
    ) -> Result<bool> {
        // CAST: The states of a task are small numbers.
        self.sleep(bindings::TASK_KILLABLE as c_int, limit(timeout), condition)
    }

    /// Like [`WaitQueue::wait_killable`], but fails with [`EINTR`] on any signal.
    pub fn wait_interruptible(
        &self,
        timeout: Option<Jiffies>,
        condition: impl FnMut() -> bool,
    ) -> Result<bool> {
        self.sleep(TASK_INTERRUPTIBLE, limit(timeout), condition)
    }

    fn sleep(
        &self,
        state: c_int,
        timeout: c_long,
        mut condition: impl FnMut() -> bool,
    ) -> Result<bool> {
        // Not `&mut condition`: a closure that changes nothing it captures is compiled for `Fn`,
        // and kCFI stops a call of it through `dyn FnMut`. A reference to it is compiled for
        // `FnMut`.
        self.sleep_until(state, timeout, &mut &mut condition)
    }

    fn sleep_until(
        &self,
        state: c_int,
        mut timeout: c_long,
        condition: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        if condition() {
            return Ok(true);
        }

        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is valid for writes.
        unsafe { bindings::init_wait_entry(entry.get(), 0) };

        let result = loop {
            // SAFETY:
            // - `head` is initialised.
            // - `entry` is initialised. It does not move, and leaves the queue below.
            let interrupted =
                unsafe { bindings::prepare_to_wait_event(self.head.get(), entry.get(), state) };

            if condition() {
                break Ok(true);
            }
            if interrupted != 0 {
                break Err(EINTR);
            }
            if timeout == 0 {
                break Ok(false);
            }
            // SAFETY: The state of the task was set by `prepare_to_wait_event()`.
            timeout = unsafe { bindings::schedule_timeout(timeout) };
        };

        // SAFETY: Both are initialised, and `entry` was only ever queued to `head`.
        unsafe { bindings::finish_wait(self.head.get(), entry.get()) };
        result
    }
}

/// Returns the argument of `schedule_timeout()`.
fn limit(timeout: Option<Jiffies>) -> c_long {
    match timeout {
        // A limit too far away to be expressed is no limit.
        Some(jiffies) => jiffies.try_into().unwrap_or(MAX_SCHEDULE_TIMEOUT),
        None => MAX_SCHEDULE_TIMEOUT,
    }
}

#[kunit_tests(rust_wait_queue)]
mod tests {
    use super::*;
    use kernel::sync::static_lock_class;

    fn queue() -> Result<Pin<KBox<WaitQueue>>> {
        KBox::pin_init(WaitQueue::new(c"test", static_lock_class!()), GFP_KERNEL)
    }

    // Under kCFI these are calls of three different types.
    #[test]
    fn conditions_of_each_kind() -> Result {
        fn is_true() -> bool {
            true
        }
        let queue = queue()?;
        let mut calls = 0;

        queue.wait(is_true);
        queue.wait(|| queue.as_raw() == queue.as_raw());
        queue.wait(|| {
            calls += 1;
            calls > 0
        });
        assert_eq!(calls, 1);
        Ok(())
    }

    #[test]
    fn limit_ends_the_sleep() -> Result {
        let queue = queue()?;
        let mut calls = 0;

        assert!(!queue.wait_killable(Some(1), || false)?);
        assert!(!queue.wait_interruptible(Some(1), || {
            calls += 1;
            false
        })?);
        // Before the task is queued, and then until the limit.
        assert!(calls >= 2);
        assert!(queue.wait_killable(Some(1), || true)?);
        Ok(())
    }
}
