// SPDX-License-Identifier: GPL-2.0-only

//! fwctl driver for AMD Pensando distributed services cards.
//!
//! `pds_core` creates an auxiliary device, `pds_core.fwctl.N`, for each physical function whose
//! firmware takes fwctl commands. This driver binds to it and registers a fwctl device whose parent
//! is the PCI function. An RPC is one operation of a firmware endpoint. Its message refers to
//! request and response by their addresses in the caller's memory. A shorter message asks the
//! driver for the endpoints, or for the operations of one and the scopes that they require.
//!
//! - `policy.rs`: the scope that an operation requires;
//! - `wire.rs`: the layouts of messages and commands;
//! - `firmware.rs`: what the firmware has told about itself, and RPCs that it allows;
//! - `client.rs`: the wrapper of `pds_core`, with all unsafe code, and with `shim.c`.

#![crate_name = "pds_fwctl"]

use fwctl::{
    BufferNames,
    Context,
    DeviceType,
    Info,
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

mod client;
mod firmware;
mod policy;
mod wire;

use crate::{
    firmware::Card,
    wire::{
        Message,
        Request, //
    },
};

/// The driver of the auxiliary devices that `pds_core` creates.
struct PdsFwctl;

kernel::auxiliary_device_table!(
    ID_TABLE,
    <PdsFwctl as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(c"pds_core", c"fwctl"), ())]
);

impl auxiliary::Driver for PdsFwctl {
    type IdInfo = ();
    type Data<'bound> = Registration;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        // The parent is the PCI function. Its driver is `pds_core`, which deletes the auxiliary
        // device before it is unbound itself.
        fwctl::register::<Uctx>(adev, adev.parent(), ())
    }
}

kernel::module_auxiliary_driver! {
    type: PdsFwctl,
    name: "pds_fwctl",
    authors: ["fwctl in Rust developers"],
    description: "fwctl driver for AMD Pensando distributed services cards",
    license: "GPL",
    imports_ns: ["FWCTL"],
}

/// One open file. The driver keeps no state for it.
struct Uctx;

/// Numbers of the buffers that a message names.
const REQUEST: usize = 0;
const RESPONSE: usize = 1;

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::PDS;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = ();
    type Data<'bound> = Card<'bound>;

    fn bind<'bound>(
        host: &'bound auxiliary::Device<Bound>,
        _args: (),
    ) -> impl PinInit<Card<'bound>, Error> + 'bound {
        Card::new(host)
    }

    fn open(_cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
        Ok(Self)
    }

    fn info(self: Pin<&Self>, _cx: Context<'_, '_, Self>, info: &mut Info) -> Result {
        info.write(wire::Info::new().as_bytes())
    }

    /// Fails with [`EINVAL`] if the message is too short, or a buffer longer than any firmware may
    /// take.
    fn name_buffers(message: &[u8], names: &mut BufferNames) -> Result {
        let Request::Execute(message) = Request::read(message)? else {
            return Ok(());
        };
        let len = |len: u32| match usize::try_from(len) {
            Ok(len) if len <= fwctl::MAX_RPC_LEN => Ok(len),
            _ => Err(EINVAL),
        };

        // In the order of `REQUEST` and `RESPONSE`.
        names.input(message.request, len(message.request_len)?)?;
        names.output(message.response, len(message.response_len)?)
    }

    fn opcode(message: &[u8]) -> Option<u32> {
        match Request::read(message).ok()? {
            Request::Execute(message) => Some(message.operation),
            Request::List(_) => None,
        }
    }

    /// Fails as [`Card::execute`] or [`Card::list`]. A failure of the operation is a reply.
    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        mut rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        let message = match Request::read(rpc.request())? {
            Request::Execute(message) => message,
            Request::List(list) => return Ok(rpc.reply(cx.data().list(&cx, list)?)),
        };
        let retval = cx
            .data()
            .execute(&cx, scope, &message, rpc.caller_memory())?;

        // The reply is the message, with the result.
        Message::set_retval(rpc.request_mut(), retval)?;
        let len = rpc.request().len();
        rpc.in_place(len)
    }
}
