// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random register and mailbox traffic for the CXL memory device.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fwctl_emu::cxl::fuzz::run(bytes);
});
