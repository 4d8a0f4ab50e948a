// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors, their meanings and remedies.

use crate::mlx5::NotAQuery;
use crate::sysfs::Absence;
use crate::{DeviceType, FirmwareStatus, NoRing, Scope};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Failure of a call of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are no fwctl devices: no sysfs, no module or no device.
    #[error(transparent)]
    Absent(#[from] Absence),

    /// No device has this name.
    #[error("{name}: no such fwctl device; the fwctl devices are {known}")]
    NotFound {
        /// The name.
        name: String,
        /// Names of the fwctl devices.
        known: String,
    },

    /// A file is not the node of a fwctl device. It was not opened.
    #[error("{}: not a fwctl device, but {what}; the fwctl devices are {known}", path.display())]
    NotADevice {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
        /// Names of the fwctl devices.
        known: String,
    },

    /// The node of a device has the number of another device. It was not opened.
    #[error("{}: is device {}:{}, and {device} is {}:{}: the node was renamed or is stale", node.display(), found.0, found.1, wanted.0, wanted.1)]
    OtherDevice {
        /// The node.
        node: PathBuf,
        /// Name of the device that was looked up.
        device: String,
        /// Its number, major and minor.
        wanted: (u32, u32),
        /// Number of the node.
        found: (u32, u32),
    },

    /// Several devices fit the name.
    #[error("{name}: several fwctl devices match: give one of {candidates}")]
    Ambiguous {
        /// The name.
        name: String,
        /// Names of the devices that fit.
        candidates: String,
    },

    /// A file of the system could not be read.
    #[error("{}: {}", path.display(), errno_text(source))]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// The kernel refused a call on a device; nothing reached the firmware, or its answer did not
    /// come back.
    #[error("{device}: {operation}: {}", errno_text(source))]
    Call {
        /// Name of the device.
        device: String,
        /// The call.
        operation: Operation,
        /// Its errno.
        source: io::Error,
    },

    /// There was no answer by the deadline. The firmware may still carry out what was sent.
    #[error("{device}: {operation}: no answer by the deadline{}", unsent(*was_sent))]
    TimedOut {
        /// Name of the device.
        device: String,
        /// The call.
        operation: Operation,
        /// Whether it may have reached the driver.
        was_sent: bool,
    },

    /// The request was cancelled. The firmware may still carry out what was sent.
    #[error("{device}: {operation}: cancelled{}", unsent(*was_sent))]
    Cancelled {
        /// Name of the device.
        device: String,
        /// The call.
        operation: Operation,
        /// Whether it may have reached the driver.
        was_sent: bool,
    },

    /// The program ended what takes several requests. None is in flight.
    #[error("{device}: {what}: stopped by this program")]
    Stopped {
        /// Name of the device.
        device: String,
        /// What it ended.
        what: String,
    },

    /// A queue was to use io_uring only, which is not possible.
    #[error("{device}: no io_uring: {why}")]
    NoRing {
        /// Name of the device.
        device: String,
        /// Why not.
        why: NoRing,
    },

    /// The firmware refused the request.
    #[error("{device}: {what}: firmware refused with {status}")]
    Refused {
        /// Name of the device.
        device: String,
        /// What was asked of it.
        what: String,
        /// Its status.
        status: FirmwareStatus,
    },

    /// A reply contradicts itself or its specification.
    #[error("{device}: {what}: bad reply: {why}")]
    Malformed {
        /// Name of the device.
        device: String,
        /// What was asked of it.
        what: String,
        /// What is wrong with the reply.
        why: Malformed,
    },

    /// The call is for another type of device.
    #[error("{device}: this is a {actual} device, not a {wanted} device")]
    WrongType {
        /// Name of the device.
        device: String,
        /// Type that the call is for.
        wanted: DeviceType,
        /// Type of the device.
        actual: DeviceType,
    },

    /// Sent as a query, the request would change something.
    #[error("{device}: not sent: {why}")]
    NotAQuery {
        /// Name of the device.
        device: String,
        /// What the request is instead.
        why: NotAQuery,
    },

    /// Longer than the kernel takes.
    #[error("{device}: {what} of {len} bytes: the kernel takes at most {max}")]
    TooLong {
        /// Name of the device.
        device: String,
        /// Request or reply buffer.
        what: &'static str,
        /// Bytes asked for.
        len: usize,
        /// Bytes that fit.
        max: usize,
    },

    /// Messages of this kind hold addresses of the sender's memory, which plain bytes cannot.
    #[error("{device}: this {device_type} message carries memory addresses, so it cannot be sent as plain bytes")]
    CarriesAddresses {
        /// Name of the device.
        device: String,
        /// Its type.
        device_type: DeviceType,
    },

    /// The type of the device is unknown to this crate, so its messages may hold addresses of the
    /// sender's memory, which plain bytes cannot. See [`Device::trust_messages`].
    ///
    /// [`Device::trust_messages`]: crate::Device::trust_messages
    #[error("{device}: the messages of {device_type} devices are unknown and may carry memory addresses, so plain bytes are not sent")]
    UnknownMessages {
        /// Name of the device.
        device: String,
        /// Its type.
        device_type: DeviceType,
    },

    /// The driver of a Pensando card does not list endpoints and operations, as the one of Linux 7.3
    /// does not.
    #[error("{device}: its driver does not list endpoints and operations")]
    NoLists {
        /// Name of the device.
        device: String,
    },

    /// The kernel would refuse to do this to a feature, or it makes no sense for the feature.
    #[error("{device}: {feature}: {why}")]
    Feature {
        /// Name of the device.
        device: String,
        /// The feature.
        feature: String,
        /// Why not.
        why: String,
    },
}

