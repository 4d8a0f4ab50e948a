// SPDX-License-Identifier: GPL-2.0-only

//! What probe hands to `bind()` lives in the data, and those outlive probe.
//!
//! Expected: `local` does not live long enough

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
    prelude::*, //
};

struct Uctx;

struct Args(&'static u32);

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::NONE;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = Args;
    type Data<'bound> = &'static u32;

    fn bind<'bound>(
        _host: &'bound auxiliary::Device<Bound>,
        args: Args,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Ok::<&'static u32, Error>(args.0)
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

/// What a probe does.
pub fn probe(host: &auxiliary::Device<Core<'_>>) -> Result<Registration> {
    let local = host.id();

    fwctl::register::<Uctx>(host, host.as_ref(), Args(&local))
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
