// SPDX-License-Identifier: GPL-2.0-only

//! Wrapper of `cxl_core`: the Features and the commands of a memdev, and its mailbox.
//!
//! A switch has a mailbox, too, and no Features. Below, it is a memdev without memory.
//!
//! All unsafe code of the driver is here. It calls functions that `cxl_core` declares in
//! [`include/cxl/features.h`](srctree/include/cxl/features.h).

use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
    slice, //
};

use kernel::{
    auxiliary,
    bindings,
    device::Bound,
    error::to_result,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::NotThreadSafe, //
};

use crate::{
    commands::{
        Commands,
        Kind, //
    },
    wire::{
        CelEntry,
        FeatureEntry,
        GetFeatureIn,
        ReturnCode,
        SetFeatureIn,
        Uuid, //
    }, //
};

const _: () = {
    assert!(size_of::<bindings::cxl_feat_entry>() == size_of::<FeatureEntry>());
    assert!(align_of::<FeatureEntry>() == 1);
    assert!(align_of::<CelEntry>() == 1);
    assert!(size_of::<bindings::cxl_mbox_get_feat_in>() == size_of::<GetFeatureIn>());
    assert!(size_of::<bindings::uuid_t>() == size_of::<Uuid>());
};

/// A memdev, while its auxiliary device is bound to this driver.
///
/// # Invariants
///
/// - `mailbox` is from `cxl_fwctl_to_mbox()`, for an auxiliary device that stays bound to this
///   driver for `'bound`.
/// - `features` is from `cxl_fwctl_to_cxlfs()` for `mailbox`; it is [`None`] without Features.
pub(crate) struct Memdev<'bound> {
    mailbox: NonNull<bindings::cxl_mailbox>,
    features: Option<NonNull<bindings::cxl_features_state>>,
    entries: &'bound [FeatureEntry],
    commands: Commands,
    has_background: Atomic<bool>,
    _host: PhantomData<&'bound auxiliary::Device<Bound>>,
}

// SAFETY: The functions of `cxl_core` may be called from any thread, and the other fields are
// `Send`.
unsafe impl Send for Memdev<'_> {}
// SAFETY:
// - The functions of `cxl_core` that require no lock only read a register, or data that does not
//   change.
// - Those that require the lock are called only through `Locked`, which exists only while the
//   current task holds it.
unsafe impl Sync for Memdev<'_> {}

impl<'bound> Memdev<'bound> {
    /// Returns the memdev of an auxiliary device.
    ///
    /// Fails with [`ENODEV`] if `cxl_core` did not create the device for this driver.
    pub(crate) fn new(host: &'bound auxiliary::Device<Bound>, kind: Kind) -> Result<Self> {
        // CAST: `auxiliary::Device` is a transparent wrapper of `struct auxiliary_device`.
        let adev = ptr::from_ref(host)
            .cast_mut()
            .cast::<bindings::auxiliary_device>();

        // SAFETY:
        // - `adev` is valid, since `host` is a reference to it.
        // - It is bound, as the type of `host` proves.
        let mailbox = unsafe { bindings::cxl_fwctl_to_mbox(adev) };
        let mailbox = NonNull::new(mailbox).ok_or(ENODEV)?;

        // SAFETY: `mailbox` is valid while `host` is bound, since `cxl_fwctl_to_mbox()` returned
        // it.
        let features = NonNull::new(unsafe { bindings::cxl_fwctl_to_cxlfs(mailbox.as_ptr()) });

        // INVARIANT: `mailbox` is from `cxl_fwctl_to_mbox()` for `host`, which is bound for
        // `'bound`, and `features` is from `cxl_fwctl_to_cxlfs()` for `mailbox`.
        Ok(Self {
            mailbox,
            features,
            entries: Self::read_entries(host, features),
            commands: Commands::new(kind, Self::read_log(host, mailbox))?,
            has_background: Atomic::new(false),
            _host: PhantomData,
        })
    }

    /// Returns the entries of the Features of `host`.
    ///
    /// `features` must be those of `host`.
    fn read_entries(
        _host: &'bound auxiliary::Device<Bound>,
        features: Option<NonNull<bindings::cxl_features_state>>,
    ) -> &'bound [FeatureEntry] {
        let Some(features) = features else {
            return &[];
        };

