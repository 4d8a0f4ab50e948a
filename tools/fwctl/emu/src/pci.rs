// SPDX-License-Identifier: MIT OR Apache-2.0

//! Configuration space of a PCI Express function.
//!
//! Sections are those of the PCI Express Base Specification 6.0.

use std::fmt;

/// Size of configuration space (7.2.2).
pub const SIZE: usize = 4096;
/// Start of the extended capabilities (7.6.1).
pub const EXTENDED: usize = 0x100;

/// Register offsets of the type 0 header (7.5.1).
mod header {
    pub const VENDOR: usize = 0x00;
    pub const DEVICE: usize = 0x02;
    pub const COMMAND: usize = 0x04;
    pub const STATUS: usize = 0x06;
    pub const REVISION: usize = 0x08;
    pub const CLASS: usize = 0x09;
    pub const BAR0: usize = 0x10;
    pub const SUBSYSTEM_VENDOR: usize = 0x2c;
    pub const SUBSYSTEM: usize = 0x2e;
    pub const CAPABILITIES: usize = 0x34;
    pub const INTERRUPT_LINE: usize = 0x3c;
}

/// Capability identifiers (7.5.3, 7.7.2, 7.9.6, 7.9.18).
mod capability {
    pub const VPD: u8 = 0x03;
    pub const EXPRESS: u8 = 0x10;
    pub const MSIX: u8 = 0x11;
    /// Extended capabilities.
    pub const DVSEC: u16 = 0x23;
}

/// Device control register in the PCI Express capability (7.5.3.4): initiate function level reset.
const DEVICE_CONTROL: usize = 0x08;
const INITIATE_FLR: u16 = 1 << 15;

/// Registers of the VPD capability (7.9.18): address, with a flag in its highest bit, and data.
const VPD_ADDRESS: usize = 2;
const VPD_DATA: usize = 4;
const VPD_FLAG: u16 = 1 << 15;

/// Identity of a function.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Subsystem vendor ID.
    pub subsystem_vendor: u16,
    /// Subsystem ID.
    pub subsystem: u16,
    /// Class, subclass, programming interface.
    pub class: u32,
    /// Revision ID.
    pub revision: u8,
}

/// A memory BAR of 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Bar64 {
    /// Index of its lower half.
    pub index: usize,
    /// Size in bytes, a power of two.
    pub size: u64,
    /// Whether the BAR is prefetchable: reads have no side effects.
    pub is_prefetchable: bool,
}

/// Side effect of a write to configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None.
    None,
    /// A function level reset.
    FunctionReset,
}

/// The configuration space of one function.
pub struct ConfigSpace {
    data: Box<[u8; SIZE]>,
    writable: Box<[u8; SIZE]>,
    /// The next free byte for a capability, and the byte to write its offset to.
    free: usize,
    link: usize,
    /// The same for extended capabilities: the next free byte, and the header of the last one.
    extended_free: usize,
    extended_last: Option<usize>,
    express: Option<usize>,
    /// Offset of the VPD capability, and the vital product data.
    vpd: Option<(usize, Vec<u8>)>,
}

impl fmt::Debug for ConfigSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigSpace({:02x?})", &self.data[..64])
    }
}

impl ConfigSpace {
    /// Returns the configuration space of a function without BARs and capabilities.
    pub fn new(identity: Identity) -> Self {
        let mut space = ConfigSpace {
            data: Box::new([0; SIZE]),
            writable: Box::new([0; SIZE]),
            free: 0x40,
            link: header::CAPABILITIES,
            extended_free: EXTENDED,
            extended_last: None,
            express: None,
            vpd: None,
        };
        space.put(header::VENDOR, &identity.vendor.to_le_bytes());
        space.put(header::DEVICE, &identity.device.to_le_bytes());
        space.put(header::REVISION, &[identity.revision]);
        space.put(header::CLASS, &identity.class.to_le_bytes()[..3]);
        space.put(
            header::SUBSYSTEM_VENDOR,
            &identity.subsystem_vendor.to_le_bytes(),
        );
        space.put(header::SUBSYSTEM, &identity.subsystem.to_le_bytes());
        // Memory space, bus master, parity error response, SERR#, interrupt disable (7.5.1.1.3).
        space.allow(header::COMMAND, &0x0546u16.to_le_bytes());
        space.allow(header::INTERRUPT_LINE, &[0xff]);
        space
    }

