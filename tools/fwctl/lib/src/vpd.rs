// SPDX-License-Identifier: MIT OR Apache-2.0

//! Vital product data of a PCI function, as sysfs has it (PCI Local Bus Specification 3.0,
//! appendix I).

/// Tag of the read-only part.
const READ_ONLY: u8 = 0x90;

/// The value of a keyword of the read-only part, such as `SN`, the serial number.
pub(crate) fn keyword(data: &[u8], keyword: [u8; 2]) -> Option<String> {
    let mut fields = read_only(data)?;
    while let [a, b, len, rest @ ..] = fields {
        let value = rest.get(..usize::from(*len))?;
        if [*a, *b] == keyword {
            let text = String::from_utf8_lossy(value);
            let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
            return (!text.is_empty()).then(|| text.to_owned());
        }
        fields = &rest[value.len()..];
    }
    None
}

/// The read-only part, which follows others of any length.
fn read_only(mut data: &[u8]) -> Option<&[u8]> {
    loop {
        let (tag, len, rest) = match data {
            // A large part has two bytes of length.
            [tag, low, high, rest @ ..] if tag & 0x80 != 0 => {
                (*tag, usize::from(u16::from_le_bytes([*low, *high])), rest)
            }
            // A small one has its length in the tag; the one with tag 0xf is the end.
            [tag, rest @ ..] if tag & 0x80 == 0 && tag >> 3 != 0xf => {
                (*tag, usize::from(tag & 7), rest)
            }
            _ => return None,
        };
        let part = rest.get(..len)?;
        if tag == READ_ONLY {
            return Some(part);
        }
        data = &rest[len..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vpd() -> Vec<u8> {
        let name = b"\x82\x04\x00Card";
        let fields = b"PN\x06MCX7-1SN\x08MT2 \0\0\0\0V0\x01x";
        let head = [READ_ONLY, fields.len() as u8, 0];
        [&name[..], &head, fields, b"\x78"].concat()
    }

    #[test]
    fn keywords_are_found_behind_other_parts() {
        assert_eq!(keyword(&vpd(), *b"PN").as_deref(), Some("MCX7-1"));
        assert_eq!(keyword(&vpd(), *b"SN").as_deref(), Some("MT2"));
        assert_eq!(keyword(&vpd(), *b"ZZ"), None);
    }

    #[test]
    fn lengths_that_lie_end_the_search() {
        let whole = vpd();
        for end in 0..whole.len() {
            let found = keyword(&whole[..end], *b"V0");
            assert!(found.is_none() || end >= whole.len() - 1, "{end}");
        }
        assert_eq!(keyword(&[0x82, 0xff, 0xff, 1], *b"SN"), None);
        assert_eq!(
            keyword(&[READ_ONLY, 4, 0, b'S', b'N', 200, 1], *b"SN"),
            None
        );
        assert_eq!(keyword(&[0xff; 64], *b"SN"), None);
        assert_eq!(keyword(&[], *b"SN"), None);
    }
}
