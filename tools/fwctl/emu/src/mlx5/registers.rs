// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table of access registers; [`super::management`] has their content.

/// One register.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    /// The number: `MLX5_REG_*`, include/linux/mlx5/driver.h, or the `.adb`.
    pub id: u16,
    /// The name.
    pub name: &'static str,
    /// Length in bytes.
    pub len: usize,
    /// Whether it is writable.
    pub is_writable: bool,
}

const fn reg(id: u16, name: &'static str, len: usize, is_writable: bool) -> Register {
    Register {
        id,
        name,
        len,
        is_writable,
    }
}

macro_rules! ids {
    ($($name:ident = $id:expr;)*) => { $(#[allow(missing_docs)] pub const $name: u16 = $id;)* };
}

ids! {
    CORE_DUMP = 0x402e;
    PCAM = 0x507f;
    HOST_ENDIANNESS = 0x7004;
    MTCAP = 0x9009;
    MTMP = 0x900a;
    MGIR = 0x9020; // .adb
    MNVDA = 0x9024; // .adb
    MNVDI = 0x9025; // .adb
    MFRL = 0x9028;
    MRTC = 0x902d;
    MNVQC = 0x9030; // .adb
    MNVIA = 0x9033; // .adb
    MNVGC = 0x9034; // .adb
    MCDD = 0x905c; // mstflint's tools_layouts
    MCQS = 0x9060;
    MCQI = 0x9061;
    MCC = 0x9062;
    MCDA = 0x9063;
    MQIS = 0x9064; // .adb
    MCAM = 0x907f;
    RESOURCE_DUMP = 0xc000;
    DTOR = 0xc00e;
}

/// All registers, sorted by number.
pub const REGISTERS: &[Register] = &[
    reg(CORE_DUMP, "CORE_DUMP", 0x40, true),
    reg(PCAM, "PCAM", 0x50, false),
    reg(HOST_ENDIANNESS, "HOST_ENDIANNESS", 0x10, true),
    reg(MTCAP, "MTCAP", 0x10, false),
    reg(MTMP, "MTMP", 0x20, true),
    reg(MGIR, "MGIR", 0xa0, false),
    reg(MNVDA, "MNVDA", 0x0c, true), // followed by the data of an item
    reg(MNVDI, "MNVDI", 0x0c, true),
    reg(MFRL, "MFRL", 0x08, true),
    reg(MRTC, "MRTC", 0x10, true),
    reg(MNVQC, "MNVQC", 0x08, false),
    reg(MNVIA, "MNVIA", 0x08, true),
    reg(MNVGC, "MNVGC", 0x10, false),
    reg(MCDD, "MCDD", 0x20, true),
    reg(MCQS, "MCQS", 0x10, false),
    reg(MCQI, "MCQI", 0x18, false), // followed by data up to the length of the input
    reg(MCC, "MCC", 0x20, true),
    reg(MCDA, "MCDA", 0x10, true), // followed by data
    reg(MQIS, "MQIS", 0x18, false),
    reg(MCAM, "MCAM", 0x48, false),
    reg(RESOURCE_DUMP, "RESOURCE_DUMP", 0x100, false),
    reg(DTOR, "DTOR", 0x40, false),
];

/// Returns the register with this number.
pub fn find(id: u16) -> Option<&'static Register> {
    let at = REGISTERS
        .binary_search_by_key(&id, |register| register.id)
        .ok()?;
    REGISTERS.get(at)
}

/// Returns the mask of PCAM and MCAM: bit n of 128, counted from the end, is register `first + n`.
pub fn mask(first: u16) -> [u8; 16] {
    let mut mask = 0u128;
    for register in REGISTERS {
        if let Some(bit) = register.id.checked_sub(first).filter(|bit| *bit < 128) {
            mask |= 1 << bit;
        }
    }
    mask.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted() {
        assert!(REGISTERS.is_sorted_by(|a, b| a.id < b.id));
    }

    #[test]
    fn golden_masks() {
        // Bits of mcam_access_reg_bits: mcqs 0x1f, mcqi 0x1e, mtmp 0x75, mrtc 0x52, mfrl 0x57.
        let mcam = mask(0x9000);
        let bit = |n: usize| mcam[n / 8] >> (7 - n % 8) & 1 == 1;
        for n in [0x1f, 0x1e, 0x1d, 0x1c, 0x75, 0x52, 0x57] {
            assert!(bit(n), "{n:#x}");
        }
        assert!(!bit(0x3c), "no tracer");
        assert_eq!(
            mask(0x5000),
            [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "only PCAM itself"
        );
        assert_eq!(mask(0x9100), [0; 16]);
    }
}
