// SPDX-License-Identifier: MIT OR Apache-2.0

//! UUIDs as CXL writes them: 16 bytes, the most significant first.

use std::fmt;
use std::str::FromStr;

/// Identifier of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// Positions of the hyphens in 8-4-4-4-12 form.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Uuid {
    type Err = BadUuid;

    fn from_str(text: &str) -> Result<Uuid, BadUuid> {
        let text = text.as_bytes();
        if text.len() != 36 || HYPHENS.iter().any(|&at| text[at] != b'-') {
            return Err(BadUuid);
        }
        let mut nibbles = text
            .iter()
            .enumerate()
            .filter(|(at, _)| !HYPHENS.contains(at))
            .map(|(_, &c)| (c as char).to_digit(16));
        let mut nibble = || nibbles.next().flatten().ok_or(BadUuid);
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            *byte = ((nibble()? << 4) | nibble()?) as u8;
        }
        Ok(Uuid(bytes))
    }
}

/// Not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID: it has 32 hexadecimal digits, as in 96dad7d6-fde8-482b-a733-75774e06db8a")]
pub struct BadUuid;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_round_trip() {
        let text = "96dad7d6-fde8-482b-a733-75774e06db8a";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.0[..6], [0x96, 0xda, 0xd7, 0xd6, 0xfd, 0xe8]);
        assert_eq!(uuid.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(uuid));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "96dad7d6",
            "96dad7d6fde8482ba73375774e06db8a",
            "96dad7d6-fde8-482b-a733-75774e06db8g",
            "96dad7d6-fde8-482b-a733-75774e06db8aa",
        ] {
            assert_eq!(text.parse::<Uuid>(), Err(BadUuid), "{text}");
        }
        assert_eq!(
            "96dad7d6-fde8-482b-a733-75774e06d\u{e9}a".parse::<Uuid>(),
            Err(BadUuid)
        );
    }
}
