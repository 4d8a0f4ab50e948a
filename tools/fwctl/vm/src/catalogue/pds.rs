// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Pensando driver, on the card of fwctl-emu.

use super::{machine, Cli, Module, Reads, Selftest, Test, BASE};

/// A selftest on the emulated card; `driver` is "rust" for ours or "c" for mainline's.
macro_rules! on_pds {
    ($name:literal, $about:literal, $machine:ident, $driver:literal, $program:literal $(, $argument:literal)*) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["pds-selftest.sh", $driver, $program $(, $argument)*],
            reads: Reads::Tap,
            needs: &[Selftest($program), Module("pds_core"), Module("pds_fwctl")],
            limit: 400,
            ..BASE
        }
    };
}

/// The pds driver on the emulated Pensando card.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    Test {
        name: "pds/probe",
        about: "the emulated Pensando card has a fwctl device, again after unbind and bind",
        machine: &machine::PDS,
        script: &["pds-probe.sh"],
        needs: &[Cli, Module("pds_core"), Module("pds_fwctl")],
        ..BASE
    },
    Test {
        name: "pds/cli",
        about: "fwctl pds lists and calls operations of the emulated card, each in its least scope",
        machine: &machine::PDS,
        script: &["pds-cli.sh"],
        needs: &[Cli, Module("pds_core"), Module("pds_fwctl")],
        ..BASE
    },
    Test {
        name: "pds/cli-c",
        about: "fwctl pds with mainline's C driver, which has no lists",
        machine: &machine::PDS_MAINLINE,
        script: &["pds-cli-c.sh"],
        needs: &[Cli, Module("pds_core"), Module("pds_fwctl")],
        ..BASE
    },
    on_pds!("pds/selftest", "the pds selftest on the emulated card", PDS, "rust", "pds"),
    // Without the callers beside each other, whose completions that pds_core mixes up.
    on_pds!("pds/selftest-unpatched", "the same on pds_core without our patches", PDS_UNPATCHED, "rust", "pds", "-T", "many_callers", "-T", "unbind_under_load"),
    on_pds!("pds/selftest-c", "the pds selftest with mainline's C driver, on our core", PDS_MAINLINE, "c", "pds"),
    Test {
        limit: 900,
        ..on_pds!("pds/faults", "firmware that lies, does not answer, or restarts", PDS, "rust", "pds_faults")
    },
    Test {
        limit: 900,
        // It uses memory behind its lists, which KASAN reports.
        tolerates: &["pdsfc_init_endpoints+", "pdsfc_get_operations+"],
        ..on_pds!("pds/faults-c", "the same with mainline's C driver, on our core", PDS_MAINLINE, "c", "pds_faults")
    },
    on_pds!("pds/bounce", "the pds selftest with bounce buffers for DMA", PDS_BOUNCE, "rust", "pds"),
    Test {
        name: "pds/bounce-c",
        about: "mainline's C driver loses responses in bounce buffers",
        machine: &machine::PDS_BOUNCE_MAINLINE,
        script: &["pds-bounce-c.sh"],
        needs: &[Selftest("pds"), Module("pds_core"), Module("pds_fwctl")],
        ..BASE
    },
];
