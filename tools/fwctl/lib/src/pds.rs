// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pensando cards: the endpoints of the firmware, their operations, and calls of these.
//!
//! The message of a call refers to a request and to a buffer for the response by their addresses. This
//! crate owns both: a [`Call`] has its request, and [`PdsDevice::call`] returns the response.
//!
//! ```
//! use fwctl::{pds::{Call, PdsDevice}, replay::Replay, Device, Scope};
//!
//! let replay = Replay::parse("
//! info pds 07000000
//! rpc configuration 02000000 20000000 00000000 00000000    # operations of endpoint 0x20
//!     -> 01000000 00000000                                  # there is one:
//!        03010000 02 01 0000                                # 0x0103, debug read, scope debug-read-only
//! rpc debug-read-only 03010000 20000000 00000000 00000000 0000000000000000  # no request
//!     00000000 00000000 00000000 04000000 0000000000000000                  # 4 bytes of response
//!     -> 00000000 0a0b0c0d
//! ").unwrap();
//! let pds = PdsDevice::new(Device::with_transport("fwctl0", replay))?;
//! let operations = pds.operations(0x20)?;
//! assert_eq!(operations[0].scope, Scope::DebugReadOnly);
//! let response = pds.call(operations[0].scope, Call::new(0x20, 0x0103, [], 4))?;
//! assert_eq!((response.retval, response.bytes), (0, vec![0x0a, 0x0b, 0x0c, 0x0d]));
//! # Ok::<(), fwctl::Error>(())
//! ```

use crate::ioctl::length;
use crate::{
    Device, DeviceType, DriverInfo, Error, Exchange, FirmwareStatus, Malformed, Operation as Op,
    Reply, Result, Rpc, Scope, MAX_RPC_LEN,
};
use fwctl_uapi::pds::{
    List, ListEntry, ListRequest, RpcPds, LIST_CAP, LIST_ENDPOINTS, LIST_OPERATIONS,
};
use std::io;
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::thread;
use std::time::Instant;

/// Scope of the requests for lists, which the driver answers.
pub const LIST_SCOPE: Scope = Scope::Configuration;

/// Size of the first buffer for a list. The drivers have no longer ones.
const LIST_ROOM: usize = 8192;

/// A fwctl device that is a Pensando card.
#[derive(Clone, Debug)]
pub struct PdsDevice {
    device: Device,
}

/// An operation of an endpoint, as the driver lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Operation {
    /// Its number: [`Operation::command`] and [`Operation::version`].
    pub id: u32,
    /// What the firmware says about it: see [`Operation::attribute_name`].
    pub attribute: u8,
    /// The least scope that a call needs.
    pub scope: Scope,
}

impl Operation {
    /// Its command.
    pub const fn command(&self) -> u16 {
        self.id as u16
    }

    /// Its newest version. A call may name an older one.
    pub const fn version(&self) -> u8 {
        (self.id >> 16) as u8
    }

    /// Returns whether a call that names the operation `id` means this one. If several on a list do,
    /// it is the first.
    pub const fn executes(&self, id: u32) -> bool {
        id as u16 == self.command() && (id >> 16) as u8 <= self.version()
    }

    /// Name of the attribute, `PDSFC_FW_CMD_ATTR_*` of `include/linux/pds/pds_adminq.h`; none if it
    /// has none.
    pub const fn attribute_name(&self) -> Option<&'static str> {
        match self.attribute {
            0x00 => Some("read"),
            0x02 => Some("debug-read"),
            0x04 => Some("write"),
            0x08 => Some("debug-write"),
            0x10 => Some("sync"),
            _ => None,
        }
    }
}

/// A call of an operation, with its request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// Number of the endpoint.
    pub endpoint: u32,
    /// Number of the operation.
    pub operation: u32,
    /// The request, at most [`MAX_RPC_LEN`] bytes.
    pub request: Vec<u8>,
    /// Size of the buffer for the response, at most [`MAX_RPC_LEN`].
    pub response_len: usize,
}

