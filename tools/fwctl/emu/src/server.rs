// SPDX-License-Identifier: MIT OR Apache-2.0

//! The vfio-user connection of a device, and the threads around it.
//!
//! The thread of the connection, a timer for delayed answers, one thread per control connection and
//! one for signals share the device under one lock. The process exits when the connection is
//! closed: QEMU connects only once.

use crate::control;
use crate::device::{Bus, Device, Presence, Reset};
use crate::pci::{self, Effect};
use serde_json::{json, Value};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{exit, ExitCode};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use vfio_bindings::bindings::vfio::{
    vfio_region_info, VFIO_IRQ_INFO_EVENTFD, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSIX_IRQ_INDEX,
    VFIO_PCI_NUM_IRQS, VFIO_PCI_NUM_REGIONS, VFIO_REGION_INFO_FLAG_READ,
    VFIO_REGION_INFO_FLAG_WRITE,
};
use vfio_user::{DmaMapFlags, DmaUnmapFlags, IrqInfo, Server, ServerBackend, ServerRegion};

/// Exit status: the driver leaked resources.
pub const EXIT_LEAKS: u8 = 3;

/// The device and the state that its threads share.
struct Shared {
    state: Mutex<State>,
    /// Wakes the timer: the device may be due earlier.
    changed: Condvar,
    /// Files to remove on exit.
    sockets: Vec<PathBuf>,
}

struct State {
    device: Box<dyn Device>,
    bus: Bus,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `action` on the device. Exits if the action asks for that.
    fn with<R>(&self, action: impl FnOnce(&mut dyn Device, &mut Bus) -> R) -> R {
        let mut state = self.lock();
        let State { device, bus } = &mut *state;
        let result = action(device.as_mut(), bus);
        if bus.presence == Presence::Exit {
            exit(self.print_report(&state).into());
        }
        drop(state);
        self.changed.notify_one();
        result
    }

    /// Prints the report and returns the exit status.
    fn print_report(&self, state: &State) -> u8 {
        for socket in &self.sockets {
            // It may have been removed already.
            let _ = std::fs::remove_file(socket);
        }
        let report = state.device.report();
        for line in &report.lines {
            crate::say!("{line}");
        }
        // A driver cannot release what a removed device holds.
        let is_gone = state.bus.presence != Presence::Here;
        let word = if is_gone {
            "held when the device was removed"
        } else {
            "leak"
        };
        for leak in &report.leaks {
            crate::say!("{word}: {leak}");
        }
        if is_gone {
            crate::say!("the device was removed on request");
            return 0;
        }
        if report.leaks.is_empty() {
            crate::say!("clean");
            return 0;
        }
        EXIT_LEAKS
    }
}

/// The callbacks of the crate `vfio_user`.
struct Backend(Arc<Shared>);

impl ServerBackend for Backend {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.0.with(|device, bus| match region {
            _ if bus.presence != Presence::Here => data.fill(0xff),
            VFIO_PCI_CONFIG_REGION_INDEX => device.config().read(offset, data),
            bar @ 0..=5 => device.read(bus, bar as usize, offset, data),
            _ => data.fill(0),
        });
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.with(|device, bus| match region {
            _ if bus.presence != Presence::Here => {}
            VFIO_PCI_CONFIG_REGION_INDEX => {
                if device.config().write(offset, data) == Effect::FunctionReset {
                    device.reset(bus, Reset::Function);
                }
            }
            bar @ 0..=5 => device.write(bus, bar as usize, offset, data),
            _ => {}
        });
        Ok(())
    }

    fn dma_map(
        &mut self,
        flags: DmaMapFlags,
        offset: u64,
        address: u64,
        size: u64,
        fd: Option<File>,
    ) -> io::Result<()> {
        // Memory without a descriptor (ROM, BIOS) cannot be mapped. Errors leave memory unmapped,
        // too: the crate does not report them to the client properly.
        if let Some(file) = fd {
            let is_writable = flags.contains(DmaMapFlags::WRITE);
            let mapped = self
                .0
                .with(|_, bus| bus.memory.map(address, &file, offset, size, is_writable));
            if let Err(error) = mapped {
                crate::say!("guest memory at {address:#x}, {size:#x} bytes: {error}");
            }
        }
        Ok(())
    }

    fn dma_unmap(&mut self, flags: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        self.0
            .with(|_, bus| match flags.contains(DmaUnmapFlags::UNMAP_ALL) {
                true => bus.memory.unmap_all(),
                false => bus.memory.unmap(address, size),
            });
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.0.with(|device, bus| device.reset(bus, Reset::Machine));
        Ok(())
    }

    fn set_irqs(
        &mut self,
        index: u32,
        _flags: u32,
        start: u32,
        count: u32,
        fds: Vec<File>,
    ) -> io::Result<()> {
        if index == VFIO_PCI_MSIX_IRQ_INDEX {
            self.0.with(|_, bus| bus.vectors.set(start, count, fds));
        }
        Ok(())
    }
}

