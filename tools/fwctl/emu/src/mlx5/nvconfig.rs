// SPDX-License-Identifier: MIT OR Apache-2.0

//! Configuration that survives a reset: MNVQC, MNVDA, MNVDI, MNVIA, MNVGC, and their items.
//!
//! Writes change the next configuration, which becomes current when the firmware is reset. Layouts:
//! `mnvqc_reg_ext`, `mnvgc_reg_ext` and `config_item_ext` of mstflint's
//! `prm_dbs/hca/ext/register_access_table.adb`; those of the items are in its
//! `mlxconfig_dbs/mlxconfig_host.db`. Both count offsets from the low end of a word.

use super::fields::Field;
use super::refusal::{Refusal, Status, Syndrome};

const fn field(at: usize, width: usize) -> Field {
    Field::new(at, width)
}

/// Header of an item in MNVDA and MNVDI (`config_item_ext`).
const LENGTH: Field = field(0x17, 9);
const VERSION: Field = field(0x10, 4);
const WRITER_ID: Field = field(0x0b, 5);
const ACCESS_MODE: Field = field(0x08, 2);
const TYPE: Field = field(0x20, 32);
/// Offset of the data.
const DATA: usize = 0x0c;

/// `access_mode`.
const NEXT: u64 = 0;
const CURRENT: u64 = 1;
const FACTORY: u64 = 2;

/// Fields of MNVQC and MNVGC.
const QUERY_TYPE: Field = field(0x00, 32);
const SUPPORT_RD: Field = field(0x3f, 1);
const SUPPORT_WR: Field = field(0x3e, 1);
const MAX_VERSION: Field = field(0x38, 4);
const READ_FACTORY_SETTINGS: Field = field(0x1f, 1);
const READ_CURRENT_SETTINGS: Field = field(0x1e, 1);

/// One configuration item. Items that describe capabilities are read only.
struct Item {
    /// The class is in the first byte: 0 is the device, 1 a port, named by the second byte, 3 a
    /// function.
    kind: u32,
    version: u8,
    is_writable: bool,
    factory: &'static [u8],
}

const fn setting(kind: u32, version: u8, factory: &'static [u8]) -> Item {
    Item {
        kind,
        version,
        is_writable: true,
        factory,
    }
}

const fn ability(kind: u32, factory: &'static [u8]) -> Item {
    Item {
        kind,
        version: 0,
        is_writable: false,
        factory,
    }
}

const ITEMS: &[Item] = &[
    // nv_base_mac_guid: unique to a card.
    setting(BASE_MAC_GUID, 0, &[0; 16]),
    // nv_base_mac_guid_cap: two of both.
    ability(0x03, &[0, 0, 0, 0, 0, 2, 0, 2]),
    // nv_global_pci_conf: sriov_valid, num_pfs_valid; sriov_en, one physical function, 8 virtual
    // functions.
    setting(0x80, 0, &[0x90, 0, 0, 0, 0x80, 1, 0, 8, 0, 0, 0, 0]),
    // nv_global_pci_cap: max_vfs_per_pf_valid; sriov_support, one physical function, 127 virtual
    // functions.
    ability(0x81, &NV_GLOBAL_PCI_CAP),
    // nv_rom_cap: boot_ip_ver, hii_config_en.
    ability(0x101, &[0x84, 0, 0, 0]),
    // nv_sw_offload_conf: uctx_en.
    setting(0x10a, 1, &[0, 0, 1, 0, 0, 0, 0, 0]),
    // nv_sw_offload_cap: uctx_supported.
    ability(0x10b, &[0, 0, 1, 0]),
    // nv_keep_link_up of port 1: keep_eth_link_up.
    setting(0x0101_0190, 3, &[0, 0, 0, 1]),
    // Items that the card only stores for its boot ROM, and that tools expect to exist.
    // nv_rom_boot_conf2: undi_network_wait; nv_rom_uefi_conf: hii_en; nv_rom_debug_level;
    // nv_rom_uefi_debug_level; nv_rom_boot_conf1: boot_option_rom_en, PXE, VLAN 1;
    // nv_rom_ib_boot_conf.
    setting(0x0300_0195, 2, &[0, 30, 0, 0]),
    setting(0x0300_0196, 0, &[0x80, 0, 0, 0]),
    setting(0x0300_0202, 0, &[0; 12]),
    setting(0x0300_0206, 0, &[0; 4]),
    setting(0x0300_0221, 1, &[0x80, 1, 0, 1]),
    setting(0x0300_0222, 0, &[0; 4]),
];

const BASE_MAC_GUID: u32 = 0x02;

const NV_GLOBAL_PCI_CAP: [u8; 20] = {
    let mut bytes = [0; 20];
    (bytes[0], bytes[4], bytes[5], bytes[7]) = (0x80, 0x80, 1, 127);
    bytes
};

