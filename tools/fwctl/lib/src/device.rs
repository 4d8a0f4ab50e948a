// SPDX-License-Identifier: MIT OR Apache-2.0

//! An open fwctl device.

use crate::mlx5::check_query;
use crate::pds;
use crate::sysfs::{device_number, Root};
use crate::transport::Node;
use crate::{
    DeviceType, DriverInfo, Error, InfoReply, Operation, Queue, QueueOptions, Result, Rpc, Scope,
    Transport,
};
use fwctl_uapi::{bnxt, pds::RpcPds, MAX_RPC_LEN};
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// One open fwctl device. Clones share the open file, and with it the firmware context that some
/// drivers make for it.
///
/// Calls may come from several threads at once; drivers decide whether the firmware works on more
/// than one.
#[derive(Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    name: String,
    transport: Arc<dyn Transport>,
    device_type: OnceLock<DeviceType>,
    observers: Vec<Arc<dyn Observer>>,
    deadline: Option<Instant>,
    /// The caller vouches for the messages of an unknown type.
    is_trusted: bool,
}

/// Answer to FWCTL_INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Info {
    /// Type of the device.
    pub device_type: DeviceType,
    /// The driver's data, up to 4096 bytes of it.
    pub data: Vec<u8>,
    /// Length of the driver's data.
    pub data_len: usize,
    /// The driver's data, decoded.
    pub driver: DriverInfo,
}

/// Answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Reply {
    /// The reply, up to the size of the buffer.
    pub bytes: Vec<u8>,
    /// Length of the whole reply as the driver reports it.
    pub true_len: usize,
}

impl Reply {
    /// Returns whether the reply was longer than the buffer.
    pub fn is_truncated(&self) -> bool {
        self.true_len > self.bytes.len()
    }
}

/// A request and its outcome, for [`Device::observed`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Exchange<'a> {
    /// Scope of the request.
    pub scope: Scope,
    /// Bytes of the request.
    pub request: &'a [u8],
    /// The reply, up to the size of the buffer, and the length of the whole reply; or the errno.
    pub outcome: std::result::Result<(&'a [u8], usize), &'a io::Error>,
}

/// Observes the requests of a device, for [`Device::observed`]. Any function of an [`Exchange`] is
/// an observer.
pub trait Observer: Send + Sync {
    /// A request is about to be sent. Several can be in flight: each ends once.
    fn sent(&self) {}

    /// A request has completed, or was given up: then the outcome is `ECANCELED` or `ETIMEDOUT`.
    fn ended(&self, exchange: &Exchange<'_>);
}

impl<F: Fn(&Exchange<'_>) + Send + Sync> Observer for F {
    fn ended(&self, exchange: &Exchange<'_>) {
        self(exchange);
    }
}

/// Maximum length of a driver's data that is kept. The longest in Linux 7.3 has 8 bytes.
const MAX_INFO_LEN: usize = 4096;

impl Device {
    /// Opens a node such as `/dev/fwctl/fwctl0`, or a link to one; [`open`](crate::open) takes any name
    /// of a device. The device is looked up in sysfs
    /// by the node's number before the node is opened, so nothing but a fwctl device is opened, and
    /// the name of the device is the kernel's.
    ///
    /// The node is opened for reading and writing, or for reading only if writing is not permitted:
    /// then [`Device::register_memory`] cannot use memory of the kernel. Nothing else asks for more.
    ///
    /// # Errors
    ///
    /// [`Error::NotADevice`] or [`Error::Absent`] before it is opened; [`Error::Call`] with the
    /// errno of opening it.
    pub fn open(node: impl AsRef<Path>) -> Result<Device> {
        Root::default().resolve_path(node.as_ref())?.open()
    }

    /// Takes an open node, which another program may have opened and passed on. The device is
    /// looked up in sysfs by its number, and has the kernel's name.
    ///
    /// # Errors
    ///
    /// [`Error::NotADevice`] or [`Error::Absent`] if the descriptor is not that of a fwctl device.
    pub fn from_fd(fd: OwnedFd) -> Result<Device> {
        let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let node = File::from(fd);
        let metadata = node.metadata().map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        let name = Root::default().name_of(&metadata, &path)?;
        Ok(Device::with_transport(name, Node(node)))
    }

