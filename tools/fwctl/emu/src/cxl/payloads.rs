// SPDX-License-Identifier: MIT OR Apache-2.0

//! Layouts of the commands' inputs and outputs.  All little endian, without padding.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A universally unique identifier, its bytes in the order in which it is written.
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
    /// Before the records of Get Event Records (8.2.10.2.2).
    EventRecordsHead(32) {
        /// [`super::events`]: overflow, more.
        flags: u8,
        /// Zero.
        reserved: u8,
        /// Records that found no room.
        overflow_count: U16,
        /// When the first of them came.
        first_overflow: U64,
        /// When the last of them came.
        last_overflow: U64,
        /// Records that follow.
        count: U16,
        /// Zero.
        reserved_22: [u8; 10],
    }

    /// An event (8.2.10.2.1).
    EventRecord(128) {
        /// What its data mean.
        kind: Uuid,
        /// Bytes of all of it.
        length: u8,
        /// Severity in bits 1:0.
        flags: [u8; 3],
        /// Names it to Clear Event Records.
        handle: U16,
        /// Another one.
        related: U16,
        /// When it came.
        timestamp: U64,
        /// Maintenance and the like.
        reserved: [u8; 16],
        /// Depends on the kind.
        data: [u8; 80],
    }

    /// Before the handles of Clear Event Records (8.2.10.2.3).
    ClearEventRecordsHead(6) {
        /// Which log.
        log: u8,
        /// Bit 0: all of them.
        flags: u8,
        /// Handles that follow.
        count: u8,
        /// Zero.
        reserved: [u8; 3],
    }

    /// Before the entries of Get Supported Logs (8.2.10.5.1).
    SupportedLogsHead(8) {
        /// Entries that follow.
        count: U16,
        /// Zero.
        reserved: [u8; 6],
    }

    /// A log (8.2.10.5.1).
    SupportedLog(20) {
        /// Which.
        uuid: Uuid,
        /// Bytes of it.
        size: U32,
    }

    /// Input of Get Log (8.2.10.5.2).
    GetLogIn(24) {
        /// Which.
        uuid: Uuid,
        /// First byte.
        offset: U32,
        /// Bytes.
        length: U32,
    }

    /// An entry of the Command Effects Log (8.2.10.5.2.1).
    CommandEffects(4) {
        /// Which command.
        opcode: U16,
        /// [`super::opcodes::effect`].
        effects: U16,
    }

    /// Input of Get Supported Features (8.2.10.6.1).
    GetSupportedIn(8) {
        /// Bytes of output that are wanted, head included.
        count: U32,
        /// First entry.
        start: U16,
        /// Zero.
        reserved: [u8; 2],
    }

    /// Before the entries of Get Supported Features (8.2.10.6.1).
    SupportedHead(8) {
        /// Entries that follow.
        count: U16,
        /// Features that there are.
        supported: U16,
        /// Zero.
        reserved: [u8; 4],
    }

    /// Supported Feature Entry (8.2.10.6.1).
    SupportedFeature(48) {
        /// Which.
        uuid: Uuid,
        /// Its number on this device.
        index: U16,
        /// Bytes of its value.
        get_size: U16,
        /// Bytes that can be set.
        set_size: U16,
        /// [`super::catalogue::flag`].
        flags: U32,
        /// Version of what Get Feature answers.
        get_version: u8,
        /// Version of what Set Feature takes.
        set_version: u8,
        /// [`super::opcodes::effect`] of Set Feature.
        effects: U16,
        /// Zero.
        reserved: [u8; 18],
    }

    /// Input of Get Feature (8.2.10.6.2, table 8-111).
    GetFeatureIn(21) {
        /// Which.
        uuid: Uuid,
        /// First byte.
        offset: U16,
        /// Bytes.
        count: U16,
        /// Current, default or saved value.
        selection: u8,
    }

    /// Before the data of Set Feature (8.2.10.6.3, table 8-113).
    SetFeatureHead(32) {
        /// Which.
        uuid: Uuid,
        /// [`super::transfer::Action`] in bits 2:0, saved across reset in bit 3.
        flags: U32,
        /// Where the data belong.
        offset: U16,
        /// Version of the data.
        version: u8,
        /// Zero.
        reserved: [u8; 9],
    }

    /// Output of Identify Memory Device (8.2.10.9.1.1).
    Identify(69) {
        /// Version of the firmware.
        firmware: [u8; 16],
        /// In units of 256 MiB, like all capacities.
        total: U64,
        /// Always volatile.
        volatile: U64,
        /// Always persistent.
        persistent: U64,
        /// What a partition is a multiple of; 0 without partitions.
        alignment: U64,
        /// Records in each event log.
        event_logs: [U16; 4],
        /// Bytes of labels.
        label_storage: U32,
        /// Entries of the list of poison.
        poison_list: [u8; 3],
        /// Poison that can be injected.
        inject_poison: U16,
        /// How poison is handled.
        poison: u8,
        /// How it tells of its load.
        qos_telemetry: u8,
        /// Records in the log of dynamic capacity.
        dynamic_capacity_log: U16,
    }

    /// Output of Get Partition Info (8.2.10.9.2.1).
    PartitionInfo(32) {
        /// Now.
        volatile: U64,
        /// Now.
        persistent: U64,
        /// After the next cold reset.
        next_volatile: U64,
        /// After the next cold reset.
        next_persistent: U64,
    }

    /// Output of Get Health Info (8.2.10.9.3.1).
    Health(18) {
        /// What is needed.
        status: u8,
        /// Of the media.
        media: u8,
        /// Life, temperature, errors.
        additional: u8,
        /// Per cent.
        life_used: u8,
        /// Degrees Celsius.
        temperature: U16,
        /// Shutdowns that may have lost data.
        dirty_shutdowns: U32,
        /// Of volatile memory.
        corrected_volatile: U32,
        /// Of persistent memory.
        corrected_persistent: U32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let uuid = std::array::from_fn(|n| n as u8);
        // Get Feature of byte 0x201 and the 0x302 that follow, saved value.
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