/// What is wrong with a reply. Every length is in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Too short for a part that must be there.
    #[error("{part} needs {needed} bytes and has {got}")]
    Short {
        /// The part.
        part: &'static str,
        /// Bytes that it has.
        needed: usize,
        /// Bytes that are left for it.
        got: usize,
    },
    /// More than was asked for.
    #[error("{part} has {got} bytes, at most {asked} were asked for")]
    Long {
        /// The part.
        part: &'static str,
        /// Bytes that were asked for.
        asked: usize,
        /// Bytes that came.
        got: usize,
    },
    /// A count and the bytes that it counts disagree.
    #[error("the reply announces {count} {part} and has {got} bytes of them")]
    Count {
        /// What is counted.
        part: &'static str,
        /// How many there should be.
        count: usize,
        /// Bytes that came.
        got: usize,
    },
    /// A number that should name a scope.
    #[error("there is no scope {got}")]
    Scope {
        /// The number.
        got: u8,
    },
    /// Parts that have numbers came in another order.
    #[error("{part} {expected} was expected, and {got} came")]
    Order {
        /// What is numbered.
        part: &'static str,
        /// The next number.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// The device stopped before the number that it announced.
    #[error("the device announced {announced} {part} and returned {got}")]
    Stopped {
        /// What was announced.
        part: &'static str,
        /// How many.
        announced: usize,
        /// How many came.
        got: usize,
    },
}

/// A call on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Opening the node.
    Open,
    /// FWCTL_INFO.
    Info,
    /// FWCTL_RPC.
    Rpc {
        /// Scope of the request.
        scope: Scope,
        /// Bytes of the request.
        request_len: usize,
        /// Bytes of the reply buffer.
        reply_len: usize,
        /// Type of the device, where it is known.
        device_type: DeviceType,
    },
    /// FWCTL_RSC_UMEM_REG.
    RegisterMemory {
        /// Bytes of the memory.
        len: usize,
    },
    /// FWCTL_RSC_UMEM_ALLOC.
    AllocateMemory {
        /// Bytes of the memory.
        len: usize,
    },
    /// FWCTL_RSC_DESTROY.
    ReleaseMemory {
        /// Number of the memory's resource.
        resource: u32,
    },
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Operation::Open => f.write_str("open"),
            Operation::Info => f.write_str("FWCTL_INFO"),
            Operation::RegisterMemory { len } => write!(f, "FWCTL_RSC_UMEM_REG ({len} bytes)"),
            Operation::AllocateMemory { len } => write!(f, "FWCTL_RSC_UMEM_ALLOC ({len} bytes)"),
            Operation::ReleaseMemory { resource } => {
                write!(f, "FWCTL_RSC_DESTROY (resource {resource})")
            }
            Operation::Rpc {
                scope,
                request_len,
                reply_len,
                ..
            } => {
                write!(
                    f,
                    "FWCTL_RPC (scope {scope}, request {request_len} bytes, reply buffer {reply_len})"
                )
            }
        }
    }
}

