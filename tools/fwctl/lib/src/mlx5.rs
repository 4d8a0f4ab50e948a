// SPDX-License-Identifier: MIT OR Apache-2.0

//! ConnectX devices: registers, capabilities and query commands.
//!
//! Messages are mlx5 commands: big-endian, a header of 16 bytes, as `mlx5_ifc_mbox_in_hdr_bits` and
//! `mlx5_ifc_mbox_out_hdr_bits` of `include/linux/mlx5/mlx5_ifc.h` have it. The kernel writes the
//! user context's id into each. Field names and places come from the same header; what it does not
//! describe is bytes.
//!
//! ```
//! use fwctl::{mlx5::{register, Mlx5Device, Value}, replay::Replay, Device};
//!
//! let replay = Replay::parse("
//!     info mlx5 05000000 04000000
//! rpc debug-read-only 08050000 00000001 0000900a 00000000        # ACCESS_REG, read, MTMP
//!     00000001 00000000 00000000 00000000 0000000000000000 0000000000000000
//!     -> 00000000 00000000 00000000 00000000
//!     00000001 00000150 00000000 00000000 0000000000000000 6173696300000000
//! ").unwrap();
//! let mlx5 = Mlx5Device::new(Device::with_transport("fwctl0", replay))?;
//! let mtmp = register("mtmp").unwrap();
//! let mut data = vec![0; mtmp.size];
//! mtmp.set(&mut data, "sensor_index", 1).unwrap();
//! let data = mlx5.read_register(mtmp.id, &data)?;
//! assert_eq!(mtmp.field("temperature").unwrap().get(&data), Some(Value::Number(0x150)));    // 42 degrees, in units of 1/8
//! # Ok::<(), fwctl::Error>(())
//! ```

mod decode;
mod diagnostics;
mod dump;
mod identity;
mod layout;
mod queries;

pub use decode::decode;
pub use diagnostics::{diagnostic_counter, DiagnosticCaps, DiagnosticParams, DiagnosticSample};
pub use dump::{segments, Content, DumpRequest, Index, MenuRecord, Message, Segment, MENU};
pub use identity::Identity;
pub use layout::{
    capabilities, command, commands, register, registers, BadField, Choice, Command, Field, Layout,
    Value,
};
pub use queries::{check_query, NotAQuery};

use crate::{Device, DeviceType, Error, FirmwareStatus, Malformed, Reply, Result, Rpc, Scope};

/// Scope of register reads and query commands. It admits configuration commands as well, so it does
/// not make a command harmless: see [`check_query`].
pub const READ_SCOPE: Scope = Scope::DebugReadOnly;

/// Bytes of a command's header, in both directions.
pub const HEADER: usize = 16;

/// Command that reads and writes registers.
const ACCESS_REG: u16 = 0x805;
/// Command that reads capabilities.
const QUERY_HCA_CAP: u16 = 0x100;
/// Bytes of any capability.
const CAPABILITY: usize = 0x1000;

/// Which of a capability's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// The maximum.
    Maximum,
    /// The current value.
    Current,
}

/// One of many things to read with [`Mlx5Device::read_all`].
#[derive(Clone, Debug)]
pub enum Read {
    /// A register, as for [`Mlx5Device::read_register`].
    Register(u16, Vec<u8>),
    /// A capability, as for [`Mlx5Device::capability`].
    Capability(u16, Capability),
    /// A query command and its request, as for [`Mlx5Device::query`].
    Query(&'static Command, Vec<u8>),
}

/// A fwctl device that is a ConnectX.
#[derive(Clone, Debug)]
pub struct Mlx5Device {
    device: Device,
}

impl Mlx5Device {
    /// Takes a device; fails if it is not a ConnectX.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] if it is another type's; [`Error::Call`] if it cannot be asked.
    pub fn new(device: Device) -> Result<Mlx5Device> {
        device.expect_type(DeviceType::Mlx5)?;
        Ok(Mlx5Device { device })
    }

