// SPDX-License-Identifier: GPL-2.0-only

//! Seeded bugs in Rust, one per load, selected by the parameter `bug`.
//!
//! Safe code cannot have the first four, so they use raw pointers. They only read, so they corrupt
//! nothing.

use core::hint::black_box;

use kernel::prelude::*;

module! {
    type: SeededBugs,
    name: "seeded_rust",
    authors: ["fwctl in Rust developers"],
    description: "Seeded bugs in Rust for the kernel's checkers",
    license: "GPL",
    params: {
        bug: i64 {
            default: 0,
            description: "1 past the heap, 2 after free, 3 past vmalloc, 4 past a static, 5 overflow",
        },
    },
}

/// Not a multiple of KASAN's granule of eight bytes.
static GLOBAL: [u8; 43] = [1; 43];

struct SeededBugs;

/// Reads the byte at `offset` of what starts at `start`.
///
/// # Safety
///
/// None can be met: the read out of bounds is the seeded bug.
#[inline(never)]
unsafe fn read(start: *const u8, offset: usize) -> u8 {
    // SAFETY: Not satisfied on purpose: the read out of bounds is the seeded bug.
    unsafe { start.add(black_box(offset)).read_volatile() }
}

impl kernel::Module for SeededBugs {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let byte = match module_parameters::bug.value() {
            1 => {
                let heap = KVec::from_elem(1u8, 43, GFP_KERNEL)?;
                // SAFETY: Not satisfied on purpose: this is the seeded bug.
                unsafe { read(heap.as_ptr(), 43) }
            }
            2 => {
                let heap = KVec::from_elem(1u8, 43, GFP_KERNEL)?;
                let freed = heap.as_ptr();
                drop(heap);
                // SAFETY: Not satisfied on purpose: this is the seeded bug.
                unsafe { read(freed, 1) }
            }
            3 => {
                let pages = VVec::from_elem(1u8, 4000, GFP_KERNEL)?;
                // SAFETY: Not satisfied on purpose: this is the seeded bug.
                unsafe { read(pages.as_ptr(), 4000) }
            }
            4 => {
                // SAFETY: Not satisfied on purpose: this is the seeded bug.
                unsafe { read(GLOBAL.as_ptr(), 43) }
            }
            5 => black_box(255u8) + black_box(1),
            _ => return Err(EINVAL),
        };
        pr_info!("nobody objected to reading {byte}\n");
        Ok(SeededBugs)
    }
}
