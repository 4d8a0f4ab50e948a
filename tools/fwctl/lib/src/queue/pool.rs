// SPDX-License-Identifier: MIT OR Apache-2.0

//! A few threads that wait for one call each.
//!
//! Each call has its own buffers, so a thread that never comes back from the kernel holds nothing
//! that anybody waits for. Threads are not joined.

use super::{Call, Ended, Until};
use crate::Transport;
use std::collections::VecDeque;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: usize,
}

struct Shared {
    transport: Arc<dyn Transport>,
    state: Mutex<State>,
    /// There is a job, or the pool is closed.
    work: Condvar,
    /// A call has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(u64, Call)>,
    ended: Vec<Ended>,
    /// Threads that wait for a job.
    idle: usize,
    is_closed: bool,
}

impl Pool {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Pool {
        let shared = Shared {
            transport,
            state: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
        };
        Pool {
            shared: Arc::new(shared),
            threads: 0,
        }
    }

    /// Gives a call to a thread. The caller bounds the number of calls, and with it that of
    /// threads.
    pub(super) fn start(&mut self, id: u64, call: Call) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.jobs.push_back((id, call));
        if state.idle >= state.jobs.len() {
            drop(state);
            self.shared.work.notify_one();
            return Ok(());
        }
        let shared = self.shared.clone();
        match thread::Builder::new().spawn(move || shared.work_off()) {
            Ok(_) => {
                self.threads += 1;
                Ok(())
            }
            // Another thread takes the job later.
            Err(_) if self.threads > 0 => Ok(()),
            Err(error) => {
                state.jobs.pop_back();
                Err(error)
            }
        }
    }

    /// Removes a call that no thread has begun. Returns whether there was one.
    pub(super) fn cancel(&mut self, id: u64) -> bool {
        let mut state = self.shared.lock();
        let before = state.jobs.len();
        state.jobs.retain(|(job, _)| *job != id);
        state.jobs.len() < before
    }

    pub(super) fn reap(&mut self, until: Until) -> Vec<Ended> {
        let mut state = self.shared.lock();
        while state.ended.is_empty() && !until.is_over() {
            let ended = &self.shared.ended;
            state = match until.left() {
                None => ended.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    ended
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        std::mem::take(&mut state.ended)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        state.jobs.clear();
        drop(state);
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does until the pool is closed.
    fn work_off(&self) {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return;
            }
            let Some((id, call)) = state.jobs.pop_front() else {
                state.idle += 1;
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            drop(state);
            let Call {
                scope,
                request,
                mut reply,
            } = call;
            // Waiters count on an end for each call.
            let result = catch_unwind(AssertUnwindSafe(|| {
                self.transport.rpc(scope, &request, &mut reply)
            }))
            .unwrap_or_else(|_| Err(io::Error::other("the transport panicked")));
            state = self.lock();
            state.ended.push(Ended { id, reply, result });
            self.ended.notify_all();
        }
    }
}
