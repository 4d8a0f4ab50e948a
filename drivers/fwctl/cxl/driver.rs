// SPDX-License-Identifier: GPL-2.0-only

//! fwctl driver for CXL memory devices and switches.
//!
//! `cxl_core` creates an auxiliary device for each memdev that has Features or commands of its
//! vendor, and for each mailbox of a switch. This driver binds to it and registers a fwctl device
//! whose parent is the memdev or the PCI function of the switch. User space can list the Features,
//! and get and set their values; and it can list the commands of the device and send those whose
//! effects its scope allows.
//!
//! - `policy.rs`: the scope that setting a Feature requires;
//! - `commands.rs`: the scope that any other command requires;
//! - `wire.rs`: the layouts of requests and commands;
//! - `request.rs`: parsing and checking of requests;
//! - `transfer.rs`: transfers of values that are larger than the mailbox;
//! - `memdev.rs`: the wrapper of `cxl_core`, with all unsafe code.

#![crate_name = "cxl_fwctl"]

use core::ops::Range;

use fwctl::{
    Context,
    DeviceType,
    Info,
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
    prelude::*,
    time::Delta, //
};

mod commands;
mod memdev;
mod policy;
mod request;
mod transfer;
mod wire;

use crate::{
    commands::Kind,
    memdev::{
        Background,
        Failure,
        Memdev, //
    },
    request::Request,
    wire::{
        CommandEntry,
        CommandsOut,
        DeviceInfo,
        FeatureEntry,
        GetFeatureIn,
        GetSupportedIn,
        GetSupportedOut,
        ReturnCode,
        RpcOut,
        SetFeatureIn, //
    },
};

/// The driver of the auxiliary devices that `cxl_core` creates.
struct CxlFwctl;

kernel::auxiliary_device_table!(
    ID_TABLE,
    <CxlFwctl as auxiliary::Driver>::IdInfo,
    [
        (
            auxiliary::DeviceId::new(c"cxl_core", c"fwctl"),
            Kind::Memory
        ),
        (
            auxiliary::DeviceId::new(c"cxl_core", c"switch"),
            Kind::Switch
        ),
    ]
);

impl auxiliary::Driver for CxlFwctl {
    type IdInfo = Kind;
    type Data<'bound> = Registration;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        kind: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        // The parent is the memdev or the PCI function. A memdev's own driver may be unbound before
        // this one, so do not rely on the parent being bound.
        let unbound: &auxiliary::Device = adev;

        fwctl::register::<Uctx>(adev, unbound.parent(), *kind)
    }
}

kernel::module_auxiliary_driver! {
    type: CxlFwctl,
    name: "cxl_fwctl",
    authors: ["fwctl in Rust developers"],
    description: "fwctl driver for CXL memory devices and switches",
    license: "GPL",
    imports_ns: ["FWCTL", "CXL"],
}

/// One open file. The driver keeps no state for it.
struct Uctx;

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::CXL;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = Kind;
    type Data<'bound> = Memdev<'bound>;

    fn bind<'bound>(
        host: &'bound auxiliary::Device<Bound>,
        kind: Kind,
    ) -> impl PinInit<Memdev<'bound>, Error> + 'bound {
        Memdev::new(host, kind)
    }

    fn open(_cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
        Ok(Self)
    }

    /// Tells that the driver passes commands, and how large their payloads can be.
    fn info(self: Pin<&Self>, cx: Context<'_, '_, Self>, info: &mut Info) -> Result {
        info.write(DeviceInfo::new(cx.data().payload_size())?.as_bytes())
    }

    fn opcode(request: &[u8]) -> Option<u32> {
        Request::opcode(request)
    }

    /// Fails with [`EINVAL`] if the request is malformed, the reply buffer is too small, or the
    /// scope does not allow the command. Fails with [`EPERM`] for a command, or setting a Feature,
    /// that no scope allows, with [`E2BIG`] if the input of a command exceeds the mailbox, and with
    /// the error of the transport if the device does not answer. A refusal by the device is a
    /// reply.
    ///
    /// A value that takes several commands is abandoned between two of them with [`ENODEV`] if the
    /// device is being unregistered, and with [`EINTR`] if the caller is killed.
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
            Request::QueryCommands => query_commands(memdev, rpc),
            Request::Command { opcode, payload } => send(cx, scope, opcode, payload, rpc),
        }
    }
}

/// Offset of the payload in a reply.
const PAYLOAD: usize = size_of::<RpcOut>();

/// Lists Features. Sends no command: `cxl_core` has read the list at probe.
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

