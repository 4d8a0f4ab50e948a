// SPDX-License-Identifier: GPL-2.0-only

//! Wrapper of `cxl_core`: the Features of a memdev, and its mailbox.
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
    types::NotThreadSafe, //
};

use crate::wire::{
    FeatureEntry,
    GetFeatureIn,
    ReturnCode,
    Uuid, //
};

const _: () = {
    assert!(size_of::<bindings::cxl_feat_entry>() == size_of::<FeatureEntry>());
    assert!(align_of::<FeatureEntry>() == 1);
    assert!(size_of::<bindings::cxl_mbox_get_feat_in>() == size_of::<GetFeatureIn>());
    assert!(size_of::<bindings::uuid_t>() == size_of::<Uuid>());
};

/// The Features of a memdev, while its auxiliary device is bound to this driver.
///
/// # Invariants
///
/// `features` is from `cxl_fwctl_to_cxlfs()`, for an auxiliary device that stays bound to this
/// driver for `'bound`.
pub(crate) struct Memdev<'bound> {
    features: NonNull<bindings::cxl_features_state>,
    entries: &'bound [FeatureEntry],
    _host: PhantomData<&'bound auxiliary::Device<Bound>>,
}

// SAFETY: The functions of `cxl_core` may be called from any thread, and `entries` is plain data
// that nothing writes.
unsafe impl Send for Memdev<'_> {}
// SAFETY:
// - The functions of `cxl_core` that require no lock only read data that does not change.
// - Those that require the lock are called only through `Locked`, which exists only while the
//   current task holds it.
unsafe impl Sync for Memdev<'_> {}

impl<'bound> Memdev<'bound> {
    /// Returns the memdev of an auxiliary device.
    ///
    /// Fails with [`ENODEV`] if `cxl_core` did not create the device for this driver.
    pub(crate) fn new(host: &'bound auxiliary::Device<Bound>) -> Result<Self> {
        // CAST: `auxiliary::Device` is a transparent wrapper of `struct auxiliary_device`.
        let adev = ptr::from_ref(host)
            .cast_mut()
            .cast::<bindings::auxiliary_device>();

        // SAFETY:
        // - `adev` is valid, since `host` is a reference to it.
        // - It is bound, as the type of `host` proves.
        let features = unsafe { bindings::cxl_fwctl_to_cxlfs(adev) };
        let features = NonNull::new(features).ok_or(ENODEV)?;

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
        let entries = unsafe { slice::from_raw_parts(entries, count) };

        // INVARIANT: `features` is from `cxl_fwctl_to_cxlfs()` for `host`, which is bound for
        // `'bound`.
        Ok(Self {
            features,
            entries,
            _host: PhantomData,
        })
    }

    /// Returns the entries of all Features of the device.
    pub(crate) fn entries(&self) -> &'bound [FeatureEntry] {
        self.entries
    }

    /// Returns the entry of a Feature, if the device has it.
    pub(crate) fn entry(&self, uuid: &Uuid) -> Option<&'bound FeatureEntry> {
        self.entries.iter().find(|entry| entry.uuid == *uuid)
    }

    /// Returns whether the device supports Set Feature.
    pub(crate) fn has_set(&self) -> bool {
        // SAFETY: `features` is valid by the type invariant.
        let capability = unsafe { bindings::cxl_fwctl_feat_cap(self.features.as_ptr()) };

        capability >= bindings::cxl_features_capability_CXL_FEATURES_RW
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
        // SAFETY: `features` is valid by the type invariant, and the caller does not hold the lock.
        to_result(unsafe { bindings::cxl_fwctl_lock(self.features.as_ptr()) })?;

        // INVARIANT: The lock was taken above.
        Ok(Locked {
            memdev: self,
            _not_send: NotThreadSafe,
        })
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

impl Mailbox for Locked<'_> {
    fn payload_size(&self) -> usize {
        // SAFETY: `features` is valid by the type invariant of `Memdev`.
        unsafe { bindings::cxl_fwctl_payload_size(self.memdev.features.as_ptr()) }
    }

    /// Fails with [`E2BIG`] if `out` is larger than the mailbox, and with the errors of its
    /// transport, such as [`ETIMEDOUT`] and [`EBUSY`].
    fn get(&mut self, input: &GetFeatureIn, out: &mut [u8]) -> Result<usize, Failure> {
        let mut len = out.len();

        // CAST: `GetFeatureIn` has the layout of `struct cxl_mbox_get_feat_in`.
        // SAFETY:
        // - `features` is valid by the type invariant of `Memdev`, and locked by that of `Locked`.
        // - `input` is valid for reading, and the alignment of the C type is 1, too.
        // - `out` is valid for writing `len` bytes, and `len` for reading and writing.
        let rc = unsafe {
            bindings::cxl_fwctl_get_part(
                self.memdev.features.as_ptr(),
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
        // SAFETY:
        // - `features` is valid by the type invariant of `Memdev`, and locked by that of `Locked`.
        // - `input` is valid for reading and writing `input.len()` bytes.
        let rc = unsafe {
            bindings::cxl_fwctl_set_part(
                self.memdev.features.as_ptr(),
                input.as_mut_ptr().cast(),
                input.len(),
            )
        };
        answer(rc)
    }

    fn abort(&mut self) {
        // SAFETY: `features` is valid by the type invariant of `Memdev`, and locked by that of
        // `Locked`.
        unsafe { bindings::cxl_fwctl_abort(self.memdev.features.as_ptr()) };
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY:
        // - `features` is valid by the type invariant of `Memdev`.
        // - The current task holds the lock, and nothing else releases it, by the type invariant of
        //   `Locked`.
        unsafe { bindings::cxl_fwctl_unlock(self.memdev.features.as_ptr()) };
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
