// SPDX-License-Identifier: MIT OR Apache-2.0

//! One program in the guest: start, output, end.  Its time limit is for the host to watch.

use super::{log, Port, ENVIRONMENT};
use crate::protocol::{begin_mark, end_mark, late_mark, Event, Request, Status, Step, Stream};
use crate::sys;
use anyhow::Result;
use rustix::event::{poll, PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{wait, WaitOptions};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a step and reports it.
pub fn run(step: &Step, port: &mut Port) -> Result<()> {
    log(&begin_mark(step.seq, &step.name));
    let status = match start(step) {
        Ok(child) => attend(child, step, port)?,
        Err(error) => Status::NotStarted(format!("{}: {error}", step.argv.join(" "))),
    };
    log(&end_mark(step.seq));
    port.send(&Event::End {
        seq: step.seq,
        status,
    })
}

fn start(step: &Step) -> std::io::Result<Child> {
    let (program, arguments) = step
        .argv
        .split_first()
        .ok_or(std::io::ErrorKind::InvalidInput)?;
    Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(ENVIRONMENT.iter().copied())
        .envs(step.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Passes the output on until the program has ended, and leaves no process behind.
fn attend(mut child: Child, step: &Step, port: &mut Port) -> Result<Status> {
    let mut pipes = Vec::new();
    pipes.extend(
        child
            .stdout
            .take()
            .map(|pipe| (Stream::Out, File::from(OwnedFd::from(pipe)))),
    );
    pipes.extend(
        child
            .stderr
            .take()
            .map(|pipe| (Stream::Err, File::from(OwnedFd::from(pipe)))),
    );
    let mut status = None;
    let mut is_stopped = false;
    while status.is_none() && !is_stopped {
        pump(&mut pipes, port)?;
        status = child.try_wait()?;
        port.keep()?;
        // A request to stop a step that had ended by itself may come late.
        let request = port.receive(Some(Duration::ZERO))?;
        is_stopped = matches!(request, Some(Request::Stop { seq }) if seq == step.seq);
    }
    if status.is_none() {
        log(&late_mark(step.seq));
        for key in ["w", "l"] {
            let _ = std::fs::write("/proc/sysrq-trigger", key);
        }
    }
    sys::kill_others();
    // Nobody holds the pipes any more but processes that do not return from the kernel, or that
    // have had no processor yet to die on.
    let patience = Instant::now() + Duration::from_secs(5);
    while !pipes.is_empty() && Instant::now() < patience {
        pump(&mut pipes, port)?;
    }
    let ended = match status {
        None => Status::TimedOut,
        Some(status) => match status.signal() {
            Some(signal) => Status::Killed(signal),
            None => Status::Exited(status.code().unwrap_or(-1)),
        },
    };
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    Ok(ended)
}

/// Waits a moment for output and sends it; pipes at their end are dropped.
fn pump(pipes: &mut Vec<(Stream, File)>, port: &mut Port) -> Result<()> {
    /// With no pipe left this is how often the caller looks after the child.
    const TICK_MS: i32 = 10;
    let mut fds: Vec<PollFd<'_>> = pipes
        .iter()
        .map(|(_, file)| PollFd::new(file, PollFlags::IN))
        .collect();
    match poll(&mut fds, TICK_MS) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
    let mut kept = Vec::new();
    for ((stream, mut file), ready) in pipes.drain(..).zip(ready) {
        let mut buffer = [0; 16 << 10];
        let bytes = if ready {
            file.read(&mut buffer).unwrap_or(0)
        } else {
            0
        };
        if bytes > 0 {
            port.send(&Event::Output { stream, bytes })?;
            port.send_raw(&buffer[..bytes])?;
        }
        if bytes > 0 || !ready {
            kept.push((stream, file));
        }
    }
    *pipes = kept;
    Ok(())
}
