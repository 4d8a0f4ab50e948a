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
//! - `memory.rs`: the memory that a file has registered;
//! - `component.rs`: components of the firmware in such memory;
//! - `core_dev.rs`: the wrapper of `mlx5_core`, with all unsafe code, and with `shim.c`.

#![crate_name = "mlx5_fwctl"]

use fwctl::{
    Context,
    DeviceType,
    Info,
    MemoryFlags,
    MemoryIds,
    NewMemory,
    Operations,
    PendingRpc,
    Registration,
    Reply,
    RpcScope,
    Submission,
    Submitted, //
};
use kernel::{
    auxiliary,
    device::{
        self,
        Bound,
        Core,
        DeviceContext, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    task::Pid,
    time::Delta, //
};

mod cmd;
mod component;
mod core_dev;
mod memory;
mod policy;
mod slots;
mod uctx;

use crate::{
    cmd::{
        InHeader,
        OutHeader, //
    },
    component::Bounce,
    core_dev::{
        debug,
        AsyncCommand,
        AsyncCommands,
        CoreDev, //
    },
    memory::Silence,
    slots::{
        Share,
        Slot, //
    },
    uctx::{
        Contexts,
        Uctx,
        UidInUse, //
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

/// Delay between attempts to begin a command.
const PAUSE: Delta = Delta::from_millis(10);

/// Number of attempts to begin a command for which there is no memory.
const MAX_ATTEMPTS: u32 = 100;

/// State of a device.
#[pin_data(PinnedDrop)]
pub(crate) struct Function<'bound> {
    pub(crate) core_dev: CoreDev<'bound>,
    /// Always there, except during the drop.
    commands: Option<AsyncCommands<'bound>>,
    pub(crate) rpcs: Arc<Share>,
    pub(crate) opens: Arc<Share>,
    /// For accesses to components.
    #[pin]
    pub(crate) bounce: Bounce,
    #[pin]
    pub(crate) silence: Silence,
    /// Whether the firmware has answered an RPC since contexts that are left were tried.
    has_answered: Arc<Atomic<bool>>,
    #[pin]
    contexts: Contexts,
}

impl<'bound> Function<'bound> {
    fn new(host: &'bound auxiliary::Device<Bound>) -> impl PinInit<Self, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            let core_dev = CoreDev::new(host)?;
            let slots = core_dev.slots();

            Ok(try_pin_init!(Self {
                commands: Some(AsyncCommands::new(&core_dev)?),
                core_dev,
                rpcs: Arc::new(Share::of_rpcs(slots), GFP_KERNEL)?,
                opens: Arc::new(Share::of_opens(slots), GFP_KERNEL)?,
                bounce <- Bounce::new(),
                silence <- Silence::new(),
                has_answered: Arc::new(Atomic::new(false), GFP_KERNEL)?,
                contexts <- Contexts::new(),
            }? Error))
        })
    }

    /// Begins a command. Waits while `mlx5_core` cannot take it, if the caller `may_wait`.
    ///
    /// Returns the command on failure: with [`EAGAIN`] if the caller may not wait, with the error
    /// of `mlx5_core`, and like [`Context::wait`].
    pub(crate) fn begin<T: AsyncCommand>(
        &self,
        cx: &Context<'_, '_, Uctx>,
        command: KBox<T>,
        may_wait: bool,
    ) -> Result<(), (Error, KBox<T>)> {
        let Some(commands) = &self.commands else {
            return Err((ENODEV, command));
        };
        let mut attempt = commands.begin(command);
        let mut attempts = 1;

        while let Err((error, command)) = attempt {
            // `mlx5_core` bounds the commands of some kinds, and takes memory for commands that are
            // answered later from reserves. Neither reports when there is some again.
            if !matches!(error, EBUSY | ENOMEM) || (error == ENOMEM && attempts >= MAX_ATTEMPTS) {
                return Err((error, command));
            }
            if !may_wait {
                return Err((EAGAIN, command));
            }
            if let Err(error) = cx.wait_timeout(PAUSE, || false) {
                return Err((error, command));
            }
            attempts += 1;
            attempt = commands.begin(command);
        }
        Ok(())
    }

    /// Destroys contexts that are left, if the firmware has answered since the last time.
    ///
    /// Fails with [`EAGAIN`] if the caller may not wait and there is something to do.
    fn destroy_contexts(&self, cx: &Context<'_, '_, Uctx>, may_wait: bool) -> Result {
        if !self.contexts.are_left() || !self.has_answered.load(Relaxed) {
            return Ok(());
        }
        if !may_wait {
            return Err(EAGAIN);
        }

        self.has_answered.store(false, Relaxed);
        self.contexts.answered(&self.core_dev, cx.device());
        Ok(())
    }
}

#[pinned_drop]
impl PinnedDrop for Function<'_> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();

        // Wait for the commands whose callers do not wait any longer.
        *this.commands = None;
        // All files are closed: their contexts are destroyed or queued.
        this.contexts.finish(this.core_dev);
    }
}

/// An RPC whose command is in flight.
struct RpcCommand {
    // Dropped after the answer, so a slot is free when a caller sees it.
    rpc: Option<PendingRpc>,
    /// The memory for the output, unless it fits that of the request.
    reply: Option<Reply>,
    out_len: usize,
    opcode: u16,
    uid: UidInUse,
    pid: Pid,
    device: ARef<device::Device>,
    has_answered: Arc<Atomic<bool>>,
    _slot: Slot,
}

impl RpcCommand {
    /// Logs the result as a debug message.
    fn debug(&mut self, result: Result) {
        let answer = result.and_then(|()| OutHeader::answer(self.output()));

        debug(
            &self.device,
            self.pid,
            self.uid.number(),
            self.opcode,
            answer,
        );
    }
}

