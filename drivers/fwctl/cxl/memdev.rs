// SPDX-License-Identifier: GPL-2.0-only

//! The Features of a memdev, and its mailbox.
//!
//! All unsafe code of the driver is here; it is about the functions that `cxl_core` has for it in
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

/// The Features of a memdev, for as long as `cxl_core` announces them to the driver.
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

// SAFETY: The functions of `cxl_core` can be called from any thread.
unsafe impl Send for Memdev<'_> {}
// SAFETY: The functions of `cxl_core` that need no lock only read what does not change any more.
// Those that need one are called by `Locked`, of which there is at most one at a time.
unsafe impl Sync for Memdev<'_> {}

impl<'bound> Memdev<'bound> {
    /// Finds the memdev behind an auxiliary device.
    ///
    /// Fails with [`ENODEV`] if `cxl_core` did not make the device to announce Features.
    pub(crate) fn new(host: &'bound auxiliary::Device<Bound>) -> Result<Self> {
        // CAST: `auxiliary::Device` is a transparent wrapper of `struct auxiliary_device`.
        let adev = ptr::from_ref(host)
            .cast_mut()
            .cast::<bindings::auxiliary_device>();

        // SAFETY:
        // - `adev` is valid, since `host` is a reference to it.
        // - It is bound, by the type of `host`.
        let features = unsafe { bindings::cxl_fwctl_to_cxlfs(adev) };
        let features = NonNull::new(features).ok_or(ENODEV)?;

        let mut count = 0;
        // SAFETY: `features` is valid, and so is `count` for writing.
        let entries = unsafe { bindings::cxl_fwctl_entries(features.as_ptr(), &mut count) };
        // CAST: `FeatureEntry` has the layout of `struct cxl_feat_entry`.
        let entries = entries.cast::<FeatureEntry>();
        // SAFETY:
        // - `cxl_core` has initialised `count` entries there, in one allocation. Any alignment will
        //   do for them.
        // - It does not change them, nor free them before the device is unbound, which is not
        //   before the end of `'bound`.
        let entries = unsafe { slice::from_raw_parts(entries, count) };

        // INVARIANT: `features` is what `cxl_core` returned for `host`, which is bound for `'bound`.
        Ok(Self {
            features,
            entries,
            _host: PhantomData,
        })
    }

    /// Returns what the device said about its Features.
    pub(crate) fn entries(&self) -> &'bound [FeatureEntry] {
        self.entries
    }

    /// Returns what the device said about one of its Features.
    pub(crate) fn entry(&self, uuid: &Uuid) -> Option<&'bound FeatureEntry> {
        self.entries.iter().find(|entry| entry.uuid == *uuid)
    }

    /// Does the device have the command Set Feature?
    pub(crate) fn has_set(&self) -> bool {
        // SAFETY: `features` is valid by the type invariant.
        let capability = unsafe { bindings::cxl_fwctl_feat_cap(self.features.as_ptr()) };

        capability >= bindings::cxl_features_capability_CXL_FEATURES_RW
    }

    /// Locks the mailbox against other transfers of Features, those of the kernel included.
    ///
    /// Sleeps until they are done; fails with [`EINTR`] if the current task is killed meanwhile.
    /// Must not be called with the lock held.
    ///
    /// A waiter cannot be told that the device is being unregistered, and need not be: the lock is
    /// held either by an RPC of this device, which then stops after the part that it is at, or by
    /// the kernel's own users, whose values take one command. So the caller only has to check
    /// whether the device is going once it has the lock.
    pub(crate) fn lock(&self) -> Result<Locked<'_>> {
        // SAFETY: `features` is valid by the type invariant.
        to_result(unsafe { bindings::cxl_fwctl_lock(self.features.as_ptr()) })?;

        // INVARIANT: The lock was taken above.
        Ok(Locked {
            memdev: self,
            _not_send: NotThreadSafe,
        })
    }
}

/// Does the kernel keep this Feature to itself, so that user space must not change it?
pub(crate) fn is_exclusive(uuid: &Uuid) -> bool {
    let uuid = bindings::uuid_t { b: uuid.0 };

    // SAFETY: `uuid` is valid for reading, the function asks for nothing else.
    unsafe { bindings::cxl_fwctl_exclusive(&uuid) }
}

/// Why a command has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The device answered, and refused. That is the result of the RPC.
    Refused(ReturnCode),
    /// There is no answer: the RPC fails.
    Undelivered(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Undelivered(error)
    }
}

/// What can be asked of the mailbox, once its [lock](Memdev::lock) is held.
///
/// [`transfer`](crate::transfer) is written in terms of it.
pub(crate) trait Mailbox {
    /// Returns how many bytes one command can carry in either direction.
    fn payload_size(&self) -> usize;

    /// Sends one Get Feature command and returns how many bytes the device put into `out`.
    fn get(&mut self, input: &GetFeatureIn, out: &mut [u8]) -> Result<usize, Failure>;

    /// Sends one Set Feature command: a [`SetFeatureIn`](crate::wire::SetFeatureIn) and its data.
    ///
    /// If a part of a transfer fails, the transfer has been aborted, or will be before the next one
    /// begins: `cxl_core` does that for all users of the mailbox.
    fn set(&mut self, input: &mut [u8]) -> Result<(), Failure>;

    /// Aborts the transfer whose parts were sent so far, now or before the next one begins.
    fn abort(&mut self);
}

/// The mailbox, while nobody else transfers Features. Commands may sleep.
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

    /// Fails with [`E2BIG`] if `out` is larger than the mailbox, and with what the transport of the
    /// mailbox fails with: [`ETIMEDOUT`], [`EBUSY`].
    fn get(&mut self, input: &GetFeatureIn, out: &mut [u8]) -> Result<usize, Failure> {
        let mut len = out.len();

        // CAST: `GetFeatureIn` has the layout of `struct cxl_mbox_get_feat_in`.
        // SAFETY:
        // - `features` is valid and locked by the type invariants.
        // - `input` is valid for reading, and the C type has no alignment either.
        // - `out` is valid for writing `len` bytes.
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
        // - `features` is valid and locked by the type invariants.
        // - `input` is valid for its length.
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
        // SAFETY: `features` is valid and locked by the type invariants.
        unsafe { bindings::cxl_fwctl_abort(self.memdev.features.as_ptr()) };
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, `features` is valid, and the current task has the lock,
        // which nobody else will release.
        unsafe { bindings::cxl_fwctl_unlock(self.memdev.features.as_ptr()) };
    }
}

/// Reads the result of a command: a return code of the device, or a negative errno.
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
