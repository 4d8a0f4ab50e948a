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
    prelude::*,
    sync::aref::ARef,
    time::{
        msecs_to_jiffies,
        Delta, //
    }, //
};

use crate::{
    binding::{
        self,
        Erased, //
    },
    device::Device,
    door::{
        Door,
        Driver, //
    },
    info::Info,
    registration::Callable,
    rpc::{
        Response,
        Rpc, //
    },
    scope::RpcScope, //
};

/// The kind of a device, which tells user space what the bytes of an RPC mean.
///
/// `enum fwctl_device_type` of `include/uapi/fwctl/fwctl.h`. A new kind of device needs a number
/// there first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceType(u32);

impl DeviceType {
    /// None: a sample or a test, whose RPCs are no interface to rely on.
    ///
    /// Programs see `FWCTL_DEVICE_TYPE_ERROR`, which stands for no device.
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

/// A driver of firmware that user space can talk to.
///
/// The type that implements it is the context of one open file (*uctx*): made by [`open`], dropped
/// after [`close`]. Callbacks run only while the device is registered. Unregistration waits for
/// callbacks in flight, so a callback that blocks also blocks unbind and device removal: wait by
/// [`Context::wait`], and call [`Context::check`] between the steps of something long.
///
/// # Locking
///
/// All functions may sleep. RPCs of one file can run at the same time, and so can those of several.
/// When the registration ends, contexts that are still open are closed with a mutex of the core
/// held. No function may take a lock that is held while the registration ends, such as the device
/// lock of the host; lockdep reports it.
///
/// # Examples
///
/// A firmware that reverses what it is sent; `samples/fwctl/` has a driver that can be loaded.
///
/// ```ignore
/// # use fwctl::{Context, DeviceType, Response, Rpc, RpcScope};
/// # use kernel::{auxiliary, device::{Bound, Core, DeviceContext}, prelude::*};
/// #
/// struct Reverser;
///
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
pub trait Operations: Sized + Send + Sync + 'static {
    /// What the device is.
    const DEVICE_TYPE: DeviceType;

    /// The bus device that the driver is bound to. The registration ends before it is unbound.
    type Host<Ctx: DeviceContext>: AsBusDevice<Ctx>;

    /// What the driver's probe hands to [`Operations::bind`].
    ///
    /// It owns what it has: a borrow that is good enough for probe may end before the registration.
    type Args: 'static;

    /// What the driver keeps for the device while it is registered.
    ///
    /// It can borrow from the host, for `'bound`. It is dropped when the registration ends, while
    /// the host is still bound.
    type Data<'bound>: Send + Sync + 'bound;

    /// Makes the data, before the device is visible.
    ///
    /// Errors are returned from [`register`].
    fn bind<'bound>(
        host: &'bound Self::Host<Bound>,
        args: Self::Args,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// Makes the context of a file that is being opened.
    ///
    /// Errors are returned from open(2).
    fn open(cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error>;

    /// Tells the firmware that a context ends, before it is dropped.
    ///
    /// Called when the file is closed, or when the registration ends, whichever is first. In the
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

    /// Delivers an RPC to the firmware and returns its reply.
    ///
    /// The core has checked that the caller may use `scope`. The driver has to decide whether the
    /// scope allows this request, before anything reaches the firmware. An error means that the RPC
    /// was not delivered. If the firmware refuses it, that is a reply.
    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>>;
}

/// What every function of [`Operations`] can use: the devices, the driver's data, and ways to wait.
///
/// It has two lifetimes on purpose. What the data borrow lives for `'bound`; what a function gets
/// from here lives for `'cx`, so it cannot be stored in the data.
///
/// # Invariants
///
/// `callable` is of a device that was registered for `T`.
pub struct Context<'cx, 'bound, T: Operations> {
    // One word, so that it passes in a register; what is not asked for is not looked up.
    callable: Callable<'cx>,
    _host: PhantomData<&'cx T::Host<Bound>>,
    _data: PhantomData<&'cx T::Data<'bound>>,
}

impl<'cx, 'bound, T: Operations> Context<'cx, 'bound, T> {
    /// Returns the bus device that the driver is bound to.
    ///
    /// Several functions of [`Operations`] can run at the same time, hence the bound.
    #[inline]
    pub fn host(&self) -> &'cx T::Host<Bound>
    where
        T::Host<Bound>: Sync,
    {
        // SAFETY: By the type invariant, the device is one of a Rust driver.
        let host = unsafe { self.callable.binding() }.host;

        // SAFETY:
        // - By the type invariant, it is the device of a `T::Host<Bound>`.
        // - The host stays bound until its registration has ended, which it has not by the
        //   invariant of `callable`.
        unsafe { T::Host::<Bound>::from_device(device::Device::from_raw(host.as_ptr())) }
    }