        let mut count = 0;
        // SAFETY:
        // - `features` is valid while `host` is bound, since `cxl_fwctl_to_cxlfs()` returned it.
        // - `count` is a local variable, so it is valid for writing.
        let entries = unsafe { bindings::cxl_fwctl_entries(features.as_ptr(), &mut count) };
        // CAST: `FeatureEntry` has the layout of `struct cxl_feat_entry`.
        let entries = entries.cast::<FeatureEntry>();
        // SAFETY:
        // - `entries` is not null and valid for reading `count` initialised entries, which are in
        //   one allocation of `cxl_core`.
        // - It is aligned, since the alignment of `FeatureEntry` is 1.
        // - `cxl_core` neither changes the entries nor frees them while the device is bound, which
        //   it is for `'bound`.
        unsafe { slice::from_raw_parts(entries, count) }
    }

    /// Returns the Command Effects Log of `host`.
    ///
    /// `mailbox` must be that of `host`.
    fn read_log(
        _host: &'bound auxiliary::Device<Bound>,
        mailbox: NonNull<bindings::cxl_mailbox>,
    ) -> &'bound [CelEntry] {
        let mut count = 0;
        // SAFETY:
        // - `mailbox` is valid while `host` is bound, since `cxl_fwctl_to_mbox()` returned it.
        // - `count` is a local variable, so it is valid for writing.
        let log = unsafe { bindings::cxl_fwctl_cel(mailbox.as_ptr(), &mut count) };
        if log.is_null() {
            return &[];
        }

        // CAST: `CelEntry` has the layout of `struct cxl_cel_entry`: `cxl_core` asserts its size,
        // and it is packed.
        let log = log.cast::<CelEntry>();
        // SAFETY:
        // - `log` is not null and valid for reading `count` initialised entries, which are in one
        //   allocation of `cxl_core`.
        // - It is aligned, since the alignment of `CelEntry` is 1.
        // - `cxl_core` neither changes the entries nor frees them while the device is bound, which
        //   it is for `'bound`.
        unsafe { slice::from_raw_parts(log, count) }
    }

    /// Returns the entries of all Features of the device.
    pub(crate) fn entries(&self) -> &'bound [FeatureEntry] {
        self.entries
    }

    /// Returns the entry of a Feature, if the device has it.
    pub(crate) fn entry(&self, uuid: &Uuid) -> Option<&'bound FeatureEntry> {
        self.entries.iter().find(|entry| entry.uuid == *uuid)
    }

    /// Returns the commands of the device.
    pub(crate) fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Returns the maximum size of the payload of a command, in either direction.
    pub(crate) fn payload_size(&self) -> usize {
        // SAFETY: `mailbox` is valid by the type invariant.
        unsafe { bindings::cxl_fwctl_payload_size(self.mailbox.as_ptr()) }
    }

    /// Returns whether the device supports Features.
    pub(crate) fn has_features(&self) -> bool {
        self.features.is_some()
    }

    /// Returns whether the device supports Set Feature.
    pub(crate) fn has_set(&self) -> bool {
        let Some(features) = self.features else {
            return false;
        };
        // SAFETY: `features` is valid by the type invariant.
        let capability = unsafe { bindings::cxl_fwctl_feat_cap(features.as_ptr()) };

        capability >= bindings::cxl_features_capability_CXL_FEATURES_RW
    }

    /// Returns whether this driver passes a Feature command that the device has.
    pub(crate) fn passes_feature(&self, opcode: u16) -> bool {
        match u32::from(opcode) {
            SetFeatureIn::OPCODE => self.has_set(),
            _ => self.has_features(),
        }
    }

    /// Locks the mailbox against other transfers of Features, including those of the kernel.
    ///
    /// May sleep. Fails with [`EINTR`] if the current task is killed while it waits. Must not be
    /// called with the lock held.
    ///
    /// Unregistration does not interrupt the wait. It need not: the lock is held either by an RPC
    /// of this device, which stops after its current part, or by an in-kernel user, whose values
    /// take one command. Callers must check for unregistration after they took the lock.
    pub(crate) fn lock(&self) -> Result<Locked<'_>> {
        // SAFETY: `mailbox` is valid by the type invariant, and the caller does not hold the lock.
        to_result(unsafe { bindings::cxl_fwctl_lock(self.mailbox.as_ptr()) })?;

        // INVARIANT: The lock was taken above.
        Ok(Locked {
            memdev: self,
            _not_send: NotThreadSafe,
        })
    }
}

