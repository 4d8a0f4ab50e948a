// SPDX-License-Identifier: GPL-2.0-only

//! fwctl for CXL memory devices: their Features.
//!
//! `cxl_core` announces each memdev that has Features as an auxiliary device; this driver binds to
//! it and makes it a fwctl device whose parent is the memdev. User space can list the Features, and
//! get and set their values.
//!
//! - `policy.rs`: which scope it takes to set a Feature;
//! - `wire.rs`: the layouts of requests and commands;
//! - `request.rs`: what makes a request well-formed;
//! - `transfer.rs`: values that are larger than the mailbox;
//! - `memdev.rs`: the functions of `cxl_core`.

#![crate_name = "cxl_fwctl"]

use core::ops::Range;

use fwctl::{
    Context,
    DeviceType,
    Operations,
    Registration,
    Reply,
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

mod memdev;
mod policy;
mod request;
mod transfer;
mod wire;

use crate::{
    memdev::{
        Failure,
        Memdev, //
    },
    request::Request,
    wire::{
        FeatureEntry,
        GetFeatureIn,
        GetSupportedIn,
        GetSupportedOut,
        ReturnCode,
        RpcOut,
        SetFeatureIn, //
    },
};

/// The driver of the auxiliary devices that `cxl_core` makes.
struct CxlFwctl;

kernel::auxiliary_device_table!(
    ID_TABLE,
    <CxlFwctl as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(c"cxl_core", c"fwctl"), ())]
);

impl auxiliary::Driver for CxlFwctl {
    type IdInfo = ();
    type Data<'bound> = Registration;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        // The parent is a memdev. Its own driver may go before this one, so take it for what it is:
        // a device that need not be bound.
        let unbound: &auxiliary::Device = adev;

        fwctl::register::<Uctx>(adev, unbound.parent(), ())
    }
}

kernel::module_auxiliary_driver! {
    type: CxlFwctl,
    name: "cxl_fwctl",
    authors: ["fwctl in Rust developers"],
    description: "fwctl driver for CXL memory devices",
    license: "GPL",
    imports_ns: ["FWCTL", "CXL"],
}

/// One open file. There is nothing to know about it.
struct Uctx;

impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::CXL;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = ();
    type Data<'bound> = Memdev<'bound>;

    fn bind<'bound>(
        host: &'bound auxiliary::Device<Bound>,
        _args: (),
    ) -> impl PinInit<Memdev<'bound>, Error> + 'bound {
        Memdev::new(host)
    }

    fn open(_cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
        Ok(Self)
    }

    /// Fails with [`EINVAL`] for a request that is not well-formed, whose reply has no room, or
    /// that the scope does not allow, with [`EPERM`] for a Set Feature that the kernel keeps to
    /// itself, and if the device gives no answer. If it does, that it refused is for the reply to
    /// say. A value that takes several commands is given up between two of them with [`ENODEV`] if
    /// the device is being unregistered, and with [`EINTR`] if the caller was killed.
    fn fw_rpc<'a>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        rpc: Rpc<'a>,
    ) -> Result<Response<'a>> {
        let memdev = cx.data().get_ref();
        let check = || cx.check();

        match Request::parse(rpc.request())? {
            Request::GetSupported(input) => get_supported(memdev, &input, rpc),
            Request::Get(input) => get(memdev, check, &input, rpc),
            Request::Set { input, command } => set(memdev, check, scope, &input, command, rpc),
        }
    }
}

/// Where the payload of a reply begins.
const PAYLOAD: usize = size_of::<RpcOut>();

/// Lists Features, without asking the device: what it said when it was probed.
fn get_supported<'a>(
    memdev: &Memdev<'_>,
    input: &GetSupportedIn,
    rpc: Rpc<'a>,
) -> Result<Response<'a>> {
    let all = memdev.entries();
    let wanted = all.get(input.start()..).unwrap_or(&[]);
    if wanted.is_empty() {
        return Err(EINVAL);
    }
    let wanted = &wanted[..wanted.len().min(input.entries())];

    let size = size_of::<GetSupportedOut>() + size_of_val(wanted);
    let mut reply = Reply::zeroed(PAYLOAD + size)?;
    let rest = write(&RpcOut::new(size, ReturnCode::SUCCESS)?, &mut reply)?;
    let rest = write(&GetSupportedOut::new(wanted.len(), all.len())?, rest)?;

    for (entry, out) in wanted
        .iter()
        .zip(rest.chunks_exact_mut(size_of::<FeatureEntry>()))
    {
        if memdev::is_exclusive(&entry.uuid) {
            write(&entry.unchangeable(), out)?;
        } else {
            write(entry, out)?;
        }
    }
    Ok(rpc.reply(reply))
}

/// Reads the value of a Feature, or a part of it.
fn get<'a>(
    memdev: &Memdev<'_>,
    check: impl Fn() -> Result,
    input: &GetFeatureIn,
    rpc: Rpc<'a>,
) -> Result<Response<'a>> {
    if input.count() > rpc.out_len().checked_sub(PAYLOAD).ok_or(EINVAL)? {
        return Err(EINVAL);
    }

    let mut reply = Reply::zeroed(PAYLOAD + input.count())?;
    let read = transfer::get(&mut memdev.lock()?, check, input, &mut reply[PAYLOAD..]);
    let len = match read {
        Ok(len) => len,
        Err(Failure::Refused(code)) => return status(rpc, code),
        Err(Failure::Undelivered(error)) => return Err(error),
    };

    write(&RpcOut::new(len, ReturnCode::SUCCESS)?, &mut reply)?;
    reply.truncate(PAYLOAD + len);
    Ok(rpc.reply(reply))
}

/// Sets the value of a Feature, or a part of it.
///
/// `command` is where the request has the head that was read as `input`, and the data.
fn set<'a>(
    memdev: &Memdev<'_>,
    check: impl Fn() -> Result,
    scope: RpcScope,
    input: &SetFeatureIn,
    command: Range<usize>,
    mut rpc: Rpc<'a>,
) -> Result<Response<'a>> {
    if !memdev.has_set() {
        return Err(EINVAL);
    }
    let entry = memdev.entry(input.uuid()).ok_or(EINVAL)?;
    policy::may_set(entry, memdev::is_exclusive(input.uuid()), scope)?;

    if rpc.out_len() < PAYLOAD {
        return Err(EINVAL);
    }

    let command = rpc.request_mut().get_mut(command).ok_or(EINVAL)?;
    let written = transfer::set(&mut memdev.lock()?, check, input, command);
    match written {
        Ok(()) => status(rpc, ReturnCode::SUCCESS),
        Err(Failure::Refused(code)) => status(rpc, code),
        Err(Failure::Undelivered(error)) => Err(error),
    }
}

/// Replies with nothing but a return code, where the request was: all requests are longer.
fn status(mut rpc: Rpc<'_>, code: ReturnCode) -> Result<Response<'_>> {
    write(&RpcOut::new(0, code)?, rpc.request_mut())?;
    rpc.in_place(PAYLOAD)
}

/// Writes `value` to the front of `out`, and returns what is behind it.
fn write<'a, T: IntoBytes + zerocopy::Immutable>(
    value: &T,
    out: &'a mut [u8],
) -> Result<&'a mut [u8]> {
    let (front, rest) = out.split_at_mut_checked(size_of::<T>()).ok_or(EINVAL)?;

    value.write_to(front).map_err(|_| EINVAL)?;
    Ok(rest)
}
