// SPDX-License-Identifier: GPL-2.0-only

//! A context is valid for one call: stored, it could call a driver that was removed.
//!
//! Expected: lifetime may not live long enough

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

#[pin_data]
struct Data<'bound> {
    #[pin]
    contexts: Mutex<KVec<Context<'bound, 'bound, Uctx>>>,
}

struct Uctx;

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::NONE;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = ();
    type Data<'bound> = Data<'bound>;

    fn bind<'bound>(
        _host: &'bound auxiliary::Device<Bound>,
        _args: (),
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        try_pin_init!(Data {
            contexts <- new_mutex!(KVec::new()),
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

        data.contexts.lock().push(cx, GFP_KERNEL)?;
        rpc.in_place(0)
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
