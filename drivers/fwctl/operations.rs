// SPDX-License-Identifier: GPL-2.0-only

//! The Rust door: what a driver in Rust implements and calls.

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
        DeviceContext, //
    },
    devres,
    prelude::*,
    sync::aref::ARef, //
};

use crate::{
    device::Device,
    door::{
        Binding,
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
/// `enum fwctl_device_type` of `include/uapi/fwctl/fwctl.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceType(u32);

impl DeviceType {
    /// NVIDIA ConnectX and BlueField, `include/uapi/fwctl/mlx5.h`.
    pub const MLX5: Self = Self(1);
    /// CXL memory, `include/uapi/fwctl/cxl.h`.
    pub const CXL: Self = Self(2);
    /// Broadcom NetXtreme, `include/uapi/fwctl/bnxt.h`.
    pub const BNXT: Self = Self(3);
    /// AMD Pensando, `include/uapi/fwctl/pds.h`.
    pub const PDS: Self = Self(4);

    /// Returns a type for a driver that has no number in the uapi, be it that it will never have
    /// one, as a sample, or not yet.
    ///
    /// These numbers start at 0x80000000, where the uapi will not get in a lifetime.
    pub const fn unassigned(number: u16) -> Self {
        // CAST: It widens.
        Self(0x8000_0000 | number as u32)
    }

    /// Returns the number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A driver of firmware that user space can talk to.
///
/// The type that implements it is the context of one open file (*uctx*): made by [`open`], dropped
/// after [`close`]. None of its functions runs before the registration or after its end, which
/// waits for those that run: so let none of them wait for longer than it must, as unbind and the
/// removal of the device wait with it.
///
/// # Locking
///
/// All functions may sleep. RPCs of one file can run at the same time, and so can those of several.
/// The core holds a read side of SRCU around each call; around the `close` of a context that is
/// still open when the registration ends, it holds its mutex of open contexts. So none of them may
/// take a lock that is held while the host is unbound, such as its device lock.
///
/// # Examples
///
/// A firmware that reverses what it is sent; `samples/fwctl/` has one that can be loaded.
///
/// ```ignore
/// struct Reverser;
///
/// impl fwctl::Operations for Reverser {
///     const DEVICE_TYPE: DeviceType = DeviceType::unassigned(7);
///
///     type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
///     type Data<'bound> = ();
///
///     fn bind<'bound>(
///         _host: &'bound auxiliary::Device<Bound>,
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
/// fn probe(adev: &auxiliary::Device<Bound>) -> Result {
///     fwctl::register::<Reverser>(adev, adev.as_ref())
/// }
/// ```
///
/// [`open`]: Operations::open
/// [`close`]: Operations::close
pub trait Operations: Sized + Send + Sync + 'static {
    /// What the device is.
    const DEVICE_TYPE: DeviceType;

    /// The bus device that the driver is bound to; the registration ends when it is unbound.
    type Host<Ctx: DeviceContext>: AsBusDevice<Ctx>;

    /// What the driver keeps for the device as long as it is registered.
    ///
    /// It can borrow from the host, for `'bound`. A driver that is registered this way keeps its
    /// state here rather than in the data of its bus driver, which is dropped *before* the
    /// registration ends.
    type Data<'bound>: Send + Sync + 'bound;

    /// Makes the data, before the device is visible. What it fails with, [`register`] fails with.
    fn bind<'bound>(
        host: &'bound Self::Host<Bound>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// Makes the context of a file that is being opened. What it fails with, open(2) fails with.
    fn open(cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error>;

    /// Says goodbye to the firmware, before the context is dropped.
    ///
    /// Called when the file is closed, or when the registration ends, whichever is first.
    fn close(self: Pin<&mut Self>, cx: Context<'_, '_, Self>) {
        let _ = cx;
    }

    /// Writes the device data of `FWCTL_INFO`. What it fails with, the ioctl fails with.
    ///
    /// Their length is the same each time: if a program asks for nothing but that, once more in the
    /// same context, it learns what it was told before.
    fn info(self: Pin<&Self>, cx: Context<'_, '_, Self>, info: &mut Info) -> Result {
        let _ = (cx, info);
        Ok(())
    }

    /// Delivers an RPC to the firmware and returns its reply.
    ///
    /// The core has seen to it that user space may use `scope`. Whether the scope is enough for
    /// this request is for the driver to decide, before anything reaches the firmware. An error
    /// says that the RPC was not delivered; the refusal of a firmware is a reply.
    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>>;
}

/// What every function of [`Operations`] can use: the devices and the driver's data.
///
/// It has two lifetimes on purpose. What the data borrow lives for `'bound`; what a function gets
/// from here lives for `'cx`, so that it cannot be stored in the data.
///
/// # Invariants
///
/// `callable` is of a device that [`register`] made for `T`.
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
        let host = self.binding().host;

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
        let data = self.binding().data.cast::<T::Data<'bound>>();

        // SAFETY:
        // - By the type invariant, these are a `T::Data<'_>`, pinned, that lives until the
        //   registration has ended, which it has not by the invariant of `callable`.
        // - They were made for the lifetime of a bound host. `'bound` stands for that one: functions
        //   of `Operations` are written for any `'bound`, so that they can rely on no other
        //   lifetime to be as long or as short, and store nothing that does not come from the data
        //   itself, or is `'static`.
        unsafe { Pin::new_unchecked(data.as_ref()) }
    }

    #[inline]
    fn binding(&self) -> &'cx Binding {
        // SAFETY: By the type invariant: `register()` stored it.
        unsafe { self.callable.binding().unwrap_unchecked() }
    }

    /// # Safety
    ///
    /// `callable` must be of a device that was registered for `T`.
    #[inline]
    unsafe fn new(callable: Callable<'cx>) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            callable,
            _host: PhantomData,
            _data: PhantomData,
        }
    }
}

