// SPDX-License-Identifier: GPL-2.0-only

//! A fwctl driver to copy, for QEMU's `pci-testdev`.
//!
//! To make this driver probe, QEMU must be run with `-device pci-testdev`.
//!
//! The device has no firmware; its test registers stand in for one. A request is a [`Request`], the
//! reply is the number of writes that the device has counted since the test was selected. For
//! example, this selects test 0 and writes twice:
//!
//! ```sh
//! printf '\x01\0\0\0\x02\0\0\0' | fwctl rpc fwctl0 --scope debug-write -i - -o -
//! ```

use fwctl::{
    Context,
    DeviceType,
    Operations,
    Registration,
    Response,
    Rpc,
    RpcScope, //
};

use kernel::{
    device::{
        Bound,
        Core,
        DeviceContext, //
    },
    io::{
        register,
        Io, //
    },
    new_mutex,
    pci,
    prelude::*,
    sync::Mutex, //
};

mod regs {
    use super::*;

    register! {
        pub(super) TEST(u8) @ 0x0 {
            7:0 index;
        }

        pub(super) OFFSET(u32) @ 0x4 {
            31:0 offset;
        }

        pub(super) DATA(u8) @ 0x8 {
            7:0 data;
        }

        pub(super) COUNT(u32) @ 0xC {
            31:0 count;
        }
    }

    pub(super) const END: usize = 0x10;
}

type Bar0<'bound> = pci::Bar<'bound, { regs::END }>;

struct SampleDriver;

kernel::pci_device_table!(
    PCI_TABLE,
    <SampleDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

impl pci::Driver for SampleDriver {
    type IdInfo = ();
    // Dropping the registration unregisters the fwctl device.
    type Data<'bound> = Registration;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Registration, Error> + 'bound {
        pdev.enable_device_mem()?;

        // The second argument is the parent of the fwctl device in sysfs.
        fwctl::register::<Uctx>(pdev, pdev.as_ref(), ())
    }
}

/// A request, in little-endian byte order.
#[derive(Clone, Copy)]
enum Request {
    /// 0, 0: Read the counter.
    Count,
    /// 1, n: Select test 0, which clears the counter, and do what it says n times.
    Write(u8),
}

impl Request {
    /// Parses a request from user space.
    ///
    /// Unknown requests are refused: the driver cannot tell which scope they need.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; 8] = bytes.try_into().map_err(|_| EINVAL)?;
        let [op @ .., _, _, _, _] = *bytes;
        let [_, _, _, _, arg @ ..] = *bytes;

        match (u32::from_le_bytes(op), u32::from_le_bytes(arg)) {
            (0, 0) => Ok(Self::Count),
            (1, count) => Ok(Self::Write(count.try_into()?)),
            _ => Err(EINVAL),
        }
    }

    /// Returns the scope that the request needs.
    fn scope(self) -> RpcScope {
        match self {
            Self::Count => RpcScope::Configuration,
            Self::Write(_) => RpcScope::DebugWrite,
        }
    }
}

/// Per-device data, which may borrow from the PCI device while that is bound.
#[pin_data]
struct Firmware<'bound> {
    // RPCs run concurrently, and a request takes more than one register access.
    #[pin]
    bar: Mutex<Bar0<'bound>>,
}

impl Firmware<'_> {
    fn execute(&self, request: Request) -> Result<u32> {
        let bar = self.bar.lock();

        if let Request::Write(count) = request {
            bar.write_reg(regs::TEST::zeroed());

            let offset = bar.read(regs::OFFSET).into_raw() as usize;
            let data = bar.read(regs::DATA).into();

            for _ in 0..count {
                // Checked at run time: the offset comes from the device.
                bar.try_write8(data, offset)?;
            }
        }
        Ok(bar.read(regs::COUNT).into())
    }
}

/// Per-open-file data.
struct Uctx;

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::NONE;

    type Host<Ctx: DeviceContext> = pci::Device<Ctx>;
    type Args = ();
    type Data<'bound> = Firmware<'bound>;

    fn bind<'bound>(
        pdev: &'bound pci::Device<Bound>,
        _args: (),
    ) -> impl PinInit<Firmware<'bound>, Error> + 'bound {
        try_pin_init!(Firmware {
            bar <- new_mutex!(pdev.iomap_region_sized::<{ regs::END }>(0, c"fwctl_sample")?),
        })
    }

    fn open(_cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
        Ok(Self)
    }

    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        mut rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        let request = Request::parse(rpc.request())?;

        if scope < request.scope() {
            return Err(EPERM);
        }

        let count = cx.data().execute(request)?.to_le_bytes();
        let reply = rpc.request_mut().first_chunk_mut().ok_or(EINVAL)?;

        *reply = count;
        rpc.in_place(count.len())
    }
}

kernel::module_pci_driver! {
    type: SampleDriver,
    name: "fwctl_sample",
    authors: ["fwctl in Rust developers"],
    description: "fwctl sample driver",
    license: "GPL",
    imports_ns: ["FWCTL"],
}
