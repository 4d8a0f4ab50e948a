// SPDX-License-Identifier: MIT OR Apache-2.0

//! CXL memory devices: the features of a device, their values, and the commands of the device. And
//! CXL switches: their commands and ports.
//!
//! Messages and tables are those of CXL 3.2, sections 8.2.10.6.1 to 8.2.10.6.3, in the envelope of
//! `include/uapi/fwctl/cxl.h`.
//!
//! ```
//! use fwctl::{cxl::{CxlDevice, GetFeature, Selection}, replay::Replay, Device};
//!
//! let replay = Replay::parse("
//!     info cxl
//! rpc configuration 01050000 00000000 15000000 00000000    # Get Feature, 21 bytes:
//!     96dad7d6fde8482ba73375774e06db8a 0000 0200 00         # patrol scrub, offset 0, 2 bytes, current value
//!     -> 02000000 00000000 0c01                             # 2 bytes, success
//! ").unwrap();
//! let cxl = CxlDevice::new(Device::with_transport("fwctl0", replay))?;
//! let uuid = fwctl::cxl::known_feature("patrol-scrub").unwrap();
//! let value = cxl.get(&GetFeature { uuid, selection: Selection::Current, offset: 0, size: 2 })?;
//! assert_eq!(value, [0x0c, 0x01]);
//! # Ok::<(), fwctl::Error>(())
//! ```

mod command;
mod decode;
mod effects;
mod feature;
mod message;
mod setting;
mod switch;

pub use command::{
    command_name, known_log, known_logs, Command, CommandPolicy, Log, Refusal, FIRST_VENDOR_OPCODE,
};
pub use decode::{feature_fields, FeatureField};
pub use effects::{effect_names, Effect};
pub use feature::{known_feature, known_features, Feature, SetPolicy, Verdict};
pub use message::{GetFeature, Selection, SetFeature, UnknownSelection};
pub use setting::{settable_fields, writable_part, NewField, NewValue, SettingError, Settings};
pub use switch::{Port, Switch};

use crate::{Device, DeviceType, DriverInfo, Error, Malformed, Reply, Result, Rpc, Scope};
use fwctl_uapi::cxl::{caps, QUERY_COMMANDS};
use message::Payload;

/// Scope of the commands that read.
pub const READ_SCOPE: Scope = Scope::Configuration;

/// Scope of Get Log: the log may be a vendor's debug log.
pub const LOG_SCOPE: Scope = Scope::DebugReadOnly;

/// Opcodes of Get Supported Logs and Get Log (sections 8.2.10.5.1 and 8.2.10.5.2).
const GET_SUPPORTED_LOGS: u16 = 0x0400;
const GET_LOG: u16 = 0x0401;

/// Opcode of Get Physical Port State (section 7.6.7.1.2).
const GET_PORT_STATE: u16 = 0x5101;

/// The largest log that is read, in bytes.
const MAX_LOG: u32 = 64 << 20;

/// The smallest payload that a mailbox has (section 8.2.9.4.3).
const LEAST_PAYLOAD: usize = 256;

/// Features asked for at a time: a reply of 3 KiB.
const BATCH: u16 = 64;

/// A fwctl device that is a CXL memory device or a CXL switch.
#[derive(Clone, Debug)]
pub struct CxlDevice {
    device: Device,
}

impl CxlDevice {
    /// Opcode of Identify Switch Device, which every switch has (section 7.6.7.1.1).
    pub const IDENTIFY_SWITCH: u16 = 0x5100;

    /// Takes a device; fails if it is not a CXL one.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] if it is another type's; [`Error::Call`] if it cannot be asked.
    pub fn new(device: Device) -> Result<CxlDevice> {
        device.expect_type(DeviceType::Cxl)?;
        Ok(CxlDevice { device })
    }

    /// The device below.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Every feature that the device has, in its order.
    ///
    /// # Errors
    ///
    /// [`Error::Call`], [`Error::Refused`]; [`Error::Malformed`] if counts and bytes of a reply
    /// disagree.
    pub fn features(&self) -> Result<Vec<Feature>> {
        self.features_with(|_, _| {})
    }

