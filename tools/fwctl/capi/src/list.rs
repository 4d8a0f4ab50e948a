// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lists that C reads: structs, and the texts that they point to.

use crate::text;
use std::ffi::{c_char, CString};
use std::ptr;

/// Structs for C, with what they point to.
pub(crate) struct List<T> {
    structs: Vec<T>,
    _texts: Texts,
}

/// Texts of the structs of a list.
#[derive(Default)]
pub(crate) struct Texts(Vec<CString>);

impl Texts {
    /// A pointer that is valid while the list exists; NULL if there is no text.
    pub(crate) fn keep(&mut self, found: Option<&str>) -> *const c_char {
        found.map_or(ptr::null(), |found| {
            let kept = text(found);
            // A text stays where it is when the vector grows.
            let pointer = kept.as_ptr();
            self.0.push(kept);
            pointer
        })
    }
}

impl<T> List<T> {
    /// The structs of these things.
    pub(crate) fn new<F>(
        things: impl IntoIterator<Item = F>,
        convert: impl Fn(F, &mut Texts) -> T,
    ) -> List<T> {
        let mut texts = Texts::default();
        let structs = things.into_iter();
        List {
            structs: structs.map(|thing| convert(thing, &mut texts)).collect(),
            _texts: texts,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.structs.len()
    }

    /// A struct, valid while the list exists; NULL if there are not so many.
    pub(crate) fn get(&self, index: usize) -> *const T {
        self.structs.get(index).map_or(ptr::null(), ptr::from_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn texts_stay_valid() {
        let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let list = List::new(&many, |text, texts| texts.keep(Some(text)));
        assert_eq!(list.len(), 100);
        for (index, text) in many.iter().enumerate() {
            // SAFETY: The list has 100 structs, which are pointers to its texts.
            let found = unsafe { CStr::from_ptr(*list.get(index)) };
            assert_eq!(found.to_str(), Ok(text.as_str()));
        }
        assert!(list.get(100).is_null());
        assert!(Texts::default().keep(None).is_null());
    }
}
