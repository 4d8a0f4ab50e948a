// SPDX-License-Identifier: MIT OR Apache-2.0

//! MSI-X vectors: the event descriptors that QEMU passes for them.

use std::fs::File;
use std::io::Write;

/// Maximum number of vectors of a function (PCI Express 6.0, 7.7.2.2: 11 bits).
pub const MAX_VECTORS: usize = 2048;

/// The vectors of a function.
#[derive(Default)]
pub struct Vectors {
    events: Vec<Option<File>>,
    /// Interrupts raised.
    pub raised: u64,
    /// Interrupts of vectors without event descriptor.
    pub lost: u64,
}

impl Vectors {
    /// Attaches `files` to the vectors from `start` on.
    ///
    /// QEMU adds vectors one by one as the guest unmasks them. If there are fewer files than
    /// `count`, the remaining vectors are detached; a count of 0 detaches all.
    pub fn set(&mut self, start: u32, count: u32, files: Vec<File>) {
        if count == 0 {
            return self.events.clear();
        }
        let start = start as usize;
        let end = start.saturating_add(count as usize).min(MAX_VECTORS);
        if start >= end {
            return;
        }
        if self.events.len() < end {
            self.events.resize_with(end, || None);
        }
        let mut files = files.into_iter();
        for event in &mut self.events[start..end] {
            *event = files.next();
        }
    }

    /// Raises the interrupt of `vector`.
    pub fn raise(&mut self, vector: usize) {
        let event = self.events.get_mut(vector).and_then(Option::as_mut);
        match event.map(|event| event.write_all(&1u64.to_ne_bytes())) {
            Some(Ok(())) => self.raised += 1,
            _ => self.lost += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    #[test]
    fn vectors_come_and_go() {
        let dir = std::env::temp_dir().join(format!("fwctl-emu-irq-{}", std::process::id()));
        let mut file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(true)
            .open(&dir)
            .unwrap();
        let mut vectors = Vectors::default();
        vectors.raise(0);
        assert_eq!((vectors.raised, vectors.lost), (0, 1));
        // What QEMU 11.1 sends first: one vector, no descriptor.
        vectors.set(0, 1, vec![]);
        vectors.set(0, 0, vec![]);
        vectors.set(1, 1, vec![file.try_clone().unwrap()]);
        vectors.raise(0);
        vectors.raise(1);
        assert_eq!((vectors.raised, vectors.lost), (1, 2));
        let mut written = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut written).unwrap();
        assert_eq!(written, 1u64.to_ne_bytes());
        vectors.set(u32::MAX, u32::MAX, vec![]);
        vectors.set(2000, u32::MAX, vec![]);
        assert!(vectors.events.len() <= MAX_VECTORS);
        std::fs::remove_file(dir).unwrap();
    }
}
