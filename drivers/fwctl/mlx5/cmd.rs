// SPDX-License-Identifier: GPL-2.0-only

//! Layouts of firmware commands, which are big-endian.
//!
//! C header: [`include/linux/mlx5/mlx5_ifc.h`](srctree/include/linux/mlx5/mlx5_ifc.h), which
//! numbers bits from the most significant bit of the first dword. `shim.c` has static assertions
//! that compare its layouts with those below.

use kernel::prelude::*;
use zerocopy::big_endian::{
    U16,
    U32, //
};
use zerocopy_derive::{
    Immutable,
    KnownLayout, //
};

/// The uid of commands of the kernel, which run in no user context.
pub(crate) const UID_OF_KERNEL: u16 = 0;

/// Header of every command: `mbox_in`, which is private to `cmd.c` of `mlx5_core`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct InHeader {
    /// Opcode of the command.
    pub(crate) opcode: U16,
    /// User context that the command runs in, or [`UID_OF_KERNEL`].
    pub(crate) uid: U16,
    reserved_at_20: [u8; 2],
    /// Modifier, whose meaning depends on the opcode.
    pub(crate) op_mod: U16,
    reserved_at_40: [u8; 8],
}

impl InHeader {
    fn new(opcode: u16) -> Self {
        Self {
            opcode: U16::new(opcode),
            uid: U16::new(UID_OF_KERNEL),
            reserved_at_20: [0; 2],
            op_mod: U16::ZERO,
            reserved_at_40: [0; 8],
        }
    }

    /// Returns the header of a command, or fails with [`EMSGSIZE`] if the command is too short.
    pub(crate) fn of(command: &mut [u8]) -> Result<&mut Self> {
        let (header, _) = Self::mut_from_prefix(command).map_err(|_| EMSGSIZE)?;

        Ok(header)
    }

    /// Returns the opcode of a command, or [`None`] if the command is too short.
    pub(crate) fn opcode_of(command: &[u8]) -> Option<u16> {
        let (header, _) = Self::ref_from_prefix(command).ok()?;

        Some(header.opcode.get())
    }
}

/// `access_register_in` without the data.
#[repr(C)]
#[derive(FromBytes, Immutable, KnownLayout)]
pub(crate) struct AccessRegisterIn {
    /// As in [`InHeader`].
    pub(crate) opcode: U16,
    reserved_at_10: [u8; 4],
    /// 1 reads the register, 0 writes it.
    pub(crate) op_mod: U16,
    reserved_at_40: [u8; 2],
    /// ID of the register.
    pub(crate) register_id: U16,
    /// Argument, whose meaning depends on the register.
    argument: U32,
}

impl AccessRegisterIn {
    /// Splits a command into its header and the data of the register.
    ///
    /// Fails with [`EMSGSIZE`] if the command is too short.
    pub(crate) fn of(command: &[u8]) -> Result<(&Self, &[u8])> {
        Self::ref_from_prefix(command).map_err(|_| EMSGSIZE)
    }
}

/// Header of every output: `mbox_out`, which is private to `cmd.c` of `mlx5_core`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct OutHeader {
    /// 0 if the command was executed, otherwise the reason.
    pub(crate) status: u8,
    reserved_at_8: [u8; 3],
    /// Detailed reason, specific to the firmware.
    pub(crate) syndrome: U32,
    reserved_at_40: [u8; 8],
}

impl OutHeader {
    /// Returns the header of an output, or fails with [`EMSGSIZE`] if the output is too short.
    pub(crate) fn of(output: &[u8]) -> Result<&Self> {
        let (header, _) = Self::ref_from_prefix(output).map_err(|_| EMSGSIZE)?;

        Ok(header)
    }
}

/// The input of a command that the driver itself sends.
///
/// It begins with an [`InHeader`], and the output with an [`OutHeader`].
pub(crate) trait Command: FromBytes + IntoBytes {
    /// Opcode of the command.
    const OPCODE: u16;

    /// The output.
    type Out: FromBytes + IntoBytes;
}

/// Opcode of [`CreateUctxIn`].
const MLX5_CMD_OP_CREATE_UCTX: u16 = 0xa04;

/// Opcode of [`DestroyUctxIn`].
const MLX5_CMD_OP_DESTROY_UCTX: u16 = 0xa06;

/// Input of `CREATE_UCTX`: `create_uctx_in` with its `uctx`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
pub(crate) struct CreateUctxIn {
    header: InHeader,
    /// Additional privileges of the user context, by bits of `uctx_cap`.
    cap: U32,
    reserved_at_a0: [u8; 44],
}

impl CreateUctxIn {
    pub(crate) fn new(cap: u32) -> Self {
        Self {
            header: InHeader::new(Self::OPCODE),
            cap: U32::new(cap),
            reserved_at_a0: [0; 44],
        }
    }
}

/// Output of `CREATE_UCTX`: `create_uctx_out`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
pub(crate) struct CreateUctxOut {
    status: u8,
    reserved_at_8: [u8; 3],
    syndrome: U32,
    reserved_at_40: [u8; 2],
    /// uid of the new user context.
    pub(crate) uid: U16,
    reserved_at_60: [u8; 4],
}