    /// Adds a BAR.
    pub fn bar(&mut self, bar: Bar64) {
        let at = header::BAR0 + 4 * bar.index;
        let kind = 0b100 | if bar.is_prefetchable { 0b1000 } else { 0 };
        self.put(at, &[kind]);
        let mask = !(bar.size - 1);
        self.allow(at, &mask.to_le_bytes());
        self.writable[at] &= 0xf0;
    }

    /// Adds a capability and returns its offset. `writable` has a bit set for each bit that the
    /// guest may change. Both start after identifier and link.
    pub fn capability(&mut self, id: u8, body: &[u8], writable: &[u8]) -> usize {
        let at = self.free;
        self.put(self.link, &[at as u8]);
        self.put(header::STATUS, &0x10u16.to_le_bytes());
        self.put(at, &[id, 0]);
        self.put(at + 2, body);
        self.allow(at + 2, writable);
        self.link = at + 1;
        self.free = (at + 2 + body.len()).next_multiple_of(4);
        assert!(self.free <= EXTENDED, "capabilities fit");
        at
    }

    /// Adds an extended capability and returns its offset. `body` starts after the header.
    pub fn extended_capability(
        &mut self,
        id: u16,
        version: u8,
        body: &[u8],
        writable: &[u8],
    ) -> usize {
        let at = self.extended_free;
        if let Some(last) = self.extended_last {
            let next = (at as u16) << 4 | u16::from(self.data[last + 2] & 0xf);
            self.put(last + 2, &next.to_le_bytes());
        }
        let header = u32::from(id) | u32::from(version & 0xf) << 16;
        self.put(at, &header.to_le_bytes());
        self.put(at + 4, body);
        self.allow(at + 4, writable);
        self.extended_last = Some(at);
        self.extended_free = (at + 4 + body.len()).next_multiple_of(4);
        at
    }

    /// Adds a designated vendor-specific extended capability (7.9.6). `body` starts after its
    /// identifier. `writable` has a bit set for each bit of `body` that the guest may change.
    pub fn dvsec(&mut self, vendor: u16, revision: u8, id: u16, body: &[u8], writable: &[u8]) {
        const HEADERS: usize = 10;
        let len = (HEADERS + body.len()) as u32;
        let header = u32::from(vendor) | u32::from(revision & 0xf) << 16 | len << 20;
        let mut bytes = header.to_le_bytes().to_vec();
        bytes.extend(id.to_le_bytes());
        let mut mask = vec![0; bytes.len()];
        bytes.extend(body);
        mask.extend(writable);
        self.extended_capability(capability::DVSEC, 1, &bytes, &mask);
    }

    /// Adds the PCI Express capability (7.5.3) of an endpoint with function level reset.
    pub fn express(&mut self) {
        let mut body = [0; 58];
        let mut put = |register: usize, value: u32| {
            body[register - 2..register + 2].copy_from_slice(&value.to_le_bytes())
        };
        put(0x04, 1 << 28 | 1 << 15 | 0b101); // device: FLR, role-based errors, 4 KiB payload
        put(0x0c, 0x0104); // link: x16, 16 GT/s
        put(0x10, 0x0104 << 16); // link status: the same
        put(0x2c, 0b11110); // speeds 2.5 to 16 GT/s
        put(0x30, 4); // target speed
        body[..2].copy_from_slice(&0x0002u16.to_le_bytes()); // version 2, endpoint
        let mut writable = [0; 58];
        writable[6..8].copy_from_slice(&0x7fffu16.to_le_bytes());
        self.express = Some(self.capability(capability::EXPRESS, &body, &writable));
    }

    /// Adds the VPD capability (7.9.18): vital product data that cannot be written.
    pub fn vital_product_data(&mut self, name: &str, fields: &[([u8; 2], String)]) {
        let at = self.capability(capability::VPD, &[0; 6], &[0xff, 0xff]);
        self.vpd = Some((at, vpd_image(name, fields)));
    }

    /// Adds the MSI-X capability (7.7.2): table and pending bits in BAR 0.
    pub fn msix(&mut self, vectors: u16, table: u32, pending: u32) {
        let mut body = [0; 10];
        body[..2].copy_from_slice(&(vectors - 1).to_le_bytes());
        body[2..6].copy_from_slice(&table.to_le_bytes());
        body[6..].copy_from_slice(&pending.to_le_bytes());
        self.capability(capability::MSIX, &body, &0xc000u16.to_le_bytes());
    }

