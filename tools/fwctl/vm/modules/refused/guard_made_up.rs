// SPDX-License-Identifier: GPL-2.0-only

//! Only registering gives a guard, so nobody ends the registration of another driver.
//!
//! Expected: field `id` of struct `fwctl::Registration` is private

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
    prelude::*, //
};

struct Uctx;

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::NONE;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = ();
    type Data<'bound> = ();

    fn bind<'bound>(
        _host: &'bound auxiliary::Device<Bound>,
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

/// What a probe does.
pub fn probe(host: &auxiliary::Device<Core<'_>>) -> Result<Registration> {
    let _device = UnregisteredDevice::<Uctx>::new(host.as_ref())?;

    Ok(Registration { id: unreachable!() })
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