    /// Like [`CxlDevice::features`]; `progress` is told after each reply how many have come, and
    /// how many there are.
    ///
    /// # Errors
    ///
    /// As for [`CxlDevice::features`].
    pub fn features_with(&self, mut progress: impl FnMut(usize, usize)) -> Result<Vec<Feature>> {
        const WHAT: &str = "Get Supported Features";
        // The first reply says how many there are. A device without features is not registered by
        // the kernel.
        let first = self.ask(
            WHAT,
            &message::get_supported(0, 0),
            message::supported_room(0),
        )?;
        let (announced, _) =
            message::supported(&first, 0).map_err(|why| self.malformed(WHAT, why))?;
        let mut features = Vec::new();
        // All batches at once, if there are several.
        let starts = (0..announced).step_by(BATCH.into());
        let mut batches = self.batches(starts, announced)?.into_iter();
        while features.len() < usize::from(announced) {
            let start = features.len() as u16;
            let count = BATCH.min(announced - start);
            // After a short batch, those that were asked for begin elsewhere.
            let reply = match batches.next().filter(|(from, _)| *from == start) {
                Some((_, reply)) => self.payload(WHAT, &reply?.bytes)?,
                None => self.ask(
                    WHAT,
                    &message::get_supported(start, count),
                    message::supported_room(count),
                )?,
            };
            let (_, batch) =
                message::supported(&reply, count).map_err(|why| self.malformed(WHAT, why))?;
            if batch.is_empty() {
                let (announced, got) = (announced.into(), features.len());
                return Err(self.malformed(
                    WHAT,
                    Malformed::Stopped {
                        part: "features",
                        announced,
                        got,
                    },
                ));
            }
            features.extend(batch);
            progress(features.len(), announced.into());
        }
        Ok(features)
    }

    /// Asks for the features from each start on; for none if one request gets them all.
    fn batches(
        &self,
        starts: impl ExactSizeIterator<Item = u16> + Clone,
        announced: u16,
    ) -> Result<Vec<(u16, Result<Reply>)>> {
        if starts.len() < 2 {
            return Ok(Vec::new());
        }
        let rpc = |start| {
            let count = BATCH.min(announced - start);
            let room = message::supported_room(count);
            Rpc::new(READ_SCOPE, message::get_supported(start, count), room)
        };
        let replies = self.device.rpc_all(starts.clone().map(rpc).collect())?;
        Ok(starts.zip(replies).collect())
    }

    /// Part of a feature's value: exactly `get.size` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Call`], [`Error::Refused`]; [`Error::Malformed`] if more or fewer bytes came than
    /// were asked for.
    pub fn get(&self, get: &GetFeature) -> Result<Vec<u8>> {
        let room = message::REPLY_HEADER + usize::from(get.size);
        self.value(get, self.device.rpc(READ_SCOPE, &get.request(), room))
    }

    /// Parts of features' values, with many requests in flight where that is possible. One that
    /// fails does not stop the others.
    ///
    /// # Errors
    ///
    /// As for [`Device::rpc_all`]; for each value, as for [`CxlDevice::get`].
    pub fn get_all(&self, gets: &[GetFeature]) -> Result<Vec<Result<Vec<u8>>>> {
        let rpc = |get: &GetFeature| {
            let room = message::REPLY_HEADER + usize::from(get.size);
            Rpc::new(READ_SCOPE, get.request(), room)
        };
        let replies = self.device.rpc_all(gets.iter().map(rpc).collect())?;
        let values = gets.iter().zip(replies);
        Ok(values.map(|(get, reply)| self.value(get, reply)).collect())
    }

    /// The value in the reply to a Get Feature.
    fn value(&self, get: &GetFeature, reply: Result<Reply>) -> Result<Vec<u8>> {
        const WHAT: &str = "Get Feature";
        let size = usize::from(get.size);
        let payload = self.payload(WHAT, &reply?.bytes)?.0;
        if payload.len() != size {
            let (part, got) = ("the feature", payload.len());
            let why = if got > size {
                Malformed::Long {
                    part,
                    asked: size,
                    got,
                }
            } else {
                Malformed::Short {
                    part,
                    needed: size,
                    got,
                }
            };
            return Err(self.malformed(WHAT, why));
        }
        Ok(payload)
    }

