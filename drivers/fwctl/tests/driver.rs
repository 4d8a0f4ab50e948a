// SPDX-License-Identifier: GPL-2.0-only

//! The driver of `fwctl_lifetime`.
#![forbid(unsafe_code)]

use fwctl::{
    Context,
    DeviceType,
    Info,
    Operations,
    Registration,
    Reply,
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
    devres,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    warn_on, //
};

use crate::{
    bus,
    module_parameters,
    SHARED, //
};

/// `FWCTL_LIFETIME_REGISTERED`.
const REGISTERED: u32 = 10_000;

type Counter = Atomic<u32>;

// The members of `struct fwctl_lifetime_state`, in this order.
static MADE: Counter = Atomic::new(0);
static DROPPED: Counter = Atomic::new(0);
static ENTRIES_ADDED: Counter = Atomic::new(0);
static ENTRIES_RELEASED: Counter = Atomic::new(0);
static OPENED: Counter = Atomic::new(0);
static CLOSED: Counter = Atomic::new(0);
static UNBINDS: Counter = Atomic::new(0);
static LATE_CALLS: Counter = Atomic::new(0);
static REGISTER_ERROR: Counter = Atomic::new(0);
static WAIT_ERROR: Counter = Atomic::new(0);
static PROBE_ERRORS: Counter = Atomic::new(0);

static STATE: [&Counter; 11] = [
    &MADE,
    &DROPPED,
    &ENTRIES_ADDED,
    &ENTRIES_RELEASED,
    &OPENED,
    &CLOSED,
    &UNBINDS,
    &LATE_CALLS,
    &REGISTER_ERROR,
    &WAIT_ERROR,
    &PROBE_ERRORS,
];

/// State of one binding, shared by the bus driver and the operations.
struct Bond {
    /// Whether this is the first device.
    is_first: bool,
    is_unbinding: Atomic<bool>,
}

impl Bond {
    fn new(adev: &auxiliary::Device<Core<'_>>) -> Result<Arc<Self>> {
        let bond = Self {
            is_first: adev.id() == 0,
            is_unbinding: Atomic::new(false),
        };

        Ok(Arc::new(bond, GFP_KERNEL)?)
    }

    /// Reports a call after `unbind()` has started. Every callback calls this.
    fn expect_bound(&self) {
        if warn_on!(self.is_unbinding.load(Relaxed)) {
            LATE_CALLS.fetch_add(1, Relaxed);
        }
    }

    fn count(&self, counter: &Counter) {
        if self.is_first {
            counter.fetch_add(1, Relaxed);
        }
    }
}

/// Storage for a registration guard.
#[pin_data]
struct Holder {
    #[pin]
    guard: Mutex<Option<Registration>>,
}

impl Holder {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                guard <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )
    }
}

/// The bus driver.
pub(crate) struct Driver;

/// Data of the bus driver.
pub(crate) struct DriverData {
    bond: Arc<Bond>,
    _guard: Option<Registration>,
}

kernel::auxiliary_device_table!(
    ID_TABLE,
    <Driver as auxiliary::Driver>::IdInfo,
    [(
        auxiliary::DeviceId::new(bus::MODULE_NAME, bus::DEVICE_NAME),
        ()
    )]
);

impl auxiliary::Driver for Driver {
    type IdInfo = ();
    type Data<'bound> = DriverData;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<DriverData, Error> + 'bound {
        probe(adev)
    }

    fn unbind<'bound>(adev: &'bound auxiliary::Device<Core<'_>>, this: Pin<&DriverData>) {
        this.bond.is_unbinding.store(true, Relaxed);
        this.bond.count(&UNBINDS);
        // The second device drops the guard of the first.
        if adev.id() < 2 {
            let guard = SHARED.lock().take();
            drop(guard);
        }
        if !this.bond.is_first {
            return;
        }

        sleep(module_parameters::unbind_ms.value());
        if module_parameters::register_in_unbind.value() {
            let error = match register(adev) {
                Ok(guard) => {
                    core::mem::forget(guard);
                    REGISTERED
                }
                Err(error) => errno(error),
            };
            REGISTER_ERROR.store(error, Relaxed);
        }
    }
}

fn probe(adev: &auxiliary::Device<Core<'_>>) -> Result<DriverData> {
    let bond = Bond::new(adev)?;
    let holder = Holder::new()?;
    let device = UnregisteredDevice::<Uctx>::new(adev.as_ref())?;
    let args = Args {
        bond: bond.clone(),
        holder: holder.clone(),
    };
    let registration = device.register(adev, args)?;

    if !bond.is_first {
        return Ok(DriverData {
            bond,
            _guard: Some(registration),
        });
    }

    let mut guard = None;
    match module_parameters::keep.value() {
        0 => guard = Some(registration),
        1 => core::mem::forget(registration),
        2 => *holder.guard.lock() = Some(registration),
        3 => *SHARED.lock() = Some(registration),
        _ => return Err(EINVAL),
    }
    sleep(module_parameters::probe_ms.value());
    if module_parameters::fail_probe.value() {
        PROBE_ERRORS.fetch_add(1, Relaxed);
        return Err(EIO);
    }
    Ok(DriverData {
        bond,
        _guard: guard,
    })
}