    /// Reads. Bytes beyond the end are zero.
    pub fn read(&self, offset: u64, to: &mut [u8]) {
        for (n, byte) in to.iter_mut().enumerate() {
            let at = usize::try_from(offset)
                .ok()
                .and_then(|offset| offset.checked_add(n));
            *byte = at.and_then(|at| self.data.get(at)).copied().unwrap_or(0);
        }
    }

    /// Writes the writable bits.
    pub fn write(&mut self, offset: u64, from: &[u8]) -> Effect {
        for (n, byte) in from.iter().enumerate() {
            let Some(at) = usize::try_from(offset)
                .ok()
                .and_then(|offset| offset.checked_add(n))
            else {
                break;
            };
            let Some(mask) = self.writable.get(at) else {
                break;
            };
            self.data[at] = self.data[at] & !mask | byte & mask;
        }
        self.read_vpd(offset, from.len());
        let control = self.express.map(|at| (at + DEVICE_CONTROL + 1) as u64);
        let flr = control
            .and_then(|at| at.checked_sub(offset))
            .and_then(|n| from.get(usize::try_from(n).ok()?))
            .is_some_and(|high| u16::from(*high) << 8 & INITIATE_FLR != 0);
        if flr {
            Effect::FunctionReset
        } else {
            Effect::None
        }
    }

    /// Fetches vital product data if a write of `len` bytes at `offset` has set an address. The
    /// flag says that it is done; a write of data is done at once, without effect.
    /// Returns whether the function may access memory (bus master enable).
    pub fn is_bus_master(&self) -> bool {
        let mut command = [0; 2];
        self.read(header::COMMAND as u64, &mut command);
        command[0] & 4 != 0
    }

