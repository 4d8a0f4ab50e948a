// SPDX-License-Identifier: GPL-2.0-only

//! SeededBugs in Rust, one per load: the parameter `bug` says which.
//!
//! Safe code cannot make the first four, so they go through raw pointers. They are reads: the machine is none the worse
//! for them.

use core::hint::black_box;

use kernel::prelude::*;

module! {
    type: SeededBugs,
    name: "seeded_rust",
    authors: ["fwctl in Rust developers"],
    description: "SeededBugs in Rust that the kernel is to notice",
    license: "GPL",
    params: {
        bug: i64 {
            default: 0,
            description: "1 past the heap, 2 after free, 3 past vmalloc, 4 past a static, 5 overflow",
        },
    },
}

/// Of no multiple of the eight bytes that KASAN counts in.
static GLOBAL: [u8; 43] = [1; 43];

struct SeededBugs;

/// Reads the byte at `offset` of what starts at `start`.
///
/// # Safety
///
/// None can be given: it is the bug.
#[inline(never)]
unsafe fn read(start: *const u8, offset: usize) -> u8 {
    // SAFETY: There is no argument for it.
    unsafe { start.add(black_box(offset)).read_volatile() }
}

impl kernel::Module for SeededBugs {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let byte = match module_parameters::bug.value() {
            1 => {
                let heap = KVec::from_elem(1u8, 43, GFP_KERNEL)?;
                // SAFETY: It is a bug.
                unsafe { read(heap.as_ptr(), 43) }
            }
            2 => {
                let heap = KVec::from_elem(1u8, 43, GFP_KERNEL)?;
                let gone = heap.as_ptr();
                drop(heap);
                // SAFETY: It is a bug.
                unsafe { read(gone, 1) }
            }
            3 => {
                let pages = VVec::from_elem(1u8, 4000, GFP_KERNEL)?;
                // SAFETY: It is a bug.
                unsafe { read(pages.as_ptr(), 4000) }
            }
            4 => {
                // SAFETY: It is a bug.
                unsafe { read(GLOBAL.as_ptr(), 43) }
            }
            5 => black_box(255u8) + black_box(1),
            _ => return Err(EINVAL),
        };
        pr_info!("nobody objected to reading {byte}\n");
        Ok(SeededBugs)
    }
}
