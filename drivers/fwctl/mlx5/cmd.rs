// SPDX-License-Identifier: GPL-2.0-only

//! Layouts of firmware commands, which are big-endian.
//!
//! C header: [`include/linux/mlx5/mlx5_ifc.h`](srctree/include/linux/mlx5/mlx5_ifc.h), which
//! numbers bits from the most significant bit of the first dword. `shim.c` has static assertions
//! that compare its layouts with those below.

use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};
use zerocopy::big_endian::{
    U16,
    U32,
    U64, //
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
    /// Returns status and syndrome of an output, or fails with [`EMSGSIZE`] if the output is too
    /// short.
    pub(crate) fn answer(output: &[u8]) -> Result<(u8, u32)> {
        let (header, _) = Self::ref_from_prefix(output).map_err(|_| EMSGSIZE)?;

        Ok((header.status, header.syndrome.get()))
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

/// Opcode that creates a memory key, with [`CreateMkeyIn`].
pub(crate) const MLX5_CMD_OP_CREATE_MKEY: u16 = 0x200;

/// Opcode that destroys a memory key, with [`ObjectIn`].
pub(crate) const MLX5_CMD_OP_DESTROY_MKEY: u16 = 0x202;

/// Opcode that allocates a protection domain, with [`ObjectIn`].
pub(crate) const MLX5_CMD_OP_ALLOC_PD: u16 = 0x800;

/// Opcode that frees a protection domain, with [`ObjectIn`].
pub(crate) const MLX5_CMD_OP_DEALLOC_PD: u16 = 0x801;

/// Opcode that creates a umem, with [`create_umem`].
pub(crate) const MLX5_CMD_OP_CREATE_UMEM: u16 = 0xa08;

/// Opcode that destroys a umem, with [`ObjectIn`].
pub(crate) const MLX5_CMD_OP_DESTROY_UMEM: u16 = 0xa0a;

/// Numbers of objects have 24 bits.
const OBJECT_MASK: u32 = 0xff_ffff;

/// Input of a command on one object: `destroy_umem_in`, `destroy_mkey_in`, `dealloc_pd_in`, and
/// `alloc_pd_in` with number 0.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
pub(crate) struct ObjectIn {
    opcode: U16,
    uid: U16,
    reserved_at_20: [u8; 2],
    op_mod: U16,
    /// The number, in the lower 24 bits.
    id: U32,
    reserved_at_60: [u8; 4],
}

impl ObjectIn {
    pub(crate) fn new(opcode: u16, uid: u16, id: u32) -> Self {
        Self {
            opcode: U16::new(opcode),
            uid: U16::new(uid),
            reserved_at_20: [0; 2],
            op_mod: U16::ZERO,
            id: U32::new(id & OBJECT_MASK),
            reserved_at_60: [0; 4],
        }
    }
}

/// Output of a command that creates an object: `create_umem_out`, `create_mkey_out` and
/// `alloc_pd_out`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
pub(crate) struct ObjectOut {
    status: u8,
    reserved_at_8: [u8; 3],
    syndrome: U32,
    id: U32,
    reserved_at_60: [u8; 4],
}

impl ObjectOut {
    /// Returns the number of the object.
    pub(crate) fn id(&self) -> u32 {
        self.id.get() & OBJECT_MASK
    }
}

/// `create_umem_in` without the pages.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
struct CreateUmemIn {
    opcode: U16,
    uid: U16,
    reserved_at_20: [u8; 2],
    op_mod: U16,
    reserved_at_40: [u8; 8],
    // `umem`
    reserved_at_80: [u8; 16],
    /// Of pages, in units of 4 KiB, in the lower 5 bits.
    log_page_size: U32,
    page_offset: U32,
    num_of_mtt: U64,
}

/// Returns the input of `CREATE_UMEM` for pages at these addresses, which the firmware may read and
/// write.
///
/// Fails with [`ENOMEM`].
pub(crate) fn create_umem(
    uid: u16,
    count: usize,
    addresses: impl Iterator<Item = u64>,
) -> Result<KVVec<u8>> {
    /// `wr_en` and `rd_en` of `mtt`.
    const ACCESS: u64 = 0b11;

    let head = CreateUmemIn {
        opcode: U16::new(MLX5_CMD_OP_CREATE_UMEM),
        uid: U16::new(uid),
        reserved_at_20: [0; 2],
        op_mod: U16::ZERO,
        reserved_at_40: [0; 8],
        reserved_at_80: [0; 16],
        // CAST: It is less than 20.
        log_page_size: U32::new(PAGE_SHIFT as u32 - MLX5_ADAPTER_PAGE_SHIFT),
        page_offset: U32::ZERO,
        num_of_mtt: U64::new(count as u64),
    };
    let mut command = KVVec::with_capacity(size_of::<CreateUmemIn>() + 8 * count, GFP_KERNEL)?;

    command.extend_from_slice(head.as_bytes(), GFP_KERNEL)?;
    for address in addresses.take(count) {
        command.extend_from_slice(&(address | ACCESS).to_be_bytes(), GFP_KERNEL)?;
    }
    Ok(command)
}

/// log2 of the page size of the firmware.
const MLX5_ADAPTER_PAGE_SHIFT: u32 = 0xc;

/// `create_mkey_in` with its `mkc`, for a key of a umem.
///
/// `mkey_umem_id` and `mkey_umem_offset` are from the vendor's manual: the kernel's header has
/// reserved bits there.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
pub(crate) struct CreateMkeyIn {
    opcode: U16,
    uid: U16,
    reserved_at_20: [u8; 2],
    op_mod: U16,
    reserved_at_40: [u8; 4],
    /// Bit 30: `mkey_umem_valid`.
    flags: U32,
    // `memory_key_mkey_entry`
    /// `lw`, `lr` and `access_mode_1_0`.
    access: U32,
    /// `qpn` in the upper 24 bits, `mkey_7_0` in the others.
    qpn: U32,
    reserved_at_c0: [u8; 4],
    /// In the lower 24 bits.
    pd: U32,
    start_addr: U64,
    len: U64,
    reserved_at_180: [u8; 20],
    translations_octword_size: U32,
    /// In the lower 6 bits.
    log_page_size: U32,
    reserved_at_260: [u8; 20],
    translations_octword_actual_size: U32,
    mkey_umem_id: U32,
    mkey_umem_offset: U64,
    reserved_at_380: [u8; 160],
}

impl CreateMkeyIn {
    /// The lower byte of each key, which its creator chooses.
    pub(crate) const VARIANT: u8 = 0x5f;

    /// Local reads and writes; `MLX5_MKC_ACCESS_MODE_MTT`.
    const ACCESS: u32 = 1 << 11 | 1 << 10 | 1 << 8;

    /// Returns the input for a key of all `count` pages of a umem, whose addresses begin at 0.
    pub(crate) fn new(uid: u16, pd: u32, umem: u32, count: usize) -> Self {
        // CAST: There are fewer than 2^31 pages.
        let octwords = U32::new(count.div_ceil(2) as u32);

        Self {
            opcode: U16::new(MLX5_CMD_OP_CREATE_MKEY),
            uid: U16::new(uid),
            reserved_at_20: [0; 2],
            op_mod: U16::ZERO,
            reserved_at_40: [0; 4],
            flags: U32::new(1 << 30),
            access: U32::new(Self::ACCESS),
            // No queue pair.
            qpn: U32::new(0xffff_ff00 | u32::from(Self::VARIANT)),
            reserved_at_c0: [0; 4],
            pd: U32::new(pd & OBJECT_MASK),
            start_addr: U64::ZERO,
            len: U64::new((count as u64) << PAGE_SHIFT),
            reserved_at_180: [0; 20],
            translations_octword_size: octwords,
            // CAST: It is less than 32.
            log_page_size: U32::new(PAGE_SHIFT as u32),
            reserved_at_260: [0; 20],
            translations_octword_actual_size: octwords,
            mkey_umem_id: U32::new(umem & OBJECT_MASK),
            mkey_umem_offset: U64::ZERO,
            reserved_at_380: [0; 160],
        }
    }
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
    assert!(size_of::<ObjectIn>() == 16);
    assert!(offset_of!(ObjectIn, op_mod) == 6);
    assert!(offset_of!(ObjectIn, id) == 8);
    assert!(size_of::<ObjectOut>() == 16);
    assert!(offset_of!(ObjectOut, id) == 8);
    assert!(size_of::<CreateUmemIn>() == 48);
    assert!(offset_of!(CreateUmemIn, log_page_size) == 32);
    assert!(offset_of!(CreateUmemIn, num_of_mtt) == 40);
    assert!(size_of::<CreateMkeyIn>() == 272);
    assert!(offset_of!(CreateMkeyIn, access) == 16);
    assert!(offset_of!(CreateMkeyIn, pd) == 28);
    assert!(offset_of!(CreateMkeyIn, start_addr) == 32);
    assert!(offset_of!(CreateMkeyIn, translations_octword_size) == 68);
    assert!(offset_of!(CreateMkeyIn, log_page_size) == 72);
    assert!(offset_of!(CreateMkeyIn, translations_octword_actual_size) == 96);
    assert!(offset_of!(CreateMkeyIn, mkey_umem_id) == 100);
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
    fn objects() -> Result {
        assert_eq!(
            ObjectIn::new(MLX5_CMD_OP_DESTROY_UMEM, 0x0102, 0xff01_0203).as_bytes(),
            &[0x0a, 0x0a, 1, 2, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0]
        );
        let output = [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xab, 0xcd, 0xef, 0, 0, 0, 0];
        let output = ObjectOut::read_from_bytes(&output).map_err(|_| EINVAL)?;
        assert_eq!(output.id(), 0xab_cdef);
        Ok(())
    }

    #[test]
    fn umem_of_two_pages() -> Result {
        let command = create_umem(0x0102, 2, [0x1_2345_0000, 0x7000_0000].into_iter())?;

        assert_eq!(command.len(), 64);
        assert_eq!(command[..8], [0x0a, 0x08, 1, 2, 0, 0, 0, 0]);
        assert!(command[8..32].iter().all(|&byte| byte == 0));
        assert_eq!(command[35], PAGE_SHIFT as u8 - 12);
        assert_eq!(command[36..40], [0; 4]);
        assert_eq!(command[40..48], [0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(command[48..56], [0, 0, 0, 1, 0x23, 0x45, 0, 3]);
        assert_eq!(command[56..], [0, 0, 0, 0, 0x70, 0, 0, 3]);
        Ok(())
    }

    #[test]
    fn key_of_three_pages() {
        let command = CreateMkeyIn::new(0x0102, 0x0a_0b0c, 0x11_2233, 3);
        let bytes = command.as_bytes();

        assert_eq!(
            bytes[..16],
            [2, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0]
        );
        assert_eq!(bytes[16..24], [0, 0, 0x0d, 0, 0xff, 0xff, 0xff, 0x5f]);
        assert_eq!(bytes[28..32], [0, 0x0a, 0x0b, 0x0c]);
        assert_eq!(bytes[32..40], [0; 8]);
        assert_eq!(bytes[40..48], (3u64 << PAGE_SHIFT).to_be_bytes());
        assert_eq!(bytes[68..72], [0, 0, 0, 2]);
        assert_eq!(bytes[75], PAGE_SHIFT as u8);
        assert_eq!(bytes[96..100], [0, 0, 0, 2]);
        assert_eq!(bytes[100..104], [0, 0x11, 0x22, 0x33]);
        assert!(bytes[104..].iter().all(|&byte| byte == 0));
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
        assert_eq!(OutHeader::answer(&bytes)?, (2, 0x0033_c81f));
        Ok(())
    }

    #[test]
    fn too_short_for_a_header() {
        let mut bytes = [0; 16];

        for len in 0..16 {
            assert_eq!(InHeader::of(&mut bytes[..len]).err(), Some(EMSGSIZE));
            assert_eq!(OutHeader::answer(&bytes[..len]).err(), Some(EMSGSIZE));
        }
        assert!(InHeader::of(&mut bytes).is_ok());
        assert!(OutHeader::answer(&bytes).is_ok());
    }
}
