// SPDX-License-Identifier: MIT OR Apache-2.0

//! What there is to say about the whole command: `--help` ends with it, and the man page has a section for each part.

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
  fwctl list                                     what is there
  fwctl cxl features mem0                        the features of a CXL memory device
  fwctl cxl get mem0 patrol-scrub                the value of one
  fwctl mlx5 reg 07:00.0 mtmp                    the temperature of a ConnectX
  fwctl rpc fwctl0 --scope debug-read-only -i request.bin -o reply.bin
  fwctl watch                                    who asks what of which firmware",
    },
    Part {
        title: "Scopes",
        text: "\
Every request names what it may do, and the kernel's driver holds it to that. The first two are safe; the last two taint the \
kernel (flag J) until the next boot, and are never chosen for you.
  configuration      read and change configuration; the device stays supported
  debug-read-only    read, disclosing no secrets
  debug-write        change debug state; taints, and asks for no capability
  debug-write-full   change anything; taints, and needs CAP_SYS_RAWIO",
    },
    Part {
        title: "Who may open a device",
        text: "\
Nodes belong to root (mode 0600), and that is a decision: scope debug-write asks for no capability, so whoever can open a node can \
write to the firmware and taint the kernel. Opening for reading is enough for that. Give a node to a group only if you trust \
everyone in it with the firmware; a udev rule for it is among the documentation, as an example that is off.",
    },
    Part {
        title: "Exit status",
        text: "  \
  0  done; also if whoever read the output went away
  1  failed
  2  wrong usage
  3  the firmware refused; its status is printed by name",
    },
    Part {
        title: "Environment",
        text: "  \
  NO_COLOR    if set and not empty, no colour; there is none but on a terminal
  FWCTL_ROOT  for tests: a directory to take for /, with recordings in place of nodes",
    },
    Part {
        title: "Files",
        text: "  \
  /dev/fwctl/fwctlN    the nodes
  /sys/class/fwctl     which devices there are
  /sys/kernel/tracing  tracefs, for fwctl watch",
    },
];

/// The first two parts for `-h`.
pub fn short() -> String {
    text(&PARTS[..2])
}

/// All parts for `--help`.
pub fn long() -> String {
    text(&PARTS)
        + "\n\nman fwctl says the same, and there is a page for each command: man fwctl-cxl-set."
}

fn text(parts: &[Part]) -> String {
    let part = |part: &Part| format!("{}:\n{}", part.title, part.text);
    parts.iter().map(part).collect::<Vec<_>>().join("\n\n")
}
