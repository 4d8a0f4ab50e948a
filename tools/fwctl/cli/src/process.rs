// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sender of a request: what `/proc` says about a process, while it exists.

use fwctl::sysfs::Root;

/// A process.
#[derive(Default)]
pub struct Process {
    pub name: Option<String>,
    /// User that it runs as.
    pub uid: Option<u32>,
    /// The container that it runs in.
    pub container: Option<String>,
}

impl Process {
    pub fn of(root: &Root, pid: u32) -> Process {
        let text = |file: &str| {
            let bytes = std::fs::read(root.join(format!("proc/{pid}/{file}"))).ok()?;
            Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
        };
        Process {
            name: text("comm"),
            uid: text("status").and_then(|status| uid(&status)),
            container: text("cgroup").and_then(|cgroups| container(&cgroups)),
        }
    }
}

/// The effective user of `/proc/PID/status`.
fn uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The container in a list of control groups. Docker, containerd, CRI-O and podman name the group
/// after the container's id, LXC after its name, systemd-nspawn after its machine.
fn container(cgroups: &str) -> Option<String> {
    const ID_LENGTH: usize = 64;
    const SHOWN: usize = 12;
    let paths = || {
        cgroups
            .lines()
            .filter_map(|line| line.splitn(3, ':').nth(2))
    };
    let words = paths().flat_map(|path| path.split('/'));
    for word in words {
        let word = word.strip_suffix(".scope").unwrap_or(word);
        let id = word.rsplit('-').next().unwrap_or(word);
        if id.len() == ID_LENGTH && id.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Some(id[..SHOWN].to_owned());
        }
        let name = ["lxc.payload.", "machine-"]
            .iter()
            .find_map(|prefix| word.strip_prefix(prefix));
        if let Some(name) = name {
            return Some(name.to_owned());
        }
    }
    paths().find_map(|path| {
        let name = path.strip_prefix("/lxc/")?;
        Some(name.split('/').next().unwrap_or(name).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user() {
        let status = "Name:\tfwctl\nUid:\t1000\t0\t0\t0\nGid:\t1\t2\t3\t4\n";
        assert_eq!(uid(status), Some(0));
        assert_eq!(uid("Uid:\t1000"), None);
        assert_eq!(uid(""), None);
    }

    #[test]
    fn containers_by_their_control_groups() {
        let id = "0123456789abcdef".repeat(4);
        for (text, found) in [
            (
                format!("0::/system.slice/docker-{id}.scope"),
                Some("0123456789ab"),
            ),
            (
                format!("0::/kubepods.slice/cri-containerd-{id}.scope"),
                Some("0123456789ab"),
            ),
            (
                format!("12:devices:/docker/{id}\n0::/"),
                Some("0123456789ab"),
            ),
            (
                format!("0::/machine.slice/libpod-{id}.scope/container"),
                Some("0123456789ab"),
            ),
            ("0::/lxc.payload.web/init.scope".into(), Some("web")),
            ("4:memory:/lxc/web/x".into(), Some("web")),
            ("0::/machine.slice/machine-deb.scope".into(), Some("deb")),
            ("0::/user.slice/user-0.slice/session-1.scope".into(), None),
            ("0::/".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(container(&text).as_deref(), found, "{text}");
        }
    }
}
