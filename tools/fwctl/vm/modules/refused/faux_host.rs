// SPDX-License-Identifier: GPL-2.0-only

//! A faux device has no driver that could be unbound, and nobody has its `Core` context.
//!
//! Expected: mismatched types

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
        DeviceContext, //
    },
    faux,
    prelude::*, //
};

struct Uctx;

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::NONE;

    type Host<Ctx: DeviceContext> = faux::Device<Ctx>;
    type Args = ();
    type Data<'bound> = ();

    fn bind<'bound>(
        _host: &'bound faux::Device<Bound>,
        _args: (),
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Ok::<(), Error>(())
    }

    fn open(_cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
        Ok::<Self, Error>(Self)
    }

    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        _cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        rpc.in_place(0)
    }
}

/// What a module does.
pub fn init() -> Result<Registration> {
    let faux = faux::Registration::new(c"refused", None)?;
    let host = faux.as_ref();
    let registration = fwctl::register::<Uctx>(host, host.as_ref(), ())?;

    core::mem::forget(faux);
    Ok(registration)
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