impl Command for CreateUctxIn {
    const OPCODE: u16 = MLX5_CMD_OP_CREATE_UCTX;

    type Out = CreateUctxOut;
}

/// Input of `DESTROY_UCTX`: `destroy_uctx_in`.
///
/// The command itself runs with [`UID_OF_KERNEL`]; `uid` is the user context to destroy.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
pub(crate) struct DestroyUctxIn {
    opcode: U16,
    reserved_at_10: [u8; 4],
    op_mod: U16,
    reserved_at_40: [u8; 2],
    uid: U16,
    reserved_at_60: [u8; 4],
}

impl DestroyUctxIn {
    pub(crate) fn new(uid: u16) -> Self {
        Self {
            opcode: U16::new(Self::OPCODE),
            reserved_at_10: [0; 4],
            op_mod: U16::ZERO,
            reserved_at_40: [0; 2],
            uid: U16::new(uid),
            reserved_at_60: [0; 4],
        }
    }
}

impl Command for DestroyUctxIn {
    const OPCODE: u16 = MLX5_CMD_OP_DESTROY_UCTX;

    /// `destroy_uctx_out`, which is only a header.
    type Out = OutHeader;
}

/// The bit of `uctx_cap`, and of [`CreateUctxIn::new`], that allows commands to access the global
/// state of the device.
pub(crate) const UCTX_CAP_TOOLS_RESOURCES: u32 = 1 << 2;

/// The device data of `FWCTL_INFO`, in native byte order: `struct fwctl_info_mlx5` of
/// [`include/uapi/fwctl/mlx5.h`](srctree/include/uapi/fwctl/mlx5.h).
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
pub(crate) struct Description {
    /// uid of the user context that all RPCs of the file run in.
    pub(crate) uid: u32,
    /// Additional privileges of the user context, by bits of `uctx_cap`.
    pub(crate) uctx_caps: u32,
}

const _: () = {
    use core::mem::offset_of;

    assert!(size_of::<InHeader>() == 16);
    assert!(offset_of!(InHeader, op_mod) == 6);
    assert!(size_of::<AccessRegisterIn>() == 16);
    assert!(offset_of!(AccessRegisterIn, op_mod) == 6);
    assert!(offset_of!(AccessRegisterIn, register_id) == 10);
    assert!(size_of::<OutHeader>() == 16);
    assert!(offset_of!(OutHeader, syndrome) == 4);
    assert!(size_of::<CreateUctxIn>() == 64);
    assert!(offset_of!(CreateUctxIn, cap) == 16);
    assert!(size_of::<CreateUctxOut>() == 16);
    assert!(offset_of!(CreateUctxOut, uid) == 10);
    assert!(size_of::<DestroyUctxIn>() == 16);
    assert!(offset_of!(DestroyUctxIn, op_mod) == 6);
    assert!(offset_of!(DestroyUctxIn, uid) == 10);
    assert!(size_of::<Description>() == 8);
};

#[kunit_tests(mlx5_fwctl_cmd)]
mod tests {
    use super::*;

    #[test]
    fn create_uctx() -> Result {
        let mut bytes = [0; 64];
        bytes[..2].copy_from_slice(&[0x0a, 0x04]);
        bytes[16..20].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
        assert_eq!(CreateUctxIn::new(0x1234_5678).as_bytes(), &bytes);

        let output = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd, 0, 0, 0, 0];
        let output = CreateUctxOut::read_from_bytes(&output).map_err(|_| EINVAL)?;
        assert_eq!(output.uid.get(), 0xabcd);
        Ok(())
    }

    #[test]
    fn destroy_uctx() {
        assert_eq!(
            DestroyUctxIn::new(0xabcd).as_bytes(),
            &[0x0a, 0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd, 0, 0, 0, 0]
        );
    }

    #[test]
    fn header_of_a_request() -> Result {
        // ACCESS_REG, reading MGIR.
        let mut bytes = [
            0x08, 0x05, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0x90, 0x20, 0, 0, 0, 0, 0xee, 0xee,
        ];
        let header = InHeader::of(&mut bytes)?;
        assert_eq!((header.opcode.get(), header.op_mod.get()), (0x805, 1));

        header.uid.set(0x0102);
        assert_eq!(&bytes[..8], &[0x08, 0x05, 0x01, 0x02, 0, 0, 0, 1]);
        Ok(())
    }

    #[test]
    fn header_of_an_output() -> Result {
        let bytes = [
            2, 0, 0, 0, 0x00, 0x33, 0xc8, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0xee,
        ];
        let header = OutHeader::of(&bytes)?;
        assert_eq!((header.status, header.syndrome.get()), (2, 0x0033_c81f));
        Ok(())
    }

    #[test]
    fn too_short_for_a_header() {
        let mut bytes = [0; 16];

        for len in 0..16 {
            assert_eq!(InHeader::of(&mut bytes[..len]).err(), Some(EMSGSIZE));
            assert_eq!(OutHeader::of(&bytes[..len]).err(), Some(EMSGSIZE));
        }
        assert!(InHeader::of(&mut bytes).is_ok());
        assert!(OutHeader::of(&bytes).is_ok());
    }
}