impl AsyncCommand for RpcCommand {
    fn request(&mut self) -> &mut [u8] {
        self.rpc.as_mut().map_or(&mut [], |rpc| rpc.request_mut())
    }

    fn output(&mut self) -> &mut [u8] {
        let output = match (&mut self.reply, &mut self.rpc) {
            (Some(reply), _) => reply,
            (None, Some(rpc)) => rpc.request_mut(),
            (None, None) => &mut [],
        };

        output.get_mut(..self.out_len).unwrap_or_default()
    }

    fn done(mut this: KBox<Self>, result: Result) {
        this.debug(result);
        let Some(rpc) = this.rpc.take() else { return };
        let reply = this.reply.take();
        let out_len = this.out_len;

        if result.is_ok() {
            this.has_answered.store(true, Relaxed);
        }
        // Release the slot and the uid first: the caller may use them at once.
        drop(this);
        match (result, reply) {
            (Ok(()), Some(reply)) => rpc.reply(reply),
            (Ok(()), None) => rpc.in_place(out_len),
            (Err(error), Some(reply)) => rpc.fail_with(error, reply),
            (Err(error), None) => rpc.fail(error),
        }
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

        let _ = function.destroy_contexts(&cx, true);
        // Only answers from now on show that the firmware answers after a timeout.
        function.has_answered.store(false, Relaxed);
        function
            .contexts
            .close(&self, &function.core_dev, cx.device(), is_unregistering);
    }

    fn info(self: Pin<&Self>, _cx: Context<'_, '_, Self>, info: &mut Info) -> Result {
        info.write(self.describe().as_bytes())
    }

    fn opcode(request: &[u8]) -> Option<u32> {
        InHeader::opcode_of(request).map(u32::from)
    }

    /// Fails with [`EMSGSIZE`] if the request or the reply is shorter than a header. Fails with
    /// [`EBADMSG`] if the policy does not allow the command, like [`Share::take`] if there is no
    /// slot for it, and with the error of `mlx5_core` if the firmware does not answer. A refusal by
    /// the firmware is a reply.
    fn submit<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        mut rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        let function = cx.data();
        let may_wait = rpc.may_wait();
        let out_len = rpc.out_len();
        let opcode = Self::check(rpc.request_mut(), out_len, scope, self.uid())?;
        if policy::names_host_memory(rpc.request()) {
            if policy::is_component_page(rpc.request()) {
                return self.access_component(&cx, rpc);
            }
            let key = policy::memory_key(rpc.request()).ok_or(EBADMSG)?;

            // The firmware checks that as well. It stops using a key before it confirms that it
            // has destroyed it, so the memory may be destroyed while the command is in flight.
            cx.memory_of_key(self, key).map_err(|_| EBADMSG)?;
        }
        let uid = self.uid_for_command();

        function.destroy_contexts(&cx, may_wait)?;
        let slot = function.rpcs.take(&cx, &function.core_dev, may_wait)?;

        // Use the same memory for request and reply if the reply fits.
        let reply = if out_len <= rpc.request().len() {
            None
        } else {
            Some(Reply::zeroed(out_len)?)
        };
        let (rpc, submitted) = rpc.accept()?;
        let command = KBox::new(
            RpcCommand {
                rpc: Some(rpc),
                reply,
                out_len,
                opcode,
                uid,
                pid: current!().pid(),
                device: cx.device().into(),
                has_answered: function.has_answered.clone(),
                _slot: slot,
            },
            GFP_KERNEL,
        )?;

        function
            .begin(&cx, command, may_wait)
            .map_err(|(error, mut command)| {
                if error != EAGAIN {
                    command.debug(Err(error));
                }
                error
            })?;
        Ok(submitted)
    }

    fn answered(self: Pin<&Self>, cx: Context<'_, '_, Self>) {
        // Cannot fail, since it may wait.
        let _ = cx.data().destroy_contexts(&cx, true);
    }

    const MEMORY_FLAGS: MemoryFlags = memory::FLAGS;

    fn dma_device<'bound>(
        host: &'bound auxiliary::Device<Bound>,
    ) -> Option<&'bound device::Device<Bound>> {
        // The PCI function, as in `probe()`.
        Some(host.parent())
    }

    fn add_memory(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        memory: &mut NewMemory<'_>,
    ) -> Result<MemoryIds> {
        self.add_umem(&cx, memory)
    }

    fn remove_memory(self: Pin<&Self>, cx: Context<'_, '_, Self>, ids: MemoryIds) -> Result {
        self.remove_umem(&cx, ids)
    }
}

impl Uctx {
    /// Creates the user context of a file that is being opened.
    ///
    /// Fails like [`Share::take`] and [`Uctx::create`].
    fn create_for(cx: &Context<'_, '_, Self>) -> Result<Self> {
        let function = cx.data();
        let core_dev = &function.core_dev;
        let slot = function.opens.take(cx, core_dev, true)?;
        let uctx = Self::create(&function.contexts, core_dev, cx.device())?;

        drop(slot);
        function.contexts.answered(core_dev, cx.device());
        Ok(uctx)
    }

    /// Checks a request and makes it run in the user context `uid`. Returns its opcode.
    fn check(request: &mut [u8], out_len: usize, scope: RpcScope, uid: u16) -> Result<u16> {
        let header = InHeader::of(request)?;

        if out_len < size_of::<OutHeader>() {
            return Err(EMSGSIZE);
        }
        let opcode = header.opcode.get();
        if !policy::is_allowed(opcode, header.op_mod.get(), scope) {
            return Err(EBADMSG);
        }
        // Never trust the uid in the request: commands must run in this file's own user context.
        header.uid.set(uid);
        Ok(opcode)
    }
}
