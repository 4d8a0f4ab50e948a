// SPDX-License-Identifier: MIT OR Apache-2.0

//! Time limits in a machine's own time, which does not pass while it waits for a busy host.
//!
//! A wall-clock limit fails machines that only waited for a CPU of the host.  A limit on CPU time
//! never ends a machine that sleeps.  A machine's *own* time is the time that it ran or slept, but
//! not the time that its threads were runnable and did not run, as accounted by the host's
//! scheduler in `/proc/PID/task/TID/schedstat`.
//!
//! On an idle host own time is wall-clock time, so a hang is detected at the limit, whether the
//! machine spins or sleeps.  Without schedstat, own time is always wall-clock time.
//! [`WALL_FACTOR`] bounds the wall-clock time on an overloaded host.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// How many times its limit something may take on the wall, however little the host gave it.
/// With two busy machines beside 17 busy programs on two processors, a thread gets a tenth of one.
pub const WALL_FACTOR: u32 = 20;

/// How often the clock is read, and so its resolution.  The scheduler adds a wait when it ends;
/// those that are not over yet are to be small against this.
pub const WINDOW: Duration = Duration::from_millis(500);

/// A moment on a [`Clock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The machine's own time since the clock was made.
    pub own: Duration,
    /// The time on the wall.
    pub wall: Duration,
}

/// When something must be done.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Moment);

impl Deadline {
    /// `limit` of the machine's own time after `now`.
    pub fn after(now: Moment, limit: Duration) -> Deadline {
        Deadline(Moment {
            own: now.own + limit,
            wall: now.wall + limit * WALL_FACTOR,
        })
    }

    /// Returns whether it has passed.
    pub fn is_over(&self, now: Moment) -> bool {
        now.own >= self.0.own || now.wall >= self.0.wall
    }
}

/// What a thread did since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Thread {
    /// Time on a processor.
    ran: Duration,
    /// Time in a processor's queue, ready to run.
    waited: Duration,
}

/// Threads by their identifiers.
type Threads = BTreeMap<u32, Thread>;

/// Measures the own time of a few processes that wait for each other.
pub struct Clock {
    processes: Vec<u32>,
    started: Instant,
    now: Moment,
    threads: Threads,
}

impl Clock {
    /// Starts a clock for `processes`: a machine, and the devices beside it.
    pub fn new(processes: Vec<u32>) -> Clock {
        Clock {
            threads: read(&processes),
            processes,
            started: Instant::now(),
            now: Moment::default(),
        }
    }

    /// The time, which moves in steps of [`WINDOW`] or more.
    pub fn now(&mut self) -> Moment {
        let wall = self.started.elapsed();
        if wall >= self.now.wall + WINDOW {
            self.step(wall, read(&self.processes));
        }
        self.now
    }

    fn step(&mut self, wall: Duration, threads: Threads) {
        self.now.own += own_time(wall - self.now.wall, &self.threads, &threads);
        self.now.wall = wall;
        self.threads = threads;
    }
}

/// How much of the time `passed` between two readings was the processes' own.
///
/// Threads that wait for each other, as a virtual processor does for an emulated device, lose what
/// each of them waits for a processor.  Threads that run side by side lose less, but no less time
/// than the busiest of them ran was their own.
fn own_time(passed: Duration, before: &Threads, after: &Threads) -> Duration {
    let (mut ran, mut waited) = (Duration::ZERO, Duration::ZERO);
    for (id, thread) in after {
        // A new thread began in between.  One with less than before is another of that name.
        let old = before.get(id).filter(|old| old.ran <= thread.ran);
        let old = old.copied().unwrap_or_default();
        ran = ran.max(thread.ran - old.ran);
        waited += thread.waited.saturating_sub(old.waited);
    }
    passed.saturating_sub(waited).max(ran).min(passed)
}

