// SPDX-License-Identifier: GPL-2.0-only

//! The asynchronous loopback driver: a firmware that answers by an interrupt, which is a timer.
//!
//! It handles the same requests as the other one. [`Op::Sleep`] is answered by the timer.
//! [`Op::Copy`] and [`Op::InPlace`] are accepted and answered in `submit()`, all others are
//! answered without being accepted.

use fwctl::{
    Context,
    DeviceType,
    Info,
    Operations,
    PendingRpc,
    Reply,
    RpcScope,
    Submission,
    Submitted, //
};
use kernel::{
    auxiliary,
    device::{
        Bound,
        DeviceContext, //
    },
    impl_has_hr_timer,
    new_mutex,
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        ArcBorrow,
        Mutex,
        SpinLock, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeMode, //
        },
        Delta,
        Monotonic, //
    }, //
};

use crate::{
    command::{
        self,
        Command,
        Op,
        State, //
    },
    fill, //
};

/// An RPC that a timer answers.
#[pin_data]
struct Delayed {
    #[pin]
    timer: HrTimer<Self>,
    /// Taken by the timer, and only by it: the lock is never taken elsewhere.
    #[pin]
    rpc: SpinLock<Option<PendingRpc>>,
    has_expired: Atomic<bool>,
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Delayed {
        mode: RelativeMode<Monotonic>, field: self.timer
    }
}

impl HrTimerCallback for Delayed {
    type Pointer<'a> = Arc<Self>;

    /// Replies with the request, in interrupt context.
    fn run(this: ArcBorrow<'_, Self>, _: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        let rpc = this.rpc.lock().take();
        if let Some(rpc) = rpc {
            let len = rpc.request().len();

            rpc.in_place(len);
        }
        this.has_expired.store(true, Release);
        HrTimerRestart::NoRestart
    }
}

/// A timer that was started. Stops it on drop, which fails an RPC that it has not answered.
struct Started {
    delayed: Arc<Delayed>,
    _timer: ArcHrTimerHandle<Delayed>,
}

impl Started {
    fn new(rpc: PendingRpc, time: Delta) -> Result<Self> {
        let delayed = Arc::pin_init(
            pin_init!(Delayed {
                timer <- HrTimer::new(),
                rpc <- new_spinlock!(Some(rpc)),
                has_expired: Atomic::new(false),
            }),
            GFP_KERNEL,
        )?;

        Ok(Self {
            _timer: delayed.clone().start(time),
            delayed,
        })
    }

    fn has_expired(&self) -> bool {
        self.delayed.has_expired.load(Acquire)
    }
}

/// Per-device data.
#[pin_data]
pub(crate) struct Firmware {
    open_uctx: Atomic<u32>,
    last_uid: Atomic<u32>,
    /// Dropped when the registration ends, which stops the timers.
    #[pin]
    started: Mutex<KVec<Started>>,
}

/// Per-open-file data.
pub(crate) struct Uctx {
    uid: u32,
}

#[vtable]
impl Operations for Uctx {
    const DEVICE_TYPE: DeviceType = DeviceType::NONE;

    type Host<Ctx: DeviceContext> = auxiliary::Device<Ctx>;
    type Args = ();
    type Data<'bound> = Firmware;

    fn bind<'bound>(
        _host: &'bound auxiliary::Device<Bound>,
        _args: (),
    ) -> impl PinInit<Firmware, Error> + 'bound {
        try_pin_init!(Firmware {
            open_uctx: Atomic::new(0),
            last_uid: Atomic::new(0),
            started <- new_mutex!(KVec::new()),
        })
    }

    fn open(cx: Context<'_, '_, Self>) -> impl PinInit<Self, Error> {
        let firmware = cx.data();

        firmware.open_uctx.fetch_add(1, Relaxed);
        Ok(Self {
            uid: firmware.last_uid.fetch_add(1, Relaxed) + 1,
        })
    }

    fn close(self: Pin<&mut Self>, cx: Context<'_, '_, Self>) {
        cx.data().open_uctx.fetch_sub(1, Relaxed);
    }

    fn info(self: Pin<&Self>, _cx: Context<'_, '_, Self>, info: &mut Info) -> Result {
        info.write(&self.uid.to_ne_bytes())?;
        info.write(&command::MAGIC.to_ne_bytes())
    }

    fn opcode(request: &[u8]) -> Option<u32> {
        Command::opcode(request)
    }

    fn submit<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        match Command::parse(rpc.request())? {
            Command::Echo => {
                let len = rpc.request().len();

                rpc.in_place(len)
            }
            Command::Op(Op::Copy) => {
                let (rpc, submitted) = rpc.accept()?;
                let reply = Reply::copy_of(rpc.request())?;

                rpc.reply(reply);
                Ok(submitted)
            }
            Command::Op(Op::Sleep(time)) => {
                let (rpc, submitted) = rpc.accept()?;

                cx.data().answer_after(rpc, time)?;
                Ok(submitted)
            }
            Command::Op(Op::Fail(error)) => Err(error),
            Command::Op(Op::InPlace(len)) => {
                let (rpc, submitted) = rpc.accept()?;

                rpc.in_place(len);
                Ok(submitted)
            }
            Command::Op(Op::Fill(len)) => Ok(rpc.reply(fill(len)?)),
            Command::Op(Op::State) => self.state(cx, scope, rpc),
            Command::Op(Op::Zeros(len)) => Ok(rpc.reply(Reply::zeroed(len)?)),
            Command::Op(Op::Memory) => Err(EOPNOTSUPP),
        }
    }
}

impl Uctx {
    /// Replies with [`State`].
    fn state<'rpc>(
        &self,
        cx: Context<'_, '_, Self>,
        scope: RpcScope,
        mut rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        let state = State {
            open_uctx: cx.data().open_uctx.load(Relaxed),
            scope: scope as u32,
            // CAST: At most `fwctl::MAX_RPC_LEN`.
            out_len: rpc.out_len() as u32,
            uid: self.uid,
        };

        state
            .write_to_prefix(rpc.request_mut())
            .map_err(|_| EINVAL)?;
        rpc.in_place(size_of::<State>())
    }
}

impl Firmware {
    /// Replies with the request after `time` milliseconds.
    fn answer_after(&self, rpc: PendingRpc, time: i64) -> Result {
        let mut started = self.started.lock();

        started.retain(|started| !started.has_expired());
        started.reserve(1, GFP_KERNEL)?;
        started.push(Started::new(rpc, Delta::from_millis(time))?, GFP_KERNEL)?;
        Ok(())
    }
}
