// SPDX-License-Identifier: MIT OR Apache-2.0

//! Content of the access registers, and their access by ACCESS_REG (0x805) and
//! ACCESS_REGISTER_USER (0xb0c).
//!
//! Layouts: `mcam_reg`, `pcam_reg`, `mcqs_reg`, `mcqi_reg`, `mcc_reg`, `mfrl_reg`, `mrtc_reg`,
//! `mtcap_reg`, `mtmp_reg`, `dtor_reg` of mlx5_ifc.h; `mgir_ext` and `mqis_reg_ext` of mstflint's
//! `prm_dbs/hca/ext/register_access_table.adb`, which counts offsets from the low end of a word.
//! The configuration registers are in [`nvconfig`].

use super::cmds::Access;
use super::component::{Components, Direction};
use super::fields::{register as layout, Field};
use super::nvconfig::{self, Nvconfig};
use super::refusal::{Refusal, Status, Syndrome};
use super::{identity, registers, Options};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Number of sensors (MTMP).
const SENSORS: usize = 2;
/// Temperatures have a unit of 1/8 degree.
const DEGREE: u16 = 8;
/// Supported reset levels (MFRL): live patch, PCIe link, power (bits 0, 3, 6).
const RESET_LEVELS: u8 = 0x49;
/// Components of the flash: boot image, OEM and NVIDIA configuration (`MCQS_IDENTIFIER_*` in fw.c).
const COMPONENTS: [u16; 3] = [0x1, 0x4, 0x5];

const fn field(at: usize, width: usize) -> Field {
    Field::new(at, width)
}

/// One temperature sensor.
#[derive(Clone, Copy, Debug)]
struct Sensor {
    temperature: u16,
    max: u16,
    is_max_kept: bool,
    high: u16,
    low: u16,
}

/// The state behind the registers.
#[derive(Clone, Debug)]
pub struct Management {
    started: Instant,
    serial: u16,
    sensors: [Sensor; SENSORS],
    /// The device time in µs as last set, and when it was set.
    clock: (u64, Instant),
    /// Byte order of the driver (HOST_ENDIANNESS).
    endianness: [u8; 16],
    /// Configuration of the card.
    pub nvconfig: Nvconfig,
    /// Components of the firmware.
    pub components: Components,
    /// Number of resets requested by MFRL.
    pub resets_asked: u64,
}

