// SPDX-License-Identifier: GPL-2.0-only

//! Memory of user space that is pinned, so devices can access it for an unbounded time.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};

use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings,
    device::{
        Bound,
        Device, //
    },
    dma::{
        DataDirection,
        DmaAddress, //
    },
    error::to_result,
    mm::Mm,
    page::{
        BorrowedPage,
        PAGE_SIZE, //
    },
    prelude::*,
    scatterlist::{
        SGTable,
        SGTableIter, //
    },
    sync::aref::ARef,
    types::Opaque, //
};

/// Pages that are charged to an address space as locked memory, until this is dropped.
///
/// # Invariants
///
/// `pages` pages are charged to `mm`.
struct LockedVm {
    mm: ARef<Mm>,
    pages: usize,
}

impl LockedVm {
    /// Charges `pages` pages to the address space of the current task.
    ///
    /// Fails with [`ENOMEM`] if that exceeds `RLIMIT_MEMLOCK` and the task does not have
    /// `CAP_IPC_LOCK`, and with [`EINVAL`] if the task has no address space. May sleep.
    fn charge(pages: usize) -> Result<Self> {
        let task = current!();
        let mm: &Mm = task.mm().ok_or(EINVAL)?;

        // SAFETY: The current task has a reference to its address space.
        to_result(unsafe { bindings::account_locked_vm(mm.as_raw(), pages, true) })?;
        // INVARIANT: The call has charged the pages.
        Ok(Self {
            mm: mm.into(),
            pages,
        })
    }
}

impl Drop for LockedVm {
    fn drop(&mut self) {
        // SAFETY:
        // - `mm` is a reference to the address space, which may have no users any more.
        // - By the type invariant, the pages are charged to it. They are given back once.
        unsafe { bindings::account_locked_vm(self.mm.as_raw(), self.pages, false) };
    }
}

/// Writable pages of a program, pinned until this is dropped.
///
/// They stay in memory, at the same physical addresses, whatever the program does: if it unmaps
/// them or exits, they become free when this is dropped. If it forks, the child gets copies of
/// private pages.
///
/// Dropping it may sleep, and takes the `mmap_lock` of the program's address space.
///
/// # Invariants
///
/// - `pages` were pinned for writing by `pin_user_pages_fast()`. This value owns the pins.
/// - There are as many `pages` as `_locked` has, except in [`UserPages::pin`].
pub struct UserPages {
    pages: KVVec<*mut bindings::page>,
    // Dropped after the pages are unpinned.
    _locked: LockedVm,
}

// SAFETY: Pages can be unpinned by any thread that may sleep.
unsafe impl Send for UserPages {}
// SAFETY: All methods that take `&self` can be called by several threads at once.
unsafe impl Sync for UserPages {}

impl UserPages {
    /// Pins `count` pages of the current task from `address` on, for reading and writing by a
    /// device, for an unbounded time.
    ///
    /// The pages are charged to the task as locked memory first. The memory for their list is
    /// charged to its memory cgroup, as the pages themselves are when they are allocated.
    ///
    /// Fails with [`EINVAL`] if `address` is not aligned to pages, if `count` is 0, or if the range
    /// wraps around; with [`ENOMEM`] if the limit of locked memory is exceeded; with [`EFAULT`] if
    /// not all of the range is mapped writable, or if some of it is of a kind that must not be
    /// pinned for long, such as a file of a filesystem that writes pages back; with [`EOPNOTSUPP`]
    /// for DAX; and with [`EINTR`] if the task is killed. May sleep: user space decides how long
    /// page faults take.
    pub fn pin(address: usize, count: usize) -> Result<Self> {
        let len = count.checked_mul(PAGE_SIZE).ok_or(EINVAL)?;
        if count == 0 || address % PAGE_SIZE != 0 || address.checked_add(len).is_none() {
            return Err(EINVAL);
        }

        // INVARIANT: There are no pages yet.
        let mut this = Self {
            _locked: LockedVm::charge(count)?,
            pages: KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?,
        };
        while this.pages.len() < count {
            let start = address + this.pages.len() * PAGE_SIZE;
            let spare = this.pages.spare_capacity_mut();
            let room = spare
                .len()
                .min(count - (start - address) / PAGE_SIZE)
                .min(c_int::MAX as usize);

            // SAFETY: The spare capacity is valid for writes of at least `room` pointers.
            let pinned = unsafe {
                bindings::pin_user_pages_fast(
                    start,
                    room as c_int,
                    bindings::FOLL_WRITE | bindings::FOLL_LONGTERM,
                    spare.as_mut_ptr().cast(),
                )
            };
            to_result(pinned)?;
            if pinned == 0 {
                return Err(EFAULT);
            }
            // INVARIANT: The call has pinned these pages.
            // CAST: The number is positive.
            // SAFETY: The call has written that number of pointers, at most `room`.
            unsafe { this.pages.inc_len(pinned as usize) };
        }
        Ok(this)
    }

