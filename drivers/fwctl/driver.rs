// SPDX-License-Identifier: GPL-2.0-only

//! The Rust driver API.

use core::{
    alloc::Layout,
    marker::PhantomData,
    ptr::NonNull, //
};

use kernel::{
    bindings,
    device::{
        self,
        AsBusDevice,
        Bound,
        Core,
        DeviceContext, //
    },
    error::VTABLE_DEFAULT_ERROR,
    prelude::*,
    sync::aref::ARef,
    time::{
        msecs_to_jiffies,
        Delta, //
    }, //
};

use crate::{
    async_rpc::{
        Submission,
        Submitted, //
    },
    binding::{
        self,
        Erased, //
    },
    caller_memory::BufferNames,
    device::Device,
    exchange::{
        Info,
        Response,
        Rpc, //
    },
    ops::{
        Driver,
        DriverOps,
        Passing, //
    },
    registration::LiveDevice,
    scope::RpcScope,
    umem::{
        MemoryFlags,
        MemoryIds,
        MemoryOps,
        MemoryRef,
        NewMemory,
        Owner, //
    }, //
};

/// The type of a device, which tells user space how to encode RPCs.
///
/// `enum fwctl_device_type` of `include/uapi/fwctl/fwctl.h`. A new type needs a number there first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceType(u32);

impl DeviceType {
    /// No type, for samples and tests: their RPCs are not a stable interface.
    ///
    /// User space sees `FWCTL_DEVICE_TYPE_ERROR`.
    pub const NONE: Self = Self(bindings::fwctl_device_type_FWCTL_DEVICE_TYPE_ERROR);
    /// NVIDIA ConnectX and BlueField, `include/uapi/fwctl/mlx5.h`.
    pub const MLX5: Self = Self(bindings::fwctl_device_type_FWCTL_DEVICE_TYPE_MLX5);
    /// CXL memory, `include/uapi/fwctl/cxl.h`.
    pub const CXL: Self = Self(bindings::fwctl_device_type_FWCTL_DEVICE_TYPE_CXL);
    /// Broadcom NetXtreme, `include/uapi/fwctl/bnxt.h`.
    pub const BNXT: Self = Self(bindings::fwctl_device_type_FWCTL_DEVICE_TYPE_BNXT);
    /// AMD Pensando, `include/uapi/fwctl/pds.h`.
    pub const PDS: Self = Self(bindings::fwctl_device_type_FWCTL_DEVICE_TYPE_PDS);

    /// Returns the number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// The callbacks of a fwctl driver.
///
/// The implementing type is the context of one open file (*uctx*): created by [`open`], dropped
/// after [`close`]. Callbacks run only while the device is registered. Unregistration waits for
/// callbacks in flight, so a callback that blocks also blocks unbind and device removal. Sleep with
/// [`Context::wait`], and call [`Context::check`] between the steps of a long operation.
///
/// # Locking
///
/// All callbacks may sleep. RPCs of one file, and of several files, can run at the same time. When
/// the registration ends, the core holds a mutex while it closes contexts that are still open. A
/// callback must not take a lock that is held while the registration ends, such as the device lock
/// of the host; lockdep reports it.
///
/// # Examples
///
/// A firmware that reverses each request. `samples/fwctl/` has a driver that can be loaded.
///
/// ```ignore
/// # use fwctl::{Context, DeviceType, Response, Rpc, RpcScope};
/// # use kernel::{auxiliary, device::{Bound, Core, DeviceContext}, prelude::*};
/// #
/// struct Reverser;
///
/// #[vtable]
/// impl fwctl::Operations for Reverser {
///     const DEVICE_TYPE: DeviceType = DeviceType::NONE;
///
///     type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
///     type Args = ();
///     type Data<'bound> = ();
///
///     fn bind<'bound>(
///         _host: &'bound auxiliary::Device<Bound>,
///         _args: (),
///     ) -> impl PinInit<(), Error> + 'bound {
///         Ok(())
///     }
///
///     fn open(_cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
///         Ok(Self)
///     }
///
///     fn fw_rpc<'rpc>(
///         self: Pin<&Self>,
///         _cx: Context<'_, '_, Self>,
///         _scope: RpcScope,
///         mut rpc: Rpc<'rpc>,
///     ) -> Result<Response<'rpc>> {
///         let len = rpc.request().len();
///
///         rpc.request_mut().reverse();
///         rpc.in_place(len)
///     }
/// }
///
/// # struct ReverserDriver;
/// #
/// # kernel::auxiliary_device_table!(
/// #     ID_TABLE,
/// #     (),
/// #     [(auxiliary::DeviceId::new(c"reverser", c"firmware"), ())]
/// # );
/// #
/// impl auxiliary::Driver for ReverserDriver {
///     type IdInfo = ();
///     type Data<'bound> = fwctl::Registration;
///
///     const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;
///
///     fn probe<'bound>(
///         adev: &'bound auxiliary::Device<Core<'_>>,
///         _info: &'bound (),
///     ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
///         fwctl::register::<Reverser>(adev, adev.as_ref(), ())
///     }
/// }
/// ```
///
/// [`open`]: Operations::open
/// [`close`]: Operations::close
#[vtable]
pub trait Operations: Sized + Send + Sync + 'static {
    /// The type of the device.
    const DEVICE_TYPE: DeviceType;

