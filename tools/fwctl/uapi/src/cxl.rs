// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages of CXL memory devices: `include/uapi/fwctl/cxl.h` and `include/uapi/cxl/features.h`.
//!
//! A request is [`RpcHeader`] and then the payload of a mailbox command; a reply is [`ReplyHeader`]
//! and then the payload that the device returned. The headers are the kernel's and in the machine's
//! byte order; payloads are CXL's and little-endian. Section and table numbers are those of CXL
//! revision 3.2.

use crate::message::message;

/// Mailbox opcode of Get Supported Features (section 8.2.10.6.1).
pub const OPCODE_GET_SUPPORTED_FEATURES: u32 = 0x0500;
/// Mailbox opcode of Get Feature (section 8.2.10.6.2).
pub const OPCODE_GET_FEATURE: u32 = 0x0501;
/// Mailbox opcode of Set Feature (section 8.2.10.6.3).
pub const OPCODE_SET_FEATURE: u32 = 0x0502;

message! {
    Native, 16,
    /// Start of every request: `struct fwctl_rpc_cxl` without its union.
    pub struct RpcHeader {
        /// Mailbox opcode.
        pub opcode: u32,
        /// Must be 0: no flag is defined.
        pub flags: u32,
        /// Bytes of payload behind this header.
        pub op_size: u32,
        /// Must be 0.
        pub reserved1: u32,
    }
}

message! {
    Native, 8,
    /// Start of every reply: `struct fwctl_rpc_cxl_out` without its union.
    pub struct ReplyHeader {
        /// Bytes of payload behind this header.
        pub size: u32,
        /// The mailbox's return code (section 8.2.9.4.5.1, table 8-46); 0 is success.
        pub retval: u32,
    }
}

/// Opcode of the query for the commands of a device, which the kernel answers. It is outside of the
/// 16 bits of mailbox opcodes.
pub const QUERY_COMMANDS: u32 = 0x1_0000;

message! {
    Native, 8,
    /// Device data of `FWCTL_INFO`: `struct fwctl_info_cxl`. A kernel that passes only the Feature
    /// commands returns none.
    pub struct Info {
        /// What the kernel's driver can do: [`caps`].
        pub uctx_caps: u32,
        /// Most bytes of payload that a command has, in either direction.
        pub payload_size: u32,
    }
}

/// Bits of [`Info::uctx_caps`].
pub mod caps {
    /// It answers [`QUERY_COMMANDS`](super::QUERY_COMMANDS).
    pub const QUERY_COMMANDS: u32 = 1 << 0;
    /// It passes the commands that the answer lists with a scope.
    pub const COMMANDS: u32 = 1 << 1;
}

message! {
    Native, 8,
    /// Start of the payload of the answer to [`QUERY_COMMANDS`]: `struct fwctl_cxl_commands`;
    /// [`CommandEntry`]s follow.
    pub struct CommandsOut {
        /// Entries that follow.
        pub num_commands: u32,
        /// 0.
        pub reserved: u32,
    }
}

message! {
    Native, 8,
    /// A command of the device: `struct fwctl_cxl_command`.
    pub struct CommandEntry {
        /// Mailbox opcode.
        pub opcode: u16,
        /// What the device says that it does: [`effects`].
        pub effects: u16,
        /// Number of the least scope, or [`SCOPE_NEVER`].
        pub scope: u8,
        /// Why no scope allows it: [`reason`].
        pub reason: u8,
        /// Properties: [`command_flags`].
        pub flags: u16,
    }
}

/// As [`CommandEntry::scope`]: no scope allows the command.
pub const SCOPE_NEVER: u8 = 0xff;

/// Values of [`CommandEntry::reason`].
pub mod reason {
    /// A scope allows the command.
    pub const NONE: u8 = 0;
    /// The kernel reserves it for itself.
    pub const KERNEL: u8 = 1;
    /// The kernel's driver does not know it.
    pub const UNKNOWN: u8 = 2;
    /// It changes the security state.
    pub const SECURITY: u8 = 3;
    /// It continues in the background.
    pub const BACKGROUND: u8 = 4;
    /// It has effects that are reserved.
    pub const RESERVED: u8 = 5;
}

/// Bits of [`CommandEntry::flags`].
pub mod command_flags {
    /// The scope depends on the Feature; it is at least [`CommandEntry::scope`](super::CommandEntry).
    pub const BY_FEATURE: u16 = 1 << 0;
    /// The scope depends on the command in the payload; it is at least
    /// [`CommandEntry::scope`](super::CommandEntry).
    pub const BY_PAYLOAD: u16 = 1 << 1;
}

message! {
    Little, 8,
    /// Payload of a Get Supported Features request.
    pub struct GetSupportedFeaturesIn {
        /// Bytes that the reply's payload may have.
        pub count: u32,
        /// Index of the first entry wanted.
        pub start_idx: u16,
        /// Must be 0.
        pub reserved: [u8; 2],
    }
}