/// Registers a device for `host`, which appears below `parent` in sysfs. Each call makes another.
///
/// When this returns, the node is there; the functions of `T` may be called before. The device is
/// unregistered when `host` is unbound, or when its probe fails, by `devres`: there is nothing to
/// keep and nothing to forget. This is the last thing for a probe to do.
///
/// `parent` tells user space where the firmware is: the PCI function for a network card, the memdev
/// for CXL. It must stay in the driver model until `host` is unbound.
///
/// May sleep. Fails with what [`Operations::bind`] fails with, with [`ENODEV`] if the subsystem is
/// not there, with [`ENOSPC`] if there are 4096 devices already, with [`ENOMEM`], and with what the
/// driver core fails with.
pub fn register<T: Operations>(host: &T::Host<Bound>, parent: &device::Device) -> Result {
    let data = KBox::pin_init(T::bind(host), GFP_KERNEL)?;

    // SAFETY: The data are not moved out of: `Erased` only ever drops them in place.
    let data = KBox::into_raw(unsafe { Pin::into_inner_unchecked(data) });
    let data = Erased {
        // SAFETY: The pointer of a `KBox` is never null.
        data: unsafe { NonNull::new_unchecked(data) }.cast(),
        drop: drop_data::<T>,
    };

    // SAFETY:
    // - The door calls the functions of `T`, with the host and the data that are given here.
    // - `data` came from a `KBox` just now.
    unsafe {
        register_erased(
            host.as_ref(),
            parent,
            T::DEVICE_TYPE,
            Layout::new::<T>(),
            &Vtable::<T>::DOOR,
            data,
        )
    }
}

/// Drops the data of a registration.
///
/// # Safety
///
/// `data` must be from `KBox::<T::Data<'_>>::into_raw()`, pinned, and used by nobody any more.
unsafe fn drop_data<T: Operations>(data: NonNull<c_void>) {
    // SAFETY: By the safety requirements. That the lifetime is another one makes no difference to
    // memory, and its drop, like all code, is the same for all lifetimes.
    drop(unsafe { Pin::new_unchecked(KBox::<T::Data<'_>>::from_raw(data.cast().as_ptr())) });
}

/// The data of a registration, of whatever type, dropped with it.
///
/// # Invariants
///
/// `drop` can be called with `data`, which are pinned.
struct Erased {
    data: NonNull<c_void>,
    drop: unsafe fn(NonNull<c_void>),
}

impl Drop for Erased {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; this is the only call.
        unsafe { (self.drop)(self.data) };
    }
}

/// A registered device, which is unregistered on drop.
struct Registration {
    device: ARef<Device>,
    // Dropped after the registration has ended.
    _data: Erased,
}

// SAFETY: The data of a registration are `Send`, and a device can be unregistered from any thread.
unsafe impl Send for Registration {}

impl Drop for Registration {
    fn drop(&mut self) {
        self.device.unregister();
    }
}

/// The part of [`register`] that is the same for all drivers, so that it is compiled once.
///
/// # Safety
///
/// - `door` must be one that can be called with `host` and `data` in the [`Binding`], and with
///   contexts of the layout `uctx`.
/// - `data` must be those of the door's driver: they are for the lifetime of `host` being bound.
#[inline(never)]
unsafe fn register_erased(
    host: &device::Device<Bound>,
    parent: &device::Device,
    device_type: DeviceType,
    uctx: Layout,
    door: &'static Door,
    data: Erased,
) -> Result {
    let driver = Driver {
        device_type: device_type.number(),
        uctx,
        binding: Some(Binding {
            door: NonNull::from(door),
            host: as_raw(host),
            data: data.data,
        }),
    };

    // SAFETY:
    // - `parent` is valid for as long as this function runs. If it returns without a registration,
    //   the device is freed.
    // - `door` is in the driver's module, which cannot go before its devices are unbound.
    // - By the safety requirements it leads to a driver.
    let device = unsafe {
        Device::new(
            as_raw(parent).as_ptr(),
            driver,
            size_of::<bindings::fwctl_device>(),
        )
    }?;
    device.register()?;

    // From here on it is unregistered in any case.
    let registration = Registration {
        device,
        _data: data,
    };
    devres::register(host, registration, GFP_KERNEL)
}

/// Returns the C device.
fn as_raw<Ctx: DeviceContext>(device: &device::Device<Ctx>) -> NonNull<bindings::device> {
    // A `Device` is a transparent wrapper of the C structure.
    NonNull::from(device).cast()
}

/// The door of the drivers in Rust: calls the functions of `T`.
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
