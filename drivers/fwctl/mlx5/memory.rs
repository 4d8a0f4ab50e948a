// SPDX-License-Identifier: GPL-2.0-only

//! Memory that programs register for the firmware.
//!
//! Each registration is a *umem* of the user context of its file: a list of pages. If the program
//! asks for a memory key, it is one for all of the umem, in a separate protection domain, whose
//! addresses are offsets in the umem. All three belong to the user context, so the firmware refuses
//! them in commands of other files.
//!
//! They are destroyed in the reverse order. A key or a umem only counts as destroyed when the
//! firmware has confirmed it. A domain does not refer to memory: if it is left, it is lost until
//! the device is torn down.

use fwctl::{
    Context,
    MemoryFlags,
    MemoryIds,
    NewMemory, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex,
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};
use zerocopy::FromZeros;

use crate::{
    cmd::{
        create_umem,
        CreateMkeyIn,
        ObjectIn,
        ObjectOut,
        OutHeader,
        MLX5_CMD_OP_ALLOC_PD,
        MLX5_CMD_OP_DEALLOC_PD,
        MLX5_CMD_OP_DESTROY_MKEY,
        MLX5_CMD_OP_DESTROY_UMEM, //
    },
    component::private,
    core_dev::{
        CoreDev,
        Failure, //
    },
    uctx::Uctx, //
};

/// What programs can register memory for.
pub(crate) const FLAGS: MemoryFlags = MemoryFlags::MKEY.union(MemoryFlags::MCDD);

/// Creates an object. Returns its number.
fn create(core_dev: &CoreDev<'_>, command: &mut [u8]) -> Result<u32, Failure> {
    let mut out = ObjectOut::new_zeroed();

    core_dev.confirm(command, out.as_mut_bytes())?;
    Ok(out.id())
}

/// Destroys an object.
fn destroy(core_dev: &CoreDev<'_>, opcode: u16, uid: u16, id: u32) -> Result<(), Failure> {
    let mut out = OutHeader::new_zeroed();

    core_dev.confirm(
        ObjectIn::new(opcode, uid, id).as_mut_bytes(),
        out.as_mut_bytes(),
    )
}

/// A memory key and its protection domain.
#[derive(Clone, Copy)]
struct Key {
    pd: u32,
    mkey: u32,
}

impl Key {
    /// Creates a key of a umem with `count` pages.
    ///
    /// If this fails, the umem may have a key that nobody knows; then [`Failure::NoAnswer`] is
    /// returned.
    fn create(core_dev: &CoreDev<'_>, uid: u16, umem: u32, count: usize) -> Result<Self, Failure> {
        let mut command = ObjectIn::new(MLX5_CMD_OP_ALLOC_PD, uid, 0);
        // A domain of which nobody knows does no harm.
        let pd = create(core_dev, command.as_mut_bytes())
            .map_err(|failure| Failure::NotExecuted(failure.error()))?;

        let mut command = CreateMkeyIn::new(uid, pd, umem, count);
        match create(core_dev, command.as_mut_bytes()) {
            Ok(index) => Ok(Self {
                pd,
                mkey: index << 8 | u32::from(CreateMkeyIn::VARIANT),
            }),
            Err(failure) => {
                let _ = destroy(core_dev, MLX5_CMD_OP_DEALLOC_PD, uid, pd);
                Err(failure)
            }
        }
    }

    fn destroy(self, core_dev: &CoreDev<'_>, uid: u16) -> Result<(), Failure> {
        destroy(core_dev, MLX5_CMD_OP_DESTROY_MKEY, uid, self.mkey >> 8)?;
        let _ = destroy(core_dev, MLX5_CMD_OP_DEALLOC_PD, uid, self.pd);
        Ok(())
    }
}

impl Uctx {
    /// Tells the firmware of new memory.
    ///
    /// Fails like [`Share::take`](crate::slots::Share::take), with [`ENOMEM`], with
    /// [`EREMOTEIO`](kernel::error::code::EREMOTEIO) if the firmware refuses, and with the error of
    /// `mlx5_core` if it does not answer.
    pub(crate) fn add_umem(
        &self,
        cx: &Context<'_, '_, Self>,
        memory: &mut NewMemory<'_>,
    ) -> Result<MemoryIds> {
        let function = cx.data();
        let core_dev = &function.core_dev;
        let _slot = function.opens.take(cx, core_dev, true)?;
        let uid = self.uid_for_command();
        let count = memory.page_count();

        let mut command = create_umem(uid.number(), count, memory.addresses())
            .inspect_err(|_| memory.retract())?;
        let umem = create(core_dev, &mut command).map_err(|failure| {
            if !matches!(failure, Failure::NoAnswer(_)) {
                memory.retract();
            }
            failure.error()
        })?;
        drop(command);

        if !memory.flags().contains(MemoryFlags::MKEY) {
            return Ok(MemoryIds {
                umem,
                mkey: 0,
                private: private(0, memory.flags()),
            });
        }
        match Key::create(core_dev, uid.number(), umem, count) {
            Ok(key) => Ok(MemoryIds {
                umem,
                mkey: key.mkey,
                private: private(key.pd, memory.flags()),
            }),
            Err(failure) => {
                let destroyed = destroy(core_dev, MLX5_CMD_OP_DESTROY_UMEM, uid.number(), umem);

                // There may be a key that nobody knows.
                if destroyed.is_ok() && !matches!(failure, Failure::NoAnswer(_)) {
                    memory.retract();
                }
                Err(failure.error())
            }
        }
    }

    /// Makes the firmware forget memory. Fails if it does not confirm that.
    ///
    /// Does not ask firmware that has just let such a command time out: closing files with much
    /// memory would take hours.
    pub(crate) fn remove_umem(&self, cx: &Context<'_, '_, Self>, ids: MemoryIds) -> Result {
        let function = cx.data();

        if function.silence.is_recent() {
            return Err(ETIMEDOUT);
        }
        let removed = self.destroy_umem(&function.core_dev, ids);
        match removed {
            Err(Failure::NoAnswer(_) | Failure::NoSlot(_)) => function.silence.begin(),
            _ => function.silence.end(),
        }
        Ok(removed?)
    }

    fn destroy_umem(&self, core_dev: &CoreDev<'_>, ids: MemoryIds) -> Result<(), Failure> {
        let uid = self.uid_for_command();

        if ids.mkey != 0 {
            let key = Key {
                // CAST: The lower half is the domain.
                pd: ids.private as u32,
                mkey: ids.mkey,
            };
            key.destroy(core_dev, uid.number())?;
        }
        destroy(core_dev, MLX5_CMD_OP_DESTROY_UMEM, uid.number(), ids.umem)
    }
}

/// Whether the firmware did not answer when it had to forget memory.
#[pin_data]
pub(crate) struct Silence {
    #[pin]
    since: Mutex<Option<Instant<Monotonic>>>,
}

impl Silence {
    /// How long the firmware is not asked again.
    const DURATION: Delta = Delta::from_secs(60);

    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            since <- new_mutex!(None, "mlx5_fwctl::silence"),
        })
    }

    fn begin(&self) {
        *self.since.lock() = Some(Instant::now());
    }

    fn end(&self) {
        *self.since.lock() = None;
    }

    fn is_recent(&self) -> bool {
        self.since
            .lock()
            .is_some_and(|since| since.elapsed() < Self::DURATION)
    }
}
