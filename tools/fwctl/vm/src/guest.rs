// SPDX-License-Identifier: MIT OR Apache-2.0

//! This program as the guest's init: mounts, then does what the host asks for.  And as the command
//! [`emu`].

pub mod emu;
mod step;

use crate::protocol::{Event, Request, Size, PORT};
use anyhow::{bail, Context, Result};
use rustix::event::{poll, PollFd, PollFlags};
use rustix::mount::{mount, MountFlags};
use rustix::system::{reboot, RebootCommand};
use rustix::termios::{tcsetwinsize, Winsize};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Type and place of each file system; one that this kernel lacks is left out.
const MOUNTS: &[(&str, &str)] = &[
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
    ("configfs", "/sys/kernel/config"),
    ("securityfs", "/sys/kernel/security"),
    ("cgroup2", "/sys/fs/cgroup"),
];

/// Environment of every program in the guest.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/bin:/sbin"),
    ("HOME", "/root"),
    ("TERM", "dumb"),
    ("LANG", "C.UTF-8"),
];

/// The virtio console.
const TTY: &str = "/dev/hvc0";

/// Whether this process is the init of one of our guests.
pub fn is_init() -> bool {
    rustix::process::getpid().is_init() && std::env::args().next().as_deref() == Some("/init")
}

/// Init: never returns, the machine is off afterwards.
pub fn main() -> ! {
    crate::sys::power_off_on_request();
    if let Err(error) = serve() {
        // The console: /dev/kmsg may not be there yet.
        eprintln!("{}init failed: {error:#}", crate::protocol::MARK);
    }
    let _ = reboot(RebootCommand::PowerOff);
    loop {
        sleep(Duration::from_secs(1));
    }
}

fn serve() -> Result<()> {
    for (kind, place) in MOUNTS {
        // The directory is there (initramfs, devtmpfs, sysfs) or this makes it.
        let _ = fs::create_dir_all(place);
        let _ = mount(*kind, *place, *kind, MountFlags::empty(), "");
    }
    let _ = rustix::system::sethostname(PORT.as_bytes());
    let mut port = Port::open()?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?
        .trim()
        .to_string();
    port.send(&Event::Ready { release })?;
    while let Some(request) = port.receive(None)? {
        match request {
            Request::Run(step) => step::run(&step, &mut port)?,
            Request::Shell { term, size } => shell(&term, size, &mut port)?,
            // The step is over.
            Request::Resize(_) | Request::Stop { .. } => {}
        }
    }
    Ok(())
}

/// Runs a shell on the virtio console.
fn shell(term: &str, size: Size, port: &mut Port) -> Result<()> {
    let tty = || OpenOptions::new().read(true).write(true).open(TTY);
    let resize = |size: Size| -> Result<()> {
        let (ws_row, ws_col) = (size.rows, size.cols);
        Ok(tcsetwinsize(
            tty()?,
            Winsize {
                ws_row,
                ws_col,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )?)
    };
    // The size is forgotten when nobody has the terminal open.
    let _open = tty()?;
    resize(size)?;
    let mut shell = Command::new("/bin/setsid")
        .args(["-c", "/bin/sh", "-l"])
        .env_clear()
        .envs(ENVIRONMENT.iter().copied())
        .env("TERM", term)
        .stdin(Stdio::from(tty()?))
        .stdout(Stdio::from(tty()?))
        .stderr(Stdio::from(tty()?))
        .spawn()
        .context("cannot start the shell")?;
    while shell.try_wait()?.is_none() {
        if let Some(Request::Resize(size)) = port.receive(Some(Duration::from_millis(100)))? {
            resize(size)?;
        }
    }
    port.send(&Event::ShellEnd)
}

/// Writes one line to the kernel log, at level "notice".
fn log(text: &str) {
    if let Ok(mut kmsg) = OpenOptions::new().write(true).open("/dev/kmsg") {
        // Without the newline the kernel would hold the line back for a continuation.
        let _ = kmsg.write_all(format!("<5>{text}\n").as_bytes());
    }
}

/// The virtio-serial port to the host.
struct Port {
    file: File,
    unread: Vec<u8>,
}

impl Port {
    fn open() -> Result<Port> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Some(path) = Port::find() {
                let file = OpenOptions::new().read(true).write(true).open(&path);
                let file = file.with_context(|| format!("cannot open {}", path.display()))?;
                return Ok(Port {
                    file,
                    unread: Vec::new(),
                });
            }
            sleep(Duration::from_millis(5));
        }
        bail!("there is no virtio-serial port {PORT}: the kernel needs VIRTIO_PCI=y, VIRTIO_CONSOLE=y")
    }

    fn find() -> Option<PathBuf> {
        for entry in fs::read_dir("/sys/class/virtio-ports").ok()? {
            let entry = entry.ok()?;
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            let device = Path::new("/dev").join(entry.file_name());
            if name.trim() == PORT && device.exists() {
                return Some(device);
            }
        }
        None
    }

    fn send(&mut self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.send_raw(&line)
    }

    fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .context("cannot write to the host")
    }

    /// The next request; `None` when `wait` has passed or, without it, when the host is gone.
    fn receive(&mut self, wait: Option<Duration>) -> Result<Option<Request>> {
        loop {
            if let Some(end) = self.unread.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .context("the host talks nonsense")
                    .map(Some);
            }
            if let Some(wait) = wait {
                let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
                let milliseconds = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
                match poll(&mut fds, milliseconds) {
                    Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
                    other => other?,
                };
            }
            let mut buffer = [0; 4096];
            match self.file.read(&mut buffer)? {
                0 => return Ok(None),
                n => self.unread.extend_from_slice(&buffer[..n]),
            }
        }
    }
}