    fn read_vpd(&mut self, offset: u64, len: usize) {
        let Some((at, image)) = &self.vpd else {
            return;
        };
        let at = *at;
        let flag_at = (at + VPD_ADDRESS + 1) as u64;
        if !(offset..offset.saturating_add(len as u64)).contains(&flag_at) {
            return;
        }
        let register = at + VPD_ADDRESS;
        let word = u16::from_le_bytes([self.data[register], self.data[register + 1]]);
        let address = usize::from(word & !VPD_FLAG);
        let mut data = [0; 4];
        for (n, byte) in data.iter_mut().enumerate() {
            *byte = image.get(address + n).copied().unwrap_or(0);
        }
        if word & VPD_FLAG == 0 {
            self.put(at + VPD_DATA, &data);
        }
        self.put(register, &(word ^ VPD_FLAG).to_le_bytes());
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.data[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn allow(&mut self, at: usize, mask: &[u8]) {
        self.writable[at..at + mask.len()].copy_from_slice(mask);
    }
}

/// Vital product data (PCI Local Bus Specification 3.0, appendix I): the name of the product, the
/// read-only fields and their checksum, and the end.
fn vpd_image(name: &str, fields: &[([u8; 2], String)]) -> Vec<u8> {
    const NAME: u8 = 0x82;
    const READ_ONLY: u8 = 0x90;
    const END: u8 = 0x78;
    let part = |tag: u8, len: usize| {
        let [low, high] = (len as u16).to_le_bytes();
        [tag, low, high]
    };
    let mut content = Vec::new();
    for (keyword, value) in fields {
        content.extend(keyword);
        content.push(value.len() as u8);
        content.extend(value.as_bytes());
    }
    content.extend(b"RV\x01");
    let mut image = part(NAME, name.len()).to_vec();
    image.extend(name.as_bytes());
    image.extend(part(READ_ONLY, content.len() + 1));
    image.extend(content);
    // The sum of all bytes up to this one is 0.
    let sum = image.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    image.push(sum.wrapping_neg());
    image.push(END);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> ConfigSpace {
        let mut space = ConfigSpace::new(Identity {
            vendor: 0x15b3,
            device: 0x1021,
            subsystem_vendor: 0x15b3,
            subsystem: 0x0001,
            class: 0x02_0000,
            revision: 1,
        });
        space.bar(Bar64 {
            index: 0,
            size: 1 << 25,
            is_prefetchable: true,
        });
        space.express();
        space.msix(4, 0x2000, 0x3000);
        space
    }

    fn word(space: &ConfigSpace, at: u64) -> u32 {
        let mut word = [0; 4];
        space.read(at, &mut word);
        u32::from_le_bytes(word)
    }

    #[test]
    fn header_and_sizing() {
        let mut space = space();
        assert_eq!(word(&space, 0), 0x1021_15b3);
        assert_eq!(word(&space, 8), 0x0200_0001);
        assert_eq!(word(&space, 4) >> 16, 0x10);
        space.write(0x10, &[0xff; 8]);
        assert_eq!(
            (word(&space, 0x10), word(&space, 0x14)),
            (0xfe00_000c, 0xffff_ffff)
        );
        space.write(0, &[0xff; 4]);
        assert_eq!(word(&space, 0), 0x1021_15b3, "the identity is read only");
    }

    #[test]
    fn capabilities_are_linked() {
        let space = space();
        let first = u64::from(word(&space, 0x34) & 0xff);
        let express = word(&space, first);
        assert_eq!(express & 0xff, 0x10);
        let msix = u64::from(express >> 8 & 0xff);
        assert_eq!(word(&space, msix), 0x0003_0011);
        assert_eq!(
            (word(&space, msix + 4), word(&space, msix + 8)),
            (0x2000, 0x3000)
        );
    }

    #[test]
    fn extended_capabilities_are_linked() {
        let mut space = space();
        assert_eq!(space.extended_capability(0x23, 1, &[1; 6], &[]), 0x100);
        assert_eq!(space.extended_capability(0x03, 1, &[2; 8], &[]), 0x10c);
        assert_eq!(word(&space, 0x100), 0x10c1_0023);
        assert_eq!(word(&space, 0x10c), 0x0001_0003);
    }

    #[test]
    fn bus_master() {
        let mut space = space();
        assert!(!space.is_bus_master());
        space.write(4, &[6, 0]);
        assert!(space.is_bus_master());
    }

    #[test]
    fn function_reset() {
        let mut space = space();
        let control = 0x40 + 8;
        assert_eq!(space.write(control, &[0, 0x80]), Effect::FunctionReset);
        assert_eq!(
            space.write(control, &[0, 0x80, 0, 0]),
            Effect::FunctionReset
        );
        assert_eq!(space.write(control + 1, &[0x80]), Effect::FunctionReset);
        assert_eq!(space.write(control, &[0x80, 0]), Effect::None);
        assert_eq!(space.write(control + 2, &[0x80, 0x80]), Effect::None);
        assert_eq!(word(&space, control) & 0x8000, 0, "the bit reads as zero");
    }

    #[test]
    fn vital_product_data_by_address() {
        let mut space = space();
        space.vital_product_data("Card", &[(*b"SN", "X1".into())]);
        let at = space.vpd.as_ref().unwrap().0 as u64;
        let mut read = |address: u16| {
            space.write(at + 2, &address.to_le_bytes());
            assert_eq!(word(&space, at) >> 31, 1, "done");
            word(&space, at + 4).to_le_bytes()
        };
        let image: Vec<u8> = (0..28).step_by(4).flat_map(&mut read).collect();
        let golden = b"\x82\x04\x00Card\x90\x09\x00SN\x02X1RV\x01";
        assert_eq!(&image[..golden.len()], golden);
        let sum = image[..=golden.len()]
            .iter()
            .fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!((sum, image[golden.len() + 1]), (0, 0x78));
        assert_eq!(read(0x7fff), [0; 4], "beyond the end");
        // Not by the low byte alone, and nothing can be written.
        space.write(at + 2, &[0]);
        assert_eq!(word(&space, at + 4), 0);
        space.write(at + 4, &[9; 4]);
        space.write(at + 2, &[0, 0x80]);
        assert_eq!((word(&space, at) >> 31, word(&space, at + 4)), (0, 0));
    }

    #[test]
    fn any_offset_is_fine() {
        let mut space = space();
        space.vital_product_data("", &[]);
        for offset in [0, 1, 0xfff, 0x1000, u64::MAX - 1, u64::MAX] {
            let mut bytes = [0xaa; 9];
            space.read(offset, &mut bytes);
            space.write(offset, &bytes);
        }
    }
}