/// The right to start an operation in the background.
#[must_use = "another operation may be started when this is dropped"]
pub(crate) struct Background<'a> {
    memdev: &'a Memdev<'a>,
}

impl<'a> Background<'a> {
    /// Returns the right, or fails with [`EBUSY`] if another RPC has it.
    ///
    /// The device tells the result of its last operation only. A device that executes another one,
    /// of the kernel or of an RPC that was killed, rejects the command.
    pub(crate) fn begin(memdev: &'a Memdev<'_>) -> Result<Self> {
        if memdev.has_background.xchg(true, Relaxed) {
            return Err(EBUSY);
        }
        Ok(Self { memdev })
    }

    /// Returns the return code of the operation that the command `opcode` has started, or [`None`]
    /// while it has not ended.
    ///
    /// Fails with [`EIO`] if the device has executed another operation since, and with [`ENXIO`] if
    /// it cannot tell.
    pub(crate) fn result(&self, opcode: u16) -> Result<Option<ReturnCode>> {
        // SAFETY: `mailbox` is valid by the type invariant of `Memdev`.
        let rc = unsafe { bindings::cxl_fwctl_background(self.memdev.mailbox.as_ptr(), opcode) };

        match u16::try_from(rc) {
            Ok(code) => Ok(Some(ReturnCode(code))),
            Err(_) if rc == EINPROGRESS.to_errno() => Ok(None),
            Err(_) => Err(Error::from_errno(rc)),
        }
    }
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        self.memdev.has_background.store(false, Relaxed);
    }
}

/// Returns whether the kernel reserves the Feature for itself, so user space must not change it.
pub(crate) fn is_exclusive(uuid: &Uuid) -> bool {
    let uuid = bindings::uuid_t { b: uuid.0 };

    // SAFETY: `uuid` is a local variable, so it is valid for reading.
    unsafe { bindings::cxl_fwctl_exclusive(&uuid) }
}

/// Reason why a command has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The device answered with an error. The RPC succeeds and replies with this code.
    Refused(ReturnCode),
    /// The device did not answer. The RPC fails with this error.
    Undelivered(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Undelivered(error)
    }
}

/// Commands of a mailbox whose [lock](Memdev::lock) is held.
///
/// A trait, so tests of [`transfer`](crate::transfer) can use a fake mailbox.
pub(crate) trait Mailbox {
    /// Returns the maximum size of the payload of a command, in either direction.
    fn payload_size(&self) -> usize;

    /// Sends one Get Feature command. Returns the number of bytes that were written to `out`.
    fn get(&mut self, input: &GetFeatureIn, out: &mut [u8]) -> Result<usize, Failure>;

    /// Sends one Set Feature command: a [`SetFeatureIn`](crate::wire::SetFeatureIn) and its data.
    ///
    /// If a part of a transfer fails, `cxl_core` aborts the transfer, at the latest before the next
    /// one begins.
    fn set(&mut self, input: &mut [u8]) -> Result<(), Failure>;

    /// Aborts the current transfer, at the latest before the next one begins.
    fn abort(&mut self);
}

/// The mailbox while it is locked against other transfers of Features. Commands may sleep.
///
/// # Invariants
///
/// The current task has taken the lock of `memdev` by `cxl_fwctl_lock()`, and only dropping this
/// releases it.
#[must_use = "the lock is released when this is dropped"]
pub(crate) struct Locked<'a> {
    memdev: &'a Memdev<'a>,
    _not_send: NotThreadSafe,
}

impl Locked<'_> {
    /// Returns the Features of the memdev. Fails with [`EINVAL`] if it has none.
    fn features(&self) -> Result<NonNull<bindings::cxl_features_state>> {
        self.memdev.features.ok_or(EINVAL)
    }

    /// Sends one command with the input payload `input`. Returns the number of bytes that were
    /// written to `out`.
    ///
    /// Does not wait for a background operation: the command then fails with
    /// [`ReturnCode::BACKGROUND`]. Fails with [`E2BIG`] if a payload is larger than the mailbox,
    /// and with the errors of its transport, such as [`ETIMEDOUT`] and [`EBUSY`].
    pub(crate) fn send(
        &mut self,
        opcode: u16,
        input: &mut [u8],
        out: &mut [u8],
    ) -> Result<usize, Failure> {
        let mut len = out.len();

        // SAFETY:
        // - `mailbox` is valid by the type invariant of `Memdev`, and locked by that of `Locked`.
        // - `input` is valid for reading and writing `input.len()` bytes.
        // - `out` is valid for writing `len` bytes, and `len` for reading and writing.
        let rc = unsafe {
            bindings::cxl_fwctl_send(
                self.memdev.mailbox.as_ptr(),
                opcode,
                input.as_mut_ptr().cast(),
                input.len(),
                out.as_mut_ptr().cast(),
                &mut len,
            )
        };
        answer(rc)?;

        Ok(len.min(out.len()))
    }
}

