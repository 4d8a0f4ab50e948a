// SPDX-License-Identifier: MIT OR Apache-2.0

//! A running QEMU and its three channels.

use crate::host::qemu::Sockets;
use crate::protocol::Request;
use crate::sys;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// One of the guest's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Kernel log.
    Console,
    /// Requests and events.
    Port,
    /// Interactive shell.
    Tty,
}

/// What can arrive while a machine runs.
pub enum Input {
    /// Bytes from the guest.
    Data(Channel, Vec<u8>),
    /// Bytes from our own standard input, after [`Vm::read_keys`].
    Keys(Vec<u8>),
    /// Our own standard input is at its end.
    KeysClosed,
    /// QEMU opened a channel; [`Vm::next`] keeps it.
    Opened(Channel, UnixStream),
}

/// A running machine, killed on drop.
pub struct Vm {
    child: Child,
    inputs: Receiver<Input>,
    sender: Sender<Input>,
    port: Option<UnixStream>,
    tty: Option<UnixStream>,
}

impl Vm {
    /// Starts QEMU; its own messages go to the file `log`.
    pub fn start(argv: &[String], sockets: &Sockets, log: &Path) -> Result<Vm> {
        let (sender, inputs) = channel();
        for (channel, path) in [
            (Channel::Console, &sockets.console),
            (Channel::Port, &sockets.port),
            (Channel::Tty, &sockets.tty),
        ] {
            let listener = UnixListener::bind(path)
                .with_context(|| format!("cannot make the socket {}", path.display()))?;
            let sender = sender.clone();
            thread::spawn(move || serve(channel, listener, sender));
        }
        let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // Its own group: Ctrl-C on the terminal is for us to answer.
        let child = sys::die_with_parent(command.process_group(0)).spawn();
        let child = child.with_context(|| {
            format!(
                "cannot run {}: install the package qemu-system-x86 or give --qemu",
                argv[0]
            )
        })?;
        Ok(Vm {
            child,
            inputs,
            sender,
            port: None,
            tty: None,
        })
    }

    /// The next input; `None` when `wait` has passed or the machine has exited.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Input>> {
        /// How soon a signal or QEMU's end is noticed.
        const TICK: Duration = Duration::from_millis(50);
        let deadline = Instant::now() + wait;
        loop {
            sys::check_interrupt()?;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.inputs.recv_timeout(left.min(TICK)) {
                Ok(Input::Opened(Channel::Port, stream)) => self.port = Some(stream),
                Ok(Input::Opened(Channel::Tty, stream)) => self.tty = Some(stream),
                Ok(Input::Opened(Channel::Console, _)) => {}
                Ok(input) => return Ok(Some(input)),
                Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender"),
                Err(RecvTimeoutError::Timeout) if left <= TICK => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    if self.exited().is_some() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Sends a request; a machine that has exited does not answer.
    pub fn send(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        if let Some(port) = &mut self.port {
            let _ = port.write_all(&line);
        }
        Ok(())
    }

    /// Types into the guest's virtio console.
    pub fn type_keys(&mut self, keys: &[u8]) {
        if let Some(tty) = &mut self.tty {
            let _ = tty.write_all(keys);
        }
    }

    /// From here on our standard input arrives as [`Input::Keys`].
    pub fn read_keys(&self) {
        let sender = self.sender.clone();
        thread::spawn(move || {
            copy(std::io::stdin().lock(), |bytes| {
                sender.send(Input::Keys(bytes)).is_ok()
            });
            let _ = sender.send(Input::KeysClosed);
        });
    }

    /// QEMU's process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// QEMU's exit status, once it has one.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes QEMU's connection and hands on what comes.  Ends with the process or with QEMU.
fn serve(channel: Channel, listener: UnixListener, sender: Sender<Input>) {
    let Ok((stream, _)) = listener.accept() else {
        return;
    };
    let Ok(writer) = stream.try_clone() else {
        return;
    };
    if sender.send(Input::Opened(channel, writer)).is_ok() {
        copy(stream, |bytes| {
            sender.send(Input::Data(channel, bytes)).is_ok()
        });
    }
}

/// Reads until the end, an error, or until `give` says nobody listens.
fn copy(mut from: impl Read, mut give: impl FnMut(Vec<u8>) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) if give(buffer[..n].to_vec()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}
