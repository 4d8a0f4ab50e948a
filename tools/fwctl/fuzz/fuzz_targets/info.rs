// SPDX-License-Identifier: MIT OR Apache-2.0

#![no_main]

#[allow(dead_code)]
#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::info(bytes));
