// SPDX-License-Identifier: GPL-2.0-only

//! A driver that answers later accepts the request: it cannot keep one that it has not accepted.
//!
//! Expected: borrowed data escapes outside of method

use fwctl::{
    Context,
    DeviceType,
    Operations,
    Registration,
    RpcScope,
    Submission,
    Submitted, //
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
    sync::Mutex, //
};

struct Uctx;

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::NONE;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = ();
    type Data<'bound> = Pin<KBox<Mutex<Option<Submission<'static>>>>>;

    fn bind<'bound>(
        _host: &'bound auxiliary::Device<Bound>,
        _args: (),
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        KBox::pin_init(new_mutex!(None), GFP_KERNEL)
    }

    fn open(_cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
        Ok::<Self, Error>(Self)
    }

    fn submit<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        *cx.data().lock() = Some(rpc);
        Err(EAGAIN)
    }
}

/// What a probe does.
pub fn probe(host: &auxiliary::Device<Core<'_>>) -> Result<Registration> {
    fwctl::register::<Uctx>(host, host.as_ref(), ())
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
