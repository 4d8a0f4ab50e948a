// SPDX-License-Identifier: MIT OR Apache-2.0

//! Structs as bytes, in safe code and without another crate in the public API.

/// A struct whose fields follow each other without padding, and its bytes.
///
/// Integers of `Native` structs are in the machine's byte order, those of `Little` ones
/// little-endian.
macro_rules! message {
    (
        $order:ident, $len:literal,
        $(#[$attribute:meta])*
        pub struct $name:ident { $($(#[$field_attribute:meta])* pub $field:ident: $type:ty,)* }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_attribute])* pub $field: $type,)* }

        impl $name {
            /// Number of bytes.
            pub const LEN: usize = $len;

            /// The bytes.
            pub fn to_bytes(self) -> [u8; $len] {
                use $crate::message::{Order, Part};
                let mut bytes = [0; $len];
                let mut at = 0;
                $(at += self.$field.write(Order::$order, &mut bytes[at..]);)*
                debug_assert!(at == $len);
                bytes
            }

            /// The struct in the first bytes, and the bytes behind it. None if there are too few.
            pub fn split_from(bytes: &[u8]) -> Option<($name, &[u8])> {
                use $crate::message::{Order, Part};
                let (first, rest) = bytes.split_at_checked($len)?;
                let mut all = $name::default();
                let mut at = 0;
                $(at += all.$field.read(Order::$order, &first[at..]);)*
                debug_assert!(at == $len);
                Some((all, rest))
            }
        }

        const _: () = assert!(0 $(+ core::mem::size_of::<$type>())* == $len);
    };
}
pub(crate) use message;

/// Byte order of integers.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    Native,
    Little,
}

/// A field. Both functions return its length, and have that many bytes or more.
pub(crate) trait Part {
    fn write(&self, order: Order, bytes: &mut [u8]) -> usize;
    fn read(&mut self, order: Order, bytes: &[u8]) -> usize;
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        impl Part for $type {
            fn write(&self, order: Order, bytes: &mut [u8]) -> usize {
                const LEN: usize = core::mem::size_of::<$type>();
                let value = match order {
                    Order::Native => self.to_ne_bytes(),
                    Order::Little => self.to_le_bytes(),
                };
                bytes[..LEN].copy_from_slice(&value);
                LEN
            }

            fn read(&mut self, order: Order, bytes: &[u8]) -> usize {
                const LEN: usize = core::mem::size_of::<$type>();
                let mut value = [0; LEN];
                value.copy_from_slice(&bytes[..LEN]);
                *self = match order {
                    Order::Native => $type::from_ne_bytes(value),
                    Order::Little => $type::from_le_bytes(value),
                };
                LEN
            }
        }
    )*};
}
integers!(u8 u16 u32 u64);

impl<T: Part, const N: usize> Part for [T; N] {
    fn write(&self, order: Order, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        for part in self {
            at += part.write(order, &mut bytes[at..]);
        }
        at
    }

    fn read(&mut self, order: Order, bytes: &[u8]) -> usize {
        let mut at = 0;
        for part in self {
            at += part.read(order, &bytes[at..]);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    message! {
        Little, 17,
        /// All kinds of fields.
        pub struct Little {
            /// A byte.
            pub one: u8,
            /// Two.
            pub two: u16,
            /// Eight.
            pub eight: u64,
            /// Three at a time.
            pub bytes: [u8; 2],
            /// Words.
            pub words: [u16; 2],
        }
    }

    message! {
        Native, 8,
        /// Native.
        pub struct Native {
            /// A word.
            pub word: u32,
            /// Bytes.
            pub bytes: [u8; 4],
        }
    }

    #[test]
    fn little_endian_bytes_in_order() {
        let bytes = [
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
        ];
        let (value, rest) = Little::split_from(&bytes).unwrap();
        assert_eq!(
            value,
            Little {
                one: 1,
                two: 0x302,
                eight: 0x0b0a_0908_0706_0504,
                bytes: [12, 13],
                words: [0x0f0e, 0x1110],
            }
        );
        assert_eq!(
            (value.to_bytes().as_slice(), rest),
            (&bytes[..17], &[18][..])
        );
        assert!(Little::split_from(&bytes[..Little::LEN - 1]).is_none());
    }

    #[test]
    fn native_words_round_trip() {
        let value = Native {
            word: 0x1234_5678,
            bytes: [9; 4],
        };
        let bytes = value.to_bytes();
        assert_eq!(bytes.len(), Native::LEN);
        assert_eq!(bytes[..4], 0x1234_5678_u32.to_ne_bytes());
        assert_eq!(Native::split_from(&bytes), Some((value, &[][..])));
    }
}