/// What an error means for the call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advice {
    /// What happened, in terms of fwctl.
    pub meaning: &'static str,
    /// What may help.
    pub remedy: &'static str,
}

impl Error {
    /// What the errno of a failed call means for that call, and what may help. Every errno of a call
    /// has such advice; other errors say all in their text.
    pub fn advice(&self) -> Option<Advice> {
        let (device, operation, source) = match self {
            Error::Call {
                device,
                operation,
                source,
            } => (device, operation, source),
            Error::TimedOut { was_sent: true, .. } => {
                return Some(Advice {
                    meaning: "the firmware did not answer in the time that you set; it may still carry out the request",
                    remedy: "allow more time; if it stays so, the firmware hangs: see the kernel log with dmesg, the device may need a reset",
                })
            }
            Error::TimedOut { .. } => {
                return Some(Advice {
                    meaning: "the time limit passed before the request could be sent",
                    remedy: "allow more time; the firmware may not have answered earlier requests either",
                })
            }
            _ => return None,
        };
        let errno = source.raw_os_error()?;
        let special = match operation {
            Operation::Open if errno == libc::EACCES => {
                let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
                let is_nodev = is_on_nodev_mount(device.as_ref(), &mounts);
                Some(access_advice(is_root(), is_nodev))
            }
            Operation::Open => Some(open_advice(errno)),
            Operation::Info => None,
            Operation::RegisterMemory { .. } | Operation::AllocateMemory { .. } => {
                memory_advice(errno)
            }
            Operation::ReleaseMemory { .. } => release_advice(errno),
            Operation::Rpc {
                scope, device_type, ..
            } => rpc_advice(errno, *scope, *device_type),
        };
        let (meaning, remedy) = special
            .or_else(|| common_advice(errno))
            .unwrap_or(UNKNOWN_ADVICE);
        Some(Advice { meaning, remedy })
    }

    /// The errno of a call that failed. `ETIMEDOUT` and `ECANCELED` for requests that were given
    /// up, which the kernel may also return: then it is an [`Error::Call`].
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Call { source, .. } | Error::File { source, .. } => source.raw_os_error(),
            Error::TimedOut { .. } => Some(libc::ETIMEDOUT),
            Error::Cancelled { .. } | Error::Stopped { .. } => Some(libc::ECANCELED),
            Error::TooLong { .. } => Some(libc::EMSGSIZE),
            Error::NoRing {
                why: NoRing::Setup(source) | NoRing::Refused(source),
                ..
            } => source.raw_os_error(),
            _ => None,
        }
    }

    /// An errno for every error, for interfaces that have nothing else: [`Error::errno`], or the one
    /// that says most.
    pub fn nearest_errno(&self) -> i32 {
        self.errno().unwrap_or(match self {
            Error::Absent(_) | Error::NotFound { .. } | Error::NotADevice { .. } => libc::ENODEV,
            Error::OtherDevice { .. } => libc::ESTALE,
            Error::Ambiguous { .. } => libc::ENOTUNIQ,
            Error::CarriesAddresses { .. } | Error::UnknownMessages { .. } => libc::EPERM,
            Error::Malformed { .. } => libc::EBADMSG,
            Error::NoRing { .. } | Error::NoLists { .. } => libc::EOPNOTSUPP,
            Error::Refused { .. } => libc::EREMOTEIO,
            Error::Call { .. } | Error::File { .. } => libc::EIO,
            _ => libc::EINVAL,
        })
    }

    /// Returns whether memory could not be registered because that would exceed a limit, so less of it
    /// may be possible.
    pub fn is_above_limit(&self) -> bool {
        let Error::Call {
            operation: Operation::RegisterMemory { .. },
            source,
            ..
        } = self
        else {
            return false;
        };
        matches!(
            source.raw_os_error(),
            Some(libc::ENOMEM | libc::ENOSPC | libc::EINVAL)
        )
    }

    /// The firmware's own refusal.
    pub fn firmware_status(&self) -> Option<FirmwareStatus> {
        match self {
            Error::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

fn unsent(was_sent: bool) -> &'static str {
    if was_sent {
        ""
    } else {
        "; it was not sent"
    }
}

/// Returns whether this process runs as root, to whom the modes of files do not apply.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Returns whether the mount that a path is on has the option nodev. `mounts` is the text of
/// `/proc/self/mountinfo`.
fn is_on_nodev_mount(path: &Path, mounts: &str) -> bool {
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(4);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(point, _)| path.starts_with(point))
        // Of mounts at the same place the last one is on top, which max_by_key() returns.
        .max_by_key(|(point, _)| point.len());
    mount.is_some_and(|(_, options)| options.split(',').any(|option| option == "nodev"))
}

