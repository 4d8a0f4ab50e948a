// SPDX-License-Identifier: MIT OR Apache-2.0

//! Product names from the system's `pci.ids`.

use std::fs;
use std::path::Path;

/// Where distributions keep the file.
const PATHS: [&str; 2] = ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids"];

/// Name of a PCI device, if the system below `root` has a database that knows it.
pub(crate) fn product(root: &Path, vendor: u16, device: u16) -> Option<String> {
    let text = PATHS
        .iter()
        .find_map(|path| fs::read(root.join(path)).ok())?;
    lookup(&String::from_utf8_lossy(&text), vendor, device)
}

/// Vendors start a line, their devices are indented by one tab, subsystems by two.
fn lookup(text: &str, vendor: u16, device: u16) -> Option<String> {
    let (vendor, device) = (format!("{vendor:04x}  "), format!("\t{device:04x}  "));
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&vendor));
    lines.next()?;
    lines
        .take_while(|line| line.starts_with(['\t', '#']))
        .find_map(|line| line.strip_prefix(&device))
        .map(|name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_device_of_the_vendor() {
        let text = "# comment\n15b2  Other\n\t1021  Wrong\n15b3  Mellanox Technologies\n\t101f  MT2894\n\t\t15b3 0001  Board\n\
                    \t1021  MT2910 Family [ConnectX-7]\n1af4  Next\n\t1022  Wrong\n";
        assert_eq!(
            lookup(text, 0x15b3, 0x1021).as_deref(),
            Some("MT2910 Family [ConnectX-7]")
        );
        assert_eq!(lookup(text, 0x15b3, 0x1022), None);
        assert_eq!(lookup(text, 0xffff, 0x1021), None);
        assert_eq!(lookup("", 0, 0), None);
    }
}