/// Registers another device for a host that may already be bound.
fn register(adev: &auxiliary::Device<Core<'_>>) -> Result<Registration> {
    let args = Args {
        bond: Bond::new(adev)?,
        holder: Holder::new()?,
    };

    fwctl::register::<Uctx>(adev, adev.as_ref(), args)
}

fn sleep(ms: u32) {
    fsleep(Delta::from_millis(ms.into()));
}

/// Returns the errno of an error.
fn errno(error: Error) -> u32 {
    error.to_errno().unsigned_abs()
}

/// Arguments of `bind()`.
struct Args {
    bond: Arc<Bond>,
    holder: Arc<Holder>,
}

struct Data {
    bond: Arc<Bond>,
    /// May contain the guard of the registration that owns this data.
    _holder: Arc<Holder>,
    is_notified: Atomic<bool>,
}

impl Drop for Data {
    fn drop(&mut self) {
        self.bond.expect_bound();
        self.bond.count(&DROPPED);
    }
}

/// A devres entry.
struct Entry(Arc<Bond>);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.count(&ENTRIES_RELEASED);
    }
}

/// Per-open-file data.
struct Uctx;

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::NONE;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = Args;
    type Data<'bound> = Data;

    fn bind<'bound>(
        _host: &'bound auxiliary::Device<Bound>,
        args: Args,
    ) -> impl PinInit<Data, Error> + 'bound {
        args.bond.count(&MADE);
        Ok::<_, Error>(Data {
            bond: args.bond,
            _holder: args.holder,
            is_notified: Atomic::new(false),
        })
    }

    fn open(cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
        cx.data().bond.expect_bound();
        cx.data().bond.count(&OPENED);
        Ok::<_, Error>(Self)
    }

    fn close(self: Pin<&mut Self>, cx: Context<'_, '_, Self>) {
        cx.data().bond.expect_bound();
        cx.data().bond.count(&CLOSED);
    }

    fn info(self: Pin<&Self>, cx: Context<'_, '_, Self>, info: &mut Info) -> Result {
        cx.data().bond.expect_bound();
        info.write(&cx.host().id().to_ne_bytes())
    }

    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        let data = cx.data();
        let (op, arg) = parse(rpc.request())?;

        data.bond.expect_bound();
        let result = match op {
            0 => return state(rpc),
            1 => {
                let is_notified = || data.is_notified.load(Relaxed);
                let waited = match arg {
                    0 => cx.wait(is_notified).map(|()| true),
                    ms => cx.wait_timeout(Delta::from_millis(ms.into()), is_notified),
                };

                WAIT_ERROR.store(
                    waited.as_ref().map_or_else(|&error| errno(error), |_| 0),
                    Relaxed,
                );
                let reply = Reply::copy_of(&u32::from(waited?).to_ne_bytes())?;
                data.bond.expect_bound();
                return Ok(rpc.reply(reply));
            }
            2 => {
                data.is_notified.store(true, Relaxed);
                cx.notify();
                Ok(())
            }
            3 => {
                let error = loop {
                    if let Err(error) = cx.check() {
                        break error;
                    }
                    sleep(1);
                };
                WAIT_ERROR.store(errno(error), Relaxed);
                Err(error)
            }
            4 => add_entries(&cx, arg),
            5 => {
                sleep(arg);
                Ok(())
            }
            _ => Err(EOPNOTSUPP),
        };
        // Also at the end, since the operation may have slept.
        data.bond.expect_bound();
        result?;
        rpc.in_place(0)
    }
}

/// Returns `fwctl_lifetime_cmd::op` and `fwctl_lifetime_cmd::arg`.
fn parse(request: &[u8]) -> Result<(u32, u32)> {
    let (op, arg) = request.split_first_chunk::<4>().ok_or(EINVAL)?;
    let arg: [u8; 4] = arg.try_into().map_err(|_| EINVAL)?;

    Ok((u32::from_ne_bytes(*op), u32::from_ne_bytes(arg)))
}

fn state(rpc: Rpc<'_>) -> Result<Response<'_>> {
    let mut reply = Reply::zeroed(4 * STATE.len())?;

    for (bytes, counter) in reply.chunks_exact_mut(4).zip(STATE) {
        bytes.copy_from_slice(&counter.load(Relaxed).to_ne_bytes());
    }
    Ok(rpc.reply(reply))
}

fn add_entries(cx: &Context<'_, '_, Uctx>, count: u32) -> Result {
    let host = cx.host().as_ref();

    for _ in 0..count {
        let entry = Entry(cx.data().bond.clone());

        // Count first: the entry can be released at any time.
        cx.data().bond.count(&ENTRIES_ADDED);
        // On failure the entry is dropped, which counts as a release.
        devres::register(host, entry, GFP_KERNEL)?;
    }
    Ok(())
}
