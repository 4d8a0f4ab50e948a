// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which endpoints the firmware has, and which operations they offer.
//!
//! All of them are invented: the real ones are not public.  Between them they have every attribute
//! that pds_fwctl tells apart, one that it does not know, and several versions of an operation.

/// Attributes of an operation (pds_adminq.h, PDSFC_FW_CMD_ATTR_*).
pub mod attribute {
    #![allow(missing_docs)]
    pub const READ: u8 = 0x00;
    pub const DEBUG_READ: u8 = 0x02;
    pub const WRITE: u8 = 0x04;
    pub const DEBUG_WRITE: u8 = 0x08;
    pub const SYNC: u8 = 0x10;
    /// Not defined by the header: the driver must ask for the highest scope.
    pub const UNKNOWN: u8 = 0x40;
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The response is the version of the firmware, as text.
    Version,
    /// The response is the request.
    Echo,
    /// The response fills its buffer with a counter of 32 bits, from 0.
    Count,
    /// The response is the sum of the bytes of the request, 32 bits.
    Sum,
    /// The response is the endpoint's value, 64 bytes.
    Get,
    /// The request becomes the endpoint's value; at most 64 bytes, what is missing becomes zero.
    Set,
    /// The RPC fails with the error that the request's first 32 bits hold.
    Fail,
}

/// One operation of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its command, 16 bits of the identifier.
    pub command: u16,
    /// The newest version of it; older ones are accepted.
    pub version: u8,
    /// One of [`attribute`].
    pub attribute: u8,
    /// What it does.
    pub action: Action,
}

impl Operation {
    /// Its identifier: the command in bits 0 to 15, the version in bits 16 to 23.
    pub fn id(&self) -> u32 {
        u32::from(self.command) | u32::from(self.version) << 16
    }

    /// Whether it executes a request for `id`.
    pub fn accepts(&self, id: u32) -> bool {
        id as u16 == self.command && (id >> 16) as u8 <= self.version
    }
}

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Its identifier.
    pub id: u32,
    /// For people.
    pub name: &'static str,
    /// What it offers.
    pub operations: &'static [Operation],
}

const fn operation(command: u16, version: u8, attribute: u8, action: Action) -> Operation {
    Operation {
        command,
        version,
        attribute,
        action,
    }
}

const SYSTEM: &[Operation] = &[
    operation(0x0001, 0, attribute::READ, Action::Version),
    operation(0x0002, 2, attribute::READ, Action::Echo),
    operation(0x0003, 0, attribute::READ, Action::Count),
    operation(0x0004, 0, attribute::READ, Action::Sum),
    operation(0x0005, 0, attribute::READ, Action::Fail),
    operation(0x0006, 1, attribute::SYNC, Action::Echo),
];

const PORT: &[Operation] = &[
    operation(0x0101, 1, attribute::READ, Action::Get),
    operation(0x0102, 1, attribute::WRITE, Action::Set),
    operation(0x0103, 0, attribute::DEBUG_READ, Action::Get),
    operation(0x0104, 0, attribute::DEBUG_WRITE, Action::Set),
    operation(0x0105, 0, attribute::UNKNOWN, Action::Set),
];

/// [`PORT`] after an update: writing its value became a debugging operation.
const NEXT_PORT: &[Operation] = &[
    operation(0x0101, 2, attribute::READ, Action::Get),
    operation(0x0102, 2, attribute::DEBUG_WRITE, Action::Set),
    operation(0x0103, 0, attribute::DEBUG_READ, Action::Get),
    operation(0x0104, 0, attribute::DEBUG_WRITE, Action::Set),
    operation(0x0105, 0, attribute::UNKNOWN, Action::Set),
];

const MEMORY: &[Operation] = &[
    operation(0x0201, 255, attribute::DEBUG_READ, Action::Get),
    operation(0x0202, 255, attribute::DEBUG_WRITE, Action::Set),
];

/// Endpoints of the firmware that the card comes with.  The last one offers nothing.
pub const ENDPOINTS: &[Endpoint] = &[
    endpoint(0x10, "system", SYSTEM),
    endpoint(0x20, "port", PORT),
    endpoint(0x30, "memory", MEMORY),
    endpoint(0xffff_ffff, "empty", &[]),
];

/// Endpoints after an update: in another order, one is removed, one is new.
pub const NEXT_ENDPOINTS: &[Endpoint] = &[
    endpoint(0x20, "port", NEXT_PORT),
    endpoint(0x10, "system", SYSTEM),
    endpoint(0x40, "storage", MEMORY),
    endpoint(0xffff_ffff, "empty", &[]),
];

const fn endpoint(id: u32, name: &'static str, operations: &'static [Operation]) -> Endpoint {
    Endpoint {
        id,
        name,
        operations,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let echo = SYSTEM[1];
        assert_eq!(echo.id(), 0x2_0002);
        for (id, accepts) in [
            (0x0_0002, true),
            (0x2_0002, true),
            (0x3_0002, false),
            (0x0_0003, false),
        ] {
            assert_eq!(echo.accepts(id), accepts, "{id:#x}");
        }
    }

    #[test]
    fn every_attribute_and_no_command_twice() {
        let mut attributes = Vec::new();
        for endpoint in ENDPOINTS.iter().chain(NEXT_ENDPOINTS) {
            let mut commands: Vec<u16> = endpoint.operations.iter().map(|op| op.command).collect();
            attributes.extend(endpoint.operations.iter().map(|op| op.attribute));
            commands.sort_unstable();
            commands.dedup();
            assert_eq!(commands.len(), endpoint.operations.len());
        }
        attributes.sort_unstable();
        attributes.dedup();
        assert_eq!(attributes, [0x00, 0x02, 0x04, 0x08, 0x10, 0x40]);
    }
}