/// What the threads of `processes` did so far; those that cannot be read did nothing.
fn read(processes: &[u32]) -> Threads {
    let mut threads = Threads::new();
    for process in processes {
        let tasks = fs::read_dir(format!("/proc/{process}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let numbers = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let id = task.file_name().to_str().and_then(|id| id.parse().ok());
            if let (Some(id), Some(thread)) = (id, parse(&numbers)) {
                threads.insert(id, thread);
            }
        }
    }
    threads
}

/// Takes a `schedstat` apart: nanoseconds on a processor, nanoseconds in a queue, slices.
fn parse(numbers: &str) -> Option<Thread> {
    let mut numbers = numbers.split_whitespace().map(str::parse);
    let mut next = || Some(Duration::from_nanos(numbers.next()?.ok()?));
    Some(Thread {
        ran: next()?,
        waited: next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Threads 1, 2, ... that ran and waited for so many seconds.
    fn threads(times: &[(f64, f64)]) -> Threads {
        let thread = |&(ran, waited): &(f64, f64)| Thread {
            ran: seconds(ran),
            waited: seconds(waited),
        };
        (1..).zip(times.iter().map(thread)).collect()
    }

    /// The own part of ten seconds in which threads ran and waited for so long.
    fn own(times: &[(f64, f64)]) -> f64 {
        let before = threads(&vec![(100.0, 200.0); times.len()]);
        let after: Vec<_> = times.iter().map(|(r, w)| (100.0 + r, 200.0 + w)).collect();
        own_time(seconds(10.0), &before, &threads(&after)).as_secs_f64()
    }

    #[test]
    fn what_a_machine_does_is_its_own_time_and_what_is_done_to_it_is_not() {
        // It sleeps, or hangs in its sleep: all of the time is its own.
        assert_eq!(own(&[(0.0, 0.0), (0.0, 0.0)]), 10.0);
        assert_eq!(own(&[]), 10.0);
        // It spins, on an idle host and on one with a load of ten.
        assert_eq!(own(&[(10.0, 0.0), (10.0, 0.0)]), 10.0);
        assert_eq!(own(&[(1.0, 9.0)]), 1.0);
        assert_eq!(own(&[(1.0, 9.0), (1.0, 9.0)]), 1.0);
        // It sleeps half of the time, and gets a tenth of a processor for the other half.
        assert_eq!(own(&[(0.5, 4.5)]), 5.5);
        // Its processor waits for a device that gets no more.
        assert_eq!(own(&[(0.5, 4.5), (0.5, 4.5)]), 1.0);
        // It gets nothing at all.
        assert_eq!(own(&[(0.0, 10.0)]), 0.0);
        // Numbers are never more than the time that passed.
        assert_eq!(own(&[(11.0, 0.0)]), 10.0);
        assert_eq!(own(&[(0.0, 30.0)]), 0.0);
    }

    #[test]
    fn threads_come_and_go() {
        let both = threads(&[(1.0, 1.0), (2.0, 9.0)]);
        let first = threads(&[(1.0, 1.0)]);
        assert_eq!(own_time(seconds(10.0), &first, &both), seconds(2.0));
        assert_eq!(own_time(seconds(10.0), &both, &first), seconds(10.0));
        // The second has ended, and its number is another one's.
        let other = threads(&[(1.0, 1.0), (0.5, 3.0)]);
        assert_eq!(own_time(seconds(10.0), &both, &other), seconds(7.0));
    }

    #[test]
    fn a_deadline_is_in_own_time_with_a_bound_on_the_wall() {
        let mut clock = Clock::new(Vec::new());
        let start = clock.now;
        let deadline = Deadline::after(start, seconds(30.0));
        assert!(!deadline.is_over(start));
        // A load of ten: thirty seconds on the wall are three.
        clock.step(seconds(30.0), threads(&[(3.0, 27.0)]));
        assert_eq!(clock.now.own, seconds(3.0));
        assert!(!deadline.is_over(clock.now));
        // The load ends, and the machine hangs: that is noticed when it has had its time.
        clock.step(seconds(56.0), threads(&[(3.0, 27.0)]));
        assert!(!deadline.is_over(clock.now));
        clock.step(seconds(57.0), threads(&[(3.0, 27.0)]));
        assert!(deadline.is_over(clock.now));

        // One that gets nothing ends as well.
        let mut clock = Clock::new(Vec::new());
        let wall = seconds(30.0) * WALL_FACTOR;
        clock.step(wall - seconds(1.0), threads(&[(0.0, 10_000.0)]));
        assert!(!deadline.is_over(clock.now));
        clock.step(wall, threads(&[(0.0, 10_001.0)]));
        assert!(deadline.is_over(clock.now));
    }

    #[test]
    fn numbers_of_the_scheduler() {
        let thread = parse("1500000000 250000000 7\n").unwrap();
        assert_eq!((thread.ran, thread.waited), (seconds(1.5), seconds(0.25)));
        assert_eq!(parse("1500000000"), None);
        assert_eq!(parse("a b c"), None);
        assert_eq!(parse("-1 2 3"), None);
        assert_eq!(parse(""), None);
        assert_eq!(read(&[u32::MAX]), Threads::new());
    }

    #[test]
    fn a_process_that_sleeps_has_all_the_time_there_is() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let mut clock = Clock::new(vec![child.id()]);
        while clock.now == Moment::default() {
            std::thread::sleep(WINDOW / 10);
            clock.now();
        }
        let now = clock.now();
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever the host does meanwhile, a sleeper hardly waits for a processor.
        assert!(now.own > now.wall / 2, "{now:?}");
    }
}