/// Serves `device` on `socket` until QEMU closes the connection.
pub fn run(
    device: Box<dyn Device>,
    socket: &Path,
    control: Option<&Path>,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let signals = signals::block();
    let (regions, irqs) = (regions(device.as_ref()), irqs(device.as_ref()));
    let server = Server::new(socket, true, irqs, regions)
        .map_err(|error| format!("{}: {error}", socket.display()))?;
    let sockets = control
        .into_iter()
        .chain([socket])
        .map(Path::to_path_buf)
        .collect();
    let state = Mutex::new(State {
        device,
        bus: Bus::default(),
    });
    let shared = Arc::new(Shared {
        state,
        changed: Condvar::new(),
        sockets,
    });

    if let Some(path) = control {
        let listener =
            UnixListener::bind(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let shared = shared.clone();
        control::serve(
            listener,
            Arc::new(move |verb, argument| answer(&shared, verb, argument)),
        );
    }
    let timed = shared.clone();
    std::thread::spawn(move || timer(&timed));
    let ended = shared.clone();
    std::thread::spawn(move || {
        signals.wait();
        exit(ended.print_report(&ended.lock()).into());
    });

    writeln!(io::stdout(), "ready")?;
    io::stdout().flush()?;
    let served = server.run(&mut Backend(shared.clone()));
    let status = shared.print_report(&shared.lock());
    // If QEMU is killed, the connection breaks off in the middle of a message.
    if let Err(error) = served {
        crate::say!("the connection ended with: {error}");
    }
    Ok(status.into())
}

fn answer(shared: &Shared, verb: &str, argument: &str) -> Result<Value, String> {
    shared.with(|device, bus| {
        match verb {
            "vanish" => bus.presence = Presence::Gone,
            "exit" => bus.presence = Presence::Exit,
            "return" => {
                device.reset(bus, Reset::PowerOn);
                bus.presence = Presence::Here;
            }
            "memory" => {
                let (regions, bytes) = bus.memory.totals();
                return Ok(json!({"regions": regions, "bytes": bytes}));
            }
            _ => return device.control(bus, verb, argument),
        }
        Ok(Value::Null)
    })
}

/// Runs delayed work. Never returns.
fn timer(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        let now = Instant::now();
        let is_here = state.bus.presence == Presence::Here;
        match state.device.due().filter(|_| is_here) {
            Some(due) if due <= now => {
                drop(state);
                shared.with(|device, bus| device.run_due(bus, now));
                state = shared.lock();
            }
            Some(due) => {
                let waited = shared.changed.wait_timeout(state, due - now);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            None => {
                state = shared
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner)
            }
        }
    }
}

fn regions(device: &dyn Device) -> Vec<ServerRegion> {
    let bars = device.bars();
    let size = |index: u32| match index {
        VFIO_PCI_CONFIG_REGION_INDEX => pci::SIZE as u64,
        index => bars.get(index as usize).copied().unwrap_or(0),
    };
    let region = |index: u32| vfio_region_info {
        argsz: size_of::<vfio_region_info>() as u32,
        index,
        size: size(index),
        flags: if size(index) > 0 {
            VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE
        } else {
            0
        },
        ..Default::default()
    };
    let server = |index| ServerRegion {
        region_info: region(index),
        sparse_areas: Vec::new(),
        mmap_fd: None,
    };
    (0..VFIO_PCI_NUM_REGIONS).map(server).collect()
}

fn irqs(device: &dyn Device) -> Vec<IrqInfo> {
    let irq = |index| match index {
        VFIO_PCI_MSIX_IRQ_INDEX => IrqInfo {
            index,
            flags: VFIO_IRQ_INFO_EVENTFD,
            count: device.vectors(),
        },
        _ => IrqInfo {
            index,
            flags: 0,
            count: 0,
        },
    };
    (0..VFIO_PCI_NUM_IRQS).map(irq).collect()
}

/// Handles SIGTERM and SIGINT by exiting with a report.
mod signals {
    /// The signals, blocked in this thread and in threads started later.
    pub struct Blocked(libc::sigset_t);

    /// Blocks the signals.
    pub fn block() -> Blocked {
        // SAFETY: An all-zero `sigset_t` is valid, and the functions only write to `set`, which
        // outlives the calls.
        let set = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGTERM);
            libc::sigaddset(&mut set, libc::SIGINT);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            set
        };
        Blocked(set)
    }

    impl Blocked {
        /// Waits for one of the signals.
        pub fn wait(self) {
            let mut signal = 0;
            // SAFETY: Both pointers are to locals of this function, which outlive the call.
            unsafe { libc::sigwait(&self.0, &mut signal) };
        }
    }
}