impl Mailbox for Locked<'_> {
    fn payload_size(&self) -> usize {
        self.memdev.payload_size()
    }

    /// Fails with [`E2BIG`] if `out` is larger than the mailbox, with [`EINVAL`] if the memdev has
    /// no Features, and with the errors of its transport, such as [`ETIMEDOUT`] and [`EBUSY`].
    fn get(&mut self, input: &GetFeatureIn, out: &mut [u8]) -> Result<usize, Failure> {
        let features = self.features()?;
        let mut len = out.len();

        // CAST: `GetFeatureIn` has the layout of `struct cxl_mbox_get_feat_in`.
        // SAFETY:
        // - `features` is valid by the type invariant of `Memdev`, and locked by that of `Locked`.
        // - `input` is valid for reading, and the alignment of the C type is 1, too.
        // - `out` is valid for writing `len` bytes, and `len` for reading and writing.
        let rc = unsafe {
            bindings::cxl_fwctl_get_part(
                features.as_ptr(),
                ptr::from_ref(input).cast(),
                out.as_mut_ptr().cast(),
                &mut len,
            )
        };
        answer(rc)?;

        Ok(len.min(out.len()))
    }

    /// Fails like [`Locked::get`].
    fn set(&mut self, input: &mut [u8]) -> Result<(), Failure> {
        let features = self.features()?;

        // SAFETY:
        // - `features` is valid by the type invariant of `Memdev`, and locked by that of `Locked`.
        // - `input` is valid for reading and writing `input.len()` bytes.
        let rc = unsafe {
            bindings::cxl_fwctl_set_part(features.as_ptr(), input.as_mut_ptr().cast(), input.len())
        };
        answer(rc)
    }

    fn abort(&mut self) {
        let Ok(features) = self.features() else {
            return;
        };

        // SAFETY: `features` is valid by the type invariant of `Memdev`, and locked by that of
        // `Locked`.
        unsafe { bindings::cxl_fwctl_abort(features.as_ptr()) };
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY:
        // - `mailbox` is valid by the type invariant of `Memdev`.
        // - The current task holds the lock, and nothing else releases it, by the type invariant of
        //   `Locked`.
        unsafe { bindings::cxl_fwctl_unlock(self.memdev.mailbox.as_ptr()) };
    }
}

/// Interprets the result of a command: a return code of the device, or a negative errno.
fn answer(rc: c_int) -> Result<(), Failure> {
    if rc < 0 {
        return Err(Failure::Undelivered(Error::from_errno(rc)));
    }

    match ReturnCode(u16::try_from(rc).map_err(Error::from)?) {
        ReturnCode::SUCCESS => Ok(()),
        code => Err(Failure::Refused(code)),
    }
}

#[kunit_tests(cxl_fwctl_memdev)]
mod tests {
    use super::*;

    #[test]
    fn exclusive_features() {
        // Patrol scrub.
        assert!(is_exclusive(&Uuid([
            0x96, 0xda, 0xd7, 0xd6, 0xfd, 0xe8, 0x48, 0x2b, 0xa7, 0x33, 0x75, 0x77, 0x4e, 0x06,
            0xdb, 0x8a,
        ])));
        assert!(!is_exclusive(&Uuid([0xff; 16])));
        assert!(!is_exclusive(&Uuid([0; 16])));
    }

    #[test]
    fn answers() {
        assert!(answer(0).is_ok());
        assert!(matches!(
            answer(0xffff),
            Err(Failure::Refused(ReturnCode(0xffff)))
        ));
        assert!(matches!(answer(1), Err(Failure::Refused(ReturnCode(1)))));
        assert!(matches!(
            answer(-110),
            Err(Failure::Undelivered(error)) if error == ETIMEDOUT
        ));
        assert!(matches!(answer(0x1_0000), Err(Failure::Undelivered(_))));
    }
}