    /// The descriptor of the node, unless another transport is used. It must not be closed.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.inner.transport.node()?.as_fd())
    }

    /// Opens the node of a device, which must have this number.
    pub(crate) fn open_node(node: &Path, name: &str, number: Option<(u32, u32)>) -> Result<Device> {
        let failed = |source| Error::Call {
            device: node.display().to_string(),
            operation: Operation::Open,
            source,
        };
        // Opening a pipe blocks, and opening other nodes, such as a watchdog's, may act.
        let metadata = std::fs::metadata(node).map_err(failed)?;
        if !metadata.file_type().is_char_device() {
            return Err(failed(io::Error::other(
                "not a character device, so not a fwctl device",
            )));
        }
        let check = |metadata: &Metadata| match (number, device_number(metadata)) {
            (Some(wanted), found) if wanted != found => Err(Error::OtherDevice {
                node: node.to_owned(),
                device: name.to_owned(),
                wanted,
                found,
            }),
            _ => Ok(()),
        };
        check(&metadata)?;
        let file = open_node(node).map_err(failed)?;
        // The node may have been replaced meanwhile.
        check(&file.metadata().map_err(failed)?)?;
        Ok(Device::with_transport(name, Node(file)))
    }

    /// A device that is accessed through another transport than a node.
    pub fn with_transport(name: impl Into<String>, transport: impl Transport + 'static) -> Device {
        let inner = Inner {
            name: name.into(),
            transport: Arc::new(transport),
            device_type: OnceLock::new(),
            observers: Vec::new(),
            deadline: None,
            is_trusted: false,
        };
        Device {
            inner: Arc::new(inner),
        }
    }

    /// Name of the device, such as `fwctl0`.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Returns the type of the device. The kernel is asked once.
    ///
    /// # Errors
    ///
    /// [`Error::Call`] if FWCTL_INFO fails: `ENODEV` if the device was removed, `ENOTTY` if the
    /// node is not fwctl's.
    pub fn device_type(&self) -> Result<DeviceType> {
        if let Some(known) = self.inner.device_type.get() {
            return Ok(*known);
        }
        let reply = self.info_call(&mut [])?;
        Ok(*self
            .inner
            .device_type
            .get_or_init(|| DeviceType::from_number(reply.device_type)))
    }

    /// Fails unless the device has this type.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], or as for [`Device::device_type`].
    pub fn expect_type(&self, wanted: DeviceType) -> Result<()> {
        let actual = self.device_type()?;
        if actual != wanted {
            return Err(Error::WrongType {
                device: self.name().into(),
                wanted,
                actual,
            });
        }
        Ok(())
    }

    /// FWCTL_INFO: returns the type of the device and its driver's data.
    ///
    /// # Errors
    ///
    /// As for [`Device::device_type`].
    pub fn info(&self) -> Result<Info> {
        let mut data = vec![0; MAX_INFO_LEN];
        let InfoReply {
            device_type,
            data_len,
        } = self.info_call(&mut data)?;
        let device_type = DeviceType::from_number(device_type);
        data.truncate(data_len as usize);
        let driver = DriverInfo::decode(device_type, &data);
        Ok(Info {
            device_type,
            data,
            data_len: data_len as usize,
            driver,
        })
    }

    /// FWCTL_RPC: sends `request`, with a buffer of `reply_len` bytes for the reply. Both are at
    /// most [`MAX_RPC_LEN`].
    ///
    /// The firmware's own refusal is a reply like any other: see
    /// [`FirmwareStatus`](crate::FirmwareStatus). Scopes [`Scope::DebugWrite`] and
    /// [`Scope::DebugWriteFull`] taint the kernel even when the request then fails.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] and [`Error::CarriesAddresses`] before anything is sent; [`Error::Call`]
    /// if the kernel does not deliver the request.
    pub fn rpc(&self, scope: Scope, request: &[u8], reply_len: usize) -> Result<Reply> {
        let operation = self.check(scope, request, reply_len)?;
        if self.inner.deadline.is_some() {
            return self.rpc_by_deadline(Rpc::new(scope, request, reply_len));
        }
        let mut bytes = vec![0; reply_len];
        let true_len = self.call(operation, scope, request, &mut bytes)?;
        bytes.truncate(true_len);
        Ok(Reply { bytes, true_len })
    }

