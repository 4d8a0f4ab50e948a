// SPDX-License-Identifier: MIT OR Apache-2.0

//! A booted machine that runs steps one at a time and separates their kernel messages.

use crate::host::qemu::Sockets;
use crate::host::vm::{Channel, Input, Vm};
use crate::judge::console::{Line, Splitter};
use crate::pace::{Clock, Deadline, WINDOW};
use crate::protocol::{
    begin_mark, end_mark, late_mark, Decoder, Event, Message, Request, Status, Step, Stream,
};
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a message may take between the guest's init and the host.
const GRACE: Duration = Duration::from_secs(20);

/// What to boot.
pub struct Boot<'a> {
    /// QEMU's command line.
    pub argv: &'a [String],
    /// Its sockets.
    pub sockets: &'a Sockets,
    /// Where to keep the kernel log.
    pub console_log: PathBuf,
    /// Processes that the machine waits for: its emulated devices.
    pub beside: Vec<u32>,
    /// Time until init must be up.  All limits are in the machine's own time, see [`crate::pace`].
    pub limit: Duration,
    /// Time until the kernel must have said something.
    pub silence: Duration,
}

/// The machine did not come up.
#[derive(Debug)]
pub struct NoBoot {
    /// What it did instead.
    text: String,
    /// Its kernel said nothing at all.
    pub is_silent: bool,
}

impl fmt::Display for NoBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl std::error::Error for NoBoot {}

/// A machine whose init is up.
pub struct Session {
    /// The machine; the shell talks to it directly.
    pub vm: Vm,
    /// `uname -r`.
    pub release: String,
    /// Time from QEMU's start until init was up.
    pub boot_time: Duration,
    /// Kernel messages outside of any step.
    pub stray: Vec<Line>,
    clock: Clock,
    console_log: PathBuf,
    log: File,
    splitter: Splitter,
    decoder: Decoder,
    lines: VecDeque<Line>,
    seq: u32,
}

/// How a step ended, as the host saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The guest's init reported it.
    Status(Status),
    /// The machine ended meanwhile.
    Died,
    /// Not even the guest's init answered any more.
    Hung,
}

/// What came of a step.
#[derive(Clone, Debug)]
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// The kernel's messages between its beginning and its end.
    pub kernel: Vec<Line>,
    /// Where tasks stood when the time limit had passed.
    pub stacks: Vec<Line>,
    /// Time it took.
    pub time: Duration,
}

