// SPDX-License-Identifier: MIT OR Apache-2.0

//! Return codes of mailbox commands (8.2.9.4.5.1).

use std::fmt;

/// Return code of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReturnCode(pub u16);

/// Codes and their names.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        impl ReturnCode {
            $($(#[$doc])* pub const $name: Self = ReturnCode($number);)*

            /// Name in the specification, if it has one.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// Success.
    SUCCESS = 0x00, "Success";
    /// The command continues in the background.
    BACKGROUND = 0x01, "Background Command Started";
    /// Invalid value of a field.
    INPUT = 0x02, "Invalid Input";
    /// Unsupported command, or unsupported object of it.
    UNSUPPORTED = 0x03, "Unsupported";
    /// The device failed.
    INTERNAL = 0x04, "Internal Error";
    /// Another command is running in the background.
    BUSY = 0x06, "Busy";
    /// Invalid event record handle.
    HANDLE = 0x0e, "Invalid Handle";
    /// Invalid length of the input.
    PAYLOAD_LENGTH = 0x16, "Invalid Payload Length";
    /// Unsupported log.
    LOG = 0x17, "Invalid Log";
    /// Unsupported version of the Feature.
    FEATURE_VERSION = 0x19, "Unsupported Feature Version";
    /// Unsupported selection of the Feature.
    FEATURE_SELECTION = 0x1a, "Unsupported Feature Selection Value";
    /// Another transfer is in progress.
    FEATURE_TRANSFER_IN_PROGRESS = 0x1b, "Feature Transfer in Progress";
    /// Not the next part of the transfer.
    FEATURE_TRANSFER_OUT_OF_ORDER = 0x1c, "Feature Transfer Out of Order";
}

impl fmt::Display for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(
            ReturnCode::FEATURE_TRANSFER_OUT_OF_ORDER.to_string(),
            "Feature Transfer Out of Order"
        );
        assert_eq!(ReturnCode(0xffff).to_string(), "0xffff");
    }
}