    /// Like [`Device::rpc`], with the caller's buffer for the reply. Returns the length of the
    /// whole reply, which can be more than the buffer holds.
    ///
    /// # Errors
    ///
    /// As for [`Device::rpc`].
    pub fn rpc_into(&self, scope: Scope, request: &[u8], reply: &mut [u8]) -> Result<usize> {
        let operation = self.check(scope, request, reply.len())?;
        if self.inner.deadline.is_none() {
            return self.call(operation, scope, request, reply);
        }
        // A late answer must not go to a buffer that the caller has back.
        let answer = self.rpc_by_deadline(Rpc::new(scope, request, reply.len()))?;
        reply[..answer.bytes.len()].copy_from_slice(&answer.bytes);
        Ok(answer.true_len)
    }

    /// Sends several RPCs, with many of them in flight where the kernel or the device permits, and
    /// returns their replies in the same order. An RPC that fails does not stop the others.
    ///
    /// # Errors
    ///
    /// As for [`Queue::begin_all`](crate::Queue::begin_all), before anything is sent.
    pub fn rpc_all(&self, rpcs: Vec<Rpc>) -> Result<Vec<Result<Reply>>> {
        let mut queue = Queue::new(self);
        queue.begin_all(rpcs)?;
        let all = queue.wait_all().into_iter();
        Ok(all.map(|completion| completion.reply).collect())
    }

    fn rpc_by_deadline(&self, rpc: Rpc) -> Result<Reply> {
        let mut queue = QueueOptions::new().depth(1).create(self)?;
        let ticket = queue.begin(rpc)?;
        let completion = queue.wait(ticket).expect("it has not been returned yet");
        completion.reply
    }

    fn call(
        &self,
        operation: Operation,
        scope: Scope,
        request: &[u8],
        reply: &mut [u8],
    ) -> Result<usize> {
        self.observe_start();
        let result = self.inner.transport.rpc(scope, request, reply);
        let outcome = result.as_ref().map(|&true_len| {
            let true_len = true_len as usize;
            (&reply[..reply.len().min(true_len)], true_len)
        });
        self.observe_end(&Exchange {
            scope,
            request,
            outcome,
        });
        result
            .map(|true_len| true_len as usize)
            .map_err(|source| Error::Call {
                device: self.name().into(),
                operation,
                source,
            })
    }

    /// Checks that an RPC may be sent.
    pub(crate) fn check(
        &self,
        scope: Scope,
        request: &[u8],
        reply_len: usize,
    ) -> Result<Operation> {
        for (what, len) in [("request", request.len()), ("reply buffer", reply_len)] {
            if len > MAX_RPC_LEN as usize {
                return Err(Error::TooLong {
                    device: self.name().into(),
                    what,
                    len,
                    max: MAX_RPC_LEN as usize,
                });
            }
        }
        let device_type = self.device_type()?;
        if let (DeviceType::Other(_), false) = (device_type, self.inner.is_trusted) {
            return Err(Error::UnknownMessages {
                device: self.name().into(),
                device_type,
            });
        }
        if carries_addresses(device_type, request) {
            return Err(Error::CarriesAddresses {
                device: self.name().into(),
                device_type,
            });
        }
        Ok(Operation::Rpc {
            scope,
            request_len: request.len(),
            reply_len,
            device_type,
        })
    }

    /// Like [`Device::rpc`], but sends the request a second time if the reply is longer than
    /// `reply_len`, provided that the request [only reads](Device::only_reads) and that the reply
    /// claims no more than [`MAX_RPC_LEN`]. The result may still be truncated.
    ///
    /// # Errors
    ///
    /// As for [`Device::rpc`].
    pub fn rpc_whole(&self, scope: Scope, request: &[u8], reply_len: usize) -> Result<Reply> {
        let reply = self.rpc(scope, request, reply_len)?;
        if reply.is_truncated()
            && reply.true_len <= MAX_RPC_LEN as usize
            && self.only_reads(request)?
        {
            return self.rpc(scope, request, reply.true_len);
        }
        Ok(reply)
    }

