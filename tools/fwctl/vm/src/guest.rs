// SPDX-License-Identifier: MIT OR Apache-2.0

//! This program as the guest's init, which mounts file systems and serves the host's requests, and
//! as the commands [`emu`] and [`queue`].

pub mod emu;
pub mod queue;
mod step;

use crate::protocol::{Event, Request, Size, MARK, PORT};
use anyhow::{bail, Context, Result};
use rustix::event::{poll, PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::{mount, MountFlags};
use rustix::termios::{tcsetwinsize, Winsize};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
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

/// Driver of the ports and of the virtio console.
const DRIVER: &str = "/sys/bus/virtio/drivers/virtio_console";

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
    crate::sys::power_off();
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
    // Programs start here.  If a `Command` sets the directory, the standard library does not use
    // posix_spawn(), but fork() and a socket pair, and a kernel may lack sockets.
    let _ = std::env::set_current_dir("/root");
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
///
/// A suspend loses it.  The driver asks the host again whether it has the port open, but at its
/// resume gives QEMU no memory for the answer until it has asked (7.3, `virtcons_restore()`), so
/// that the answer is lost and the port looks as if the host had closed it: reads end and writes
/// block.  Binding the driver again makes it ask again, for all ports of the device, also those to
/// the emulated devices.
struct Port {
    file: File,
    unread: Vec<u8>,
}

impl Port {
    fn open() -> Result<Port> {
        Ok(Port {
            file: Port::open_file()?,
            unread: Vec::new(),
        })
    }

    /// Opens the port, once it is there and the host has it open.
    fn open_file() -> Result<File> {
        // The host watches how long a boot takes, and knows how much of it was the host's own
        // fault.
        let deadline = Instant::now() + Duration::from_secs(600);
        let mut file = None;
        while Instant::now() < deadline {
            if let (None, Some(path)) = (&file, Port::find()) {
                let opened = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .custom_flags(OFlags::NONBLOCK.bits() as i32)
                    .open(&path);
                file = Some(opened.with_context(|| format!("cannot open {}", path.display()))?);
            }
            match file {
                Some(file) if !is_lost(&file)? => return Ok(file),
                _ => sleep(Duration::from_millis(5)),
            }
        }
        bail!("there is no virtio-serial port {PORT} that the host has open: the kernel needs VIRTIO_PCI=y, VIRTIO_CONSOLE=y")
    }

    /// Opens the port again if it was lost.
    fn keep(&mut self) -> Result<()> {
        if !is_lost(&self.file)? {
            return Ok(());
        }
        log(&format!("{MARK}the port is lost, binding its driver again"));
        let port = Port::find().context("the port was removed")?;
        let port = Path::new("/sys/class/virtio-ports").join(port.file_name().unwrap_or_default());
        // .../virtio0/virtio-ports/vport0p1
        let device = port.canonicalize().context("the port has no device")?;
        let device = device.ancestors().nth(2).and_then(Path::file_name);
        let device = device.context("the port has no device")?.to_os_string();
        self.file = File::open("/dev/null").context("cannot close the port")?;
        for file in ["unbind", "bind"] {
            fs::write(Path::new(DRIVER).join(file), device.as_encoded_bytes())
                .with_context(|| format!("cannot {file} the port's driver"))?;
        }
        self.file = Port::open_file()?;
        Ok(())
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

    fn send_raw(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.keep()?;
            match self.file.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::OUT, None)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot write to the host"),
            }
        }
        Ok(())
    }

    /// Waits until the port is ready, lost, or `wait` has passed; returns whether it is either.
    fn wait(&self, what: PollFlags, wait: Option<Duration>) -> Result<bool> {
        let mut fds = [PollFd::new(&self.file, what)];
        let milliseconds = wait.map_or(-1, |wait| {
            i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
        });
        match poll(&mut fds, milliseconds) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The next request; `None` when `wait` has passed.
    fn receive(&mut self, wait: Option<Duration>) -> Result<Option<Request>> {
        loop {
            if let Some(end) = self.unread.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .context("the host talks nonsense")
                    .map(Some);
            }
            if !self.wait(PollFlags::IN, wait)? && wait.is_some() {
                return Ok(None);
            }
            let mut buffer = [0; 4096];
            match (self.file.read(&mut buffer), wait) {
                (Ok(0), None) => self.keep()?,
                // A shell on the same device would end; the port is opened again when it has.
                (Ok(0), Some(wait)) => {
                    sleep(wait);
                    return Ok(None);
                }
                (Ok(count), _) => self.unread.extend_from_slice(&buffer[..count]),
                (Err(error), _) if error.kind() == ErrorKind::WouldBlock => {}
                (Err(error), _) => return Err(error).context("cannot read from the host"),
            }
        }
    }
}

/// Returns whether the port's other end is not there.
fn is_lost(port: &File) -> Result<bool> {
    let mut fds = [PollFd::new(port, PollFlags::empty())];
    match poll(&mut fds, 0) {
        Ok(_) => Ok(fds[0].revents().contains(PollFlags::HUP)),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