    /// Changes part of a feature's value, in the scope that the caller has agreed to: see
    /// [`Feature::set_policy`].
    ///
    /// # Errors
    ///
    /// [`Error::Call`] if the kernel refuses the scope or the feature, [`Error::Refused`] if the
    /// device does, [`Error::Malformed`].
    pub fn set(&self, scope: Scope, set: &SetFeature<'_>) -> Result<()> {
        const WHAT: &str = "Set Feature";
        let reply = self
            .device
            .rpc(scope, &set.request(), message::REPLY_HEADER)?;
        self.payload(WHAT, &reply.bytes)?;
        Ok(())
    }

    /// The most bytes of payload that a command has, if the kernel passes commands beyond the
    /// Feature commands; nothing if it does not.
    ///
    /// # Errors
    ///
    /// [`Error::Call`].
    pub fn payload_size(&self) -> Result<Option<usize>> {
        Ok(match self.device.info()?.driver {
            DriverInfo::CxlCommands {
                uctx_caps,
                payload_size,
            } if uctx_caps & caps::COMMANDS != 0 => Some(payload_size as usize),
            _ => None,
        })
    }

    /// The commands of the device, and what the kernel asks of a program that sends them. The
    /// device is not asked. Nothing if the kernel does not answer this.
    ///
    /// # Errors
    ///
    /// [`Error::Call`]; [`Error::Malformed`] if counts and bytes of the reply disagree.
    pub fn commands(&self) -> Result<Option<Vec<Command>>> {
        const WHAT: &str = "the query for commands";
        // Enough for most devices.
        const FIRST: usize = 4096;
        match self.device.info()?.driver {
            DriverInfo::CxlCommands { uctx_caps, .. } if uctx_caps & caps::QUERY_COMMANDS != 0 => {}
            _ => return Ok(None),
        }
        let request = message::request(QUERY_COMMANDS, &[]);
        let mut reply = self.device.rpc(READ_SCOPE, &request, FIRST)?;
        if reply.is_truncated() {
            reply = self.device.rpc(READ_SCOPE, &request, reply.true_len)?;
        }
        let payload = self.payload(WHAT, &reply.bytes)?;
        let commands = command::commands(&payload).map_err(|why| self.malformed(WHAT, why))?;
        Ok(Some(commands))
    }

    /// The bytes of a request that sends a command, other than a Feature command, with this input
    /// payload.
    pub fn command_request(opcode: u16, input: &[u8]) -> Vec<u8> {
        message::request(opcode.into(), &[input])
    }

    /// Sends a command, other than a Feature command, in the scope that the caller has agreed to:
    /// see [`CxlDevice::commands`]. Returns its output payload, of at most `most` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Call`] if the kernel refuses the scope or the command, [`Error::Refused`] if the
    /// device does; [`Error::Malformed`], also if the output is longer than `most`.
    pub fn send(&self, scope: Scope, opcode: u16, input: &[u8], most: usize) -> Result<Vec<u8>> {
        let what = match command_name(opcode) {
            Some(name) => name.to_owned(),
            None => format!("command {opcode:#06x}"),
        };
        let request = CxlDevice::command_request(opcode, input);
        let room = message::REPLY_HEADER + most;
        let reply = self.device.rpc(scope, &request, room)?;
        if reply.is_truncated() {
            let why = Malformed::Long {
                part: "the output",
                asked: most,
                got: reply.true_len.saturating_sub(message::REPLY_HEADER),
            };
            return Err(self.malformed(&what, why));
        }
        Ok(self.payload(&what, &reply.bytes)?.0)
    }

    /// The logs of the device.
    ///
    /// # Errors
    ///
    /// As for [`CxlDevice::send`].
    pub fn logs(&self) -> Result<Vec<Log>> {
        let most = self.payload_size()?.unwrap_or(LEAST_PAYLOAD);
        let list = self.send(READ_SCOPE, GET_SUPPORTED_LOGS, &[], most)?;
        command::logs(&list).map_err(|why| self.malformed("Get Supported Logs", why))
    }

    /// The content of a log. It ends early if the device has less of it than it announces.
    ///
    /// # Errors
    ///
    /// As for [`CxlDevice::send`].
    pub fn log(&self, log: &Log) -> Result<Vec<u8>> {
        let most = self.payload_size()?.unwrap_or(LEAST_PAYLOAD);
        if log.size > MAX_LOG {
            let why = Malformed::Long {
                part: "the log",
                asked: MAX_LOG as usize,
                got: log.size as usize,
            };
            return Err(self.malformed("Get Supported Logs", why));
        }
        let mut content = Vec::new();
        while content.len() < log.size as usize {
            let part = most.min(log.size as usize - content.len());
            let input = command::get_log(log.uuid, content.len() as u32, part as u32);
            let got = self.send(LOG_SCOPE, GET_LOG, &input, part)?;
            content.extend(&got);
            if got.len() < part {
                break;
            }
        }
        Ok(content)
    }

