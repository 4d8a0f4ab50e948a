// SPDX-License-Identifier: GPL-2.0-only

//! The loopback as a driver of the abstraction `kernel::fwctl`, which is built on the C API.
//!
//! It implements the protocol of `loopback.h`, but has another device type: the abstraction only
//! has those of the uapi.

use kernel::{
    auxiliary,
    device::{
        Bound,
        Core, //
    },
    driver,
    fwctl::{
        self,
        FwRpcResponse,
        RpcScope, //
    },
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

mod bus;
// It has more than this driver uses.
#[allow(dead_code)]
mod command;

use crate::command::{
    Command,
    Op,
    State, //
};

/// How many devices there are.
const DEVICES: u32 = 2;

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
    type Data<'bound> = fwctl::Registration<'bound, Uctx>;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        let device = fwctl::Device::<Uctx>::new(adev.as_ref())?;
        let firmware = Firmware {
            open_uctx: Atomic::new(0),
            last_uid: Atomic::new(0),
        };

        // SAFETY:
        // - The registration is the driver's data of the device, which are dropped at its unbind.
        // - The device was made just now, and nobody else knows it.
        unsafe { fwctl::Registration::new(adev.as_ref(), &device, Ok(firmware)) }
    }
}

/// What is kept for one device.
struct Firmware {
    open_uctx: Atomic<u32>,
    last_uid: Atomic<u32>,
}

/// One open file.
struct Uctx {
    uid: u32,
}

impl fwctl::Operations for Uctx {
    type RegistrationData<'a> = Firmware;

    // Any will do: there is none for samples.
    const DEVICE_TYPE: fwctl::DeviceType = fwctl::DeviceType::Mlx5;

    fn open<'a>(_device: &fwctl::Device<Self>, firmware: &Firmware) -> impl PinInit<Self, Error> {
        firmware.open_uctx.fetch_add(1, Relaxed);
        Ok(Self {
            uid: firmware.last_uid.fetch_add(1, Relaxed) + 1,
        })
    }

    fn close<'a>(_this: Pin<&mut Self>, _device: &fwctl::Device<Self>, firmware: &Firmware) {
        firmware.open_uctx.fetch_sub(1, Relaxed);
    }

    fn info<'a>(
        this: Pin<&Self>,
        _device: &fwctl::Device<Self>,
        _firmware: &Firmware,
    ) -> Result<KVec<u8>> {
        let mut data = KVec::new();

        data.extend_from_slice(&this.uid.to_ne_bytes(), GFP_KERNEL)?;
        data.extend_from_slice(&command::MAGIC.to_ne_bytes(), GFP_KERNEL)?;
        Ok(data)
    }

    fn fw_rpc<'a>(
        this: Pin<&Self>,
        _device: &fwctl::Device<Self>,
        firmware: &Firmware,
        scope: RpcScope,
        rpc: &mut [u8],
        room: usize,
    ) -> Result<FwRpcResponse> {
        match Command::parse(rpc)? {
            Command::Echo => Ok(FwRpcResponse::InPlace(rpc.len())),
            Command::Op(Op::Copy) => Ok(FwRpcResponse::NewBuffer(copy(rpc)?)),
            Command::Op(Op::Sleep(time)) => {
                fsleep(Delta::from_millis(time));
                Ok(FwRpcResponse::InPlace(rpc.len()))
            }
            Command::Op(Op::Fail(error)) => Err(error),
            Command::Op(Op::InPlace(len)) => Ok(FwRpcResponse::InPlace(len)),
            Command::Op(Op::Fill(len)) => Ok(FwRpcResponse::NewBuffer(fill(len)?)),
            Command::Op(Op::Zeros(len)) => Ok(FwRpcResponse::NewBuffer(KVVec::from_elem(
                0, len, GFP_KERNEL,
            )?)),
            // The abstraction has no registered memory.
            Command::Op(Op::Memory) => Err(EOPNOTSUPP),
            Command::Op(Op::State) => {
                let state = State {
                    open_uctx: firmware.open_uctx.load(Relaxed),
                    scope: scope as u32,
                    // CAST: It is at most 2 MiB.
                    out_len: room as u32,
                    uid: this.uid,
                };

                state.write_to_prefix(rpc).map_err(|_| EINVAL)?;
                Ok(FwRpcResponse::InPlace(size_of::<State>()))
            }
        }
    }
}

/// Returns a copy of the request.
fn copy(rpc: &[u8]) -> Result<KVVec<u8>> {
    let mut bytes = KVVec::with_capacity(rpc.len(), GFP_KERNEL)?;

    bytes.extend_from_slice(rpc, GFP_KERNEL)?;
    Ok(bytes)
}

/// Returns `len` bytes that can be told apart.
fn fill(len: usize) -> Result<KVVec<u8>> {
    let mut bytes = KVVec::with_capacity(len, GFP_KERNEL)?;

    for value in (0..251).cycle().take(len) {
        bytes.push(value, GFP_KERNEL)?;
    }
    Ok(bytes)
}

#[pin_data]
struct LoopbackModule {
    // Dropped first, so that the driver sees its devices go.
    _bus: bus::Bus,
    #[pin]
    _driver: driver::Registration<auxiliary::Adapter<Loopback>>,
}

impl InPlaceModule for LoopbackModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _driver <- driver::Registration::new(bus::MODULE_NAME, module),
            _bus: bus::Bus::new(DEVICES)?,
        })
    }
}

module! {
    type: LoopbackModule,
    name: "fwctl_loopback_kernel",
    authors: ["fwctl in Rust developers"],
    description: "fwctl loopback sample on kernel::fwctl",
    license: "GPL",
    imports_ns: ["FWCTL"],
}