/// What EACCES of open() means.
fn access_advice(is_root: bool, is_nodev: bool) -> (&'static str, &'static str) {
    match (is_nodev, is_root) {
        (true, _) => (
            "the node is on a file system that is mounted nodev, where nobody can open device nodes",
            "use the node in /dev, or mount the file system without nodev",
        ),
        (false, true) => (
            "you are root, so not the node's mode but a security module or a user namespace forbids it",
            "see the log of the security module; in a container, have its manager pass the node in",
        ),
        (false, false) => open_advice(libc::EACCES),
    }
}

/// Opening a node can fail in the file system, in the kernel, and in the firmware, in which the
/// mlx5 driver creates a context for each file. Every errno has a meaning.
fn open_advice(errno: i32) -> (&'static str, &'static str) {
    match errno {
        libc::ENOENT => (
            "the device has no node",
            "see that devtmpfs is mounted on /dev, or that udev runs; in a container, pass the node in",
        ),
        libc::EACCES => (
            "you may not open the node; by default, nodes belong to root",
            "run it as root. Do not widen the mode lightly: anyone who can open a node can write to the firmware",
        ),
        libc::EPERM => (
            "something other than the node's mode forbids it, such as a container's device policy",
            "allow the node in the container's or unit's device list",
        ),
        libc::EROFS | libc::ELOOP | libc::ENOTDIR | libc::EISDIR | libc::ENAMETOOLONG => (
            "the path is not that of a device node",
            "list /dev/fwctl; udev or devtmpfs creates the nodes",
        ),
        libc::ENODEV | libc::ENXIO => (
            "the device was removed and only its node is left",
            "list the devices with: fwctl list",
        ),
        libc::EMFILE | libc::ENFILE => ("no file descriptor is free", "close files or raise the limit"),
        libc::ENOMEM => (
            "the kernel has no memory for the open file, or the firmware has no context left for it",
            "close other users of the device; see whether memory, or the cgroup's limit, is used up",
        ),
        libc::EBUSY | libc::ECANCELED => (
            "the firmware is busy with other commands, and none ended in time, so nothing was sent to it",
            "try again; if it stays so, the firmware hangs: see the kernel log with dmesg, the device may need a reset",
        ),
        libc::EAGAIN => (
            "the firmware left too many commands unanswered, or is not ready, so nothing was sent to it",
            "try again when the firmware has recovered; see the kernel log with dmesg, the device may need a reset",
        ),
        libc::ETIMEDOUT => (
            "the firmware did not answer in time to the command that creates a context for this open file",
            "try again; if it stays so, the firmware hangs: see the kernel log with dmesg, the device may need a reset",
        ),
        libc::ENOLINK => (
            "the device is in a fatal state, or was pulled out",
            "see the kernel log: dmesg; the device's driver may recover it, or it needs a reset",
        ),
        libc::EINTR => ("a signal stopped the wait for the firmware", "run it again"),
        libc::ENOSPC => (
            "the driver could not make a firmware context for this open file",
            "close other users of the device; the kernel log may have more",
        ),
        libc::EINVAL | libc::EOPNOTSUPP => (
            "the firmware does not make contexts for open files, or not with the capability that the driver asks for",
            "update the firmware, or enable user contexts in its configuration",
        ),
        libc::EBADR | libc::EFAULT | libc::ENOMSG => (
            "the device's command interface could not read the driver's command",
            "see the kernel log: dmesg; the device may need a reset",
        ),
        libc::EIO | libc::EREMOTEIO => (
            "the driver reached the firmware, and the firmware did not make a context for this open file",
            "see the kernel log: dmesg",
        ),
        _ => (
            "the driver of the device could not open it",
            "see the kernel log: dmesg; the driver's documentation may list this error",
        ),
    }
}