    /// Returns the number of pages.
    #[inline]
    pub fn count(&self) -> usize {
        self.pages.len()
    }

    /// Returns the length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.pages.len() * PAGE_SIZE
    }

    /// Returns whether there are no pages, which is never the case.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Copies the bytes from `offset` on to `to`. The program may change them at the same time.
    ///
    /// Fails with [`EINVAL`] if they are not all in the pages.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        read(self, offset, to)
    }

    /// Copies `from` to the bytes from `offset` on. The program may access them at the same time.
    ///
    /// Fails with [`EINVAL`] if they are not all in the pages.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result {
        write(self, offset, from)
    }

    /// Maps the pages for `dev`, which may read and write them.
    ///
    /// What the device writes is visible to the program without further calls, and the other way
    /// around. So this fails with [`EOPNOTSUPP`] if the device is not coherent, or cannot access
    /// some of the pages except through bounce buffers, as with `swiotlb=force`. Also fails with
    /// [`ENOMEM`]. May sleep.
    ///
    /// # Safety
    ///
    /// The returned value must be dropped, or unmapped, before the device is unbound or by one of
    /// its devres actions, or never.
    pub unsafe fn map(self, dev: &Device<Bound>) -> Result<MappedUserPages> {
        // `struct device` is what a `Device` wraps transparently.
        let raw = core::ptr::from_ref(dev)
            .cast_mut()
            .cast::<bindings::device>();
        let table = Opaque::<bindings::sg_table>::zeroed();

        // SAFETY:
        // - The table is valid for writes.
        // - By the type invariant, these are pointers to `count()` pages, which is not 0. The list
        //   is not changed.
        // - The device is valid.
        to_result(unsafe {
            bindings::sg_alloc_table_from_pages_segment(
                table.get(),
                self.pages.as_ptr().cast_mut(),
                c_uint::try_from(self.count())?,
                0,
                self.len(),
                max_segment(raw),
                bindings::GFP_KERNEL_ACCOUNT,
            )
        })?;
        // SAFETY: The device is bound, and the table was just filled.
        let mapped = to_result(unsafe {
            bindings::dma_map_sgtable(
                raw,
                table.get(),
                DataDirection::Bidirectional.into(),
                MappedUserPages::ATTRS,
            )
        });
        if let Err(error) = mapped {
            // SAFETY: The table was filled above, and is not mapped.
            unsafe { bindings::sg_free_table(table.get()) };
            // The DMA API says EIO for pages that would need a bounce buffer.
            return Err(if error == EIO { EOPNOTSUPP } else { error });
        }

        // INVARIANT: The table is filled with these pages, and mapped for this device.
        Ok(MappedUserPages {
            table,
            dev: dev.into(),
            pages: ManuallyDrop::new(self),
        })
    }
}

impl PageList for UserPages {
    fn bytes(&self) -> usize {
        self.len()
    }

    fn page(&self, index: usize) -> Option<BorrowedPage<'_>> {
        let page = NonNull::new(*self.pages.get(index)?)?;

        // SAFETY: By the type invariant, the page is pinned while `self` is borrowed.
        Some(unsafe { BorrowedPage::from_raw(page) })
    }
}