impl Call {
    /// Call of an operation, with a buffer of `response_len` bytes for its response.
    pub fn new(
        endpoint: u32,
        operation: u32,
        request: impl Into<Vec<u8>>,
        response_len: usize,
    ) -> Call {
        Call {
            endpoint,
            operation,
            request: request.into(),
            response_len,
        }
    }

    /// The message, with zeros as addresses.
    pub(crate) fn message(&self) -> io::Result<RpcPds> {
        Ok(RpcPds {
            op: self.operation,
            ep: self.endpoint,
            in_len: length(self.request.len())?,
            out_len: length(self.response_len)?,
            ..RpcPds::default()
        })
    }

    /// The bytes that stand for the call in a [recording](crate::replay), and for an
    /// [observer](Device::observed): the message, with zeros as addresses, and the request.
    pub fn recorded(&self) -> Vec<u8> {
        let message = self.message().unwrap_or_default().to_bytes();
        [&message[..], &self.request].concat()
    }
}

/// What a call returned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Response {
    /// 0, or the error of the operation.
    pub retval: u32,
    /// The response, of the length of the buffer, with zeros where the firmware wrote nothing.
    pub bytes: Vec<u8>,
}

impl Response {
    /// The firmware's refusal, if the operation failed.
    pub fn status(&self) -> Option<FirmwareStatus> {
        (self.retval != 0).then_some(FirmwareStatus {
            code: self.retval,
            name: "unknown",
            syndrome: None,
        })
    }
}

impl PdsDevice {
    /// Takes a device; fails if it is not a Pensando one.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] if it is another type's; [`Error::Call`] if it cannot be asked.
    pub fn new(device: Device) -> Result<PdsDevice> {
        device.expect_type(DeviceType::Pds)?;
        Ok(PdsDevice { device })
    }

    /// The device below.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns whether the driver lists endpoints and operations. The one of Linux 7.3 does not.
    ///
    /// # Errors
    ///
    /// [`Error::Call`].
    pub fn has_lists(&self) -> Result<bool> {
        Ok(match self.device.info()?.driver {
            DriverInfo::Pds { uctx_caps } => (uctx_caps >> LIST_CAP) & 1 != 0,
            _ => false,
        })
    }

    /// Numbers of the endpoints, in the order of the firmware.
    ///
    /// # Errors
    ///
    /// [`Error::NoLists`], [`Error::Call`]; [`Error::Malformed`] if count and bytes of the reply
    /// disagree.
    pub fn endpoints(&self) -> Result<Vec<u32>> {
        self.check_lists()?;
        let request = request(LIST_ENDPOINTS, 0);
        let reply = self.device.rpc_whole(LIST_SCOPE, &request, LIST_ROOM)?;
        let entries = self.entries("list of endpoints", "endpoints", &reply)?;
        Ok(entries.into_iter().map(|entry| entry.id).collect())
    }

    /// The operations of an endpoint, in the order of the firmware.
    ///
    /// # Errors
    ///
    /// As for [`PdsDevice::endpoints`]; `EINVAL` if there is no such endpoint.
    pub fn operations(&self, endpoint: u32) -> Result<Vec<Operation>> {
        self.check_lists()?;
        let request = request(LIST_OPERATIONS, endpoint);
        self.decode(self.device.rpc_whole(LIST_SCOPE, &request, LIST_ROOM))
    }

    /// The operations of several endpoints, with many requests in flight where that is possible. One
    /// that fails does not stop the others.
    ///
    /// # Errors
    ///
    /// [`Error::NoLists`], or as for [`Device::rpc_all`]; for each endpoint, as for
    /// [`PdsDevice::operations`].
    pub fn operations_of(&self, endpoints: &[u32]) -> Result<Vec<Result<Vec<Operation>>>> {
        self.check_lists()?;
        let rpc = |&endpoint| Rpc::new(LIST_SCOPE, request(LIST_OPERATIONS, endpoint), LIST_ROOM);
        let replies = self.device.rpc_all(endpoints.iter().map(rpc).collect())?;
        Ok(replies
            .into_iter()
            .map(|reply| self.decode(reply))
            .collect())
    }

