// SPDX-License-Identifier: MIT OR Apache-2.0

//! What carries requests to a device: the node, or a recording of one.

use crate::{ioctl, pds, MemoryIds, MemoryUse, Pages, Scope};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Answer to FWCTL_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoReply {
    /// Device type number, of `fwctl_uapi::device_type`.
    pub device_type: u32,
    /// Length of the driver's data, which may be more or less than that of the buffer.
    pub data_len: u32,
}

/// The calls of a fwctl device. Errors are errnos, as the kernel reports them.
pub trait Transport: Send + Sync {
    /// FWCTL_INFO: fills `data` with the driver's part, padded with zeros.
    ///
    /// # Errors
    ///
    /// An errno of FWCTL_INFO.
    fn info(&self, data: &mut [u8]) -> io::Result<InfoReply>;

    /// FWCTL_RPC: writes the start of the reply to `reply`, and returns the whole reply's length in
    /// bytes.
    ///
    /// # Errors
    ///
    /// An errno of FWCTL_RPC: the request was not delivered.
    fn rpc(&self, scope: Scope, request: &[u8], reply: &mut [u8]) -> io::Result<u32>;

    /// FWCTL_RPC with the message of a call to a Pensando card, which names a request and a buffer for
    /// the response. Writes all of `response`; returns the result of the operation.
    ///
    /// # Errors
    ///
    /// An errno of FWCTL_RPC: the request was not delivered. By default,
    /// [`Unsupported`](io::ErrorKind::Unsupported).
    fn call_pds(&self, scope: Scope, call: &pds::Call, response: &mut [u8]) -> io::Result<u32> {
        let _ = (scope, call, response);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// FWCTL_RSC_UMEM_REG: lets the firmware access memory, until it is released or the device is
    /// closed. The transport may keep a clone of the pages and use it as a device would.
    ///
    /// # Errors
    ///
    /// An errno of FWCTL_RSC_UMEM_REG. By default `ENOTTY`: the device has no such call.
    fn register_memory(&self, pages: &Arc<Pages>, use_: MemoryUse) -> io::Result<MemoryIds> {
        let _ = (pages, use_);
        Err(io::Error::from_raw_os_error(libc::ENOTTY))
    }

    /// FWCTL_RSC_UMEM_ALLOC: allocates memory of the kernel that the firmware can access, until it is
    /// released or the device is closed.
    ///
    /// # Errors
    ///
    /// An errno of FWCTL_RSC_UMEM_ALLOC or mmap(2). By default `ENOTTY`: the device has no such call,
    /// so memory of the program is [registered](Transport::register_memory) instead.
    fn allocate_memory(&self, len: usize, use_: MemoryUse) -> io::Result<(Arc<Pages>, MemoryIds)> {
        let _ = (len, use_);
        Err(io::Error::from_raw_os_error(libc::ENOTTY))
    }

    /// FWCTL_RSC_DESTROY: ends the firmware's access to memory.
    ///
    /// # Errors
    ///
    /// An errno of FWCTL_RSC_DESTROY. By default `ENOTTY`.
    fn release_memory(&self, resource: u32) -> io::Result<()> {
        let _ = resource;
        Err(io::Error::from_raw_os_error(libc::ENOTTY))
    }

    /// Number of RPCs that a [`Queue`](crate::Queue) may send at the same time. With the default of
    /// 1, they arrive in the order in which they were begun.
    fn concurrency(&self) -> usize {
        1
    }

    /// The node, if requests go to one: a [`Queue`](crate::Queue) may reach it by io_uring.
    fn node(&self) -> Option<&Node> {
        None
    }
}

/// An open node of a fwctl device of the running kernel.
#[derive(Debug)]
pub struct Node(pub(crate) File);

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Transport for Node {
    fn info(&self, data: &mut [u8]) -> io::Result<InfoReply> {
        let (device_type, data_len) = ioctl::info(&self.0, data)?;
        Ok(InfoReply {
            device_type,
            data_len,
        })
    }

    fn rpc(&self, scope: Scope, request: &[u8], reply: &mut [u8]) -> io::Result<u32> {
        ioctl::rpc(&self.0, scope.number(), request, reply)
    }

    fn call_pds(&self, scope: Scope, call: &pds::Call, response: &mut [u8]) -> io::Result<u32> {
        ioctl::call_pds(&self.0, scope.number(), call, response)
    }

    fn register_memory(&self, pages: &Arc<Pages>, use_: MemoryUse) -> io::Result<MemoryIds> {
        ioctl::register_memory(&self.0, pages, use_.flags())
    }

    fn allocate_memory(&self, len: usize, use_: MemoryUse) -> io::Result<(Arc<Pages>, MemoryIds)> {
        let (pages, ids) = ioctl::allocate_memory(&self.0, len, use_.flags())?;
        Ok((Arc::new(pages), ids))
    }

    fn release_memory(&self, resource: u32) -> io::Result<()> {
        ioctl::destroy_resource(&self.0, resource)
    }

    fn concurrency(&self) -> usize {
        usize::MAX
    }

    fn node(&self) -> Option<&Node> {
        Some(self)
    }
}