    /// Returns the device of the class, `fwctlN`, for messages.
    #[inline]
    pub fn device(&self) -> &'cx device::Device {
        self.callable.device().as_ref()
    }

    /// Returns what [`Operations::bind`] made.
    #[inline]
    pub fn data(&self) -> Pin<&'cx T::Data<'bound>> {
        // SAFETY: By the type invariant, the device is one of a Rust driver.
        let data = unsafe { self.callable.binding() }.data();
        let data = data.cast::<T::Data<'bound>>();

        // SAFETY:
        // - By the type invariant, these are a `T::Data<'_>`, pinned, that lives until the
        //   registration has ended, which it has not by the invariant of `callable`.
        // - They were made for the lifetime of a bound host. `'bound` stands for that one: functions
        //   of `Operations` are written for any `'bound`, so they can rely on no other lifetime to
        //   be as long or as short, and store nothing that does not come from the data itself, or
        //   is `'static`.
        unsafe { Pin::new_unchecked(data.as_ref()) }
    }

    /// Returns whether to go on with something long.
    ///
    /// Fails with [`ENODEV`] once the device is being unregistered, and with [`EINTR`] if the
    /// caller is killed. Nothing more should be started then, and what was started be undone.
    pub fn check(&self) -> Result {
        self.callable.check()
    }

    /// Sleeps until `condition` returns `true`.
    ///
    /// What makes the condition true has to call [`Device::notify`], or [`Context::notify`],
    /// afterwards. `condition` must not sleep. Fails as [`Context::check`], also if that only
    /// happens during the sleep.
    pub fn wait(&self, mut condition: impl FnMut() -> bool) -> Result {
        self.callable.wait(None, &mut condition).map(|_| ())
    }

    /// Sleeps until `condition` returns `true`, but not for longer than `timeout`; returns whether
    /// it did.
    ///
    /// Otherwise as [`Context::wait`].
    pub fn wait_timeout(
        &self,
        timeout: Delta,
        mut condition: impl FnMut() -> bool,
    ) -> Result<bool> {
        let msecs = timeout.as_millis().clamp(0, c_uint::MAX.into());
        // CAST: It was clamped.
        let jiffies = msecs_to_jiffies(msecs as c_uint);

        self.callable.wait(Some(jiffies), &mut condition)
    }

    /// Makes the calls that wait by [`Context::wait`] check their conditions again.
    pub fn notify(&self) {
        self.callable.device().notify();
    }

    /// # Safety
    ///
    /// `callable` must be of a device that was registered for `T`.
    #[inline]
    unsafe fn new(callable: Callable<'cx>) -> Self {
        // INVARIANT: The caller promises it.
        Self {
            callable,
            _host: PhantomData,
            _data: PhantomData,
        }
    }
}

/// A device before its registration.
///
/// It has its name already, for messages, and references to it can be kept: an interrupt handler,
/// for one, needs [`Device::notify`].
pub struct UnregisteredDevice<T: Operations> {
    device: ARef<Device>,
    // The device points to it until it is registered.
    _parent: ARef<device::Device>,
    _operations: PhantomData<fn() -> T>,
}