    /// The listed operation that a call of `operation` would execute; none if there is none.
    ///
    /// # Errors
    ///
    /// As for [`PdsDevice::operations`].
    pub fn find(&self, endpoint: u32, operation: u32) -> Result<Option<Operation>> {
        let mut operations = self.operations(endpoint)?.into_iter();
        Ok(operations.find(|listed| listed.executes(operation)))
    }

    /// Executes an operation. The failure of an operation is a [`Response`].
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] before anything is sent; [`Error::Call`] if the driver refuses the call:
    /// `EPERM` if it needs a higher scope, `EINVAL` if it does not exist; [`Error::TimedOut`] for a
    /// device with a deadline.
    pub fn call(&self, scope: Scope, call: Call) -> Result<Response> {
        let (request_len, response_len) = (call.request.len(), call.response_len);
        for (what, len) in [("request", request_len), ("response buffer", response_len)] {
            if len > MAX_RPC_LEN as usize {
                return Err(Error::TooLong {
                    device: self.device.name().into(),
                    what,
                    len,
                    max: MAX_RPC_LEN as usize,
                });
            }
        }
        let operation = Op::Rpc {
            scope,
            request_len,
            reply_len: response_len,
            device_type: DeviceType::Pds,
        };
        let recorded = self.device.is_observed().then(|| call.recorded());
        self.device.observe_start();
        let result = match self.device.deadline() {
            None => Some(self.send(scope, &call)),
            Some(deadline) => self.send_until(scope, call, deadline),
        };
        let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        if let Some(request) = &recorded {
            let reply = match &result {
                Some(Ok(Response { retval, bytes })) => {
                    Ok([&retval.to_ne_bytes()[..], bytes].concat())
                }
                Some(Err(error)) => Err(error),
                None => Err(&error),
            };
            self.device.observe_end(&Exchange {
                scope,
                request,
                outcome: reply.as_ref().map(|r| (&r[..], r.len())).map_err(|e| *e),
            });
        }
        let device = self.device.name().to_owned();
        match result {
            Some(result) => result.map_err(|source| Error::Call {
                device,
                operation,
                source,
            }),
            None => Err(Error::TimedOut {
                device,
                operation,
                was_sent: true,
            }),
        }
    }

    fn send(&self, scope: Scope, call: &Call) -> io::Result<Response> {
        let mut bytes = vec![0; call.response_len];
        let retval = self.device.transport().call_pds(scope, call, &mut bytes)?;
        Ok(Response { retval, bytes })
    }

    /// Sends a call; returns nothing if it has not ended by the deadline. A thread has the buffers: a
    /// late answer goes to memory that nobody else uses.
    fn send_until(&self, scope: Scope, call: Call, by: Instant) -> Option<io::Result<Response>> {
        let (sender, receiver) = channel();
        let pds = self.clone();
        let thread = thread::Builder::new().spawn(move || {
            // Nobody may wait any more.
            let _ = sender.send(pds.send(scope, &call));
        });
        if let Err(error) = thread {
            return Some(Err(error));
        }
        match receiver.recv_timeout(by.saturating_duration_since(Instant::now())) {
            Ok(result) => Some(result),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                Some(Err(io::Error::other("the transport panicked")))
            }
        }
    }

    fn check_lists(&self) -> Result<()> {
        match self.has_lists()? {
            true => Ok(()),
            false => Err(Error::NoLists {
                device: self.device.name().into(),
            }),
        }
    }

    fn decode(&self, reply: Result<Reply>) -> Result<Vec<Operation>> {
        const WHAT: &str = "list of operations";
        let operation = |entry: ListEntry| {
            let scope = Scope::from_number(entry.scope.into())
                .ok_or_else(|| self.malformed(WHAT, Malformed::Scope { got: entry.scope }))?;
            Ok(Operation {
                id: entry.id,
                attribute: entry.attribute,
                scope,
            })
        };
        let entries = self.entries(WHAT, "operations", &reply?)?;
        entries.into_iter().map(operation).collect()
    }

    fn entries(&self, what: &str, part: &'static str, reply: &Reply) -> Result<Vec<ListEntry>> {
        let Some((list, mut rest)) = List::split_from(&reply.bytes) else {
            let (needed, got) = (List::LEN, reply.bytes.len());
            let part = "the head of the list";
            return Err(self.malformed(what, Malformed::Short { part, needed, got }));
        };
        let (count, got) = (list.num_entries as usize, rest.len());
        if got % ListEntry::LEN != 0 || got / ListEntry::LEN != count {
            return Err(self.malformed(what, Malformed::Count { part, count, got }));
        }
        let mut entries = Vec::with_capacity(count);
        while let Some((entry, more)) = ListEntry::split_from(rest) {
            entries.push(entry);
            rest = more;
        }
        Ok(entries)
    }

    fn malformed(&self, what: &str, why: Malformed) -> Error {
        Error::Malformed {
            device: self.device.name().into(),
            what: what.into(),
            why,
        }
    }
}