    /// The bus device that the driver is bound to. The registration ends before it is unbound.
    type Host<Ctx: DeviceContext>: AsBusDevice<Ctx>;

    /// What the driver's probe passes to [`Operations::bind`].
    ///
    /// It must own its content, because a borrow from probe may end before the registration.
    type Args: 'static;

    /// The driver's data of the device while it is registered.
    ///
    /// They can borrow from the host, for `'bound`. They are dropped when the registration ends,
    /// while the host is still bound.
    type Data<'bound>: Send + Sync + 'bound;

    /// Creates the data, before the device is visible.
    ///
    /// Errors are returned from [`register`].
    fn bind<'bound>(
        host: &'bound Self::Host<Bound>,
        args: Self::Args,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// Creates the context of a file that is being opened.
    ///
    /// Errors are returned from open(2).
    fn open(cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error>;

    /// Ends a context before it is dropped, for example in the firmware.
    ///
    /// Called when the file is closed or when the registration ends, whichever is first. In the
    /// second case [`Context::check`] and [`Context::wait`] fail with [`ENODEV`].
    fn close(self: Pin<&mut Self>, cx: Context<'_, '_, Self>) {
        let _ = cx;
    }

    /// Writes the device data of `FWCTL_INFO`.
    ///
    /// Errors are returned from the ioctl.
    fn info(self: Pin<&Self>, cx: Context<'_, '_, Self>, info: &mut Info) -> Result {
        let _ = (cx, info);
        Ok(())
    }

    /// Names the buffers of the caller that a request refers to by address.
    ///
    /// Called before [`Operations::fw_rpc`]. The core copies the buffers and passes their content
    /// as [`Rpc::caller_memory`]: it is the caller's memory as it was then. Read addresses and
    /// lengths from `request` only, which comes from user space and is unchecked. The core checks
    /// the addresses and limits the lengths; the driver must check these against what the device
    /// takes, here or later. The request may be one that [`Operations::fw_rpc`] refuses.
    ///
    /// Errors are returned from the ioctl.
    fn name_buffers(request: &[u8], names: &mut BufferNames) -> Result {
        let _ = (request, names);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Delivers an RPC to the firmware and returns its reply.
    ///
    /// A driver implements this one, or [`Operations::submit`] if it does not have to wait for the
    /// firmware. The core has checked that the caller may use `scope`. The driver must check that
    /// the scope allows this request before anything reaches the firmware. Return an error if the
    /// RPC was not delivered. A refusal by the firmware is a reply.
    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        let _ = (cx, scope, rpc);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns whether [`Operations::fw_rpc`] answers `request` without sleeping or waiting for the
    /// firmware.
    ///
    /// The core then calls it for a program that uses io_uring without handing the request to a
    /// worker. Must not sleep itself. The scope was checked as for `fw_rpc`.
    fn never_sleeps(request: &[u8]) -> bool {
        let _ = request;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the number of the command in `request`, for the trace event that ends an RPC.
    ///
    /// Called before [`Operations::fw_rpc`] or [`Operations::submit`], if the event is enabled. The
    /// request is unchecked, and may be one that is refused then. Must not sleep.
    fn opcode(request: &[u8]) -> Option<u32> {
        let _ = request;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Delivers an RPC to the firmware, and lets the driver answer it later.
    ///
    /// A driver whose firmware reports the end of a request by an interrupt implements this one
    /// instead of [`Operations::fw_rpc`]. Programs can then have many RPCs in flight without a
    /// thread for each. Killing the caller or cancelling an RPC ends the wait for the firmware.
    ///
    /// Check the request first, and return an error to refuse it: nothing was allocated for it yet.
    /// Then [`accept`] it, which gives a [`PendingRpc`] that owns the request. Keep that where the
    /// answer arrives, such as the argument of a completion handler, and answer there, in any
    /// context, even before this returns. An RPC that needs no firmware can be answered here
    /// instead, with [`in_place`] or [`reply`]. If this fails after [`accept`], the error is the
    /// result.
    ///
    /// [`Submission::may_wait`] tells whether this may wait for resources. It must never wait for
    /// the firmware.
    ///
    /// # Removal
    ///
    /// When the registration ends, RPCs in flight end with [`ENODEV`], and [`Operations::Data`] are
    /// dropped. Dropping them must end the completion handlers, as it has to for all code of the
    /// driver.
    ///
    /// [`accept`]: Submission::accept
    /// [`in_place`]: Submission::in_place
    /// [`reply`]: Submission::reply
    /// [`PendingRpc`]: crate::PendingRpc
    fn submit<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        let _ = (cx, scope, rpc);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Does what is left when an RPC was answered and a completion handler cannot do, such as
    /// sending another command.
    ///
    /// Called for a caller that waits, before it gets the reply. A command that is queued to an
    /// io_uring has no such caller: do the same in the next callback. May sleep, which delays the
    /// caller.
    fn answered(self: Pin<&Self>, cx: Context<'_, '_, Self>) {
        let _ = cx;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// What memory that programs register can be for; nothing by default.
    ///
    /// Only counts for a driver that implements [`Operations::add_memory`].
    const MEMORY_FLAGS: MemoryFlags = MemoryFlags::NONE;

    /// Returns the device that accesses registered memory, or [`None`] if there is no hardware, but
    /// only the driver itself.
    ///
    /// It is the host or what the host tells of, such as its parent, so it is bound while the host
    /// is. Its driver must end all memory accesses before it releases the device.
    fn dma_device<'bound>(
        host: &'bound Self::Host<Bound>,
    ) -> Option<&'bound device::Device<Bound>> {
        let _ = host;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Tells the firmware of memory that a program has registered, and returns what the firmware
    /// calls it.
    ///
    /// A driver that implements this one offers `FWCTL_RSC_UMEM_REG` and `FWCTL_RSC_UMEM_ALLOC`. It
    /// needs [`Operations::dma_device`] and [`Operations::remove_memory`], too. The core has pinned
    /// or allocated the memory and mapped it, and limits how much there is. The firmware must only
    /// accept the numbers from the file that they belong to; if it does not check that itself, the
    /// driver must look up those of a request with [`Context::memory`].
    ///
    /// The firmware may access the memory as soon as it was told the addresses. If this fails
    /// then, the memory is lost until the device is reset, unless the driver knows that the
    /// firmware does not have them: see [`NewMemory::retract`]. Errors are returned from the ioctl.
    fn add_memory(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        memory: &mut NewMemory<'_>,
    ) -> Result<MemoryIds> {
        let _ = (cx, memory);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Makes the firmware forget memory.
    ///
    /// Called once for each registration: when the program destroys it, and before
    /// [`Operations::close`] for what is left then, also if the registration of the device is
    /// ending. So it must not depend on [`Context::check`]. When this returns [`Ok`], the firmware
    /// has confirmed that it does not access the memory and never will. If it has not, for whatever
    /// reason, return an error: the memory is then kept until the device is reset.
    fn remove_memory(self: Pin<&Self>, cx: Context<'_, '_, Self>, ids: MemoryIds) -> Result {
        let _ = (cx, ids);
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The argument of every callback of [`Operations`]: the devices, the driver's data, and ways to
/// wait.
///
/// It has two lifetimes because data can borrow for `'bound`, while what a callback gets from here
/// lives for `'cx`, so it cannot be stored in the data.
///
/// # Invariants
///
/// `live` is a device that was registered for `T`.
pub struct Context<'cx, 'bound, T: Operations> {
    // One word, so it is passed in a register. Everything else is looked up when asked for.
    live: LiveDevice<'cx>,
    _host: PhantomData<&'cx T::Host<Bound>>,
    _data: PhantomData<&'cx T::Data<'bound>>,
}

impl<'cx, 'bound, T: Operations> Context<'cx, 'bound, T> {
    /// Returns the bus device that the driver is bound to.
    ///
    /// `Sync` is required because several callbacks can run at the same time.
    #[inline]
    pub fn host(&self) -> &'cx T::Host<Bound>
    where
        T::Host<Bound>: Sync,
    {
        // SAFETY: By the type invariant, the device was registered by a Rust driver.
        let host = unsafe { self.live.binding() }.host;

        // SAFETY:
        // - By the type invariant, this is the device of a `T::Host`.
        // - The host stays bound until the registration has ended. By the invariant of `live`, it
        //   has not ended.
        unsafe { T::Host::<Bound>::from_device(device::Device::from_raw(host.as_ptr())) }
    }

    /// Returns the class device, `fwctlN`, for messages.
    #[inline]
    pub fn device(&self) -> &'cx device::Device {
        self.live.device().as_ref()
    }

    /// Returns a reference to the device, to keep in something that calls [`Device::notify`].
    pub fn handle(&self) -> ARef<Device> {
        self.live.device().into()
    }

    /// Returns the data that [`Operations::bind`] created.
    #[inline]
    pub fn data(&self) -> Pin<&'cx T::Data<'bound>> {
        // SAFETY: By the type invariant, the device was registered by a Rust driver.
        let data = unsafe { self.live.binding() }.data();
        let data = data.cast::<T::Data<'bound>>();

        // SAFETY:
        // - By the type invariant, these are a pinned `T::Data<'_>`. They live until the
        //   registration has ended. By the invariant of `live`, it has not ended.
        // - `bind()` created them for the lifetime of a bound host, for which `'bound` stands.
        //   Callbacks are generic over `'bound`, so they cannot store anything in the data but
        //   what comes from the data, or is `'static`.
        unsafe { Pin::new_unchecked(data.as_ref()) }
    }

    /// Returns the memory that the file of `uctx` has registered, by its number in RPCs.
    ///
    /// It cannot be destroyed before the returned value is dropped. It can while an RPC of
    /// [`Operations::submit`] is in flight, so [`Operations::remove_memory`] must end the accesses
    /// of that, too. Fails with [`ENOENT`] if the file has no such memory: that of other files
    /// cannot be found. May sleep.
    pub fn memory<'a>(&self, uctx: Pin<&'a T>, umem: u32) -> Result<MemoryRef<'a>>
    where
        'cx: 'a,
    {
        // SAFETY: A context of the device is open while there is a reference to it.
        unsafe { self.find_memory(uctx, |ids| ids.umem == umem) }
    }

    /// Returns the memory that has the memory key `mkey`.
    ///
    /// See [`Context::memory`].
    pub fn memory_of_key<'a>(&self, uctx: Pin<&'a T>, mkey: u32) -> Result<MemoryRef<'a>>
    where
        'cx: 'a,
    {
        // SAFETY: A context of the device is open while there is a reference to it.
        unsafe { self.find_memory(uctx, |ids| mkey != 0 && ids.mkey == mkey) }
    }

    /// # Safety
    ///
    /// If `uctx` is an open context, it must not be closed during `'a`.
    unsafe fn find_memory<'a>(
        &self,
        uctx: Pin<&'a T>,
        is_wanted: impl Fn(&MemoryIds) -> bool,
    ) -> Result<MemoryRef<'a>>
    where
        'cx: 'a,
    {
        let owner = Owner::at(core::ptr::from_ref(uctx.get_ref()));

        // SAFETY: The caller promises that the context is not closed during `'a`.
        unsafe { MemoryRef::find(self.live.device(), owner, is_wanted) }
    }

    /// Checks whether a long operation should continue.
    ///
    /// Fails with [`ENODEV`] once the device is being unregistered, and with [`EINTR`] if the
    /// caller was killed. The callback should then undo what it has begun, and return.
    pub fn check(&self) -> Result {
        self.live.check()
    }

    /// Sleeps until `condition` returns `true`.
    ///
    /// Code that makes the condition true must call [`Device::notify`] or [`Context::notify`]
    /// afterwards. `condition` must not sleep. Fails as [`Context::check`] does, before or during
    /// the sleep.
    pub fn wait(&self, mut condition: impl FnMut() -> bool) -> Result {
        self.live.wait(None, &mut &mut condition).map(|_| ())
    }

    /// Sleeps until `condition` returns `true`, for at most `timeout`. Returns whether it did.
    ///
    /// See [`Context::wait`] for the rest.
    pub fn wait_timeout(
        &self,
        timeout: Delta,
        mut condition: impl FnMut() -> bool,
    ) -> Result<bool> {
        let msecs = timeout.as_millis().clamp(0, c_uint::MAX.into());
        // CAST: The value was clamped to the range.
        let jiffies = msecs_to_jiffies(msecs as c_uint);

        self.live.wait(Some(jiffies), &mut &mut condition)
    }

    /// Makes callbacks that sleep in [`Context::wait`] check their conditions again.
    pub fn notify(&self) {
        self.live.device().notify();
    }

    /// # Safety
    ///
    /// `live` must be a device that was registered for `T`.
    #[inline]
    unsafe fn new(live: LiveDevice<'cx>) -> Self {
        // INVARIANT: The caller promises it.
        Self {
            live,
            _host: PhantomData,
            _data: PhantomData,
        }
    }
}

/// A device before its registration.
///
/// It already has its name, for messages. References to it can be kept, for example by an interrupt
/// handler that calls [`Device::notify`].
pub struct UnregisteredDevice<T: Operations> {
    device: ARef<Device>,
    // The device points to its parent without a reference until it is registered.
    _parent: ARef<device::Device>,
    _operations: PhantomData<fn() -> T>,
}

impl<T: Operations> UnregisteredDevice<T> {
    /// Creates a device that will appear below `parent` in sysfs.
    ///
    /// `parent` tells user space where the firmware is: the PCI function of a network card, or the
    /// memdev of CXL memory. It must be the host or one of its ancestors.
    ///
    /// Fails with [`ENODEV`] if the subsystem is not initialised, with [`ENOSPC`] if there are 4096
    /// devices already, and with [`ENOMEM`]. May sleep.
    pub fn new(parent: &device::Device) -> Result<Self> {
        const {
            assert!(
                T::HAS_FW_RPC != T::HAS_SUBMIT,
                "a driver has either `fw_rpc` or `submit`"
            );
            assert!(
                T::HAS_FW_RPC || !T::HAS_NEVER_SLEEPS && !T::HAS_NAME_BUFFERS,
                "`never_sleeps` and `name_buffers` are about `fw_rpc`"
            );
            assert!(
                !T::HAS_NEVER_SLEEPS || !T::HAS_NAME_BUFFERS,
                "copying buffers sleeps"
            );
            assert!(
                T::HAS_ADD_MEMORY == T::HAS_REMOVE_MEMORY && T::HAS_ADD_MEMORY == T::HAS_DMA_DEVICE,
                "a driver has all of `add_memory`, `remove_memory` and `dma_device`, or none"
            );
        }
        let driver = Driver {
            device_type: T::DEVICE_TYPE.number(),
            uctx: Layout::new::<T>(),
            passing: if T::HAS_SUBMIT {
                Passing::Asynchronously
            } else if T::HAS_NAME_BUFFERS {
                Passing::WithBuffers
            } else {
                Passing::Directly
            },
            rust_ops: Some(NonNull::from(&Vtable::<T>::OPS)),
            has_never_sleeps: T::HAS_NEVER_SLEEPS,
            memory: if T::HAS_ADD_MEMORY {
                Some(T::MEMORY_FLAGS)
            } else {
                None
            },
        };

        // SAFETY:
        // - The parent is valid until the device is registered: an `UnregisteredDevice` has a
        //   reference to it.
        // - The functions are in the driver's module, which is not unloaded before the registration
        //   has ended, see `binding.rs`. They can be called from the registration on, which binds
        //   the device to a host and data of `T`.
        let device = unsafe { new_erased(parent, driver) }?;

        Ok(Self {
            device,
            _parent: parent.into(),
            _operations: PhantomData,
        })
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Registers the device for `host`, in the probe of its driver.
    ///
    /// See [`register`].
    pub fn register(self, host: &T::Host<Core<'_>>, args: T::Args) -> Result<Registration> {
        let host: &device::Device<Core<'_>> = host.as_ref();
        let bound: &device::Device<Bound> = host;
        // SAFETY: This is the device of a `T::Host`. The `Bound` context shows that it is bound.
        let bound = unsafe { T::Host::<Bound>::from_device(bound) };
        let data = KBox::pin_init(T::bind(bound, args), GFP_KERNEL)?;

        // SAFETY: The data are never moved: `Erased` drops them in place.
        let data = KBox::into_raw(unsafe { Pin::into_inner_unchecked(data) });
        // SAFETY:
        // - The pointer of a `KBox` is never null.
        // - `drop_data()` takes the pointer of such a `KBox` once. Any thread may call it, because
        //   the data are `Send`. They are pinned.
        let data = unsafe { Erased::new(NonNull::new_unchecked(data).cast(), drop_data::<T>) };

        // SAFETY:
        // - `new()` created the device, with functions that take a host and data of `T`. `self`
        //   owns it, so nothing else registers it.
        // - `bind()` created the data for any `'bound`. So they borrow nothing that ends before the
        //   host is unbound.
        let id = unsafe { binding::register(&self.device, host, data) }?;
        Ok(Registration { id })
    }
}

/// The part of [`UnregisteredDevice::new`] that is not generic, compiled once.
///
/// # Safety
///
/// - `parent` must be valid until the device is registered or freed.
/// - The functions of `driver` must be valid, and sound to call, from the registration of the
///   device until it is unregistered.
#[inline(never)]
unsafe fn new_erased(parent: &device::Device, driver: Driver) -> Result<ARef<Device>> {
    // A `Device` is a transparent wrapper of the C structure.
    let parent = NonNull::from(parent).cast::<bindings::device>();

    // SAFETY: The caller promises both requirements of `Device::new()`, in the same words.
    unsafe { Device::new(parent.as_ptr(), driver, size_of::<bindings::fwctl_device>()) }
}

/// Checks that an auxiliary device has a name `MODULE.NAME.N`, where `name` is `MODULE.NAME`: the
/// auxiliary bus puts the name of the module that created the device first.
///
/// A driver that casts the device to a structure of that module calls this before, because
/// [`Operations::bind`] may get any device of the type. Fails with [`ENODEV`].
#[inline]
pub fn check_auxiliary_name(device: &device::Device<Bound>, name: &CStr) -> Result {
    match device.name().to_bytes().strip_prefix(name.to_bytes()) {
        Some([b'.', ..]) => Ok(()),
        _ => Err(ENODEV),
    }
}

/// Registers a device for `host`, in the probe of its driver.
///
/// The device appears below `parent` in sysfs, see [`UnregisteredDevice::new`]. Each call creates
/// another device. The node exists when this returns. Callbacks of `T` may run earlier.
///
/// The device is unregistered when the returned guard is dropped. A driver that needs a certain
/// order keeps the guard in its data and drops it first. If the guard is not dropped, even if it is
/// forgotten, the core unregisters the device when the host is about to be unbound or its probe
/// fails: before the driver's `unbind()`, before the data of the bus driver are dropped, and before
/// devres releases anything. So the host is bound and its driver intact while callbacks of `T` run.
///
/// The `Core` context proves that the caller is the host's own driver. A driver of a faux device
/// never gets that context, so a faux device cannot be a host; `drivers/fwctl/loopback/bus.rs`
/// shows how a driver without hardware creates auxiliary devices.
///
/// Fails with the errors of [`Operations::bind`]; with [`EBUSY`] if the host is already bound,
/// because then this is not its probe; with [`EINVAL`] if `parent` is neither the host nor one of
/// its ancestors; with [`ENODEV`] if the subsystem is not initialised; with [`ENOSPC`] if there are
/// 4096 devices already; with [`ENOMEM`]; and with the errors of the driver core. May sleep.
pub fn register<T: Operations>(
    host: &T::Host<Core<'_>>,
    parent: &device::Device,
    args: T::Args,
) -> Result<Registration> {
    UnregisteredDevice::<T>::new(parent)?.register(host, args)
}

/// A registered device, which is unregistered when this is dropped.
///
/// Dropping it waits for callbacks in flight, closes the contexts that are open, and drops the
/// [`Operations::Data`]. It does nothing if the registration has already ended, see [`register`].
/// May sleep. A callback of the same device must not drop it, because it would wait for itself;
/// lockdep reports it.
#[must_use = "the device is unregistered when this is dropped"]
pub struct Registration {
    // Not a reference: a guard that is forgotten does not keep the device alive.
    id: binding::Id,
}

impl Drop for Registration {
    fn drop(&mut self) {
        binding::end_one(self.id);
    }
}

/// Drops the data of a registration.
///
/// # Safety
///
/// `data` must be from `KBox::<T::Data<'_>>::into_raw()`, pinned, and must not be used again.
unsafe fn drop_data<T: Operations>(data: NonNull<c_void>) {
    // SAFETY: The caller promises that `data` is from a `KBox` of this type, pinned, and not used
    // again. Lifetimes are erased at compile time, so another `'bound` has the same layout and
    // drop.
    drop(unsafe { Pin::new_unchecked(KBox::<T::Data<'_>>::from_raw(data.cast().as_ptr())) });
}

/// The [`DriverOps`] of `T`.
struct Vtable<T: Operations>(PhantomData<T>);

impl<T: Operations> Vtable<T> {
    const OPS: DriverOps = DriverOps {
        open: Self::open,
        close: Self::close,
        info: Self::info,
        name_buffers: if T::HAS_NAME_BUFFERS {
            Some(T::name_buffers)
        } else {
            None
        },
        fw_rpc: if T::HAS_FW_RPC {
            Some(Self::fw_rpc)
        } else {
            None
        },
        submit: if T::HAS_SUBMIT {
            Some(Self::submit)
        } else {
            None
        },
        answered: if T::HAS_ANSWERED {
            Some(Self::answered)
        } else {
            None
        },
        never_sleeps: if T::HAS_NEVER_SLEEPS {
            Some(T::never_sleeps)
        } else {
            None
        },
        opcode: if T::HAS_OPCODE { Some(T::opcode) } else { None },
        memory: if T::HAS_ADD_MEMORY {
            Some(MemoryOps {
                device: Self::dma_device,
                add: Self::add_memory,
                remove: Self::remove_memory,
            })
        } else {
            None
        },
    };

    /// Returns what a callback in an open context is called with.
    ///
    /// # Safety
    ///
    /// - `live` must be a device that was created with these functions.
    /// - `uctx` must be a context of that device which is open, and stay open for `'cx`.
    #[inline]
    unsafe fn callback<'cx, 'bound>(
        uctx: NonNull<u8>,
        live: LiveDevice<'cx>,
    ) -> (Pin<&'cx T>, Context<'cx, 'bound, T>) {
        // SAFETY:
        // - The caller promises that `uctx` is open, so `open()` has initialised a `T` there, which
        //   does not move.
        // - It lives until `close()`, which the caller promises not to call during `'cx`.
        let uctx = unsafe { Pin::new_unchecked(uctx.cast::<T>().as_ref()) };

        // SAFETY: The caller promises that `live` was created with these functions. `register()` is
        // the only way to register such a device, and does so for `T`.
        (uctx, unsafe { Context::new(live) })
    }

    /// # Safety
    ///
    /// The requirements are those of [`DriverOps`].
    unsafe fn open(uctx: NonNull<u8>, live: LiveDevice<'_>) -> Result {
        // SAFETY: The caller promises that `live` was created with these functions. `register()` is
        // the only way to register such a device, and does so for `T`.
        let cx = unsafe { Context::<T>::new(live) };

        // SAFETY: The caller promises that `uctx` is valid for writes of the layout of a `T`. A
        // context never moves.
        unsafe { pin_init::raw_try_init(uctx.cast::<T>().as_ptr(), T::open(cx)) }
    }

    /// # Safety
    ///
    /// The requirements are those of [`DriverOps`].
    unsafe fn close(uctx: NonNull<u8>, live: LiveDevice<'_>) {
        let uctx = uctx.cast::<T>().as_ptr();

        // SAFETY: The caller promises that `live` was created with these functions. `register()` is
        // the only way to register such a device, and does so for `T`.
        let cx = unsafe { Context::<T>::new(live) };

        // SAFETY: The caller promises that `uctx` is open, so `open()` has initialised a `T` there,
        // which does not move, and that no other call in it is in flight.
        unsafe { Pin::new_unchecked(&mut *uctx) }.close(cx);

        // SAFETY: The `T` is initialised, see above. The caller promises that no call in it begins
        // afterwards, so it is not used again.
        unsafe { core::ptr::drop_in_place(uctx) };
    }

    /// # Safety
    ///
    /// The requirements are those of [`DriverOps`].
    unsafe fn info(uctx: NonNull<u8>, live: LiveDevice<'_>, info: &mut Info) -> Result {
        // SAFETY: The caller promises that `live` was created with these functions, and that `uctx`
        // is open. It is not closed during this call.
        let (uctx, cx) = unsafe { Self::callback(uctx, live) };

        uctx.info(cx, info)
    }

    /// # Safety
    ///
    /// The requirements are those of [`DriverOps`].
    unsafe fn fw_rpc<'rpc>(
        uctx: NonNull<u8>,
        live: LiveDevice<'_>,
        scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        // SAFETY: The caller promises that `live` was created with these functions, and that `uctx`
        // is open. It is not closed during this call.
        let (uctx, cx) = unsafe { Self::callback(uctx, live) };

        uctx.fw_rpc(cx, scope, rpc)
    }

    /// # Safety
    ///
    /// The requirements are those of [`DriverOps`].
    unsafe fn submit<'rpc>(
        uctx: NonNull<u8>,
        live: LiveDevice<'_>,
        scope: RpcScope,
        rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        // SAFETY: The caller promises that `live` was created with these functions, and that `uctx`
        // is open. It is not closed during this call.
        let (uctx, cx) = unsafe { Self::callback(uctx, live) };

        uctx.submit(cx, scope, rpc)
    }

    /// # Safety
    ///
    /// The requirements are those of [`DriverOps`].
    unsafe fn answered(uctx: NonNull<u8>, live: LiveDevice<'_>) {
        // SAFETY: The caller promises that `live` was created with these functions, and that `uctx`
        // is open. It is not closed during this call.
        let (uctx, cx) = unsafe { Self::callback(uctx, live) };

        uctx.answered(cx)
    }

    /// # Safety
    ///
    /// `live` must be a device that was created with these functions.
    unsafe fn dma_device<'cx>(live: LiveDevice<'cx>) -> (&'cx device::Device<Bound>, bool) {
        // SAFETY: The caller promises that `live` was created with these functions, so it was
        // registered by a Rust driver.
        let host = unsafe { live.binding() }.host;
        // SAFETY: The host is bound until the registration has ended. By the invariant of `live`,
        // it has not ended.
        let device = unsafe { device::Device::<Bound>::from_raw(host.as_ptr()) };
        // SAFETY: This is the device of a `T::Host`, because `live` was registered for `T`.
        let host = unsafe { T::Host::<Bound>::from_device(device) };

        // The driver can only return what is bound while the host is: the function is generic
        // over that lifetime.
        match T::dma_device(host) {
            Some(device) => (device, true),
            None => (device, false),
        }
    }

    /// # Safety
    ///
    /// The requirements are those of [`DriverOps`].
    unsafe fn add_memory(
        uctx: NonNull<u8>,
        live: LiveDevice<'_>,
        memory: &mut NewMemory<'_>,
    ) -> Result<MemoryIds> {
        // SAFETY: The caller promises that `live` was created with these functions, and that `uctx`
        // is open. It is not closed during this call.
        let (uctx, cx) = unsafe { Self::callback(uctx, live) };

        uctx.add_memory(cx, memory)
    }

    /// # Safety
    ///
    /// The requirements are those of [`DriverOps`].
    unsafe fn remove_memory(uctx: NonNull<u8>, live: LiveDevice<'_>, ids: MemoryIds) -> Result {
        // SAFETY: The caller promises that `live` was created with these functions, and that `uctx`
        // is open. It is not closed during this call.
        let (uctx, cx) = unsafe { Self::callback(uctx, live) };

        uctx.remove_memory(cx, ids)
    }
}