/// What a watcher of a running step gets to see.
pub enum Seen<'a> {
    /// Output of the program.
    Output(Stream, &'a [u8]),
    /// A line of the kernel log.
    Kernel(&'a Line),
}

/// Something new from the machine or the keyboard.
pub enum News {
    /// A line of the kernel log.
    Line(Line),
    /// From the guest's init.
    Message(Message),
    /// From the interactive shell.
    Tty(Vec<u8>),
    /// From our standard input; `None` at its end.
    Keys(Option<Vec<u8>>),
    /// The machine has exited, and all its output has been read.
    Ended,
    /// The time is over.
    Nothing,
}

/// What the kernel says if its measurements of the local APIC's timer contradict each other.  It then
/// uses a timer that cannot wake it in time, and sleeps of milliseconds take ten times as long.
const SLOW_TIMER: &str = "APIC timer disabled due to verification failure";

impl Session {
    /// Boots; an error says why the machine did not come up.
    pub fn boot(boot: Boot<'_>) -> Result<Session> {
        let started = Instant::now();
        let log = File::create(&boot.console_log)
            .with_context(|| format!("cannot write {}", boot.console_log.display()))?;
        let qemu_log = boot.console_log.with_extension("qemu");
        let vm = Vm::start(boot.argv, boot.sockets, &qemu_log)?;
        let processes = boot.beside.into_iter().chain([vm.process()]);
        let mut session = Session {
            clock: Clock::new(processes.collect()),
            vm,
            release: String::new(),
            boot_time: Duration::ZERO,
            stray: Vec::new(),
            console_log: boot.console_log,
            log,
            splitter: Splitter::default(),
            decoder: Decoder::default(),
            lines: VecDeque::new(),
            seq: 0,
        };
        let start = session.clock.now();
        let silence = Deadline::after(start, boot.silence);
        let limit = Deadline::after(start, boot.limit);
        loop {
            let deadline = if session.stray.is_empty() {
                silence
            } else {
                limit
            };
            match session.news_before(deadline)? {
                News::Line(line) => session.stray.push(line),
                News::Message(Message::Event(Event::Ready { release })) => {
                    session.release = release;
                    session.boot_time = started.elapsed();
                    return Ok(session);
                }
                News::Message(_) | News::Tty(_) | News::Keys(_) => {}
                News::Ended => {
                    return Err(session
                        .no_boot("ended before its init was up", &qemu_log)
                        .into())
                }
                News::Nothing => {
                    let now = session.clock.now();
                    let (wall, own) = (now.wall.as_secs(), now.own.as_secs());
                    let what = match wall - own {
                        0 => format!("was not up after {wall} s"),
                        lost => format!(
                            "was not up after {wall} s, of which it waited {lost} s for a processor"
                        ),
                    };
                    return Err(session.no_boot(&what, &qemu_log).into());
                }
            }
        }
    }

    fn no_boot(&self, what: &str, qemu_log: &Path) -> NoBoot {
        let qemu = fs::read_to_string(qemu_log).unwrap_or_default();
        let qemu = qemu.lines().rfind(|line| !line.trim().is_empty());
        let kernel = self.stray.last().map(|line| line.text.as_str());
        let says = match (kernel, qemu) {
            (Some(line), _) => format!("its last message: {line}"),
            (None, Some(line)) => format!("QEMU says: {line}"),
            (None, None) => "it said nothing".into(),
        };
        let console = self.console_log.display();
        NoBoot {
            text: format!("the VM {what}; {says} (console: {console})"),
            is_silent: kernel.is_none(),
        }
    }

    /// Runs one step for at most `limit` and shows `watch` what happens meanwhile.
    pub fn run(
        &mut self,
        mut step: Step,
        limit: Duration,
        watch: &mut dyn FnMut(Seen<'_>),
    ) -> Result<Ran> {
        self.seq += 1;
        step.seq = self.seq;
        let (begin, end) = (begin_mark(step.seq, &step.name), end_mark(step.seq));
        let late = late_mark(step.seq);
        let started = Instant::now();
        let mut deadline = Deadline::after(self.clock.now(), limit);
        self.vm.send(&Request::Run(step))?;

        let mut before = Vec::new();
        let mut kernel = Vec::new();
        let mut stacks = Vec::new();
        let mut began = false;
        let mut is_late = false;
        let mut was_stopped = false;
        let mut time = None;
        let mut status = None;
        let mut log_is_complete = false;
        let ended = loop {
            if let (true, Some(status)) = (log_is_complete, &status) {
                break Ended::Status(Status::clone(status));
            }
            match self.news_before(deadline)? {
                News::Line(line) if line.from_user && line.text == begin => began = true,
                News::Line(line) if line.from_user && line.text == end => log_is_complete = true,
                News::Line(line) if line.from_user && line.text == late => is_late = true,
                News::Line(line) if is_late => stacks.push(line),
                News::Line(line) if began => {
                    watch(Seen::Kernel(&line));
                    kernel.push(line);
                }
                News::Line(line) => before.push(line),
                News::Message(Message::Output(stream, bytes)) => {
                    watch(Seen::Output(stream, &bytes))
                }
                News::Message(Message::Event(Event::End { seq, status: now }))
                    if seq == self.seq =>
                {
                    time = Some(started.elapsed());
                    status = Some(now);
                    // The console is a slow line and may be behind.
                    deadline = Deadline::after(self.clock.now(), GRACE);
                }
                News::Message(_) | News::Tty(_) | News::Keys(_) => {}
                News::Ended => break Ended::Died,
                News::Nothing if status.is_none() && !was_stopped => {
                    was_stopped = true;
                    self.vm.send(&Request::Stop { seq: self.seq })?;
                    deadline = Deadline::after(self.clock.now(), GRACE);
                }
                News::Nothing => break status.take().map_or(Ended::Hung, Ended::Status),
            }
        };
        if began {
            self.stray.append(&mut before);
        } else {
            kernel.splice(0..0, before);
        }
        Ok(Ran {
            ended,
            kernel,
            stacks,
            time: time.unwrap_or_else(|| started.elapsed()),
        })
    }

    /// Whether the kernel has disabled the timer of its processor.
    pub fn has_slow_timer(&self) -> bool {
        self.stray.iter().any(|line| line.text.contains(SLOW_TIMER))
    }

    /// Waits for new input for at most `wait` of wall-clock time.
    pub fn news(&mut self, wait: Duration) -> Result<News> {
        let deadline = Instant::now() + wait;
        self.news_while(|_| deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits for something new until `deadline`.
    pub fn news_before(&mut self, deadline: Deadline) -> Result<News> {
        self.news_while(|clock| match deadline.is_over(clock.now()) {
            true => Duration::ZERO,
            false => WINDOW,
        })
    }

    /// Waits for something new until `left` says that no time is left.  What has arrived is taken
    /// first, so that a busy host does not cost anybody what was there in time.
    fn news_while(&mut self, left: impl Fn(&mut Clock) -> Duration) -> Result<News> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(News::Line(line));
            }
            if let Some(message) = self.decoder.next()? {
                return Ok(News::Message(message));
            }
            let wait = left(&mut self.clock);
            match self.vm.next(wait)? {
                Some(Input::Data(Channel::Console, bytes)) => {
                    self.log
                        .write_all(&bytes)
                        .context("cannot keep the console")?;
                    self.lines.extend(self.splitter.push(&bytes));
                }
                Some(Input::Data(Channel::Port, bytes)) => self.decoder.push(&bytes),
                Some(Input::Data(Channel::Tty, bytes)) => return Ok(News::Tty(bytes)),
                Some(Input::Keys(keys)) => return Ok(News::Keys(Some(keys))),
                Some(Input::KeysClosed) => return Ok(News::Keys(None)),
                Some(Input::Opened(..)) => {}
                None if self.vm.exited().is_none() => {
                    if wait.is_zero() {
                        return Ok(News::Nothing);
                    }
                }
                None => match self.splitter.finish() {
                    Some(line) => return Ok(News::Line(line)),
                    None => return Ok(News::Ended),
                },
            }
        }
    }
}
