// SPDX-License-Identifier: MIT OR Apache-2.0

//! Layouts of inputs and outputs. All little endian, without padding.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A universally unique identifier, in the byte order of its text form.
pub type Uuid = [u8; 16];

/// Declares layouts, and their sizes.
macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident($size:literal) {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
            #[repr(C)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $type,)*
            }
            const _: () = assert!(size_of::<$name>() == $size);
        )*
    };
}

layouts! {
    /// Header of the output of Get Event Records (8.2.10.2.2).
    EventRecordsHead(32) {
        /// Flags: overflow, more ([`super::events`]).
        flags: u8,
        /// Reserved.
        reserved: u8,
        /// Number of events that were dropped.
        overflow_count: U16,
        /// Time of the first dropped event.
        first_overflow: U64,
        /// Time of the last dropped event.
        last_overflow: U64,
        /// Number of records that follow.
        count: U16,
        /// Reserved.
        reserved_22: [u8; 10],
    }

    /// Event record (8.2.10.2.1).
    EventRecord(128) {
        /// Type of the data.
        kind: Uuid,
        /// Length of the record.
        length: u8,
        /// Flags: severity in bits 1:0.
        flags: [u8; 3],
        /// Handle, for Clear Event Records.
        handle: U16,
        /// Related handle.
        related: U16,
        /// Timestamp.
        timestamp: U64,
        /// Maintenance operation and reserved bytes.
        reserved: [u8; 16],
        /// Data, depending on the type.
        data: [u8; 80],
    }

    /// Header of the input of Clear Event Records (8.2.10.2.3).
    ClearEventRecordsHead(6) {
        /// The log.
        log: u8,
        /// Flags: bit 0 clears all.
        flags: u8,
        /// Number of handles that follow.
        count: u8,
        /// Reserved.
        reserved: [u8; 3],
    }

    /// Header of the output of Get Supported Logs (8.2.10.5.1).
    SupportedLogsHead(8) {
        /// Number of entries that follow.
        count: U16,
        /// Reserved.
        reserved: [u8; 6],
    }

    /// Supported log (8.2.10.5.1).
    SupportedLog(20) {
        /// Identifier of the log.
        uuid: Uuid,
        /// Size of the log.
        size: U32,
    }

    /// Input of Get Log (8.2.10.5.2).
    GetLogIn(24) {
        /// Identifier of the log.
        uuid: Uuid,
        /// Offset.
        offset: U32,
        /// Length.
        length: U32,
    }

    /// Input of Get Log Capabilities (8.2.10.5.3) and Populate Log (8.2.10.5.5).
    LogIn(16) {
        /// Identifier of the log.
        uuid: Uuid,
    }

    /// Output of Background Operation Status (8.2.10.1.2).
    BackgroundStatus(8) {
        /// Bit 0: running; bits 7:1: percentage.
        status: u8,
        /// Reserved.
        reserved: u8,
        /// Opcode of the last background operation, 0 if there was none.
        opcode: U16,
        /// Return code of it, once it is complete.
        code: U16,
        /// Vendor specific status.
        vendor: U16,
    }

    /// An entry of the Command Effects Log (8.2.10.5.2.1).
    CommandEffects(4) {
        /// The opcode.
        opcode: U16,
        /// [`super::opcodes::effect`].
        effects: U16,
    }

    /// Input of Get Supported Features (8.2.10.6.1).
    GetSupportedIn(8) {
        /// Capacity for the output, including its header.
        count: U32,
        /// Index of the first entry.
        start: U16,
        /// Reserved.
        reserved: [u8; 2],
    }

    /// Header of the output of Get Supported Features (8.2.10.6.1).
    SupportedHead(8) {
        /// Number of entries that follow.
        count: U16,
        /// Number of Features of the device.
        supported: U16,
        /// Reserved.
        reserved: [u8; 4],
    }

    /// Supported Feature Entry (8.2.10.6.1).
    SupportedFeature(48) {
        /// The Feature.
        uuid: Uuid,
        /// Its index.
        index: U16,
        /// Size of the output of Get Feature.
        get_size: U16,
        /// Size of the input of Set Feature.
        set_size: U16,
        /// [`super::catalogue::flag`].
        flags: U32,
        /// Version of the output of Get Feature.
        get_version: u8,
        /// Version of the input of Set Feature.
        set_version: u8,
        /// [`super::opcodes::effect`] of Set Feature.
        effects: U16,
        /// Reserved.
        reserved: [u8; 18],
    }

    /// Input of Get Feature (8.2.10.6.2, table 8-111).
    GetFeatureIn(21) {
        /// The Feature.
        uuid: Uuid,
        /// Offset.
        offset: U16,
        /// Length.
        count: U16,
        /// Selection: current, default or saved value.
        selection: u8,
    }

    /// Header of the input of Set Feature (8.2.10.6.3, table 8-113).
    SetFeatureHead(32) {
        /// The Feature.
        uuid: Uuid,
        /// Flags: [`super::transfer::Action`] in bits 2:0, saved across reset in bit 3.
        flags: U32,
        /// Offset of the data.
        offset: U16,
        /// Version of the data.
        version: u8,
        /// Reserved.
        reserved: [u8; 9],
    }

    /// Output of Identify Memory Device (8.2.10.9.1.1).
    Identify(69) {
        /// Firmware version.
        firmware: [u8; 16],
        /// Total capacity. All capacities are in units of 256 MiB.
        total: U64,
        /// Volatile only capacity.
        volatile: U64,
        /// Persistent only capacity.
        persistent: U64,
        /// Alignment of partitions; 0 without partitions.
        alignment: U64,
        /// Number of records in each event log.
        event_logs: [U16; 4],
        /// Size of the label storage area.
        label_storage: U32,
        /// Maximum number of poison list entries.
        poison_list: [u8; 3],
        /// Maximum number of injected poison records.
        inject_poison: U16,
        /// Poison handling capabilities.
        poison: u8,
        /// QoS telemetry capabilities.
        qos_telemetry: u8,
        /// Number of records in the dynamic capacity event log.
        dynamic_capacity_log: U16,
    }

    /// Output of Get Partition Info (8.2.10.9.2.1).
    PartitionInfo(32) {
        /// Active volatile capacity.
        volatile: U64,
        /// Active persistent capacity.
        persistent: U64,
        /// Volatile capacity after the next cold reset.
        next_volatile: U64,
        /// Persistent capacity after the next cold reset.
        next_persistent: U64,
    }

    /// Output of Get Health Info (8.2.10.9.3.1).
    Health(18) {
        /// Health status.
        status: u8,
        /// Media status.
        media: u8,
        /// Additional status: life used, temperature, corrected errors.
        additional: u8,
        /// Life used, in per cent.
        life_used: u8,
        /// Temperature, in degrees Celsius.
        temperature: U16,
        /// Number of dirty shutdowns.
        dirty_shutdowns: U32,
        /// Corrected errors in volatile memory.
        corrected_volatile: U32,
        /// Corrected errors in persistent memory.
        corrected_persistent: U32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let uuid = std::array::from_fn(|n| n as u8);
        // Get Feature at offset 0x201, length 0x302, saved value.
        let get = GetFeatureIn {
            uuid,
            offset: 0x0201.into(),
            count: 0x0302.into(),
            selection: 2,
        };
        assert_eq!(get.as_bytes()[16..], [1, 2, 2, 3, 2]);
        let set = SetFeatureHead {
            uuid,
            flags: 0x0b.into(),
            offset: 0x1234.into(),
            version: 7,
            reserved: [0; 9],
        };
        assert_eq!(
            set.as_bytes()[15..24],
            [15, 0x0b, 0, 0, 0, 0x34, 0x12, 7, 0]
        );
        let entry = SupportedFeature {
            uuid,
            index: 1.into(),
            get_size: 2.into(),
            set_size: 3.into(),
            flags: 0x61.into(),
            get_version: 4,
            set_version: 5,
            effects: 0x0204.into(),
            reserved: [0; 18],
        };
        assert_eq!(
            entry.as_bytes()[16..30],
            [1, 0, 2, 0, 3, 0, 0x61, 0, 0, 0, 4, 5, 4, 2]
        );
        let event = EventRecord::read_from_bytes(&uuid.repeat(8)).unwrap();
        assert_eq!(
            (event.handle.get(), event.timestamp.get()),
            (0x0504, 0x0f0e_0d0c_0b0a_0908)
        );
    }
}
