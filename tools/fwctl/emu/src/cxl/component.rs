// SPDX-License-Identifier: MIT OR Apache-2.0

//! Component registers (8.2.3): a capability array with the error registers, which never report an
//! error.

/// Size of the block.
pub const LEN: u64 = 0x1_0000;
/// Offset of the registers of CXL.cache and CXL.mem (8.2.4).
const CACHE_MEM: u64 = 0x1000;
/// Offset of the RAS capability relative to [`CACHE_MEM`].
const RAS: u32 = 0x80;

/// Capability array: identifier 1, versions 1 and 1, one entry (8.2.4.1).
const ARRAY: u32 = 0x0111_0001;
/// CXL RAS Capability Header: identifier 2, version 2, offset (8.2.4.2).
const RAS_HEADER: u32 = 0x0002_0002 | RAS << 20;
/// Uncorrectable Error Mask and Severity, Correctable Error Mask (8.2.4.17): all are masked.
const UNCORRECTABLE: u32 = 0x0001_cfff;
const CORRECTABLE: u32 = 0x0000_007f;

/// Returns the register at `offset`, a multiple of 4.
fn register(offset: u64) -> u32 {
    const RAS_AT: u64 = CACHE_MEM + RAS as u64;
    const UNCORRECTABLE_MASK: u64 = RAS_AT + 0x04;
    const UNCORRECTABLE_SEVERITY: u64 = RAS_AT + 0x08;
    const CORRECTABLE_MASK: u64 = RAS_AT + 0x10;
    const ENTRY: u64 = CACHE_MEM + 4;
    match offset {
        CACHE_MEM => ARRAY,
        ENTRY => RAS_HEADER,
        UNCORRECTABLE_MASK | UNCORRECTABLE_SEVERITY => UNCORRECTABLE,
        CORRECTABLE_MASK => CORRECTABLE,
        _ => 0,
    }
}

/// Reads. The registers are read only.
pub fn read(offset: u64, data: &mut [u8]) {
    for (n, byte) in data.iter_mut().enumerate() {
        let at = offset.saturating_add(n as u64);
        *byte = register(at & !3).to_le_bytes()[(at & 3) as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_registers() {
        let mut bytes = [0xee; 12];
        read(0x1000, &mut bytes);
        assert_eq!(bytes, [1, 0, 0x11, 1, 2, 0, 2, 8, 0, 0, 0, 0]);
        read(0x1081, &mut bytes);
        assert_eq!(bytes[..9], [0, 0, 0, 0xff, 0xcf, 1, 0, 0xff, 0xcf]);
        read(u64::MAX - 2, &mut bytes);
        assert_eq!(bytes, [0; 12]);
    }
}