/// Registering memory fails in the kernel, or in the firmware, which has to know it.
fn memory_advice(errno: i32) -> Option<(&'static str, &'static str)> {
    Some(match errno {
        libc::ENOTTY => (
            "the kernel, or the driver of this device, cannot register memory for the firmware",
            "use what needs no memory, or a kernel whose driver can",
        ),
        libc::EOPNOTSUPP => (
            "the driver does not register memory for this use, or the device cannot share memory with programs",
            "use what needs no memory",
        ),
        libc::EINVAL => (
            "this is more memory than the kernel registers at once",
            "register less",
        ),
        libc::ENOMEM => (
            "the memory exceeds the limit on locked memory, or of the cgroup, or the kernel has none",
            "see ulimit -l, which root can raise; register less",
        ),
        libc::ENOSPC => (
            "the file or the device has as much memory registered as it may have",
            "close other users of the device; if the firmware did not answer, see the kernel log with dmesg: its memory is kept until a reset",
        ),
        libc::EPERM => (
            "the administrator does not allow requests on this device",
            "fwctl info shows the highest scope; root can change it in /sys/class/fwctl/*/max_scope",
        ),
        _ => return None,
    })
}

/// Releasing memory fails in the kernel, or in the firmware, which has to forget it.
fn release_advice(errno: i32) -> Option<(&'static str, &'static str)> {
    Some(match errno {
        libc::EBUSY => (
            "a request is using the memory, which stays registered",
            "wait for the answer to the request, and release the memory then",
        ),
        libc::EIO => (
            "the firmware did not confirm that it has forgotten the memory, so the kernel keeps its pages until the device is reset",
            "see the kernel log: dmesg; the device may need a reset",
        ),
        libc::ENOENT => (
            "the memory is not registered any more",
            "look for other code that destroys resources of this file, such as a child of fork()",
        ),
        _ => return None,
    })
}

/// About an errno that no call is known to end in.
const UNKNOWN_ADVICE: (&str, &str) = (
    "the kernel or the driver of the device refused the call",
    "see the kernel log: dmesg; the driver's documentation may list this error",
);

