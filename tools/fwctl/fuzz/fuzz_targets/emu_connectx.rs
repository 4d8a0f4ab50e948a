// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fuzzes the ConnectX with register and queue traffic.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fwctl_emu::mlx5::fuzz::run(bytes);
});
