// SPDX-License-Identifier: GPL-2.0-only

//! The rules kept, so that the other cases are known to fail for breaking one: data borrow from the host.
//!
//! Expected: it compiles.

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
    hosts: Mutex<KVec<&'bound auxiliary::Device<Bound>>>,
}

struct Uctx;

impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::NONE;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = ();
    type Data<'bound> = Data<'bound>;

    fn bind<'bound>(
        host: &'bound auxiliary::Device<Bound>,
        _args: (),
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        let mut hosts = KVec::new();
        let pushed = hosts.push(host, GFP_KERNEL);

        try_pin_init!(Data {
            hosts <- {
                pushed?;
                new_mutex!(hosts)
            },
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
        let len = cx.data().hosts.lock().len();

        rpc.in_place(len)
    }
}

/// What a probe does.
pub fn probe(host: &auxiliary::Device<Core<'_>>) -> Result<Registration> {
    fwctl::register::<Uctx>(host, host.as_ref(), ())
}
