// SPDX-License-Identifier: GPL-2.0-only

//! Policy: the scope that an operation requires.
//!
//! The firmware lists the operations of each endpoint with an attribute, which [`SCOPES`] maps to
//! the least scope that allows the operation. Operations that are not listed are refused.

use fwctl::RpcScope;
use kernel::prelude::*;

use crate::wire::{
    ListEntry,
    OperationEntry, //
};

/// The least scope by attribute, `PDSFC_FW_CMD_ATTR_*` of `include/linux/pds/pds_adminq.h`. Other
/// attributes require the highest scope.
const SCOPES: [(u8, RpcScope); 5] = [
    (0x00, RpcScope::Configuration), // PDSFC_FW_CMD_ATTR_READ
    (0x02, RpcScope::DebugReadOnly), // PDSFC_FW_CMD_ATTR_DEBUG_READ
    (0x04, RpcScope::Configuration), // PDSFC_FW_CMD_ATTR_WRITE
    (0x08, RpcScope::DebugWrite),    // PDSFC_FW_CMD_ATTR_DEBUG_WRITE
    (0x10, RpcScope::Configuration), // PDSFC_FW_CMD_ATTR_SYNC
];

/// An operation that the firmware listed.
pub(crate) struct Operation {
    id: u32,
    attribute: u8,
    needs: RpcScope,
}

impl Operation {
    /// Returns the operation of an entry.
    pub(crate) fn of(entry: &OperationEntry) -> Self {
        let known = SCOPES
            .iter()
            .find(|(attribute, _)| *attribute == entry.attribute);

        Self {
            id: entry.id.get(),
            attribute: entry.attribute,
            needs: known.map_or(RpcScope::DebugWriteFull, |(_, scope)| *scope),
        }
    }

    /// Returns its entry in a list for programs.
    pub(crate) fn to_entry(&self) -> ListEntry {
        ListEntry::operation(self.id, self.attribute, self.needs)
    }

    /// Returns whether a request for the operation `id` means this one: it has the same command, in
    /// bits 0 to 15, and at most this version, in bits 16 to 23.
    fn executes(&self, id: u32) -> bool {
        let command = |id: u32| id & 0xffff;
        let version = |id: u32| id >> 16 & 0xff;

        command(id) == command(self.id) && version(id) <= version(self.id)
    }
}

/// Checks that `scope` allows the operation `id`, of which the first on the list decides.
///
/// Fails with [`EPERM`] if it does not, and with [`EINVAL`] if there is no such operation.
pub(crate) fn check(operations: &[Operation], id: u32, scope: RpcScope) -> Result {
    let operation = operations.iter().find(|operation| operation.executes(id));

    if scope < operation.ok_or(EINVAL)?.needs {
        return Err(EPERM);
    }
    Ok(())
}

#[kunit_tests(pds_fwctl_policy)]
mod tests {
    use super::*;

    /// Returns an operation as the firmware lists it.
    fn operation(id: u32, attribute: u8) -> Result<Operation> {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&id.to_le_bytes());
        bytes[4] = attribute;

        let entry = OperationEntry::read_from_bytes(&bytes).map_err(|_| EINVAL)?;
        Ok(Operation::of(&entry))
    }

    /// Returns the least scope as the switch statement of the C driver does.
    fn least_scope_of_c(attribute: u8) -> u32 {
        match attribute {
            0x00 | 0x04 | 0x10 => 0,
            0x02 => 1,
            0x08 => 2,
            _ => 3,
        }
    }

    #[test]
    fn all_attributes_in_all_scopes() -> Result {
        for attribute in 0..=u8::MAX {
            let operations = [operation(0x0102, attribute)?];

            for scope in RpcScope::ALL {
                let allowed = scope as u32 >= least_scope_of_c(attribute);
                assert_eq!(
                    check(&operations, 0x0102, scope),
                    if allowed { Ok(()) } else { Err(EPERM) }
                );
            }
        }
        Ok(())
    }

    #[test]
    fn older_versions_are_the_same_operation() -> Result {
        let operations = [operation(0x5a02_0102, 0)?];

        for (id, result) in [
            (0x0000_0102, Ok(())),
            (0x0002_0102, Ok(())),
            (0xff01_0102, Ok(())),
            (0x0003_0102, Err(EINVAL)),
            (0x00ff_0102, Err(EINVAL)),
            (0x0002_0103, Err(EINVAL)),
            (0x0002_0002, Err(EINVAL)),
        ] {
            assert_eq!(check(&operations, id, RpcScope::DebugWriteFull), result);
        }
        Ok(())
    }

    #[test]
    fn the_first_of_several_decides() -> Result {
        let operations = [
            operation(0x0_0102, 0x02)?,
            operation(0x2_0102, 0x08)?,
            operation(0x2_0102, 0x00)?,
        ];

        for (id, scope, result) in [
            (0x0_0102, RpcScope::Configuration, Err(EPERM)),
            (0x0_0102, RpcScope::DebugReadOnly, Ok(())),
            (0x1_0102, RpcScope::DebugReadOnly, Err(EPERM)),
            (0x1_0102, RpcScope::DebugWrite, Ok(())),
        ] {
            assert_eq!(check(&operations, id, scope), result);
        }
        Ok(())
    }

    #[test]
    fn nothing_is_allowed_that_is_not_listed() {
        assert_eq!(check(&[], 0, RpcScope::DebugWriteFull), Err(EINVAL));
    }
}