impl<T: Operations> UnregisteredDevice<T> {
    /// Makes a device that will appear below `parent` in sysfs.
    ///
    /// `parent` tells user space where the firmware is: the PCI function for a network card, the
    /// memdev for CXL. It has to be the host or a device above it.
    ///
    /// May sleep. Fails with [`ENODEV`] if the subsystem is not there, with [`ENOSPC`] if there are
    /// 4096 devices already, and with [`ENOMEM`].
    pub fn new(parent: &device::Device) -> Result<Self> {
        let driver = Driver {
            device_type: T::DEVICE_TYPE.number(),
            uctx: Layout::new::<T>(),
            door: Some(NonNull::from(&Vtable::<T>::DOOR)),
        };

        // SAFETY:
        // - The parent is valid while there is an `UnregisteredDevice`, which has a reference.
        // - The functions are in the driver's module. It does not go before the registration has
        //   ended: see `binding.rs`. They can be called because `register()` binds the device to a
        //   host and data of `T`.
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
        // SAFETY: It is the device of a `T::Host`, which is bound as the context says.
        let bound = unsafe { T::Host::<Bound>::from_device(bound) };
        let data = KBox::pin_init(T::bind(bound, args), GFP_KERNEL)?;

        // SAFETY: The data are not moved out of: `Erased` only ever drops them in place.
        let data = KBox::into_raw(unsafe { Pin::into_inner_unchecked(data) });
        // SAFETY:
        // - The pointer of a `KBox` is never null.
        // - `drop_data()` takes it, once, and the data are `Send`.
        let data = unsafe { Erased::new(NonNull::new_unchecked(data).cast(), drop_data::<T>) };

        // SAFETY:
        // - The device was made by `new()`, with functions that take a host and data of `T`. We
        //   own it, so nothing else registers it.
        // - `bind()` made the data for a host that stays bound as long as it likes. So they borrow
        //   nothing that ends before the host is unbound.
        let id = unsafe { binding::register(&self.device, host, data) }?;
        Ok(Registration { id })
    }
}

/// The part of [`UnregisteredDevice::new`] that is the same for all drivers, compiled once.
///
/// # Safety
///
/// Those of [`Device::new`].
#[inline(never)]
unsafe fn new_erased(parent: &device::Device, driver: Driver) -> Result<ARef<Device>> {
    // A `Device` is a transparent wrapper of the C structure.
    let parent = NonNull::from(parent).cast::<bindings::device>();

    // SAFETY: The caller promises what `Device::new()` requires.
    unsafe { Device::new(parent.as_ptr(), driver, size_of::<bindings::fwctl_device>()) }
}

/// Registers a device for `host`, in the probe of its driver. It appears below `parent` in sysfs,
/// see [`UnregisteredDevice::new`]. Each call makes another device.
///
/// When this returns, the node is there; the functions of `T` may be called before.
///
/// The device is unregistered when the returned guard is dropped. A driver that needs an order
/// keeps the guard in its data and drops it first. If it is not dropped, even if it is forgotten,
/// the core unregisters the device when the host is about to be unbound, or its probe fails: before
/// the driver's `unbind()`, before the data of the bus driver are dropped, and before devres
/// releases anything. So while functions of `T` run, the host is bound and the driver complete.
///
/// The `Core` context proves that the caller is the host's own driver. A host whose driver never
/// sees that context, such as a faux device, cannot be used; `drivers/fwctl/loopback/bus.rs` shows
/// how a driver without hardware gets auxiliary devices.
///
/// May sleep. Fails with the errors of [`Operations::bind`], with [`EBUSY`] if the host is bound
/// already, so this is not its probe, with [`EINVAL`] if `parent` is neither the host nor a device
/// above it, with [`ENODEV`] if the subsystem is not there, with [`ENOSPC`] if there are 4096 devices
/// already, with [`ENOMEM`], and with the errors of the driver core.
pub fn register<T: Operations>(
    host: &T::Host<Core<'_>>,
    parent: &device::Device,
    args: T::Args,
) -> Result<Registration> {
    UnregisteredDevice::<T>::new(parent)?.register(host, args)
}

