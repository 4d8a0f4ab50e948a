// SPDX-License-Identifier: MIT OR Apache-2.0

//! Help about the whole command, for the end of `--help` and for sections of the man page.

/// A part. Lines that start with a space are a table or commands, and stay as they are.
pub struct Part {
    pub title: &'static str,
    pub text: &'static str,
}

pub const PARTS: [Part; 7] = [
    Part {
        title: "Naming a device",
        text: "\
DEV is a name (fwctl0), a PCI address (0000:0d:00.0 or 0d:00.0), a CXL memory device (mem0), a network device (eth0), an RDMA device \
(mlx5_0), a devlink handle (pci/0000:0d:00.0), or the path of a node, of a link to one, or of the device in sysfs. A node is looked up \
by its device number, and not by its name.",
    },
    Part {
        title: "Examples",
        text: "  \
  fwctl list                            list the devices
  fwctl cxl features mem0               list features of a CXL memory device
  fwctl cxl get mem0 patrol-scrub       read one of them
  fwctl mlx5 reg 07:00.0 mtmp           read the temperature of a ConnectX
  fwctl pds operations 0a:00.0          list operations of a Pensando card
  fwctl rpc fwctl0 --scope debug-read-only -i request.bin --out reply.bin
  fwctl snapshot --all --out host.json  read everything, as one document
  fwctl diff before.json after.json     compare two of these
  fwctl export --out fwctl.prom         write metrics for Prometheus
  fwctl capture --out support.tar.gz    collect what support needs
  fwctl watch                           follow all requests to all firmware",
    },
    Part {
        title: "Scopes",
        text: "\
Every request names a scope, and the kernel's driver rejects a request that does more than its scope allows. Scopes are cumulative: \
each one also allows what those before it allow, so a request in debug-read-only can change configuration. What a request does depends \
on its command. The last two scopes taint the kernel (flag J) until the next boot; the tool never chooses them by itself.
  configuration      read and change configuration; the device stays supported
  debug-read-only    also read debug information
  debug-write        also change debug state; taints, needs no capability
  debug-write-full   also change anything else; taints, needs CAP_SYS_RAWIO",
    },
    Part {
        title: "Permissions",
        text: "\
Nodes belong to root (mode 0600), because scope debug-write needs no capability: anyone who can open a node, even for reading only, can \
write to the firmware and taint the kernel. Give a node to a group only if you trust all of its members with the firmware. The \
documentation includes an example of a udev rule for that, which is not installed.",
    },
    Part {
        title: "Exit status",
        text: "  \
  0  success, also if the reader of the output closed it
  1  failed
  2  wrong usage
  3  the firmware refused; the message names its status",
    },
    Part {
        title: "Environment",
        text: "  \
  NO_COLOR    if set and not empty, disables colour, which only terminals get
  FWCTL_ROOT  for tests: a directory to use as /, with recordings as nodes",
    },
    Part {
        title: "Files",
        text: "  \
  /dev/fwctl/fwctlN    the nodes
  /sys/class/fwctl     the devices
  /sys/kernel/tracing  tracefs, for fwctl watch",
    },
];

/// The first two parts for `-h`.
pub fn short() -> String {
    text(&PARTS[..2])
}

/// All parts for `--help`.
pub fn long() -> String {
    text(&PARTS) + "\n\nMan pages: fwctl(1), and one for each command, such as fwctl-cxl-set(1)."
}

fn text(parts: &[Part]) -> String {
    let part = |part: &Part| format!("{}:\n{}", part.title, part.text);
    parts.iter().map(part).collect::<Vec<_>>().join("\n\n")
}
