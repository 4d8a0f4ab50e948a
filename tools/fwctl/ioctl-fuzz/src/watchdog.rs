// SPDX-License-Identifier: MIT OR Apache-2.0

//! Says which case it was when one does not come to an end.

use crate::case::Case;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// No case takes so long: a device that is well answers in milliseconds.
const LIMIT: Duration = Duration::from_secs(50);

type Current = Mutex<Option<(Instant, Case)>>;

/// Looks after the case that is being run, in a thread of its own.
pub struct Watchdog(Arc<Current>);

impl Watchdog {
    /// Starts it.
    pub fn start() -> Self {
        let current = Arc::new(Current::default());
        let watched = current.clone();
        thread::spawn(move || loop {
            thread::sleep(Duration::from_secs(1));
            if let Some((since, case)) = &*lock(&watched) {
                if since.elapsed() > LIMIT {
                    eprintln!("no end after {} s of the case\n\n{case}", LIMIT.as_secs());
                    process::exit(1);
                }
            }
        });
        Watchdog(current)
    }

    /// A case begins.
    pub fn begin(&self, case: &Case) {
        *lock(&self.0) = Some((Instant::now(), case.clone()));
    }

    /// It has ended.
    pub fn end(&self) {
        *lock(&self.0) = None;
    }
}

fn lock(current: &Current) -> MutexGuard<'_, Option<(Instant, Case)>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}