fn common_advice(errno: i32) -> Option<(&'static str, &'static str)> {
    Some(match errno {
        libc::ENODEV => (
            "the device was unplugged or its driver unbound while it was open",
            "list the devices with: fwctl list",
        ),
        libc::ENOTTY => (
            "this node is not a fwctl device, or its kernel does not have this call",
            "list the devices with: fwctl list",
        ),
        libc::EOPNOTSUPP => (
            "the kernel understands the call but not a value in it",
            "the kernel may be older than what you ask for",
        ),
        libc::E2BIG => (
            "this tool speaks a newer ABI than the kernel",
            "use the tool of this kernel's version",
        ),
        libc::EFAULT => (
            "the kernel could not read or write this program's memory",
            "report it: it is a bug of this tool",
        ),
        libc::ENOMEM => (
            "the kernel has no memory for the message, or the cgroup's limit is reached",
            "try a smaller request",
        ),
        libc::EINTR => (
            "a signal stopped the wait",
            "run it again if the request may be repeated",
        ),
        libc::EIO | libc::EREMOTEIO => (
            "the driver could not get the message to the firmware and back",
            "see the kernel log: dmesg; the device may need a reset",
        ),
        libc::ETIMEDOUT => (
            "the firmware did not answer in time; it may still act on the request",
            "see the kernel log: dmesg; the device may need a reset",
        ),
        libc::ENXIO => (
            "the device's mailbox refused or is not there",
            "see the kernel log: dmesg; the device may be in reset or disabled",
        ),
        libc::EBUSY => ("the device is busy with another command", "try again"),
        libc::EAGAIN | libc::ECANCELED => (
            "the firmware left too many commands unanswered, so nothing was sent to it",
            "try again; if it stays so, see the kernel log with dmesg: the device may need a reset",
        ),
        libc::ENOLINK => (
            "the device is in a fatal state, or was pulled out",
            "see the kernel log: dmesg; the device's driver may recover it, or it needs a reset",
        ),
        libc::EBADR | libc::ENOMSG => (
            "the device's command interface could not read the driver's command",
            "see the kernel log: dmesg; the device may need a reset",
        ),
        _ => return None,
    })
}

fn rpc_advice(
    errno: i32,
    scope: Scope,
    device_type: DeviceType,
) -> Option<(&'static str, &'static str)> {
    Some(match (errno, device_type) {
        (libc::EPERM, _) if scope == Scope::DebugWriteFull => (
            "scope debug-write-full needs CAP_SYS_RAWIO, or the driver keeps this command for the kernel",
            "run it as root, outside of containers that drop the capability",
        ),
        (libc::EPERM, DeviceType::Cxl) => (
            "the kernel keeps this feature for itself",
            "use the kernel's own interface for it (EDAC under /sys/bus/edac)",
        ),
        (libc::EPERM, DeviceType::Pds) => {
            ("the operation needs a higher scope than the request has", "give a higher one")
        }
        (libc::EPERM, _) => ("the driver does not let user space send this command", "look for another command"),
        (libc::EBADMSG, _) => (
            "the driver does not allow this command in this scope, or does not allow it at all",
            "if the command is right, give a higher scope",
        ),
        (libc::EMSGSIZE, DeviceType::Mlx5) => (
            "a length is above 2 MiB, or below the 16 bytes of a command header",
            "check the sizes of the request and of its reply buffer",
        ),
        (libc::EMSGSIZE, _) => ("the request or the reply buffer is longer than 2 MiB", "send less, or ask for less"),
        (libc::EINVAL, DeviceType::Cxl) => (
            "the driver does not accept this mailbox command: a wrong length, an opcode or feature it does not offer, a feature \
             that cannot be changed, or a scope too low for the feature's effects",
            "compare with: fwctl cxl features DEV",
        ),
        (libc::EINVAL, DeviceType::Bnxt) => (
            "the driver does not accept this HWRM message: too short, too long, or not allowed in this scope",
            "check the message's size, and the scope that the command needs",
        ),
        (libc::EINVAL, DeviceType::Pds) => (
            "the driver does not know the endpoint or the operation, or a length is too large",
            "compare with: fwctl pds operations DEV",
        ),
        (libc::EPROTO, DeviceType::Pds) => (
            "the firmware's list of endpoints or operations contradicts itself",
            "see the kernel log: dmesg; the device may need other firmware",
        ),
        (libc::EINVAL, _) => ("the driver does not accept this request", "check its bytes and lengths"),
        (libc::EOPNOTSUPP, _) => (
            "the kernel does not know the scope, or the driver does not offer this command",
            "check the request's opcode",
        ),
        _ => return None,
    })
}

/// Text of a system error, with the errno's name: `No such device (ENODEV)`.
pub fn errno_text(error: &io::Error) -> String {
    let Some(errno) = error.raw_os_error() else {
        return error.to_string();
    };
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match errno_name(errno) {
        Some(name) => format!("{text} ({name})"),
        None => format!("{text} (errno {errno})"),
    }
}