/// A registered device, which is unregistered when this is dropped.
///
/// Dropping it waits for the calls into the driver that are in flight, closes the contexts that are
/// open, and drops the [`Operations::Data`]. It does nothing if the registration has ended already,
/// see [`register`]. May sleep. Must not be dropped by a function of [`Operations`] of the same
/// device, which would wait for itself; lockdep reports it.
#[must_use = "the device is unregistered when this is dropped"]
pub struct Registration {
    // Not a reference, so one that is forgotten keeps no device.
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
/// `data` must be from `KBox::<T::Data<'_>>::into_raw()`, pinned, and not used any more.
unsafe fn drop_data<T: Operations>(data: NonNull<c_void>) {
    // SAFETY: The caller promises that it is from a `KBox` of this type, and not used any more. That
    // the lifetime is another one makes no difference to memory, and its drop, like all code, is the
    // same for all lifetimes.
    drop(unsafe { Pin::new_unchecked(KBox::<T::Data<'_>>::from_raw(data.cast().as_ptr())) });
}

/// The functions of a Rust driver: they call those of `T`.
struct Vtable<T: Operations>(PhantomData<T>);

impl<T: Operations> Vtable<T> {
    const DOOR: Door = Door {
        open: Self::open,
        close: Self::close,
        info: Self::info,
        fw_rpc: Self::fw_rpc,
    };

    // The safety requirements of all these are those of `Door`.

    /// # Safety
    ///
    /// See [`Door`].
    unsafe fn open(uctx: NonNull<u8>, callable: Callable<'_>) -> Result {
        // SAFETY: `callable` is of a device made with this door.
        let cx = unsafe { Context::<T>::new(callable) };

        // SAFETY: `uctx` is valid for a write of a `T`, and never moves.
        unsafe { pin_init::raw_try_init(uctx.cast::<T>().as_ptr(), T::open(cx)) }
    }

    /// # Safety
    ///
    /// See [`Door`].
    unsafe fn close(uctx: NonNull<u8>, callable: Callable<'_>) {
        let uctx = uctx.cast::<T>().as_ptr();

        // SAFETY: `callable` is of a device made with this door.
        let cx = unsafe { Context::<T>::new(callable) };

        // SAFETY: `open()` made a `T` there, pinned, which nobody else uses.
        unsafe { Pin::new_unchecked(&mut *uctx) }.close(cx);

        // SAFETY: As above; this is its end.
        unsafe { core::ptr::drop_in_place(uctx) };
    }

    /// # Safety
    ///
    /// See [`Door`].
    unsafe fn info(uctx: NonNull<u8>, callable: Callable<'_>, info: &mut Info) -> Result {
        // SAFETY: `callable` is of a device made with this door.
        let cx = unsafe { Context::<T>::new(callable) };

        // SAFETY: `open()` made a `T` there, pinned, which lives until `close()`.
        let uctx = unsafe { Pin::new_unchecked(uctx.cast::<T>().as_ref()) };

        uctx.info(cx, info)
    }

    /// # Safety
    ///
    /// See [`Door`].
    unsafe fn fw_rpc<'rpc>(
        uctx: NonNull<u8>,
        callable: Callable<'_>,
        scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        // SAFETY: `callable` is of a device made with this door.
        let cx = unsafe { Context::<T>::new(callable) };

        // SAFETY: `open()` made a `T` there, pinned, which lives until `close()`.
        let uctx = unsafe { Pin::new_unchecked(uctx.cast::<T>().as_ref()) };

        uctx.fw_rpc(cx, scope, rpc)
    }
}