    /// Returns whether a request is known to change nothing, so it can be repeated. That follows
    /// from its command, and never from the scope it is sent in: every scope admits commands that
    /// change something.
    ///
    /// The known requests are the query commands of a ConnectX
    /// ([`check_query`](crate::mlx5::check_query)), Get Supported Features and Get Feature of a CXL
    /// memory device, and the lists of a Pensando card.
    ///
    /// # Errors
    ///
    /// As for [`Device::device_type`].
    pub fn only_reads(&self, request: &[u8]) -> Result<bool> {
        Ok(match self.device_type()? {
            DeviceType::Mlx5 => check_query(request).is_ok(),
            DeviceType::Cxl => is_cxl_read(request),
            DeviceType::Pds => pds::is_list(request),
            DeviceType::Bnxt | DeviceType::None | DeviceType::Other(_) => false,
        })
    }

    /// Returns the device with an observer of every request, besides those that it has.
    pub fn observed(self, observer: impl Observer + 'static) -> Device {
        let mut inner = Inner::clone(&self.inner);
        inner.observers.push(Arc::new(observer));
        Device {
            inner: Arc::new(inner),
        }
    }

    /// Returns the device with a deadline for the answers to all its requests: at that time a
    /// request that has no answer ends with [`Error::TimedOut`], as described for
    /// [`Queue`](crate::Queue). Without one, only the driver limits the wait.
    pub fn with_deadline(self, deadline: Instant) -> Device {
        let mut inner = Inner::clone(&self.inner);
        inner.deadline = Some(deadline);
        Device {
            inner: Arc::new(inner),
        }
    }

    /// Returns the device with RPCs permitted although its type is unknown to this crate, which
    /// otherwise refuses them with [`Error::UnknownMessages`].
    ///
    /// # Safety
    ///
    /// No message that is sent to the device holds an address at which its driver reads or writes
    /// memory of this process.
    #[allow(unsafe_code)]
    pub unsafe fn trust_messages(self) -> Device {
        let mut inner = Inner::clone(&self.inner);
        inner.is_trusted = true;
        Device {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn without_deadline(&self) -> Device {
        let mut inner = Inner::clone(&self.inner);
        inner.deadline = None;
        Device {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.inner.deadline
    }

    pub(crate) fn transport(&self) -> &Arc<dyn Transport> {
        &self.inner.transport
    }

    pub(crate) fn is_observed(&self) -> bool {
        !self.inner.observers.is_empty()
    }

    pub(crate) fn observe_start(&self) {
        for observer in &self.inner.observers {
            observer.sent();
        }
    }

    pub(crate) fn observe_end(&self, exchange: &Exchange<'_>) {
        for observer in &self.inner.observers {
            observer.ended(exchange);
        }
    }

    fn info_call(&self, data: &mut [u8]) -> Result<InfoReply> {
        self.inner
            .transport
            .info(data)
            .map_err(|source| Error::Call {
                device: self.name().into(),
                operation: Operation::Info,
                source,
            })
    }
}

/// Opens a node, for writing, too, if that is permitted.
fn open_node(node: &Path) -> io::Result<File> {
    match File::options().read(true).write(true).open(node) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => File::open(node),
        opened => opened,
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}

/// The first word of a request is its opcode; the opcodes are those of CXL 3.2, section 8.2.10.6.
fn is_cxl_read(request: &[u8]) -> bool {
    request
        .first_chunk()
        .is_some_and(|&opcode| matches!(u32::from_le_bytes(opcode), 0x500 | 0x501))
}

/// Returns whether the request contains addresses at which the driver would read or write memory of
/// this process. Plain bytes do not own such memory, so sending them would not be safe.
fn carries_addresses(device_type: DeviceType, request: &[u8]) -> bool {
    match device_type {
        // struct fwctl_rpc_pds is made of addresses. No driver takes a shorter message for one.
        DeviceType::Pds => request.len() >= RpcPds::LEN,
        DeviceType::Bnxt => match request {
            [low, high, ..] => bnxt::DMA_REQUEST_TYPES.contains(&u16::from_le_bytes([*low, *high])),
            _ => false,
        },
        DeviceType::Mlx5 | DeviceType::Cxl | DeviceType::None => false,
        // `Device::check` refuses it, or the caller vouches for it.
        DeviceType::Other(_) => false,
    }
}