/// Reads the value of a Feature or a part of it.
fn get<'a>(
    memdev: &Memdev<'_>,
    check: impl Fn() -> Result,
    input: &GetFeatureIn,
    rpc: Rpc<'a>,
) -> Result<Response<'a>> {
    if !memdev.has_features() || input.count() > rpc.out_len().checked_sub(PAYLOAD).ok_or(EINVAL)? {
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

/// Sets the value of a Feature or a part of it.
///
/// `command` is the range of the command in the request: the header, which was parsed as `input`,
/// and the data.
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

/// Lists the commands of the device. Sends no command: `cxl_core` has read the list at probe.
fn query_commands<'a>(memdev: &Memdev<'_>, rpc: Rpc<'a>) -> Result<Response<'a>> {
    let kind = memdev.commands().kind();
    let commands = memdev.commands().all();
    let size = size_of::<CommandsOut>() + commands.len() * size_of::<CommandEntry>();
    let mut reply = Reply::zeroed(PAYLOAD + size)?;
    let rest = write(&RpcOut::new(size, ReturnCode::SUCCESS)?, &mut reply)?;
    let rest = write(&CommandsOut::new(commands.len())?, rest)?;

    for (command, out) in commands
        .iter()
        .zip(rest.chunks_exact_mut(size_of::<CommandEntry>()))
    {
        let passes_feature = |opcode| memdev.passes_feature(opcode);
        write(&command.entry(kind, passes_feature), out)?;
    }
    Ok(rpc.reply(reply))
}

/// Sends a command that this driver knows only by its effects.
///
/// `payload` is the range of its input in the request. Fails with [`EBUSY`] if the command
/// continues in the background and another RPC waits for such a command.
fn send<'a>(
    cx: Context<'_, '_, Uctx>,
    scope: RpcScope,
    opcode: u16,
    payload: Range<usize>,
    mut rpc: Rpc<'a>,
) -> Result<Response<'a>> {
    let memdev = cx.data().get_ref();
    let out_len = rpc.out_len();
    let input = rpc.request_mut().get_mut(payload).ok_or(EINVAL)?;
    let command = memdev.commands().find(opcode, input, scope)?;
    if out_len < PAYLOAD {
        return Err(EINVAL);
    }

    let payload_size = memdev.payload_size();
    if input.len() > payload_size {
        return Err(E2BIG);
    }
    // The caller is told the true length of the output, so receive all of it.
    let mut reply = Reply::zeroed(PAYLOAD + payload_size)?;

    let background = match command.is_background() {
        true => Some(Background::begin(memdev)?),
        false => None,
    };

    let mut mailbox = memdev.lock()?;
    cx.check()?;
    let sent = mailbox.send(opcode, input, &mut reply[PAYLOAD..]);
    drop(mailbox);

    let len = match (sent, background) {
        (Ok(len), _) => len,
        (Err(Failure::Refused(ReturnCode::BACKGROUND)), Some(background)) => {
            return status(rpc, wait(cx, &background, opcode)?);
        }
        (Err(Failure::Refused(code)), _) => {
            if code == ReturnCode::BACKGROUND && command.lied() {
                dev_warn!(
                    cx.device(),
                    "command {:#06x} continues in the background, which its effects do not tell\n",
                    opcode
                );
            }
            return status(rpc, code);
        }
        (Err(Failure::Undelivered(error)), _) => return Err(error),
    };

    write(&RpcOut::new(len, ReturnCode::SUCCESS)?, &mut reply)?;
    reply.truncate(PAYLOAD + len);
    Ok(rpc.reply(reply))
}

/// Pauses between two looks at a background operation: they double from the first to the last.
const PAUSES: (Delta, Delta) = (Delta::from_millis(2), Delta::from_millis(128));

/// Waits for the operation that the command `opcode` has started, and returns its return code.
///
/// The mailbox is not locked meanwhile. The operation continues if this fails: with [`ENODEV`] if
/// the device is being unregistered, with [`EINTR`] if the caller is killed, and with [`EIO`] if
/// the device has executed another operation since.
fn wait(cx: Context<'_, '_, Uctx>, background: &Background<'_>, opcode: u16) -> Result<ReturnCode> {
    let (mut pause, longest) = PAUSES;

    loop {
        if let Some(code) = background.result(opcode)? {
            return Ok(code);
        }
        cx.wait_timeout(pause, || false)?;
        if pause < longest {
            pause = pause + pause;
        }
    }
}

/// Replies with only a return code, in the buffer of the request: every request is larger.
fn status(mut rpc: Rpc<'_>, code: ReturnCode) -> Result<Response<'_>> {
    write(&RpcOut::new(0, code)?, rpc.request_mut())?;
    rpc.in_place(PAYLOAD)
}

/// Writes `value` to the front of `out` and returns the rest.
fn write<'a, T: IntoBytes + zerocopy::Immutable>(
    value: &T,
    out: &'a mut [u8],
) -> Result<&'a mut [u8]> {
    let (front, rest) = out.split_at_mut_checked(size_of::<T>()).ok_or(EINVAL)?;

    value.write_to(front).map_err(|_| EINVAL)?;
    Ok(rest)
}