/// The value of an item, and who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    data: Vec<u8>,
    writer: u8,
}

/// The configuration of the card.
#[derive(Clone, Debug)]
pub struct Nvconfig {
    factory: Vec<Value>,
    current: Vec<Value>,
    next: Vec<Value>,
}

impl Nvconfig {
    /// Returns the factory configuration of the card with this MAC address.
    pub fn new(mac: [u8; 6]) -> Self {
        let factory = |item: &Item| {
            let mut data = item.factory.to_vec();
            if item.kind == BASE_MAC_GUID {
                data[2..8].copy_from_slice(&mac);
                data[8..].copy_from_slice(&guid(mac));
            }
            Value { data, writer: 0 }
        };
        let values: Vec<Value> = ITEMS.iter().map(factory).collect();
        Nvconfig {
            factory: values.clone(),
            current: values.clone(),
            next: values,
        }
    }

    /// Makes the next configuration current, as a restart of the firmware does.
    pub fn restart(&mut self) {
        self.current.clone_from(&self.next);
    }

    /// MNVDA: reads the item named by the header in `body`.
    pub fn read(&self, body: &mut [u8]) -> Result<(), Refusal> {
        let at = find(TYPE.get(body))?;
        let value = match ACCESS_MODE.get(body) {
            NEXT => &self.next[at],
            CURRENT => &self.current[at],
            FACTORY => &self.factory[at],
            _ => return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_VALUE)),
        };
        let room = body.get_mut(DATA..).unwrap_or_default();
        if room.len() < value.data.len() {
            return Err(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT));
        }
        room.fill(0);
        room[..value.data.len()].copy_from_slice(&value.data);
        LENGTH.set(body, value.data.len() as u64);
        VERSION.set(body, ITEMS[at].version.into());
        WRITER_ID.set(body, value.writer.into());
        Ok(())
    }

    /// MNVDA: writes the item. Only the length is checked; the tools are responsible for the
    /// values.
    pub fn write(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let at = find_writable(body)?;
        let len = ITEMS[at].factory.len();
        if LENGTH.get(body) != len as u64 {
            return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_SIZE));
        }
        if ACCESS_MODE.get(body) != NEXT || VERSION.get(body) > ITEMS[at].version.into() {
            return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_VALUE));
        }
        let data = body
            .get(DATA..DATA + len)
            .ok_or(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT))?;
        self.next[at] = Value {
            data: data.to_vec(),
            writer: WRITER_ID.get(body) as u8,
        };
        Ok(())
    }

    /// MNVDI: resets the item to its factory value.
    pub fn invalidate(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let at = find_writable(body)?;
        self.next[at].clone_from(&self.factory[at]);
        Ok(())
    }

    /// MNVIA: resets all items to their factory values.
    pub fn invalidate_all(&mut self) {
        self.next.clone_from(&self.factory);
    }
}

/// Returns the GUID of a card: its MAC address with the vendor's filler in the middle.
fn guid(mac: [u8; 6]) -> [u8; 8] {
    let [a, b, c, d, e, f] = mac;
    [a, b, c, 0x03, 0x00, d, e, f]
}

/// MNVQC: returns the operations that an item supports; none if it does not exist.
pub fn query(body: &mut [u8]) {
    body[4..].fill(0);
    let Ok(at) = find(QUERY_TYPE.get(body)) else {
        return;
    };
    SUPPORT_RD.set(body, 1);
    SUPPORT_WR.set(body, ITEMS[at].is_writable.into());
    MAX_VERSION.set(body, ITEMS[at].version.into());
}

/// MNVGC: returns the access modes that MNVDA supports for reads.
pub fn capabilities(body: &mut [u8]) {
    body.fill(0);
    READ_FACTORY_SETTINGS.set(body, 1);
    READ_CURRENT_SETTINGS.set(body, 1);
}

fn find(kind: u64) -> Result<usize, Refusal> {
    let at = ITEMS.iter().position(|item| u64::from(item.kind) == kind);
    at.ok_or(Refusal(Status::BAD_PARAM, Syndrome::BAD_INDEX))
}