impl Drop for UserPages {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, these pages are pinned, and the pins are ours. They were
        // pinned for writing, and the device may have written to them.
        unsafe {
            bindings::unpin_user_pages_dirty_lock(self.pages.as_mut_ptr(), self.pages.len(), true)
        };
    }
}

/// Pages that programs and devices access while the kernel does.
pub(super) trait PageList {
    /// Returns the length of all pages in bytes.
    fn bytes(&self) -> usize;

    /// Returns the page at `index`, or [`None`] if there are fewer.
    fn page(&self, index: usize) -> Option<BorrowedPage<'_>>;
}

/// Copies the bytes of `pages` from `offset` on to `to`.
///
/// Fails with [`EINVAL`] if they are not all in the pages, and copies nothing.
pub(super) fn read(pages: &impl PageList, offset: usize, to: &mut [u8]) -> Result {
    let mut done = 0;

    check(pages, offset, to.len())?;
    while done < to.len() {
        let (page, at, len) = part(pages, offset, done, to.len())?;

        // SAFETY: The destination is ours, and has `len` bytes at that index. The source is
        // memory that others may change, which C code copies: that only affects what is copied.
        unsafe { page.read_raw(to[done..][..len].as_mut_ptr(), at, len) }?;
        done += len;
    }
    Ok(())
}

/// Copies `from` to the bytes of `pages` from `offset` on.
///
/// Fails with [`EINVAL`] if they are not all in the pages, and copies nothing.
pub(super) fn write(pages: &impl PageList, offset: usize, from: &[u8]) -> Result {
    let mut done = 0;

    check(pages, offset, from.len())?;
    while done < from.len() {
        let (page, at, len) = part(pages, offset, done, from.len())?;

        // SAFETY: The source has `len` bytes at that index. The destination is memory that others
        // may access. C code copies: no Rust code has a reference to that memory.
        unsafe { page.write_raw(from[done..][..len].as_ptr(), at, len) }?;
        done += len;
    }
    Ok(())
}

/// Checks that `len` bytes from `offset` on are all in `pages`.
fn check(pages: &impl PageList, offset: usize, len: usize) -> Result {
    match offset.checked_add(len) {
        Some(end) if end <= pages.bytes() => Ok(()),
        _ => Err(EINVAL),
    }
}

/// Returns the page of the next bytes of a copy, their offset in it, and how many are in it.
fn part(
    pages: &impl PageList,
    offset: usize,
    done: usize,
    len: usize,
) -> Result<(BorrowedPage<'_>, usize, usize)> {
    let offset = offset.checked_add(done).ok_or(EINVAL)?;
    let page = pages.page(offset / PAGE_SIZE).ok_or(EINVAL)?;
    let at = offset % PAGE_SIZE;

    Ok((page, at, (len - done).min(PAGE_SIZE - at)))
}

/// Returns the length of the longest segment that a device can access, in bytes.
///
/// # Safety
///
/// `dev` must be valid.
unsafe fn max_segment(dev: *mut bindings::device) -> c_uint {
    /// What the DMA API assumes of a device that does not say it.
    const DEFAULT: c_uint = 64 << 10;

    // SAFETY: The caller promises that the device is valid. Its bus sets the parameters before a
    // driver is bound, and the driver changes them in its probe.
    let parameters = unsafe { (*dev).dma_parms.as_ref() };

    parameters
        .map(|parameters| parameters.max_segment_size)
        .filter(|&size| size as usize >= PAGE_SIZE)
        .unwrap_or(DEFAULT.max(PAGE_SIZE as c_uint))
}

/// [`UserPages`] that a device can access.
///
/// # Invariants
///
/// - `table` is filled with the `pages`, and mapped for `dev`.
/// - `pages` are valid until this is unmapped or dropped.
pub struct MappedUserPages {
    table: Opaque<bindings::sg_table>,
    dev: ARef<Device>,
    pages: ManuallyDrop<UserPages>,
}

// SAFETY: Pages can be unmapped by any thread.
unsafe impl Send for MappedUserPages {}
// SAFETY: The table is not changed while it is mapped.
unsafe impl Sync for MappedUserPages {}

