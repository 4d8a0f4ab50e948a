// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writer for the kernel's initramfs format: a cpio archive in the "newc" variant.
//!
//! See Documentation/driver-api/early-userspace/buffer-format.rst in the kernel tree.

use anyhow::{ensure, Context, Result};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

const S_IFDIR: u32 = 0o040000;
const S_IFCHR: u32 = 0o020000;
const S_IFREG: u32 = 0o100000;
const S_IFLNK: u32 = 0o120000;

/// An archive under construction; parent directories are added as they are needed.
pub struct Archive<W: Write> {
    out: W,
    inode: u32,
    seen: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    /// Starts an empty archive.
    pub fn new(out: W) -> Self {
        Archive {
            out,
            inode: 0,
            seen: BTreeSet::new(),
        }
    }

    /// Whether `name` is in the archive.
    pub fn has(&self, name: &str) -> bool {
        self.seen.contains(name.trim_matches('/'))
    }

    /// Adds a directory and its parents; one that is there already is fine.
    pub fn dir(&mut self, name: &str) -> Result<()> {
        let name = name.trim_matches('/');
        let ends = name
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([name.len()]);
        for end in ends {
            let part = &name[..end];
            if !part.is_empty() && !self.has(part) {
                self.entry(part, S_IFDIR | 0o755, 2, (0, 0), b"")?;
            }
        }
        Ok(())
    }

    /// Adds a regular file.
    pub fn file(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.parent(name)?;
        self.entry(name, S_IFREG | mode, 1, (0, 0), data)
    }

    /// Adds a copy of a file on the host.
    pub fn copy(&mut self, name: &str, mode: u32, source: &Path) -> Result<()> {
        let data =
            std::fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        self.file(name, mode, &data)
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &str, target: &str) -> Result<()> {
        self.parent(name)?;
        self.entry(name, S_IFLNK | 0o777, 1, (0, 0), target.as_bytes())
    }

    /// Adds a character device.
    pub fn chardev(&mut self, name: &str, mode: u32, major: u32, minor: u32) -> Result<()> {
        self.parent(name)?;
        self.entry(name, S_IFCHR | mode, 1, (major, minor), b"")
    }

    /// Writes the trailer and hands the output back.
    pub fn finish(mut self) -> Result<W> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, 1, (0, 0), b"")?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn parent(&mut self, name: &str) -> Result<()> {
        match name.trim_matches('/').rsplit_once('/') {
            Some((parent, _)) => self.dir(parent),
            None => Ok(()),
        }
    }

    fn entry(
        &mut self,
        name: &str,
        mode: u32,
        links: u32,
        rdev: (u32, u32),
        data: &[u8],
    ) -> Result<()> {
        let name = name.trim_matches('/');
        ensure!(
            self.seen.insert(name.into()),
            "{name} is in the initramfs twice"
        );
        ensure!(!name.contains('\0'), "{name:?} is no file name");
        let size = u32::try_from(data.len())
            .with_context(|| format!("{name} is too large for an initramfs"))?;
        // After the magic: ino, mode, uid, gid, nlink, mtime, filesize, device, rdevice, namesize,
        // check.
        let fields = [
            self.inode,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            rdev.0,
            rdev.1,
            name.len() as u32 + 1,
            0,
        ];
        self.inode += 1;
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08X}"));
        }
        header.push_str(name);
        header.push('\0');
        self.padded(header.as_bytes())?;
        self.padded(data)
    }

    /// Writes `bytes` and zeros up to a multiple of four.
    fn padded(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.out
            .write_all(&[0; 3][..bytes.len().wrapping_neg() % 4])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte for byte what `cpio -o -H newc --reproducible` (GNU cpio 2.15) writes for the tree of
    /// the test, up to the padding after the trailer, with `~` for a zero byte.
    const GOLDEN: &str = "\
        07070100000000000041ED00000000000000000000000200000000\
        00000000000000000000000000000000000000000000000400000000bin~~~\
        07070100000001000081ED00000000000000000000000100000000\
        00000005000000000000000000000000000000000000000600000000bin/a~hello~~~\
        070701000000020000A1FF00000000000000000000000100000000\
        00000005000000000000000000000000000000000000000300000000sh~~~~bin/a~~~\
        07070100000003000041ED00000000000000000000000200000000\
        00000000000000000000000000000000000000000000000400000000dev~~~\
        070701000000040000218000000000000000000000000100000000\
        00000000000000000000000000000005000000010000000C00000000dev/console~~~\
        070701000000000000000000000000000000000000000100000000\
        00000000000000000000000000000000000000000000000B00000000TRAILER!!!~~~~";

    #[test]
    fn golden_bytes() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/bin/a", 0o755, b"hello").unwrap();
        archive.link("sh", "bin/a").unwrap();
        archive.chardev("dev/console", 0o600, 5, 1).unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap().replace('\0', "~"), GOLDEN);
    }

    #[test]
    fn every_entry_starts_on_a_multiple_of_four() {
        for length in 0..9 {
            let mut archive = Archive::new(Vec::new());
            archive
                .file(&"n".repeat(length + 1), 0o644, &vec![1; length])
                .unwrap();
            let bytes = archive.finish().unwrap();
            assert_eq!(bytes.len() % 4, 0);
            let trailer = bytes.len() - 110 - 14;
            assert_eq!(&bytes[trailer..trailer + 6], b"070701", "length {length}");
        }
    }

    #[test]
    fn names() {
        let mut archive = Archive::new(Vec::new());
        archive.file("a/b", 0o644, b"").unwrap();
        archive.dir("a").unwrap();
        assert!(archive.has("/a/b") && archive.has("a") && !archive.has("b"));
        let error = archive.file("/a/b", 0o644, b"").unwrap_err();
        assert!(error.to_string().contains("twice"));
        assert!(archive.file("c\0d", 0o644, b"").is_err());
        assert!(archive.copy("e", 0o644, Path::new("/nonexistent")).is_err());
    }
}