fn find_writable(body: &[u8]) -> Result<usize, Refusal> {
    let at = find(TYPE.get(body))?;
    let refusal = Refusal(Status::BAD_PARAM, Syndrome::READ_ONLY_REGISTER);
    ITEMS[at].is_writable.then_some(at).ok_or(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0x15, 0xb3, 0, 9];

    /// Returns MNVDA for item `kind` in a mode, as mstconfig sends it, with `room` bytes of data.
    fn ask(kind: u32, mode: u8, room: usize) -> Vec<u8> {
        let mut body = vec![0; DATA + room];
        body[1] = mode << 6;
        body[4..8].copy_from_slice(&kind.to_be_bytes());
        body
    }

    fn set(nvconfig: &mut Nvconfig, kind: u32, data: &[u8]) -> Result<(), Refusal> {
        let mut body = ask(kind, 0, data.len());
        // writer_id mlxconfig, ovr_en, length.
        (body[0], body[1], body[3]) = (2, 9, data.len() as u8);
        body[DATA..].copy_from_slice(data);
        nvconfig.write(&body)
    }

    fn get(nvconfig: &Nvconfig, kind: u32, mode: u8) -> Vec<u8> {
        let mut body = ask(kind, mode, 32);
        nvconfig.read(&mut body).unwrap();
        body
    }

    #[test]
    fn golden_item() {
        let body = get(&Nvconfig::new(MAC), 0x10a, 0);
        assert_eq!(body[..DATA], [0, 0, 0x10, 8, 0, 0, 1, 0x0a, 0, 0, 0, 0]);
        assert_eq!(body[DATA..DATA + 9], [0, 0, 1, 0, 0, 0, 0, 0, 0]);
        let body = get(&Nvconfig::new(MAC), 2, 2);
        assert_eq!(body[DATA..DATA + 8], [0, 0, 2, 0, 0x15, 0xb3, 0, 9]);
        assert_eq!(body[DATA + 8..DATA + 16], [2, 0, 0x15, 3, 0, 0xb3, 0, 9]);
    }

    #[test]
    fn golden_query() {
        let ask = |kind: u32| {
            let mut body = [0xff; 8];
            body[..4].copy_from_slice(&kind.to_be_bytes());
            query(&mut body);
            body
        };
        assert_eq!(ask(0x0101_0190), [1, 1, 1, 0x90, 0, 0, 0, 0x33]);
        assert_eq!(ask(0x81), [0, 0, 0, 0x81, 0, 0, 0, 1]);
        assert_eq!(ask(0x82), [0, 0, 0, 0x82, 0, 0, 0, 0]);
        let mut body = [0xff; 16];
        capabilities(&mut body);
        assert_eq!(body, [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn written_now_and_current_after_a_restart() {
        let mut nvconfig = Nvconfig::new(MAC);
        set(&mut nvconfig, 0x0101_0190, &[0, 0, 0, 6]).unwrap();
        let byte = |nvconfig: &Nvconfig, mode| get(nvconfig, 0x0101_0190, mode)[DATA + 3];
        let all = |nvconfig: &Nvconfig| [0, 1, 2].map(|mode| byte(nvconfig, mode));
        assert_eq!(all(&nvconfig), [6, 1, 1]);
        assert_eq!(get(&nvconfig, 0x0101_0190, 0)[1], 9, "writer");
        nvconfig.restart();
        assert_eq!(all(&nvconfig), [6, 6, 1]);
        nvconfig.invalidate(&ask(0x0101_0190, 0, 0)).unwrap();
        assert_eq!(all(&nvconfig), [1, 6, 1]);
        set(&mut nvconfig, 0x80, &[0; 12]).unwrap();
        nvconfig.invalidate_all();
        assert_eq!(get(&nvconfig, 0x80, 0)[DATA], 0x90);
    }

    #[test]
    fn refused() {
        let mut nvconfig = Nvconfig::new(MAC);
        let read = |body: &mut [u8]| nvconfig.read(body).unwrap_err().1;
        assert_eq!(read(&mut ask(0x82, 0, 32)), Syndrome::BAD_INDEX);
        assert_eq!(read(&mut ask(0x80, 3, 32)), Syndrome::BAD_VALUE);
        assert_eq!(read(&mut ask(0x80, 0, 11)), Syndrome::SHORT_INPUT);
        assert_eq!(read(&mut []), Syndrome::BAD_INDEX);

        let read_only = set(&mut nvconfig, 0x81, &[0; 20]).unwrap_err();
        assert_eq!(read_only.1, Syndrome::READ_ONLY_REGISTER);
        let long = set(&mut nvconfig, 0x10a, &[0; 9]).unwrap_err();
        assert_eq!(long.1, Syndrome::BAD_SIZE);
        let mut body = ask(0x10a, 0, 7);
        body[3] = 8;
        assert_eq!(nvconfig.write(&body).unwrap_err().1, Syndrome::SHORT_INPUT);
        body.push(0);
        body[2] = 0x20; // version 2
        assert_eq!(nvconfig.write(&body).unwrap_err().1, Syndrome::BAD_VALUE);
        (body[1], body[2]) = (0x40, 0);
        assert_eq!(nvconfig.write(&body).unwrap_err().1, Syndrome::BAD_VALUE);
    }
}
