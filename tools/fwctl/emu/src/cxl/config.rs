// SPDX-License-Identifier: MIT OR Apache-2.0

//! Configuration space: the capabilities of a CXL device (8.1).

use super::memory::CAPACITY;
use super::{identity, Options};
use crate::pci::{Bar64, ConfigSpace, Identity};

/// MSI-X vectors: events, and completion in the background.
pub const VECTORS: u16 = 2;
/// Size of BAR 0: component registers, and the MSI-X structures, which QEMU emulates.
pub const BAR0: u64 = 0x2_0000;
const MSIX_TABLE: u32 = 0x1_0000;
const MSIX_PENDING: u32 = 0x1_1000;

/// Device Serial Number Extended Capability (PCI Express 6.0, 7.9.3).
const SERIAL_NUMBER: u16 = 0x0003;

/// Designated vendor-specific capabilities of CXL (8.1.1).
mod dvsec {
    /// Vendor of all of them.
    pub const VENDOR: u16 = 0x1e98;
    /// PCIe DVSEC for CXL Devices (8.1.3).
    pub const DEVICE: u16 = 0;
    /// Flex Bus Port (8.2.1.3).
    pub const FLEX_BUS_PORT: u16 = 7;
    /// Register Locator (8.1.9).
    pub const REGISTER_LOCATOR: u16 = 8;
    /// Length of the header of each.
    pub const HEADER: usize = 0x0a;
}

/// Register Block Identifiers (8.1.9.1).
mod block {
    pub const COMPONENT: u32 = 1;
    pub const DEVICE: u32 = 3;
}

/// Returns the configuration space of a device with `bar2` bytes of device registers.
pub fn space(options: &Options, bar2: u64) -> ConfigSpace {
    let mut space = ConfigSpace::new(Identity {
        vendor: identity::VENDOR,
        device: identity::DEVICE,
        subsystem_vendor: identity::VENDOR,
        subsystem: identity::DEVICE,
        class: identity::CLASS,
        revision: 0,
    });
    for (index, size) in [(0, BAR0), (2, bar2)] {
        space.bar(Bar64 {
            index,
            size,
            is_prefetchable: false,
        });
    }
    space.express();
    space.msix(VECTORS, MSIX_TABLE, MSIX_PENDING);
    space.extended_capability(SERIAL_NUMBER, 1, &options.serial.to_le_bytes(), &[]);
    device(&mut space);
    flex_bus_port(&mut space);
    register_locator(&mut space);
    space
}

/// Builder of a DVSEC, addressed by offsets in the DVSEC.
struct Body<const N: usize>([u8; N]);

impl<const N: usize> Body<N> {
    fn u16(&mut self, offset: usize, value: u16) {
        self.put(offset, &value.to_le_bytes());
    }

    fn u32(&mut self, offset: usize, value: u32) {
        self.put(offset, &value.to_le_bytes());
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        let at = offset - dvsec::HEADER;
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// PCIe DVSEC for CXL Devices, revision 2, 3Ch bytes (8.1.3).
fn device(space: &mut ConfigSpace) {
    let mut body = Body([0; 0x3c - dvsec::HEADER]);
    // CXL Capability: IO, Mem, memory active at power on, one range.
    body.u16(0x0a, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4);
    // CXL Control: IO is enabled, Mem can be.
    body.u16(0x0c, 1 << 1);
    // Range 1: information valid, memory active.
    body.u32(0x18, (CAPACITY >> 32) as u32);
    body.u32(0x1c, CAPACITY as u32 | 0b11);
    let mut writable = Body([0; 0x3c - dvsec::HEADER]);
    writable.u16(0x0c, 1 << 2);
    // Base addresses of both ranges.
    for base in [0x20, 0x30] {
        writable.u32(base, u32::MAX);
        writable.u32(base + 4, 0xf000_0000);
    }
    space.dvsec(dvsec::VENDOR, 2, dvsec::DEVICE, &body.0, &writable.0);
}

/// Flex Bus Port DVSEC, revision 2, 20h bytes (8.2.1.3): IO and Mem, trained.
fn flex_bus_port(space: &mut ConfigSpace) {
    let mut body = Body([0; 0x20 - dvsec::HEADER]);
    for register in [0x0a, 0x0c, 0x0e] {
        body.u16(register, 1 << 1 | 1 << 2 | 1 << 5);
    }
    space.dvsec(dvsec::VENDOR, 2, dvsec::FLEX_BUS_PORT, &body.0, &[]);
}

/// Register Locator DVSEC, revision 0, two blocks (8.1.9).
fn register_locator(space: &mut ConfigSpace) {
    let mut body = Body([0; 0x1c - dvsec::HEADER]);
    for (at, bar, kind) in [(0x0c, 0, block::COMPONENT), (0x14, 2, block::DEVICE)] {
        // BAR in bits 2:0, identifier in 15:8, offset 0 in the rest.
        body.u32(at, bar | kind << 8);
    }
    space.dvsec(dvsec::VENDOR, 0, dvsec::REGISTER_LOCATOR, &body.0, &[]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dword(space: &ConfigSpace, at: u64) -> u32 {
        let mut word = [0; 4];
        space.read(at, &mut word);
        u32::from_le_bytes(word)
    }

    #[test]
    fn golden_space() {
        let space = space(&Options::default(), 0x1000);
        assert_eq!(dword(&space, 0x00), 0x7e57_1e98);
        assert_eq!(dword(&space, 0x08), 0x0502_1000);
        // Serial number, then the three DVSECs.
        assert_eq!(dword(&space, 0x100), 0x10c1_0003);
        assert_eq!(
            (dword(&space, 0x104), dword(&space, 0x108)),
            (0x6c00_0001, 0x6677_6374)
        );
        assert_eq!(dword(&space, 0x10c), 0x1481_0023);
        assert_eq!(
            dword(&space, 0x110),
            0x03c2_1e98,
            "length 3Ch, revision 2, vendor"
        );
        assert_eq!(dword(&space, 0x114), 0x001e_0000, "capability, identifier");
        assert_eq!(dword(&space, 0x10c + 0x0c), 0x0000_0002, "control, status");
        assert_eq!(dword(&space, 0x10c + 0x18), 0);
        assert_eq!(
            dword(&space, 0x10c + 0x1c),
            0x1000_0003,
            "256 MiB, active, valid"
        );
        assert_eq!(dword(&space, 0x148), 0x1681_0023);
        assert_eq!(dword(&space, 0x14c), 0x0202_1e98);
        assert_eq!(dword(&space, 0x150), 0x0026_0007);
        assert_eq!(dword(&space, 0x168), 0x0001_0023, "the last one");
        assert_eq!(dword(&space, 0x16c), 0x01c0_1e98);
        assert_eq!(dword(&space, 0x170), 0x0000_0008);
        assert_eq!(
            (dword(&space, 0x174), dword(&space, 0x178)),
            (0x0000_0100, 0)
        );
        assert_eq!(
            (dword(&space, 0x17c), dword(&space, 0x180)),
            (0x0000_0302, 0)
        );
    }

    #[test]
    fn writable_bits() {
        let mut space = space(&Options::default(), 0x1000);
        space.write(0x100, &[0xff; 0x90]);
        assert_eq!(dword(&space, 0x10c + 0x0c), 0x0000_0006, "Mem is on now");
        assert_eq!(dword(&space, 0x10c + 0x1c), 0x1000_0003);
        assert_eq!(dword(&space, 0x10c + 0x24), 0xf000_0000);
        assert_eq!(dword(&space, 0x17c), 0x0000_0302);
    }
}