    /// The device below.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Reads a register. `data` has the register's length, and those of its fields set that select
    /// what is read.
    ///
    /// # Errors
    ///
    /// [`Error::Call`], [`Error::Refused`]; [`Error::Malformed`] if the reply has another length
    /// than its buffer.
    pub fn read_register(&self, id: u16, data: &[u8]) -> Result<Vec<u8>> {
        self.read_register_with(id, 0, data)
    }

    /// Reads a register with an argument, which most registers ignore.
    ///
    /// # Errors
    ///
    /// As for [`Mlx5Device::read_register`].
    pub fn read_register_with(&self, id: u16, argument: u32, data: &[u8]) -> Result<Vec<u8>> {
        let reply = self.command(
            &access(id),
            READ_SCOPE,
            &access_register_with(id, true, argument, data),
            HEADER + data.len(),
        )?;
        Ok(reply[HEADER..].to_vec())
    }

    /// Writes a register, in the scope that the caller has agreed to. Linux 7.3 accepts any.
    ///
    /// # Errors
    ///
    /// [`Error::Call`], [`Error::Refused`]; [`Error::Malformed`] if the reply has another length
    /// than its buffer.
    pub fn write_register(&self, scope: Scope, id: u16, data: &[u8]) -> Result<()> {
        self.write_register_with(scope, id, 0, data)
    }

    /// Writes a register with an argument, which most registers ignore.
    ///
    /// # Errors
    ///
    /// As for [`Mlx5Device::write_register`].
    pub fn write_register_with(
        &self,
        scope: Scope,
        id: u16,
        argument: u32,
        data: &[u8],
    ) -> Result<()> {
        self.command(
            &access(id),
            scope,
            &access_register_with(id, false, argument, data),
            HEADER + data.len(),
        )?;
        Ok(())
    }

    /// Reads a capability: 4096 bytes, of which its layout describes the start.
    ///
    /// # Errors
    ///
    /// [`Error::Call`], [`Error::Refused`]; [`Error::Malformed`] if the reply has another length
    /// than its buffer.
    pub fn capability(&self, id: u16, which: Capability) -> Result<Vec<u8>> {
        let reply = self.command(
            "QUERY_HCA_CAP",
            Scope::Configuration,
            &query_capability(id, which),
            HEADER + CAPABILITY,
        )?;
        Ok(reply[HEADER..].to_vec())
    }

    /// Reads several registers, with many requests in flight where that is possible: number and
    /// data of each, as for [`Mlx5Device::read_register`]. One that fails does not stop the others.
    ///
    /// # Errors
    ///
    /// As for [`Device::rpc_all`]; for each register, as for [`Mlx5Device::read_register`].
    pub fn read_registers(&self, registers: &[(u16, Vec<u8>)]) -> Result<Vec<Result<Vec<u8>>>> {
        let read = |(id, data): &(u16, Vec<u8>)| Read::Register(*id, data.clone());
        self.read_all(&registers.iter().map(read).collect::<Vec<_>>())
    }

    /// Reads several capabilities, with many requests in flight where that is possible. One that
    /// fails does not stop the others.
    ///
    /// # Errors
    ///
    /// As for [`Device::rpc_all`]; for each capability, as for [`Mlx5Device::capability`].
    pub fn capabilities(&self, wanted: &[(u16, Capability)]) -> Result<Vec<Result<Vec<u8>>>> {
        let read = |&(id, which): &(u16, Capability)| Read::Capability(id, which);
        self.read_all(&wanted.iter().map(read).collect::<Vec<_>>())
    }

