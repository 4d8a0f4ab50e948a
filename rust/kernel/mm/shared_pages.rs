// SPDX-License-Identifier: GPL-2.0-only

//! Pages of the kernel that programs map, and that a device can access meanwhile.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};

use kernel::{
    alloc::flags::{
        GFP_KERNEL_ACCOUNT,
        __GFP_NOWARN,
        __GFP_ZERO, //
    },
    bindings,
    device::{
        Bound,
        Device, //
    },
    dma::{
        DataDirection,
        DmaAddress, //
    },
    mm::virt::{
        flags,
        VmaNew, //
    },
    page::{
        BorrowedPage,
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::aref::ARef, //
};

use super::user_pages::{
    self,
    PageList, //
};

/// Where a device finds the pages.
struct Dma {
    dev: ARef<Device>,
    /// The address of each page.
    addresses: KVVec<DmaAddress>,
}

/// Pages that the kernel has allocated for programs to map.
///
/// Their bytes are zero at first. They are charged to the memory cgroup of the task that allocated
/// them. A mapping has references to its pages: they become free when this was dropped and the last
/// mapping of them has ended, whichever is later. A device can access them until this is dropped.
///
/// # Invariants
///
/// - This value owns a reference to each page. Their order is 0.
/// - With `dma`, the pages are from `dma_alloc_pages(dma.dev, PAGE_SIZE, Bidirectional)`, which
///   returned the address of the same index.
pub struct SharedPages {
    pages: KVVec<NonNull<bindings::page>>,
    dma: Option<Dma>,
}

// SAFETY: Pages can be freed by any thread.
unsafe impl Send for SharedPages {}
// SAFETY: All methods that take `&self` can be called by several threads at once.
unsafe impl Sync for SharedPages {}

impl SharedPages {
    /// Allocates `count` pages that no device accesses.
    ///
    /// Fails with [`EINVAL`] if `count` is 0, and with [`ENOMEM`]. May sleep.
    pub fn new(count: usize) -> Result<Self> {
        // INVARIANT: There are no pages yet.
        let mut this = Self::with_capacity(count)?;

        for _ in 0..count {
            let page = Page::alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN)?;
            let page = ManuallyDrop::new(page);

            // A `Page` is never null.
            let page = NonNull::new(page.as_ptr()).ok_or(ENOMEM)?;
            // INVARIANT: The reference of the `Page`, whose order is 0, is that of `this` now.
            this.pages.push_within_capacity(page).map_err(|_| ENOMEM)?;
        }
        Ok(this)
    }

    /// Allocates `count` pages that `dev` can access, too.
    ///
    /// What the device writes is visible to programs without further calls, and the other way
    /// around. No bounce buffers are used, not even with `swiotlb=force`. Fails with [`EOPNOTSUPP`]
    /// if the device is not coherent, or if the memory of this machine is encrypted; with
    /// [`EINVAL`] if `count` is 0; and with [`ENOMEM`]. May sleep.
    ///
    /// # Safety
    ///
    /// The returned value must be dropped before the device is unbound or by one of its devres
    /// actions, or never.
    pub unsafe fn new_for(dev: &Device<Bound>, count: usize) -> Result<Self> {
        // `struct device` is what a `Device` wraps transparently.
        let raw = core::ptr::from_ref(dev)
            .cast_mut()
            .cast::<bindings::device>();

        // SAFETY: The device is valid.
        if unsafe { !is_coherent(raw) } || is_memory_encrypted() {
            return Err(EOPNOTSUPP);
        }
        let addresses = KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        // INVARIANT: There are no pages yet.
        let mut this = Self::with_capacity(count)?;
        let dma = this.dma.insert(Dma {
            dev: dev.into(),
            addresses,
        });

        for _ in 0..count {
            let mut address = 0;
            // SAFETY: The device is bound. `address` is valid for a write.
            let page = unsafe {
                bindings::dma_alloc_pages(
                    raw,
                    PAGE_SIZE,
                    &raw mut address,
                    DataDirection::Bidirectional.into(),
                    bindings::GFP_KERNEL_ACCOUNT | bindings::__GFP_NOWARN,
                )
            };
            let page = NonNull::new(page).ok_or(ENOMEM)?;

            // INVARIANT: The page was allocated just now, for this address. Both lists have the
            // capacity.
            dma.addresses
                .push_within_capacity(address)
                .map_err(|_| ENOMEM)?;
            this.pages.push_within_capacity(page).map_err(|_| ENOMEM)?;
        }
        Ok(this)
    }

    /// Returns a value without pages, and with the capacity for `count`.
    fn with_capacity(count: usize) -> Result<Self> {
        if count == 0 {
            return Err(EINVAL);
        }
        // INVARIANT: There are no pages.
        Ok(Self {
            pages: KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?,
            dma: None,
        })
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

    /// Returns the address of each page, for the device; none if there is no device.
    pub fn addresses(&self) -> &[DmaAddress] {
        match &self.dma {
            Some(dma) => &dma.addresses,
            None => &[],
        }
    }

    /// Copies the bytes from `offset` on to `to`. Programs may change them at the same time.
    ///
    /// Fails with [`EINVAL`] if they are not all in the pages.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        user_pages::read(self, offset, to)
    }

    /// Copies `from` to the bytes from `offset` on. Programs may access them at the same time.
    ///
    /// Fails with [`EINVAL`] if they are not all in the pages.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result {
        user_pages::write(self, offset, from)
    }

    /// Maps the pages from `first` on into all of `vma`.
    ///
    /// The mapping cannot grow, is not executable, and a child of fork(2) does not get it. It may
    /// outlive this value, see [`SharedPages`].
    ///
    /// Fails with [`EINVAL`] if there are fewer pages, or if the mapping is private or executable;
    /// and with [`ENOMEM`]. May sleep.
    pub fn map(&self, vma: &VmaNew, first: usize) -> Result {
        let count = (vma.end() - vma.start()) / PAGE_SIZE;

        if first
            .checked_add(count)
            .is_none_or(|end| end > self.count())
        {
            return Err(EINVAL);
        }
        // A private mapping would get copies of the pages, to which the device does not write. A
        // shared one of a file that is open for reading only does not have `VM_SHARED`.
        if vma.flags() & flags::MAYSHARE == 0 {
            return Err(EINVAL);
        }
        vma.try_clear_mayexec()?;
        vma.set_dontexpand();
        vma.set_dontcopy();

        let vma = vma.set_mixedmap();
        for index in 0..count {
            let page = self.page(first + index).ok_or(EINVAL)?;

            vma.vm_insert_page(vma.start() + index * PAGE_SIZE, &page)?;
        }
        Ok(())
    }
}

