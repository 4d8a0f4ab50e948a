// SPDX-License-Identifier: GPL-2.0-only

//! Loopback devices for the fwctl selftests.
//!
//! There is no hardware. The module registers auxiliary devices, see `bus.rs`, and a driver for
//! them. Each request tells the driver how to handle it, see `loopback.h`.
//!
//! Each bound device is a `/dev/fwctl/fwctlN`. To unbind one:
//!
//! ```sh
//! cd /sys/bus/auxiliary/drivers/fwctl_loopback.fwctl_loopback
//! echo fwctl_loopback.loop.0 > unbind
//! ```
//!
//! `fwctl_loopback_c.c` is the same in C.

use fwctl::{
    Context,
    DeviceType,
    Info,
    MemoryFlags,
    MemoryIds,
    NewMemory,
    Operations,
    Registration,
    Reply,
    Response,
    Rpc,
    RpcScope, //
};

use kernel::{
    auxiliary,
    device::{
        self,
        Bound,
        Core,
        DeviceContext, //
    },
    driver,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    InPlaceModule, //
};

mod asynchronous;
mod bus;
mod command;

use crate::command::{
    Command,
    MemoryMode,
    MemoryOp,
    MemoryRange,
    Op,
    State, //
};

/// The driver of the auxiliary devices.
struct Loopback;

kernel::auxiliary_device_table!(
    ID_TABLE,
    <Loopback as auxiliary::Driver>::IdInfo,
    [(
        auxiliary::DeviceId::new(bus::MODULE_NAME, bus::DEVICE_NAME),
        ()
    )]
);

impl auxiliary::Driver for Loopback {
    type IdInfo = ();
    // Unregisters the fwctl device when the auxiliary device is unbound.
    type Data<'bound> = Registration;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Registration, Error> + 'bound {
        let host = adev.as_ref();

        if module_parameters::asynchronous.value() != 0 {
            fwctl::register::<asynchronous::Uctx>(adev, host, ())
        } else {
            fwctl::register::<Uctx>(adev, host, ())
        }
    }
}

/// Per-device data.
struct Firmware {
    open_uctx: Atomic<u32>,
    last_uid: Atomic<u32>,
    last_umem: Atomic<u32>,
}

/// Per-open-file data.
struct Uctx {
    uid: u32,
    /// The number of a [`MemoryMode`].
    memory_mode: Atomic<u32>,
}

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::NONE;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = ();
    type Data<'bound> = Firmware;

    fn bind<'bound>(
        _host: &'bound auxiliary::Device<Bound>,
        _args: (),
    ) -> impl PinInit<Firmware, Error> + 'bound {
        Ok(Firmware {
            open_uctx: Atomic::new(0),
            last_uid: Atomic::new(0),
            last_umem: Atomic::new(0),
        })
    }

    fn open(cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
        let firmware = cx.data();

        firmware.open_uctx.fetch_add(1, Relaxed);
        Ok(Self {
            uid: firmware.last_uid.fetch_add(1, Relaxed) + 1,
            memory_mode: Atomic::new(MemoryMode::Works as u32),
        })
    }

    fn close(self: Pin<&mut Self>, cx: Context<'_, '_, Self>) {
        cx.data().open_uctx.fetch_sub(1, Relaxed);
    }

    fn info(self: Pin<&Self>, _cx: Context<'_, '_, Self>, info: &mut Info) -> Result {
        info.write(&self.uid.to_ne_bytes())?;
        info.write(&command::MAGIC.to_ne_bytes())
    }

    fn never_sleeps(request: &[u8]) -> bool {
        !matches!(
            Command::parse(request),
            Ok(Command::Op(Op::Sleep(_) | Op::Memory))
        )
    }

    fn opcode(request: &[u8]) -> Option<u32> {
        Command::opcode(request)
    }

    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        match Command::parse(rpc.request())? {
            Command::Echo => echo(rpc),
            Command::Op(Op::Copy) => copy(rpc),
            Command::Op(Op::Sleep(time)) => {
                fsleep(Delta::from_millis(time));
                echo(rpc)
            }
            Command::Op(Op::Fail(error)) => Err(error),
            Command::Op(Op::InPlace(len)) => rpc.in_place(len),
            Command::Op(Op::Fill(len)) => Ok(rpc.reply(fill(len)?)),
            Command::Op(Op::State) => self.state(cx, scope, rpc),
            Command::Op(Op::Zeros(len)) => Ok(rpc.reply(Reply::zeroed(len)?)),
            Command::Op(Op::Memory) => self.memory(cx, rpc),
        }
    }

    const MEMORY_FLAGS: MemoryFlags = MemoryFlags::MKEY.union(MemoryFlags::MCDD);

    fn dma_device<'bound>(
        _host: &'bound auxiliary::Device<Bound>,
    ) -> Option<&'bound device::Device<Bound>> {
        None
    }

    fn add_memory(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        memory: &mut NewMemory<'_>,
    ) -> Result<MemoryIds> {
        // What a driver of hardware writes to its command.
        let _ = memory.addresses().count();

        match self.memory_mode() {
            MemoryMode::Refused => {
                memory.retract();
                return Err(EIO);
            }
            MemoryMode::Unanswered => return Err(EIO),
            MemoryMode::Works | MemoryMode::Kept => {}
        }
        let number = cx.data().last_umem.fetch_add(1, Relaxed) + 1;
        Ok(MemoryIds {
            umem: number,
            mkey: if memory.flags().contains(MemoryFlags::MKEY) {
                number << 8
            } else {
                0
            },
            private: self.uid.into(),
        })
    }

    fn remove_memory(self: Pin<&Self>, _cx: Context<'_, '_, Self>, ids: MemoryIds) -> Result {
        if ids.private != self.uid.into() || self.memory_mode() == MemoryMode::Kept {
            return Err(EIO);
        }
        Ok(())
    }
}