fn request(list: u32, ep: u32) -> [u8; ListRequest::LEN] {
    let rsvd = [0; 2];
    ListRequest { list, ep, rsvd }.to_bytes()
}

/// Returns whether a request asks for a list, which changes nothing.
pub(crate) fn is_list(request: &[u8]) -> bool {
    matches!(ListRequest::split_from(request), Some((_, [])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Replay;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    fn pds(recording: &str) -> PdsDevice {
        let replay = Replay::parse(recording).unwrap();
        PdsDevice::new(Device::with_transport("fwctl0", replay)).unwrap()
    }

    // struct fwctl_pds_list, include/uapi/fwctl/pds.h.
    const LISTS: &str = "
unordered
info pds 07000000
rpc configuration 01000000 00000000 00000000 00000000
    -> 03000000 00000000  20000000 00000000  10000000 00000000  ffffffff 00000000
rpc configuration 02000000 20000000 00000000 00000000
    -> 02000000 00000000  02010300 08 02 0000  02010500 04 00 0000
rpc configuration 02000000 10000000 00000000 00000000 -> 00000000 00000000
rpc configuration 02000000 ffffffff 00000000 00000000 -> errno 71
";

    #[test]
    fn lists() {
        let card = pds(LISTS);
        let endpoints = card.endpoints().unwrap();
        assert_eq!(endpoints, [0x20, 0x10, 0xffff_ffff]);
        let all = card.operations_of(&endpoints).unwrap();
        let port = all[0].as_ref().unwrap();
        assert_eq!(
            (port[0].id, port[0].command(), port[0].version()),
            (0x3_0102, 0x102, 3)
        );
        assert_eq!(port[0].attribute_name(), Some("debug-write"));
        assert_eq!(port[0].scope, Scope::DebugWrite);
        assert!(all[1].as_ref().unwrap().is_empty());
        assert_eq!(all[2].as_ref().unwrap_err().errno(), Some(71));
    }

    #[test]
    fn the_first_operation_on_the_list_counts() {
        for (id, found) in [
            (0x0_0102, Some(0x3_0102)),
            (0x3_0102, Some(0x3_0102)),
            (0x4_0102, Some(0x5_0102)),
            (0x6_0102, None),
            (0x0_0103, None),
        ] {
            let operation = pds(LISTS).find(0x20, id).unwrap();
            assert_eq!(operation.map(|operation| operation.id), found, "{id:#x}");
        }
    }

    #[test]
    fn drivers_without_lists() {
        // Mainline's driver returns no data, and this crate sends nothing.
        for info in ["info pds", "info pds 03000000"] {
            let card = pds(info);
            assert!(matches!(card.endpoints(), Err(Error::NoLists { .. })));
            assert!(matches!(card.operations(1), Err(Error::NoLists { .. })));
            assert!(matches!(
                card.operations_of(&[1]),
                Err(Error::NoLists { .. })
            ));
        }
    }

    #[test]
    fn malformed_lists() {
        for (reply, text) in [
            (
                "01000000 000000",
                "the head of the list needs 8 bytes and has 7",
            ),
            (
                "00000000 00000000 00",
                "the reply announces 0 operations and has 1 bytes of them",
            ),
            (
                "02000000 00000000 02010300 08 02 0000",
                "the reply announces 2 operations and has 8 bytes of them",
            ),
            (
                "ffffffff 00000000",
                "the reply announces 4294967295 operations and has 0 bytes of them",
            ),
            (
                "01000000 00000000 02010300 08 04 0000",
                "there is no scope 4",
            ),
        ] {
            let card = pds(&format!(
                "info pds 07000000\nrpc configuration 02000000 01000000 00000000 00000000 -> {reply}"
            ));
            let error = card.operations(1).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("fwctl0: list of operations: bad reply: {text}")
            );
        }
    }

    const CALL: &str = "rpc configuration 02000000 10000000 00000000 03000000 0000000000000000
    00000000 00000000 00000000 04000000 0000000000000000  616263";

    #[test]
    fn calls_are_observed_as_they_are_recorded() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let replay = Replay::parse(&format!("info pds\n{CALL} -> 05000000 61626300")).unwrap();
        let device = Device::with_transport("fwctl0", replay).observed({
            let seen = seen.clone();
            move |exchange: &Exchange<'_>| {
                let reply = exchange.outcome.as_ref().unwrap().0.to_vec();
                seen.lock()
                    .unwrap()
                    .push((exchange.request.to_vec(), reply));
            }
        });
        let call = Call::new(0x10, 2, *b"abc", 4);
        let response = PdsDevice::new(device)
            .unwrap()
            .call(Scope::Configuration, call.clone())
            .unwrap();
        assert_eq!((response.retval, &response.bytes[..]), (5, &b"abc\0"[..]));
        assert_eq!(response.status().unwrap().code, 5);
        let seen = seen.lock().unwrap();
        assert_eq!(seen[..], [(call.recorded(), b"\x05\0\0\0abc\0".to_vec())]);
    }

    #[test]
    fn calls_that_fail() {
        let card = pds(&format!("info pds\n{CALL} -> errno 1"));
        let call = |len| Call::new(0x10, 2, vec![0; len], 4);
        for call in [
            call(1 + MAX_RPC_LEN as usize),
            Call::new(0, 0, [], usize::MAX),
        ] {
            let error = card.call(Scope::Configuration, call).unwrap_err();
            assert!(matches!(error, Error::TooLong { .. }), "{error}");
        }
        let error = card
            .call(Scope::Configuration, Call::new(0x10, 2, *b"abc", 4))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "fwctl0: FWCTL_RPC (scope configuration, request 3 bytes, reply buffer 4): Operation not permitted (EPERM)"
        );
        assert_eq!(error.advice().unwrap().remedy, "give a higher one");
    }

    #[test]
    fn a_late_response_is_dropped() {
        let replay = Replay::parse(&format!("info pds\n{CALL} -> after 5000 00000000")).unwrap();
        let start = Instant::now();
        let device = Device::with_transport("fwctl0", replay)
            .with_deadline(start + Duration::from_millis(50));
        let error = PdsDevice::new(device)
            .unwrap()
            .call(Scope::Configuration, Call::new(0x10, 2, *b"abc", 4))
            .unwrap_err();
        assert!(
            matches!(error, Error::TimedOut { was_sent: true, .. }),
            "{error}"
        );
        assert!(start.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn only_requests_for_lists_are_sent_as_bytes() {
        let card = pds("info pds\notherwise 00");
        for len in 0..100 {
            let sent = card.device().rpc(Scope::Configuration, &vec![0; len], 8);
            assert_eq!(sent.is_ok(), len < RpcPds::LEN, "{len}");
            assert_eq!(is_list(&vec![0; len]), len == 16);
        }
    }
}
