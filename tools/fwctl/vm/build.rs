// SPDX-License-Identifier: MIT OR Apache-2.0

//! Embeds the files of `guest/`, so that a new script needs no entry in a list.

use std::env;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=guest");
    let guest = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("guest");
    let mut names = Vec::new();
    for entry in fs::read_dir(&guest)? {
        let name = entry?.file_name().into_string().unwrap();
        if [".sh", ".session", ".list"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            names.push(name);
        }
    }
    names.sort();
    let mut list = String::from("&[\n");
    for name in names {
        let path = guest.join(&name);
        writeln!(list, "    ({name:?}, include_str!({path:?})),").unwrap();
    }
    list.push_str("]\n");
    let to = Path::new(&env::var("OUT_DIR").unwrap()).join("scripts.rs");
    fs::write(to, list)
}
