// SPDX-License-Identifier: MIT OR Apache-2.0

//! Find Linux fwctl devices, and talk to the firmware behind them.
//!
//! - [`open`] opens a device by any of its names, and [`devices`] lists them. [`sysfs::Root`] does the
//!   same in a copy of a system, and without opening a device.
//! - [`Device`] is one open node: [`Device::info`] and [`Device::rpc`].
//! - [`cxl`], [`mlx5`] and [`pds`] speak the language of a device type; other types are reached by raw
//!   RPCs.
//! - [`catalogue`] lists everything that can be read of a device, and reads it, decoded.
//! - With the feature `serde`, module `snapshot` has what `fwctl snapshot` prints: all of the catalogue,
//!   as one document.
//! - [`Error`] tells what an errno means for the call that failed, and what to do about it
//!   ([`Error::advice`]).
//! - [`replay`] answers from a recording, so that users of this crate can test without a device.
//! - [`Memory`] is memory that the firmware can write to, where the kernel can register it.
//! - [`Queue`] has many RPCs in flight from one thread, by io_uring where that is allowed.
//!
//! [`Device::rpc`] blocks until the firmware has answered; only the driver sets a limit to that,
//! unless [`Device::with_deadline`] does. What another party wrote (a reply, a file in sysfs) is data
//! to be checked: lengths are compared with what arrived before anything is read or allocated.
//!
//! ```no_run
//! let device = fwctl::open("fwctl0")?;
//! println!("{} is a {} device", device.name(), device.device_type()?);
//! # Ok::<(), fwctl::Error>(())
//! ```

#![deny(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod catalogue;
pub mod cxl;
mod device;
mod device_type;
mod error;
mod info;
#[allow(unsafe_code)]
mod ioctl;
mod memory;
pub mod mlx5;
#[allow(unsafe_code)]
mod pages;
mod pci_ids;
pub mod pds;
mod queue;
pub mod replay;
mod scope;
#[cfg(feature = "serde")]
mod serde;
#[cfg(feature = "serde")]
pub mod snapshot;
pub mod status;
pub mod sysfs;
pub mod trace;
mod transport;
mod uuid;
mod vpd;

pub use device::{Device, Exchange, Info, Observer, Reply};
pub use device_type::{DeviceType, UnknownType};
pub use error::{errno_name, errno_text, Advice, Error, Malformed, Operation};
pub use info::{Capability, DriverInfo};
pub use memory::{Memory, MemoryIds, MemoryUse};
pub use pages::Pages;
pub use queue::{Backend, Completion, NoRing, Queue, QueueOptions, Rpc, Ticket, DEFAULT_DEPTH};
pub use scope::{MaxScope, Scope, UnknownScope};
pub use status::FirmwareStatus;
pub use transport::{InfoReply, Node, Transport};
pub use uuid::{BadUuid, Uuid};

pub use fwctl_uapi::MAX_RPC_LEN;

/// Result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// Opens a device of this machine by one of its names: `fwctl0`, a PCI address, a memdev, a network
/// or RDMA device, a devlink handle, or a path. See [`sysfs::Root::resolve`].
///
/// # Errors
///
/// As for [`sysfs::Root::resolve`] and [`sysfs::Entry::open`].
pub fn open(name: &str) -> Result<Device> {
    sysfs::Root::default().resolve(name)?.open()
}

/// Lists the devices of this machine, from sysfs alone: none is opened. There is at least one.
///
/// # Errors
///
/// As for [`sysfs::Root::devices`]: [`Error::Absent`] says why there is none.
pub fn devices() -> Result<Vec<sysfs::Entry>> {
    sysfs::Root::default().devices()
}

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
