// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reports the current case if it does not end.

use crate::case::Case;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Maximum duration of a case. A device without faults answers in milliseconds.
const LIMIT: Duration = Duration::from_secs(50);

type Current = Mutex<Option<(Instant, Case)>>;

/// Watches the current case from a separate thread.
pub struct Watchdog(Arc<Current>);

impl Watchdog {
    /// Starts the thread.
    pub fn start() -> Self {
        let current = Arc::new(Current::default());
        let watched = current.clone();
        thread::spawn(move || loop {
            thread::sleep(Duration::from_secs(1));
            if let Some((since, case)) = &*lock(&watched) {
                if since.elapsed() > LIMIT {
                    eprintln!(
                        "this case has not ended after {} s:\n\n{case}",
                        LIMIT.as_secs()
                    );
                    process::exit(1);
                }
            }
        });
        Watchdog(current)
    }

    /// Marks the start of a case.
    pub fn begin(&self, case: &Case) {
        *lock(&self.0) = Some((Instant::now(), case.clone()));
    }

    /// Marks its end.
    pub fn end(&self) {
        *lock(&self.0) = None;
    }
}

fn lock(current: &Current) -> MutexGuard<'_, Option<(Instant, Case)>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}