    /// Reads registers, capabilities and query commands, with many requests in flight where that is
    /// possible. One that fails does not stop the others.
    ///
    /// # Errors
    ///
    /// As for [`Device::rpc_all`], and [`Error::NotAQuery`], both before anything is sent; for each
    /// of them, as for the method that reads one.
    pub fn read_all(&self, reads: &[Read]) -> Result<Vec<Result<Vec<u8>>>> {
        let rpc = |read: &Read| {
            Ok(match read {
                Read::Register(id, data) => {
                    let request = access_register(*id, true, data);
                    Rpc::new(READ_SCOPE, request, HEADER + data.len())
                }
                Read::Capability(id, which) => {
                    let request = query_capability(*id, *which);
                    Rpc::new(Scope::Configuration, request, HEADER + CAPABILITY)
                }
                Read::Query(command, request) => {
                    self.expect_query(request)?;
                    Rpc::new(READ_SCOPE, request.clone(), command.output.size)
                }
            })
        };
        let rpcs = reads.iter().map(rpc).collect::<Result<_>>()?;
        let replies = reads.iter().zip(self.device.rpc_all(rpcs)?);
        Ok(replies
            .map(|(read, reply)| match read {
                Read::Register(id, data) => self.body(&access(*id), HEADER + data.len(), reply),
                Read::Capability(..) => self.body("QUERY_HCA_CAP", HEADER + CAPABILITY, reply),
                Read::Query(command, _) => {
                    self.accepted(command.input.name, command.output.size, reply?)
                }
            })
            .collect())
    }

    /// Sends a query command, whose request has the fields of its input set, and returns the whole
    /// reply.
    ///
    /// # Errors
    ///
    /// [`Error::NotAQuery`] before anything is sent, if the request is not one that [`check_query`]
    /// accepts; [`Error::Call`], [`Error::Refused`]; [`Error::Malformed`] if the length of the
    /// reply is not that of the command's output.
    pub fn query(&self, command: &Command, request: &[u8]) -> Result<Vec<u8>> {
        self.expect_query(request)?;
        self.command(command.input.name, READ_SCOPE, request, command.output.size)
    }

    fn expect_query(&self, request: &[u8]) -> Result<()> {
        check_query(request).map_err(|why| Error::NotAQuery {
            device: self.device.name().into(),
            why,
        })
    }

    /// Sends a command; fails if the firmware refuses, or if the reply has another length than its
    /// buffer.
    fn command(
        &self,
        what: &str,
        scope: Scope,
        request: &[u8],
        reply_len: usize,
    ) -> Result<Vec<u8>> {
        let reply = self.device.rpc(scope, request, reply_len)?;
        self.accepted(what, reply_len, reply)
    }

    /// What follows the header of a reply.
    fn body(&self, what: &str, reply_len: usize, reply: Result<Reply>) -> Result<Vec<u8>> {
        let mut bytes = self.accepted(what, reply_len, reply?)?;
        Ok(bytes.split_off(HEADER))
    }

    /// Fails if the firmware refused, or if the reply has another length than its buffer.
    fn accepted(&self, what: &str, reply_len: usize, reply: Reply) -> Result<Vec<u8>> {
        let device = || self.device.name().to_owned();
        if let Some(status) = FirmwareStatus::of_reply(DeviceType::Mlx5, &reply.bytes) {
            return Err(Error::Refused {
                device: device(),
                what: what.into(),
                status,
            });
        }
        if reply.true_len != reply_len {
            let (part, got) = ("reply", reply.true_len);
            let why = if got > reply_len {
                Malformed::Long {
                    part,
                    asked: reply_len,
                    got,
                }
            } else {
                Malformed::Short {
                    part,
                    needed: reply_len,
                    got,
                }
            };
            return Err(Error::Malformed {
                device: device(),
                what: what.into(),
                why,
            });
        }
        Ok(reply.bytes)
    }
}

/// The command for messages, with the name or the number of the register.
fn access(id: u16) -> String {
    match registers().iter().find(|layout| layout.id == id) {
        Some(layout) => format!("ACCESS_REG of {}", layout.name),
        None => format!("ACCESS_REG of {id:#06x}"),
    }
}

/// An ACCESS_REG command for a register with this data.
pub fn access_register(id: u16, is_read: bool, data: &[u8]) -> Vec<u8> {
    access_register_with(id, is_read, 0, data)
}

/// An ACCESS_REG command with an argument.
pub fn access_register_with(id: u16, is_read: bool, argument: u32, data: &[u8]) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let body = [&[0, 0, high, low][..], &argument.to_be_bytes(), data].concat();
    request(ACCESS_REG, u16::from(is_read), &body)
}