message! {
    Little, 8,
    /// Start of a Get Supported Features reply's payload (table 8-108); [`FeatureEntry`]s follow.
    pub struct GetSupportedFeaturesOut {
        /// Entries in this reply.
        pub num_entries: u16,
        /// Entries that the device has in all.
        pub supported_feats: u16,
        /// 0.
        pub reserved: [u8; 4],
    }
}

message! {
    Little, 48,
    /// One Supported Feature Entry (table 8-109).
    pub struct FeatureEntry {
        /// Identifier of the feature, most significant byte first.
        pub uuid: [u8; 16],
        /// Index of the feature on this device.
        pub id: u16,
        /// Most bytes that Get Feature returns.
        pub get_feat_size: u16,
        /// Most bytes that Set Feature takes.
        pub set_feat_size: u16,
        /// Attributes: [`feature_flags`].
        pub flags: u32,
        /// Version of the Get Feature layout.
        pub get_feat_ver: u8,
        /// Version of the Set Feature layout.
        pub set_feat_ver: u8,
        /// What setting the feature does: [`effects`].
        pub effects: u16,
        /// 0.
        pub reserved: [u8; 18],
    }
}

message! {
    Little, 21,
    /// Payload of a Get Feature request (table 8-111).
    pub struct GetFeatureIn {
        /// The feature.
        pub uuid: [u8; 16],
        /// First byte wanted.
        pub offset: u16,
        /// Number of bytes wanted.
        pub count: u16,
        /// Which of the feature's values: [`selection`].
        pub selection: u8,
    }
}

message! {
    Little, 32,
    /// Start of a Set Feature request's payload (table 8-113); the feature's data follows.
    pub struct SetFeatureIn {
        /// The feature.
        pub uuid: [u8; 16],
        /// Bits 2:0 are the transfer action, which must be 0 (full) because the kernel splits; bit 3 is
        /// [`SET_SAVED_ACROSS_RESET`].
        pub flags: u32,
        /// First byte of the feature that the data replaces.
        pub offset: u16,
        /// Layout version of the data, from [`FeatureEntry::set_feat_ver`].
        pub version: u8,
        /// Must be 0.
        pub rsvd: [u8; 9],
    }
}

/// Bit of [`SetFeatureIn::flags`]: keep the value across resets.
pub const SET_SAVED_ACROSS_RESET: u32 = 1 << 3;

/// Bits of [`FeatureEntry::flags`].
pub mod feature_flags {
    /// Set Feature may change it.
    pub const CHANGEABLE: u32 = 1 << 0;
    /// The saved value survives a firmware update.
    pub const PERSISTS_ACROSS_FW_UPDATE: u32 = 1 << 4;
    /// Get Feature can return the default value.
    pub const DEFAULT_SELECTION: u32 = 1 << 5;
    /// Get Feature can return the saved value.
    pub const SAVED_SELECTION: u32 = 1 << 6;
}

/// Values of [`GetFeatureIn::selection`].
pub mod selection {
    /// The value in force.
    pub const CURRENT: u8 = 0;
    /// The value the device was made with.
    pub const DEFAULT: u8 = 1;
    /// The value kept across resets.
    pub const SAVED: u8 = 2;
}

/// Bits of [`FeatureEntry::effects`] (table 8-87).
pub mod effects {
    /// Configuration changes after a cold reset.
    pub const CONFIG_CHANGE_COLD_RESET: u16 = 1 << 0;
    /// Configuration changes at once.
    pub const CONFIG_CHANGE_IMMEDIATE: u16 = 1 << 1;
    /// Data changes at once.
    pub const DATA_CHANGE_IMMEDIATE: u16 = 1 << 2;
    /// Policy changes at once.
    pub const POLICY_CHANGE_IMMEDIATE: u16 = 1 << 3;
    /// Logs change at once.
    pub const LOG_CHANGE_IMMEDIATE: u16 = 1 << 4;
    /// The security state changes at once.
    pub const SECURITY_STATE_CHANGE: u16 = 1 << 5;
    /// The command continues in the background.
    pub const BACKGROUND: u16 = 1 << 6;
    /// The command is supported on the secondary mailbox as well.
    pub const SECONDARY_MAILBOX: u16 = 1 << 7;
    /// Request Abort Background Operation is supported for the command.
    /// `include/uapi/cxl/features.h` gives bit 7 a name like that; the specification says bit 8.
    pub const BACKGROUND_ABORT: u16 = 1 << 8;
    /// Bits 10 and 11 mean something; without it they do not.
    pub const EFFECTS_VALID: u16 = 1 << 9;
    /// Configuration changes after a conventional reset.
    pub const CONFIG_CHANGE_CONVENTIONAL_RESET: u16 = 1 << 10;
    /// Configuration changes after a CXL reset.
    pub const CONFIG_CHANGE_CXL_RESET: u16 = 1 << 11;
    /// Bits without meaning; the kernel sets no feature that has one.
    pub const RESERVED: u16 = 0xf000;
}
