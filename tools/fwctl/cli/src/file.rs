// SPDX-License-Identifier: MIT OR Apache-2.0

//! Output files, which are replaced as a whole and only on success.

use crate::failure::Failure;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};

/// A file that will be written. Until then, and if it never is, a file of this name keeps its
/// content.
pub struct Output {
    name: String,
    target: Target,
}

enum Target {
    /// Written beside the file, and renamed over it.
    Regular(NamedTempFile, PathBuf),
    /// A pipe or a device, which is written to.
    Other(File),
}

impl Output {
    /// Prepares to write a file. Fails if it could not be written, so that this is known before a
    /// request is sent.
    pub fn prepare(name: &str) -> Result<Output, Failure> {
        Output::with_mode(name, 0o666)
    }

    /// Prepares to write the file of an option that is absent or "-" if there is none to write.
    /// Returns its name as well.
    pub fn unless_stdout(name: Option<&str>) -> Result<Option<(&str, Output)>, Failure> {
        name.filter(|&name| name != "-")
            .map(|name| Ok((name, Output::prepare(name)?)))
            .transpose()
    }

    /// Like [`Output::prepare`]; a file that is new is for its owner alone.
    pub fn prepare_private(name: &str) -> Result<Output, Failure> {
        Output::with_mode(name, 0o600)
    }

    fn with_mode(name: &str, mode: u32) -> Result<Output, Failure> {
        let target = target(Path::new(name), mode).map_err(|e| Failure::file(name, &e))?;
        Ok(Output {
            name: name.to_owned(),
            target,
        })
    }

    /// Writes another file, whose name ends with `.partial`, and leaves this one as it was. A pipe or
    /// a device is written to itself. Returns the name of what was written.
    pub fn write_partial(mut self, bytes: &[u8]) -> Result<String, Failure> {
        if let Target::Regular(_, path) = &mut self.target {
            self.name.push_str(".partial");
            path.as_mut_os_string().push(".partial");
        }
        let name = self.name.clone();
        self.write(bytes).map(|()| name)
    }

    /// Writes the file.
    pub fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        let written = match self.target {
            Target::Regular(mut file, path) => file
                .write_all(bytes)
                .and_then(|()| file.as_file().sync_all())
                .and_then(|()| file.persist(path).map_err(|e| e.error))
                .map(drop),
            Target::Other(mut file) => file.write_all(bytes),
        };
        written.map_err(|e| Failure::file(&self.name, &e))
    }
}

fn target(path: &Path, mut mode: u32) -> std::io::Result<Target> {
    let mut path = path.to_owned();
    if let Ok(metadata) = fs::metadata(&path) {
        let file = File::options().write(true).open(&path)?;
        if !metadata.is_file() {
            return Ok(Target::Other(file));
        }
        mode = metadata.permissions().mode() & 0o7777;
        // A link keeps pointing to the file.
        path = fs::canonicalize(&path)?;
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A clearer error than that of the temporary file.
    fs::metadata(directory)?;
    let file = Builder::new()
        .prefix(".fwctl-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)?;
    Ok(Target::Regular(file, path))
}
