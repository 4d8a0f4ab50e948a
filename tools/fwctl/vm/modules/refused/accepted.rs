// SPDX-License-Identifier: GPL-2.0-only

//! The rules kept, so that the other cases are known to fail for breaking one: data borrow from the
//! host, and own what probe hands over; the guard is in the data of the bus driver.
//!
//! Expected: it compiles.

use fwctl::{
    Context,
    DeviceType,
    Operations,
    Registration,
    Response,
    Rpc,
    RpcScope,
    UnregisteredDevice, //
};
use kernel::{
    auxiliary,
    device::{
        Bound,
        Core,
        DeviceContext, //
    },
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    time::Delta, //
};

struct Args {
    name: &'static CStr,
    limit: Arc<Mutex<i64>>,
}

#[pin_data]
struct Data<'bound> {
    #[pin]
    hosts: Mutex<KVec<&'bound auxiliary::Device<Bound>>>,
    args: Args,
    has_answered: Atomic<bool>,
}

struct Uctx;

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::NONE;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = Args;
    type Data<'bound> = Data<'bound>;

    fn bind<'bound>(
        host: &'bound auxiliary::Device<Bound>,
        args: Args,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        let mut hosts = KVec::new();
        let pushed = hosts.push(host, GFP_KERNEL);

        try_pin_init!(Data {
            hosts <- {
                pushed?;
                new_mutex!(hosts)
            },
            args,
            has_answered: Atomic::new(false),
        })
    }

    fn open(_cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
        Ok::<Self, Error>(Self)
    }

    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        let data = cx.data();
        let limit = Delta::from_millis(*data.args.limit.lock());
        let has_answered = || data.has_answered.load(Relaxed);

        cx.check()?;
        if !cx.wait_timeout(limit, has_answered)? {
            dev_info!(cx.device(), "{} is slow\n", data.args.name);
            cx.wait(has_answered)?;
        }
        cx.notify();

        let len = data.hosts.lock().len();

        rpc.in_place(len)
    }
}

/// What a bus driver keeps.
pub struct DriverData {
    device: ARef<fwctl::Device>,
    _registration: Registration,
}

/// What a probe does.
pub fn probe(host: &auxiliary::Device<Core<'_>>) -> Result<DriverData> {
    let device = UnregisteredDevice::<Uctx>::new(host.as_ref())?;
    let args = Args {
        name: c"firmware",
        limit: Arc::pin_init(new_mutex!(100), GFP_KERNEL)?,
    };

    dev_info!(device.device().as_ref(), "not registered yet\n");
    Ok(DriverData {
        device: device.device().into(),
        _registration: device.register(host, args)?,
    })
}

/// What an interrupt handler does.
pub fn has_answered(data: &DriverData) {
    data.device.notify();
}

struct Module;

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}

module! {
    type: Module,
    name: "refused",
    authors: ["fwctl in Rust developers"],
    description: "A driver that is compiled only",
    license: "GPL",
    imports_ns: ["FWCTL"],
}
