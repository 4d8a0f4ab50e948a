// SPDX-License-Identifier: GPL-2.0-only

//! Ranges of character device numbers.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// The number of a character device, major and minor number in one: `dev_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNumber(bindings::dev_t);

impl DeviceNumber {
    /// Returns the number as a `dev_t` of the kernel.
    pub const fn as_raw(self) -> u32 {
        self.0
    }
}

/// A range of character device numbers under a major number that the kernel chose.
///
/// The numbers are given back when the value is dropped.
///
/// # Invariants
///
/// `first..first + count` was allocated by `alloc_chrdev_region()` and not given back yet.
///
/// # Examples
///
/// ```
/// use kernel::chrdev::Region;
///
/// let region = Region::new(16, c"rust-doctest-chrdev")?;
///
/// assert_eq!(region.count(), 16);
/// assert!(region.number(15).is_some());
/// assert!(region.number(16).is_none());
/// # Ok::<(), Error>(())
/// ```
pub struct Region {
    first: bindings::dev_t,
    count: u32,
}

impl Region {
    /// Allocates `count` consecutive device numbers, listed as `name` in `/proc/devices`, which
    /// shows the first 63 bytes of it.
    ///
    /// May sleep. Fails with [`EBUSY`] if no major number is free, with [`EINVAL`] if `count` is 0
    /// or more than one major number has, and with [`ENOMEM`].
    pub fn new(count: u32, name: &CStr) -> Result<Self> {
        // The C side would keep an entry that nothing gives back.
        if count == 0 {
            return Err(EINVAL);
        }

        let mut first = 0;

        // SAFETY:
        // - `first` is valid for a write of a `dev_t`.
        // - `name` is NUL-terminated, and valid during the call, which copies it.
        to_result(unsafe {
            bindings::alloc_chrdev_region(&raw mut first, 0, count, name.as_char_ptr())
        })?;

        // INVARIANT: `alloc_chrdev_region()` succeeded just now.
        Ok(Self { first, count })
    }

    /// Returns how many numbers the range has.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the device number at `index`, or [`None`] if it lies outside of the range.
    pub fn number(&self, index: u32) -> Option<DeviceNumber> {
        // A range never crosses a major number, so the sum cannot overflow.
        (index < self.count).then(|| DeviceNumber(self.first + index))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, exactly this range is allocated.
        unsafe { bindings::unregister_chrdev_region(self.first, self.count) };
    }
}