    /// What the device is made of, if it is a switch.
    ///
    /// # Errors
    ///
    /// As for [`CxlDevice::send`].
    pub fn switch(&self) -> Result<Switch> {
        let most = self.payload_size()?.unwrap_or(LEAST_PAYLOAD);
        let identity = self.send(READ_SCOPE, CxlDevice::IDENTIFY_SWITCH, &[], most)?;
        switch::switch(&identity).map_err(|why| self.malformed("Identify Switch Device", why))
    }

    /// The states of these ports of a switch, in this order.
    ///
    /// # Errors
    ///
    /// As for [`CxlDevice::send`].
    pub fn ports(&self, ids: &[u8]) -> Result<Vec<Port>> {
        let most = self.payload_size()?.unwrap_or(LEAST_PAYLOAD);
        let mut ports = Vec::new();
        for ids in ids.chunks(switch::ports_at_a_time(most)) {
            let input = switch::get_ports(ids);
            let states = self.send(READ_SCOPE, GET_PORT_STATE, &input, most)?;
            let states = switch::ports(&states, ids)
                .map_err(|why| self.malformed("Get Physical Port State", why))?;
            ports.extend(states);
        }
        Ok(ports)
    }

    fn ask(&self, what: &str, request: &[u8], room: usize) -> Result<Payload> {
        let reply = self.device.rpc(READ_SCOPE, request, room)?;
        self.payload(what, &reply.bytes)
    }

    fn payload(&self, what: &str, reply: &[u8]) -> Result<Payload> {
        match message::open(reply) {
            Ok(Ok(payload)) => Ok(payload),
            Ok(Err(status)) => Err(Error::Refused {
                device: self.device.name().into(),
                what: what.into(),
                status,
            }),
            Err(why) => Err(self.malformed(what, why)),
        }
    }

    fn malformed(&self, what: &str, why: Malformed) -> Error {
        Error::Malformed {
            device: self.device.name().into(),
            what: what.into(),
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InfoReply, Transport};
    use std::io;

    /// A device with this many features, of which a reply has at most so many.
    struct Lists(u16, u16);

    impl Transport for Lists {
        fn info(&self, _: &mut [u8]) -> io::Result<InfoReply> {
            Ok(InfoReply {
                device_type: DeviceType::Cxl.number(),
                data_len: 0,
            })
        }

        // CXL 3.2, section 8.2.10.6.1: count in bytes and first index, after 16 bytes of envelope.
        fn rpc(&self, _: Scope, request: &[u8], reply: &mut [u8]) -> io::Result<u32> {
            let bytes = u32::from_le_bytes(request[16..20].try_into().unwrap());
            let start = u16::from_le_bytes(request[20..22].try_into().unwrap());
            let count = (((bytes - 8) / 48) as u16).min(self.1).min(self.0 - start);
            let mut payload = [count, self.0, 0, 0].map(u16::to_le_bytes).concat();
            for id in start..start + count {
                let mut entry = [0; 48];
                entry[16..18].copy_from_slice(&id.to_le_bytes());
                payload.extend(entry);
            }
            let all = [&(payload.len() as u32).to_ne_bytes()[..], &[0; 4], &payload].concat();
            reply[..all.len()].copy_from_slice(&all);
            Ok(all.len() as u32)
        }

        fn concurrency(&self) -> usize {
            4
        }
    }

    #[test]
    fn all_features_in_order_whatever_a_reply_holds() {
        for total in [0, 1, 64, 65, 200, 1000] {
            for most in [1, 32, 60, 64] {
                let device = Device::with_transport("fwctl0", Lists(total, most));
                let features = CxlDevice::new(device).unwrap().features().unwrap();
                let ids: Vec<u16> = features.iter().map(|feature| feature.id).collect();
                assert_eq!(ids, (0..total).collect::<Vec<_>>(), "{most}");
            }
        }
    }
}