/// Name of an errno that fwctl calls are known to end in.
pub fn errno_name(errno: i32) -> Option<&'static str> {
    Some(match errno {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EDQUOT => "EDQUOT",
        libc::EFBIG => "EFBIG",
        libc::EINTR => "EINTR",
        libc::EIO => "EIO",
        libc::ENXIO => "ENXIO",
        libc::E2BIG => "E2BIG",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::ENODEV => "ENODEV",
        libc::ENOTDIR => "ENOTDIR",
        libc::EISDIR => "EISDIR",
        libc::EINVAL => "EINVAL",
        libc::EMFILE => "EMFILE",
        libc::ENFILE => "ENFILE",
        libc::ENOTTY => "ENOTTY",
        libc::ENOSPC => "ENOSPC",
        libc::EROFS => "EROFS",
        libc::ERANGE => "ERANGE",
        libc::EPROTO => "EPROTO",
        libc::EBADMSG => "EBADMSG",
        libc::EMSGSIZE => "EMSGSIZE",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ETIMEDOUT => "ETIMEDOUT",
        libc::EREMOTEIO => "EREMOTEIO",
        libc::ECANCELED => "ECANCELED",
        libc::ENOLINK => "ENOLINK",
        libc::ENOMSG => "ENOMSG",
        libc::EBADR => "EBADR",
        libc::EOVERFLOW => "EOVERFLOW",
        libc::ELOOP => "ELOOP",
        libc::ENAMETOOLONG => "ENAMETOOLONG",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpc(scope: Scope, device_type: DeviceType, errno: i32) -> Error {
        Error::Call {
            device: "fwctl0".into(),
            operation: Operation::Rpc {
                scope,
                request_len: 24,
                reply_len: 64,
                device_type,
            },
            source: io::Error::from_raw_os_error(errno),
        }
    }

    #[test]
    fn text_names_device_call_and_errno() {
        assert_eq!(
            rpc(Scope::Configuration, DeviceType::Cxl, libc::EINVAL).to_string(),
            "fwctl0: FWCTL_RPC (scope configuration, request 24 bytes, reply buffer 64): Invalid argument (EINVAL)"
        );
    }

    #[test]
    fn requests_that_are_given_up_say_whether_they_were_sent() {
        let error = |was_sent| Error::TimedOut {
            device: "fwctl0".into(),
            operation: Operation::Info,
            was_sent,
        };
        let text = "fwctl0: FWCTL_INFO: no answer by the deadline";
        assert_eq!(error(true).to_string(), text);
        assert_eq!(error(false).to_string(), format!("{text}; it was not sent"));
        assert!(error(true).advice().unwrap().meaning.contains("may still"));
        assert!(error(false).advice().is_some());
        let cancelled = Error::Cancelled {
            device: "fwctl0".into(),
            operation: Operation::Info,
            was_sent: false,
        };
        let errnos = [error(true).errno(), cancelled.errno()];
        assert_eq!(errnos, [Some(libc::ETIMEDOUT), Some(libc::ECANCELED)]);
    }

    #[test]
    fn limits_are_those_of_memory() {
        let is_above = |operation, errno| {
            let error = Error::Call {
                device: "fwctl0".into(),
                operation,
                source: io::Error::from_raw_os_error(errno),
            };
            error.is_above_limit()
        };
        let register = Operation::RegisterMemory { len: 1 };
        for errno in [libc::ENOMEM, libc::ENOSPC, libc::EINVAL] {
            assert!(is_above(register, errno) && !is_above(Operation::Info, errno));
        }
        assert!(!is_above(register, libc::ENOTTY) && !is_above(register, libc::EIO));
    }

    #[test]
    fn one_errno_means_different_things() {
        let meaning = |error: Error| error.advice().unwrap().meaning;
        assert!(
            meaning(rpc(Scope::DebugWriteFull, DeviceType::Cxl, libc::EPERM))
                .contains("CAP_SYS_RAWIO")
        );
        assert!(
            meaning(rpc(Scope::DebugWrite, DeviceType::Cxl, libc::EPERM))
                .contains("keeps this feature")
        );
        assert!(
            meaning(rpc(Scope::Configuration, DeviceType::Cxl, libc::ENODEV)).contains("unplugged")
        );
        let open = Error::Call {
            device: "fwctl0".into(),
            operation: Operation::Open,
            source: io::Error::from_raw_os_error(libc::ENODEV),
        };
        assert!(meaning(open).contains("only its node is left"));
    }

    #[test]
    fn root_is_not_told_to_become_root() {
        let meaning = |is_root, is_nodev| access_advice(is_root, is_nodev).0;
        assert!(meaning(false, false).contains("nodes belong to root"));
        assert!(meaning(true, false).starts_with("you are root"));
        for is_root in [false, true] {
            assert!(meaning(is_root, true).contains("mounted nodev"));
        }
    }

    #[test]
    fn the_mount_of_a_path() {
        let mounts = "21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
                      22 21 0:5 / /dev rw,nosuid - devtmpfs udev rw\n\
                      23 21 0:6 / /srv rw,nosuid,nodev - tmpfs tmpfs rw\n\
                      24 23 0:7 / /srv/dev rw - tmpfs tmpfs rw\n";
        for (path, is_nodev) in [
            ("/dev/fwctl/fwctl0", false),
            ("/srv/fwctl0", true),
            ("/srv/dev/fwctl0", false),
            ("/srvx/fwctl0", false),
            ("fwctl0", false),
        ] {
            assert_eq!(is_on_nodev_mount(path.as_ref(), mounts), is_nodev, "{path}");
        }
        let covered =
            "23 21 0:6 / /srv rw - tmpfs tmpfs rw\n25 23 0:6 / /srv rw,nodev - tmpfs tmpfs rw\n";
        assert!(is_on_nodev_mount("/srv/fwctl0".as_ref(), covered));
        assert!(!is_on_nodev_mount("/srv/fwctl0".as_ref(), "garbage\n"));
    }

    #[test]
    fn a_call_is_explained_whatever_it_fails_with() {
        let rpc = |device_type| Operation::Rpc {
            scope: Scope::Configuration,
            request_len: 1,
            reply_len: 1,
            device_type,
        };
        for operation in [
            Operation::Open,
            Operation::Info,
            Operation::RegisterMemory { len: 1 },
            Operation::ReleaseMemory { resource: 1 },
            rpc(DeviceType::None),
            rpc(DeviceType::Mlx5),
            rpc(DeviceType::Cxl),
            rpc(DeviceType::Bnxt),
            rpc(DeviceType::Pds),
        ] {
            for errno in 1..=133 {
                let failed = Error::Call {
                    device: "fwctl0".into(),
                    operation,
                    source: io::Error::from_raw_os_error(errno),
                };
                let advice = failed.advice().unwrap();
                assert!(
                    !advice.meaning.is_empty() && !advice.remedy.is_empty(),
                    "{operation} {errno}"
                );
            }
        }
    }

    /// What the table of fwctl-mlx5.rst says that open() fails with, and what the core and the file
    /// system add: each has a name and a specific meaning.
    #[test]
    fn known_failures_of_open_have_names_and_meanings() {
        let anything = open_advice(libc::ENOTBLK);
        for errno in [
            libc::EINVAL,
            libc::ENOMEM,
            libc::EAGAIN,
            libc::EBUSY,
            libc::ECANCELED,
            libc::EIO,
            libc::ENOLINK,
            libc::ETIMEDOUT,
            libc::ENOMSG,
            libc::EBADR,
            libc::EFAULT,
            libc::EINTR,
            libc::ENOENT,
            libc::EACCES,
            libc::EPERM,
            libc::ENODEV,
            libc::ENXIO,
            libc::EMFILE,
            libc::ENFILE,
            libc::EROFS,
        ] {
            assert!(errno_name(errno).is_some(), "{errno}");
            assert_ne!(open_advice(errno), anything, "{errno}");
        }
    }
}
