// SPDX-License-Identifier: GPL-2.0-only

//! fwctl driver for NVIDIA ConnectX and BlueField.
//!
//! `mlx5_core` creates an auxiliary device, `mlx5_core.fwctl.N`, for each PCI function that
//! supports user contexts. This driver binds to it and registers a fwctl device whose parent is the
//! PCI function. An RPC is one firmware command. Its reply is the output of the command, truncated
//! to the size of the reply buffer.
//!
//! - `policy.rs`: the scope that a command requires;
//! - `cmd.rs`: the layouts of commands;
//! - `slots.rs`: limits of the commands in flight;
//! - `uctx.rs`: the user context of an open file;
//! - `core_dev.rs`: the wrapper of `mlx5_core`, with all unsafe code, and with `shim.c`.

#![crate_name = "mlx5_fwctl"]

use fwctl::{
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

mod cmd;
mod core_dev;
mod policy;
mod slots;
mod uctx;

use crate::{
    cmd::{
        InHeader,
        OutHeader, //
    },
    core_dev::{
        debug,
        CoreDev, //
    },
    slots::Share,
    uctx::{
        Contexts,
        Uctx, //
    },
};

/// The driver of the auxiliary devices that `mlx5_core` creates.
struct Mlx5Fwctl;

kernel::auxiliary_device_table!(
    ID_TABLE,
    <Mlx5Fwctl as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(c"mlx5_core", c"fwctl"), ())]
);

impl auxiliary::Driver for Mlx5Fwctl {
    type IdInfo = ();
    type Data<'bound> = Registration;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        // The parent is the PCI function. Its driver is `mlx5_core`, which deletes the auxiliary
        // device before it is unbound itself.
        fwctl::register::<Uctx>(adev, adev.parent(), ())
    }
}

kernel::module_auxiliary_driver! {
    type: Mlx5Fwctl,
    name: "mlx5_fwctl",
    authors: ["fwctl in Rust developers"],
    description: "fwctl driver for NVIDIA ConnectX and BlueField",
    license: "GPL",
    imports_ns: ["FWCTL"],
}

/// State of a device.
#[pin_data(PinnedDrop)]
pub(crate) struct Function<'bound> {
    core_dev: CoreDev<'bound>,
    #[pin]
    rpcs: Share,
    #[pin]
    opens: Share,
    #[pin]
    contexts: Contexts,
}

impl<'bound> Function<'bound> {
    fn new(host: &'bound auxiliary::Device<Bound>) -> impl PinInit<Self, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            let core_dev = CoreDev::new(host)?;
            let slots = core_dev.slots();

            Ok(try_pin_init!(Self {
                core_dev,
                rpcs <- Share::of_rpcs(slots),
                opens <- Share::of_opens(slots),
                contexts <- Contexts::new(),
            }? Error))
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Function<'_> {
    fn drop(self: Pin<&mut Self>) {
        // All files are closed: their contexts are destroyed or queued.
        self.contexts.finish(&self.core_dev);
    }
}

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::MLX5;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = ();
    type Data<'bound> = Function<'bound>;

    fn bind<'bound>(
        host: &'bound auxiliary::Device<Bound>,
        _args: (),
    ) -> impl PinInit<Function<'bound>, Error> + 'bound {
        Function::new(host)
    }

    fn open(cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
        Self::create_for(&cx)
    }

    fn close(self: Pin<&mut Self>, cx: Context<'_, '_, Self>) {
        let function = cx.data();
        let is_unregistering = cx.check() == Err(ENODEV);

        function
            .contexts
            .close(&self, &function.core_dev, cx.device(), is_unregistering);
    }

    fn info(self: Pin<&Self>, _cx: Context<'_, '_, Self>, info: &mut Info) -> Result {
        info.write(self.describe().as_bytes())
    }

    /// Fails with [`EMSGSIZE`] if the request or the reply is shorter than a header. Fails with
    /// [`EBADMSG`] if the policy does not allow the command, like [`Share::run`] if there is no
    /// slot for it, and with the error of `mlx5_core` if the firmware does not answer. A refusal by
    /// the firmware is a reply.
    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        mut rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        let function = cx.data();
        let core_dev = &function.core_dev;
        let in_len = rpc.request().len();
        let out_len = rpc.out_len();

        let header = InHeader::of(rpc.request_mut())?;
        if out_len < size_of::<OutHeader>() {
            return Err(EMSGSIZE);
        }
        let opcode = header.opcode.get();
        if !policy::is_allowed(opcode, header.op_mod.get(), scope) {
            return Err(EBADMSG);
        }
        // Never trust the uid in the request: commands must run in this file's own user context.
        header.uid.set(self.uid());
        if policy::names_host_memory(rpc.request()) {
            return Err(EBADMSG);
        }

        // Use the same memory for request and reply if the reply fits.
        let response = if out_len <= in_len {
            let delivered = function.rpcs.run(&cx, core_dev, || {
                core_dev.execute_in_place(rpc.request_mut(), out_len)
            });
            self.debug_rpc(&cx, opcode, delivered, rpc.request());
            delivered?;
            rpc.in_place(out_len)?
        } else {
            let mut reply = fwctl::Reply::zeroed(out_len)?;
            let delivered = function.rpcs.run(&cx, core_dev, || {
                core_dev.execute(rpc.request_mut(), &mut reply)
            });
            self.debug_rpc(&cx, opcode, delivered, &reply);
            delivered?;
            rpc.reply(reply)
        };

        function.contexts.answered(core_dev, cx.device());
        Ok(response)
    }
}

impl Uctx {
    /// Creates the user context of a file that is being opened.
    ///
    /// Fails like [`Share::run`] and [`Uctx::create`].
    fn create_for(cx: &Context<'_, '_, Self>) -> Result<Self> {
        let function = cx.data();
        let core_dev = &function.core_dev;
        let uctx = function.opens.run(cx, core_dev, || {
            Self::create(&function.contexts, core_dev, cx.device())
        })?;

        function.contexts.answered(core_dev, cx.device());
        Ok(uctx)
    }

    /// Logs the result of an RPC as a debug message.
    fn debug_rpc(&self, cx: &Context<'_, '_, Self>, opcode: u16, delivered: Result, reply: &[u8]) {
        let answer = delivered
            .and_then(|()| OutHeader::of(reply))
            .map(|header| (header.status, header.syndrome.get()));

        debug(cx.device(), self.uid(), opcode, answer);
    }
}