impl PageList for SharedPages {
    fn bytes(&self) -> usize {
        self.len()
    }

    fn page(&self, index: usize) -> Option<BorrowedPage<'_>> {
        let page = *self.pages.get(index)?;

        // SAFETY: By the type invariant, `self` has a reference to the page while it is borrowed.
        Some(unsafe { BorrowedPage::from_raw(page) })
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        let Some(dma) = &self.dma else {
            for page in &self.pages {
                // SAFETY: By the type invariant, the reference is ours, and the order is 0.
                unsafe { bindings::__free_pages(page.as_ptr(), 0) };
            }
            return;
        };

        // `struct device` is what a `Device` wraps transparently.
        let dev = core::ptr::from_ref(&*dma.dev)
            .cast_mut()
            .cast::<bindings::device>();
        for (page, address) in self.pages.iter().zip(dma.addresses.iter()) {
            // SAFETY:
            // - By the type invariant, the page was allocated for this device and address, with
            //   these arguments. It is freed once, here.
            // - `new_for()` requires that the device is still the one that it was.
            unsafe {
                bindings::dma_free_pages(
                    dev,
                    PAGE_SIZE,
                    page.as_ptr(),
                    *address,
                    DataDirection::Bidirectional.into(),
                )
            };
        }
    }
}

/// Returns whether the device and the processors see each other's writes: `dev_is_dma_coherent()`.
///
/// # Safety
///
/// `dev` must be valid.
unsafe fn is_coherent(dev: *mut bindings::device) -> bool {
    if cfg!(not(any(
        CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE,
        CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU,
        CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU_ALL
    ))) {
        return true;
    }

    const FLAG: usize = bindings::struct_device_flags_DEV_FLAG_DMA_COHERENT as usize;
    const BITS: usize = c_ulong::BITS as usize;

    // SAFETY: The caller promises that the device is valid. Other flags may change at the same
    // time. A volatile read of a word is not torn.
    let word = unsafe { (&raw const (*dev).flags[FLAG / BITS]).read_volatile() };
    word & (1 << (FLAG % BITS)) != 0
}

/// Returns whether the memory of this machine is encrypted: `cc_platform_has(CC_ATTR_MEM_ENCRYPT)`.
/// Devices need pages that are not encrypted then, and mappings of programs assume that they are.
#[cfg(CONFIG_ARCH_HAS_CC_PLATFORM)]
fn is_memory_encrypted() -> bool {
    /// The first one of `enum cc_attr`, which the bindings of some architectures do not have.
    const CC_ATTR_MEM_ENCRYPT: c_uint = 0;

    extern "C" {
        fn cc_platform_has(attribute: c_uint) -> bool;
    }

    // SAFETY: The function only looks up a property of the machine.
    unsafe { cc_platform_has(CC_ATTR_MEM_ENCRYPT) }
}

/// Returns `false`: this architecture has no encrypted memory.
#[cfg(not(CONFIG_ARCH_HAS_CC_PLATFORM))]
fn is_memory_encrypted() -> bool {
    false
}

#[kunit_tests(rust_shared_pages)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_zero_at_first() -> Result {
        let pages = SharedPages::new(2)?;
        let mut bytes = [1; 16];

        assert_eq!((pages.count(), pages.len()), (2, 2 * PAGE_SIZE));
        pages.read(PAGE_SIZE - 8, &mut bytes)?;
        assert_eq!(bytes, [0; 16]);
        assert_eq!(pages.addresses(), &[]);
        Ok(())
    }

    #[test]
    fn copies_cross_pages_and_end_with_them() -> Result {
        let pages = SharedPages::new(2)?;
        let mut bytes = [0; 4];

        pages.write(PAGE_SIZE - 2, &[1, 2, 3, 4])?;
        pages.read(PAGE_SIZE - 2, &mut bytes)?;
        assert_eq!(bytes, [1, 2, 3, 4]);
        pages.write(pages.len() - 4, &bytes)?;
        assert_eq!(pages.write(pages.len() - 3, &bytes), Err(EINVAL));
        assert_eq!(pages.read(pages.len(), &mut bytes), Err(EINVAL));
        assert_eq!(pages.read(usize::MAX, &mut bytes), Err(EINVAL));
        pages.read(pages.len(), &mut [])?;
        Ok(())
    }

    #[test]
    fn there_is_at_least_one_page() {
        assert_eq!(SharedPages::new(0).err(), Some(EINVAL));
    }
}
