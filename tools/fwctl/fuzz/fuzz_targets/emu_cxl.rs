// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fuzzes the CXL memory device with register and mailbox traffic.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fwctl_emu::cxl::fuzz::run(bytes);
});