/// A QUERY_HCA_CAP command.
fn query_capability(id: u16, which: Capability) -> Vec<u8> {
    let op_mod = (id << 1) | u16::from(which == Capability::Current);
    request(QUERY_HCA_CAP, op_mod, &[])
}

/// Header and body of a command; no shorter than a header with its argument.
fn request(opcode: u16, op_mod: u16, body: &[u8]) -> Vec<u8> {
    let mut request = [opcode.to_be_bytes(), [0, 0], [0, 0], op_mod.to_be_bytes()].concat();
    request.extend(body);
    request.resize(request.len().max(HEADER), 0);
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Replay;

    // mlx5_ifc_access_register_in_bits: op_mod 1 reads, 0 writes.
    #[test]
    fn register_requests() {
        assert_eq!(
            access_register(0x900a, true, &[1, 2, 3, 4]),
            [8, 5, 0, 0, 0, 0, 0, 1, 0, 0, 0x90, 0x0a, 0, 0, 0, 0, 1, 2, 3, 4]
        );
        assert_eq!(access_register(0x900a, false, &[])[4..8], [0, 0, 0, 0]);
        let with = access_register_with(0x900a, true, 0x0102_0304, &[5]);
        assert_eq!(with[8..], [0, 0, 0x90, 0x0a, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_request_that_changes_something_is_not_sent_as_a_query() {
        // MODIFY_CONG_STATUS, which the driver admits in every scope. The recording has no request.
        let mut request = command("cong-status").unwrap().request();
        request[..2].copy_from_slice(&0x823u16.to_be_bytes());
        let error = device("")
            .query(command("cong-status").unwrap(), &request)
            .unwrap_err();
        assert!(
            matches!(
                error,
                Error::NotAQuery {
                    why: NotAQuery::Opcode(0x823),
                    ..
                }
            ),
            "{error}"
        );
    }

    fn device(recording: &str) -> Mlx5Device {
        let replay = Replay::parse(&format!("info mlx5 05000000 04000000\n{recording}")).unwrap();
        Mlx5Device::new(Device::with_transport("fwctl0", replay)).unwrap()
    }

    // mlx5_ifc_query_hca_cap_in_bits: op_mod is the type, then whether the current value is meant.
    #[test]
    fn a_capability_is_4096_bytes() {
        let ask = "rpc configuration 01000000 00000041 00000000 00000000";
        let reply = device(&format!("{ask} -> len 4112 00"))
            .capability(0x20, Capability::Current)
            .unwrap();
        assert_eq!(reply.len(), 4096);
        let short = device(&format!("{ask} -> {:032x}", 0))
            .capability(0x20, Capability::Current)
            .unwrap_err();
        assert_eq!(
            short.to_string(),
            "fwctl0: QUERY_HCA_CAP: bad reply: reply needs 4112 bytes and has 16"
        );
        let long = device(&format!("{ask} -> len 4113 00"))
            .capability(0x20, Capability::Current)
            .unwrap_err();
        assert_eq!(
            long.to_string(),
            "fwctl0: QUERY_HCA_CAP: bad reply: reply has 4113 bytes, at most 4112 were asked for"
        );
        let refused = device(&format!("{ask} -> 03000000 00001234"))
            .capability(0x20, Capability::Current)
            .unwrap_err();
        assert_eq!(refused.firmware_status().unwrap().syndrome, Some(0x1234));
    }
}