impl Uctx {
    /// Replies with [`State`].
    ///
    /// Not inlined, to keep its register pressure out of the other requests.
    #[inline(never)]
    fn state<'rpc>(
        &self,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        mut rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        let state = State {
            open_uctx: cx.data().open_uctx.load(Relaxed),
            scope: scope as u32,
            // CAST: At most `fwctl::MAX_RPC_LEN`.
            out_len: rpc.out_len() as u32,
            uid: self.uid,
        };

        state
            .write_to_prefix(rpc.request_mut())
            .map_err(|_| EINVAL)?;
        rpc.in_place(size_of::<State>())
    }
}

impl Uctx {
    /// Carries out an operation on registered memory. Not inlined, as `state()`.
    #[inline(never)]
    fn memory<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        match MemoryOp::parse(rpc.request())? {
            MemoryOp::Fill(range, value) => self.memory_fill(cx, &range, value)?,
            MemoryOp::Read(range, time) => {
                return Ok(rpc.reply(self.memory_read(cx, &range, time)?));
            }
            MemoryOp::Mode(mode) => self.memory_mode.store(mode as u32, Relaxed),
        }
        echo(rpc)
    }

    fn memory_mode(&self) -> MemoryMode {
        self.memory_mode
            .load(Relaxed)
            .try_into()
            .unwrap_or(MemoryMode::Works)
    }

    /// Fills registered memory with `value`, as the firmware would.
    #[inline(never)]
    fn memory_fill(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        range: &MemoryRange,
        value: u8,
    ) -> Result {
        let memory = cx.memory(self, range.umem_id)?;
        let part = [value; 64];
        let mut done = 0;

        while done < range.len {
            let len = part.len().min(range.len - done);
            let offset = range.offset.checked_add(done).ok_or(EINVAL)?;

            memory.write(offset, &part[..len])?;
            done += len;
        }
        Ok(())
    }

    /// Returns bytes of registered memory, which it uses for `time` milliseconds before.
    #[inline(never)]
    fn memory_read(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        range: &MemoryRange,
        time: i64,
    ) -> Result<Reply> {
        let memory = cx.memory(self, range.umem_id)?;
        let mut reply = Reply::zeroed(range.len)?;

        if time != 0 {
            fsleep(Delta::from_millis(time));
        }
        memory.read(range.offset, &mut reply)?;
        Ok(reply)
    }
}

/// Replies with the request, in place.
fn echo(rpc: Rpc<'_>) -> Result<Response<'_>> {
    let len = rpc.request().len();

    rpc.in_place(len)
}

/// Replies with a copy of the request, in separate memory.
fn copy(rpc: Rpc<'_>) -> Result<Response<'_>> {
    let reply = Reply::copy_of(rpc.request())?;

    Ok(rpc.reply(reply))
}

/// Returns `len` bytes of a pattern.
fn fill(len: usize) -> Result<Reply> {
    let mut bytes = Reply::zeroed(len)?;

    for (byte, value) in bytes.iter_mut().zip((0..251).cycle()) {
        *byte = value;
    }
    Ok(bytes)
}

#[pin_data]
struct LoopbackModule {
    // Dropped first: the driver must be registered until its devices are removed.
    _bus: bus::Bus,
    #[pin]
    _driver: driver::Registration<auxiliary::Adapter<Loopback>>,
}

impl InPlaceModule for LoopbackModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _driver <- driver::Registration::new(bus::MODULE_NAME, module),
            _bus: bus::Bus::new(module_parameters::devices.value())?,
        })
    }
}

module! {
    type: LoopbackModule,
    name: "fwctl_loopback",
    authors: ["fwctl in Rust developers"],
    description: "fwctl loopback test device in Rust",
    license: "GPL",
    imports_ns: ["FWCTL"],
    params: {
        devices: u32 {
            default: 2,
            description: "Number of devices, up to 64 (default 2)",
        },
        asynchronous: u8 {
            default: 0,
            description: "1: answer asynchronously (default 0)",
        },
    },
}