impl Management {
    /// Returns the registers after power on.
    pub fn new(options: &Options) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let sensor = Sensor {
            temperature: 45 * DEGREE,
            max: 45 * DEGREE,
            is_max_kept: false,
            high: 105 * DEGREE,
            low: 100 * DEGREE,
        };
        Management {
            started: Instant::now(),
            serial: options.serial,
            sensors: [sensor; SENSORS],
            clock: (now.as_micros() as u64, Instant::now()),
            endianness: [0; 16],
            nvconfig: Nvconfig::new(identity::mac(options.serial)),
            components: Components::default(),
            resets_asked: 0,
        }
    }

    /// Reads register `id` into `body`, which holds the request and has at least the register's
    /// length.
    pub fn read(&mut self, id: u16, body: &mut [u8]) -> Result<(), Refusal> {
        match id {
            registers::MGIR => self.mgir(body),
            registers::MCAM => capability_mask(body, 0x48, |group| match group {
                0..=3 => registers::mask(0x9000 + 0x80 * u16::from(group)),
                _ => [0; 16],
            }),
            registers::PCAM => capability_mask(body, 0x50, |group| match group {
                0 => registers::mask(0x5000),
                _ => [0; 16],
            }),
            registers::MCQS => return mcqs(body),
            registers::MCQI => return mcqi(body),
            registers::MFRL => {
                body.fill(0);
                body[7] = RESET_LEVELS;
                // Reset type 0 (full), and both methods to start it.
                body[6] = 1;
            }
            registers::MRTC => {
                body.fill(0);
                field(0, 1).set(body, 1);
                let now = self
                    .clock
                    .0
                    .wrapping_add(self.clock.1.elapsed().as_micros() as u64);
                field(0x40, 64).set(body, now);
            }
            registers::MTCAP => {
                body.fill(0);
                field(0x19, 7).set(body, SENSORS as u64);
                body[7] = 1; // internal_sensor_count (.adb)
                field(0x40, 64).set(body, (1 << SENSORS) - 1);
            }
            registers::MTMP => return self.mtmp(body),
            registers::MNVDA => return self.nvconfig.read(body),
            registers::MNVQC => nvconfig::query(body),
            registers::MNVGC => nvconfig::capabilities(body),
            // Write only.
            registers::MNVDI | registers::MNVIA => {
                return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_OP_MOD));
            }
            registers::MQIS => return mqis(body),
            registers::MCC => self.components.read_mcc(body),
            registers::MCDA => return self.components.mcda(Direction::Read, body),
            registers::HOST_ENDIANNESS => body[..16].copy_from_slice(&self.endianness),
            // With zeroes the driver uses its default timeouts.
            registers::DTOR => body.fill(0),
            _ => return Err(Refusal(Status::BAD_PARAM, Syndrome::UNKNOWN_REGISTER)),
        }
        Ok(())
    }

    /// Writes register `id`. `body` becomes the data of the answer.
    pub fn write(&mut self, id: u16, body: &mut [u8]) -> Result<(), Refusal> {
        match id {
            registers::MNVDA => return self.nvconfig.write(body),
            registers::MNVDI => return self.nvconfig.invalidate(body),
            registers::MNVIA => self.nvconfig.invalidate_all(),
            registers::MCC => return self.components.write_mcc(body),
            registers::MCDA => return self.components.mcda(Direction::Burn, body),
            registers::MRTC => self.clock = (field(0x40, 64).get(body), Instant::now()),
            registers::MFRL => {
                let level = body[7];
                if !level.is_power_of_two() || level & RESET_LEVELS == 0 {
                    return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_VALUE));
                }
                // Only counted: a reset would need the driver of the guest.
                self.resets_asked += 1;
            }
            registers::MTMP => {
                let sensor = sensor_index(body)?;
                let sensor = &mut self.sensors[sensor];
                let (high, low) = (
                    field(0x70, 16).get(body) as u16,
                    field(0x90, 16).get(body) as u16,
                );
                if low > high {
                    return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_VALUE));
                }
                (sensor.high, sensor.low) = (high, low);
                sensor.is_max_kept = field(0x40, 1).is_set(body);
                if field(0x41, 1).is_set(body) {
                    sensor.max = sensor.temperature;
                }
            }
            registers::HOST_ENDIANNESS => self.endianness.copy_from_slice(&body[..16]),
            _ => return Err(Refusal(Status::BAD_PARAM, Syndrome::READ_ONLY_REGISTER)),
        }
        Ok(())
    }

    fn mgir(&self, body: &mut [u8]) {
        body.fill(0);
        let (major, minor, sub) = identity::FIRMWARE;
        let (year, month, day) = identity::BUILT;
        let mac = identity::mac(self.serial);
        put16(body, 0x02, 0x0218); // device_id
        body[0x05] = 1; // num_ports
        put16(body, 0x0a, identity::HW_DEVICE);
        body[0x12..0x18].copy_from_slice(&mac); // manufacturing_base_mac
        put32(body, 0x1c, self.started.elapsed().as_secs() as u32); // uptime
        body[0x21..0x24].copy_from_slice(&[major as u8, minor as u8, sub as u8]);
        put16(body, 0x2a, year); // 16 bits from the low end: binary coded, as `month` and `day`
        body[0x28..0x2a].copy_from_slice(&[month, day]);
        body[0x30..0x40].copy_from_slice(identity::PSID);
        put32(body, 0x44, major.into()); // extended_major, minor, sub_minor
        put32(body, 0x48, minor.into());
        put32(body, 0x4c, sub.into());
    }

    fn mtmp(&self, body: &mut [u8]) -> Result<(), Refusal> {
        let index = sensor_index(body)?;
        let sensor = &self.sensors[index];
        body[4..].fill(0);
        put16(body, 0x06, sensor.temperature);
        field(0x40, 1).set(body, sensor.is_max_kept.into());
        put16(body, 0x0a, sensor.max);
        put16(body, 0x0e, sensor.high);
        put16(body, 0x12, sensor.low);
        body[0x18..0x20].copy_from_slice(if index == 0 {
            b"asic\0\0\0\0"
        } else {
            b"module\0\0"
        });
        Ok(())
    }
}

