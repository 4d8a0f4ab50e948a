// SPDX-License-Identifier: MIT OR Apache-2.0

//! The examples, each on a recording of a device of its type.

#![allow(dead_code)]

#[path = "../examples/bnxt.rs"]
mod bnxt;
#[path = "../examples/cxl.rs"]
mod cxl;
#[path = "../examples/mlx5.rs"]
mod mlx5;
#[path = "../examples/pds.rs"]
mod pds;

use fwctl::replay::Replay;
use fwctl::Device;

fn device(recording: &str) -> Device {
    Device::with_transport("fwctl0", Replay::parse(recording).unwrap())
}

// CXL 3.2, tables 8-108, 8-109 and 8-99, in the envelope of include/uapi/fwctl/cxl.h.
#[test]
fn values_of_cxl_features() {
    let device = device(
        "info cxl
rpc configuration 00050000 00000000 08000000 00000000 08000000 0000 0000 -> 08000000 00000000 0000 0200 00000000
rpc configuration 00050000 00000000 08000000 00000000 68000000 0000 0000 -> 68000000 00000000 0200 0200 00000000
    96dad7d6fde8482ba73375774e06db8a 0000 0400 0000 00000000 01 01 0202 000000000000000000000000000000000000
    ffffffffffffffffffffffffffffffff 0100 0200 0200 01000000 01 02 0202 000000000000000000000000000000000000
rpc configuration 01050000 00000000 15000000 00000000 96dad7d6fde8482ba73375774e06db8a 0000 0400 00
    -> 04000000 00000000 030c0100
rpc configuration 01050000 00000000 15000000 00000000 ffffffffffffffffffffffffffffffff 0000 0200 00
    -> 02000000 00000000 aabb",
    );
    assert_eq!(
        cxl::values(device).unwrap(),
        "patrol-scrub: [03, 0c, 01, 00]\nffffffff-ffff-ffff-ffff-ffffffffffff: [aa, bb]\n"
    );
}

// mlx5_ifc_mtmp_reg_bits: temperature in bits 48 to 63.
#[test]
fn temperature_of_a_connectx() {
    let device = device(
        "info mlx5 05000000 04000000
rpc debug-read-only 08050000 00000001 0000900a 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
    -> 00000000 00000000 00000000 00000000 00000000 0000014c 00000000 00000000 00000000 00000000 00000000 00000000",
    );
    assert_eq!(
        mlx5::temperature(device).unwrap().as_deref(),
        Some("41.5 C")
    );
}

// struct hwrm_ver_get_output: hwrm_fw_maj_8b at byte 12.
#[test]
fn version_of_a_netxtreme() {
    let ask = "rpc debug-read-only 000000000000ffff 0000000000000000 0000000000000000 ->";
    let recording =
        format!("info bnxt 0f000000\n{ask} 0000 0000 0000 b000 01 0a 03 00 e4 02 61 00");
    assert_eq!(
        bnxt::version(&device(&recording)).unwrap().unwrap(),
        "228.2.97"
    );
    let refused = format!("info bnxt 0f000000\n{ask} 0400 0000 0000 0800");
    let status = bnxt::version(&device(&refused)).unwrap().unwrap_err();
    assert_eq!(status.code, 4);
    assert!(bnxt::version(&device("info cxl")).is_err());
}

#[test]
fn operations_of_a_pensando() {
    let device = device(
        "info pds 07000000
rpc configuration 01000000 00000000 00000000 00000000 -> 01000000 00000000 20000000 00000000
rpc configuration 02000000 20000000 00000000 00000000 -> 01000000 00000000 02010300 08 02 0000",
    );
    let operations = pds::operations(device).unwrap();
    assert_eq!((operations[0].0, operations[0].1[0].id), (0x20, 0x3_0102));
}