impl MappedUserPages {
    /// What is mapped is accessed by the device and the program at the same time.
    const ATTRS: c_ulong = bindings::DMA_ATTR_REQUIRE_COHERENT as c_ulong;

    /// Returns the pages.
    #[inline]
    pub fn pages(&self) -> &UserPages {
        &self.pages
    }

    /// Returns the address of each page, for the device.
    pub fn addresses(&self) -> PageAddresses<'_> {
        // SAFETY: By the type invariant, the table is mapped. It is not changed while `self` is
        // borrowed.
        let table = unsafe { SGTable::from_raw(self.table.get()) };

        PageAddresses {
            entries: table.iter(),
            next: 0,
            left: 0,
        }
    }

    /// Returns the address of page `index`, for the device, or [`None`] if there are fewer pages.
    pub fn address(&self, index: usize) -> Option<DmaAddress> {
        self.addresses().take(self.pages.count()).nth(index)
    }

    /// Ends the mapping. The device must not access the pages any more.
    pub fn unmap(self) -> UserPages {
        let mut this = ManuallyDrop::new(self);

        // SAFETY: `this` is not dropped, so this ends the mapping once.
        unsafe { this.end() };
        // SAFETY: `this` is not used again, so both are taken out once.
        unsafe {
            core::ptr::drop_in_place(&raw mut this.dev);
            ManuallyDrop::take(&mut this.pages)
        }
    }

    /// # Safety
    ///
    /// Must be called once, and nothing but `dev` and `pages` used afterwards.
    unsafe fn end(&mut self) {
        // `struct device` is what a `Device` wraps transparently.
        let dev = core::ptr::from_ref(&*self.dev)
            .cast_mut()
            .cast::<bindings::device>();

        // SAFETY:
        // - By the type invariant, the table is mapped for this device, with these arguments.
        // - `UserPages::map()` requires that the device is still the one that it was.
        unsafe {
            bindings::dma_unmap_sgtable(
                dev,
                self.table.get(),
                DataDirection::Bidirectional.into(),
                Self::ATTRS,
            )
        };
        // SAFETY: By the type invariant, the table is filled. It is not used again.
        unsafe { bindings::sg_free_table(self.table.get()) };
    }
}

/// The addresses of [`MappedUserPages::addresses`].
pub struct PageAddresses<'a> {
    entries: SGTableIter<'a>,
    next: DmaAddress,
    /// How many pages of the current entry are left. All pages are mapped as a whole.
    left: usize,
}

impl Iterator for PageAddresses<'_> {
    type Item = DmaAddress;

    fn next(&mut self) -> Option<DmaAddress> {
        while self.left == 0 {
            let entry = self.entries.next()?;

            self.next = entry.dma_address();
            self.left = entry.dma_len() as usize / PAGE_SIZE;
        }
        let address = self.next;
        // The last page may end where the addresses do.
        self.next = address.wrapping_add(PAGE_SIZE as DmaAddress);
        self.left -= 1;
        Some(address)
    }
}

impl Drop for MappedUserPages {
    fn drop(&mut self) {
        // SAFETY: A value is dropped once.
        unsafe { self.end() };
        // SAFETY: The pages are not used again.
        unsafe { ManuallyDrop::drop(&mut self.pages) };
    }
}

#[kunit_tests(rust_user_pages)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked_before_anything_is_charged() {
        for (address, count) in [
            (0, 0),
            (1, 1),
            (PAGE_SIZE - 1, 1),
            (PAGE_SIZE, usize::MAX),
            (PAGE_SIZE, usize::MAX / PAGE_SIZE),
            (usize::MAX - PAGE_SIZE + 1, 1),
        ] {
            assert_eq!(UserPages::pin(address, count).err(), Some(EINVAL));
        }
    }

    #[test]
    fn a_task_without_memory_has_nothing_to_pin() {
        // KUnit runs tests in a kernel thread, unless something lent it an address space.
        if current!().mm().is_none() {
            assert_eq!(UserPages::pin(PAGE_SIZE, 1).err(), Some(EINVAL));
        }
    }
}
