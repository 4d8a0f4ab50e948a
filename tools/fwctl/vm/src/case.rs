// SPDX-License-Identifier: MIT OR Apache-2.0

//! One test of the catalogue.

use crate::host::artifacts::Need;
use crate::machine::{self, Machine};

/// Where the result of a test comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The exit status: 0 passed, 4 skipped (the last line says why), anything else failed.
    Exit,
    /// TAP on standard output, one result per line.
    Tap,
    /// KTAP in the kernel log, one result per line.
    Kunit,
}

/// A test in a VM.
pub struct Test {
    /// `group/test`.
    pub name: &'static str,
    /// One line for `fwctl-vm list`.
    pub about: &'static str,
    /// The machine that it runs on.
    pub machine: &'static Machine,
    /// The name of a script in `guest/`, and its arguments.
    pub script: &'static [&'static str],
    /// Where its result comes from.
    pub reads: Reads,
    /// Built files without which it fails.
    pub needs: &'static [Need],
    /// Time limit in seconds of the machine's own time; generous, as the CPU may be emulated.
    pub limit: u64,
    /// Requires a fresh boot: an untainted kernel, or devices in their initial state.
    pub wants_fresh: bool,
    /// Kernel messages that contain one of these are expected and do not fail the test.
    pub tolerates: &'static [&'static str],
}

/// Defaults for the entries of the catalogue.
pub const BASE: Test = Test {
    name: "",
    about: "",
    machine: &machine::PLAIN,
    script: &[],
    reads: Reads::Exit,
    needs: &[],
    limit: 120,
    wants_fresh: false,
    tolerates: &[],
};