/// Checks an access to a register.
///
/// The data may be longer than the register, as mstflint reads each with 1 KiB, but not shorter.
pub fn check(id: u16, access: Access, data: &[u8]) -> Result<(), Refusal> {
    let register =
        registers::find(id).ok_or(Refusal(Status::BAD_PARAM, Syndrome::UNKNOWN_REGISTER))?;
    if access == Access::Write && !register.is_writable {
        return Err(Refusal(Status::BAD_PARAM, Syndrome::READ_ONLY_REGISTER));
    }
    if data.len() < register.len {
        return Err(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT));
    }
    Ok(())
}

/// Executes an access and returns the answer, which is as long as the input.
pub fn access(
    content: &mut Management,
    id: u16,
    access: Access,
    data: &[u8],
) -> Result<Vec<u8>, Refusal> {
    check(id, access, data)?;
    let mut answer = vec![0; layout::DATA];
    answer.extend_from_slice(data);
    let body = &mut answer[layout::DATA..];
    match access {
        Access::Read => content.read(id, body)?,
        Access::Write => content.write(id, body)?,
    }
    Ok(answer)
}

fn put16(body: &mut [u8], at: usize, value: u16) {
    body[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn put32(body: &mut [u8], at: usize, value: u32) {
    body[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

fn bad_index() -> Refusal {
    Refusal(Status::BAD_PARAM, Syndrome::BAD_INDEX)
}

fn sensor_index(body: &[u8]) -> Result<usize, Refusal> {
    let index = field(0x14, 12).get(body) as usize;
    (index < SENSORS).then_some(index).ok_or(bad_index())
}

/// MCAM and PCAM: repeats the groups and returns the mask of registers, without features.
fn capability_mask(body: &mut [u8], len: usize, mask: impl Fn(u8) -> [u8; 16]) {
    let group = body[3];
    body[4..len].fill(0);
    body[8..24].copy_from_slice(&mask(group));
}

/// MCQS: returns the state of a component. The last one is marked, or a reader would not stop.
fn mcqs(body: &mut [u8]) -> Result<(), Refusal> {
    let index = usize::from(u16::from_be_bytes([body[2], body[3]]));
    let identifier = *COMPONENTS.get(index).ok_or(bad_index())?;
    let is_last = index + 1 == COMPONENTS.len();
    body[4..].fill(0);
    field(0, 1).set(body, is_last.into());
    put16(body, 6, identifier);
    Ok(())
}

/// MCQI: returns the capabilities (0) or the version (1) of a component.
fn mcqi(body: &mut [u8]) -> Result<(), Refusal> {
    const DATA: usize = 0x18;
    let index = usize::from(u16::from_be_bytes([body[2], body[3]]));
    if index >= COMPONENTS.len() {
        return Err(bad_index());
    }
    let mut info = match body[0x0b] & 0x1f {
        0 => vec![0; 0x14],
        1 => vec![0; 0x7c],
        _ => return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_VALUE)),
    };
    let (major, minor, sub) = identity::FIRMWARE;
    if info.len() == 0x14 {
        put32(&mut info, 0x00, 0b11); // supported_info_bitmask
        put32(&mut info, 0x08, 16 << 20); // max_component_size
        put32(&mut info, 0x0c, 2 << 28 | 128); // units of 4 bytes, at most 128 in one access
        put32(&mut info, 0x10, 1 << 29 | 1 << 28); // matches chip and PSID
    } else {
        let text = format!("{major}.{minor}.{sub:04}");
        info[3] = text.len() as u8;
        put32(
            &mut info,
            4,
            u32::from(major) << 24 | u32::from(minor) << 16 | u32::from(sub),
        );
        info[0x20..0x20 + text.len()].copy_from_slice(text.as_bytes());
    }
    let offset = u32::from_be_bytes([body[0x10], body[0x11], body[0x12], body[0x13]]) as usize;
    let asked = usize::from(u16::from_be_bytes([body[0x16], body[0x17]]));
    let part = info.get(offset..).ok_or(bad_index())?;
    let part = &part[..part.len().min(asked).min(body.len() - DATA)];
    body[0x0c..0x10].copy_from_slice(&(info.len() as u32).to_be_bytes());
    body[DATA..].fill(0);
    body[DATA..DATA + part.len()].copy_from_slice(part);
    Ok(())
}

/// MQIS: returns a part of a string.
fn mqis(body: &mut [u8]) -> Result<(), Refusal> {
    const DATA: usize = 0x10;
    let text = match body[3] {
        1 => identity::MODEL,
        2 => identity::DESCRIPTION,
        // Vendor specific data of the image and of the device.
        3 | 4 => identity::VSD,
        _ => return Err(bad_index()),
    };
    let offset = usize::from(u16::from_be_bytes([body[8], body[9]]));
    let asked = usize::from(u16::from_be_bytes([body[10], body[11]]));
    let part = text.get(offset..).ok_or(bad_index())?;
    let part = &part[..part.len().min(asked).min(body.len() - DATA)];
    body[4..].fill(0);
    put16(body, 6, text.len() as u16);
    put16(body, 8, offset as u16);
    put16(body, 10, part.len() as u16);
    body[DATA..DATA + part.len()].copy_from_slice(part);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn management() -> Management {
        Management::new(&Options {
            serial: 0x304,
            ..Options::default()
        })
    }

    fn read(id: u16, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut body = body.to_vec();
        management().read(id, &mut body).map(|()| body)
    }

    #[test]
    fn golden_mgir() {
        let body = read(registers::MGIR, &[0; 0xa0]).unwrap();
        assert_eq!(body[0x0a..0x0c], [0x02, 0x18], "hw_dev_id");
        assert_eq!(body[0x10..0x18], [0, 0, 0x02, 0x00, 0x15, 0xb3, 0x03, 0x04]);
        assert_eq!(
            body[0x20..0x24],
            [0, 28, 45, 0xb0],
            "fw version, sub minor 1200 cut"
        );
        assert_eq!(
            body[0x28..0x2c],
            [0x11, 0x20, 0x20, 0x25],
            "month, day, year"
        );
        assert_eq!(&body[0x30..0x3d], b"EMU0000000001");
        assert_eq!(body[0x44..0x50], [0, 0, 0, 28, 0, 0, 0, 45, 0, 0, 4, 0xb0]);
    }

    #[test]
    fn golden_mcam() {
        let mut ask = [0; 0x48];
        let body = read(registers::MCAM, &ask).unwrap();
        assert_eq!(body[8..24], registers::mask(0x9000));
        (ask[1], ask[3]) = (1, 200);
        let body = read(registers::MCAM, &ask).unwrap();
        assert_eq!(body[..8], [0, 1, 0, 200, 0, 0, 0, 0]);
        assert_eq!(body[8..], [0; 0x40]);
    }

    #[test]
    fn components_end() {
        let at = |index: u8| {
            let mut ask = [0; 16];
            ask[3] = index;
            read(registers::MCQS, &ask)
        };
        assert_eq!(at(0).unwrap()[..8], [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(at(2).unwrap()[..8], [0x80, 0, 0, 2, 0, 0, 0, 5]);
        assert!(at(3).is_err());
    }

    #[test]
    fn golden_mcqi() {
        let mut ask = vec![0; 0x94];
        (ask[0x0b], ask[0x17]) = (1, 0x7c);
        let body = read(registers::MCQI, &ask).unwrap();
        assert_eq!(body[0x0c..0x10], [0, 0, 0, 0x7c]);
        assert_eq!(body[0x1b], 10);
        assert_eq!(&body[0x38..0x42], b"28.45.1200");
        ask[0x13] = 0x20;
        assert_eq!(
            &read(registers::MCQI, &ask).unwrap()[0x18..0x22],
            b"28.45.1200"
        );
        ask[0x13] = 0x7d;
        assert!(read(registers::MCQI, &ask).is_err());
        ask[0x10] = 0xff;
        assert!(read(registers::MCQI, &ask).is_err());
        (ask[0x10], ask[0x0b]) = (0, 2);
        assert!(read(registers::MCQI, &ask).is_err());
    }

    #[test]
    fn clock_can_be_set() {
        let mut content = management();
        let mut body = [0; 16];
        body[8..].copy_from_slice(&0x1_0000_0000u64.to_be_bytes());
        content.write(registers::MRTC, &mut body).unwrap();
        content.read(registers::MRTC, &mut body).unwrap();
        assert_eq!((body[0], &body[8..12]), (0x80, &[0, 0, 0, 1][..]));
    }

    #[test]
    fn thresholds_can_be_set() {
        let mut content = management();
        let mut body = [0; 0x20];
        (body[3], body[0x0e], body[0x0f], body[0x13]) = (1, 3, 0x20, 8);
        content.write(registers::MTMP, &mut body).unwrap();
        let mut body = [0; 0x20];
        body[3] = 1;
        content.read(registers::MTMP, &mut body).unwrap();
        assert_eq!(
            (&body[6..8], &body[0x0e..0x14]),
            (&[1, 0x68][..], &[3, 0x20, 0, 0, 0, 8][..])
        );
        assert_eq!(&body[0x18..], b"module\0\0");
        body[3] = 2;
        assert!(content.read(registers::MTMP, &mut body).is_err());
    }

    #[test]
    fn resets_are_noted() {
        let mut content = management();
        let mut body = [0, 0, 0, 0, 0, 0, 0, 8];
        content.write(registers::MFRL, &mut body).unwrap();
        body[7] = 9;
        assert!(content.write(registers::MFRL, &mut body).is_err());
        body[7] = 0;
        assert!(content.write(registers::MFRL, &mut body).is_err());
        assert_eq!(content.resets_asked, 1);
        content.read(registers::MFRL, &mut body).unwrap();
        assert_eq!(body[7], 0x49);
    }

    #[test]
    fn strings_come_in_parts() {
        let mut ask = [0; 0x18];
        (ask[3], ask[9], ask[11]) = (1, 4, 0xff);
        let body = read(registers::MQIS, &ask).unwrap();
        assert_eq!(body[4..12], [0, 0, 0, 7, 0, 4, 0, 3]);
        assert_eq!(&body[0x10..0x13], b"CX7");
    }

    #[test]
    fn each_register_at_each_length() {
        let mut content = Management::new(&Options::default());
        for register in registers::REGISTERS {
            for len in [0, 1, 3, 4, register.len - 1] {
                let short = access(&mut content, register.id, Access::Read, &vec![0; len]);
                assert_eq!(
                    short,
                    Err(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT)),
                    "{}",
                    register.name
                );
            }
            for len in [register.len, register.len + 1, 1024] {
                for fill in [0, 0xff, 0x5a] {
                    let data = vec![fill; len];
                    if let Ok(answer) = access(&mut content, register.id, Access::Read, &data) {
                        assert_eq!(answer.len(), 16 + len);
                    }
                    let written = access(&mut content, register.id, Access::Write, &data);
                    assert!(register.is_writable || written.is_err());
                }
            }
        }
        assert!(access(&mut content, 0x9021, Access::Read, &[0; 64]).is_err());
    }
}
