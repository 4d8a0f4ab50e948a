// SPDX-License-Identifier: MIT OR Apache-2.0

//! The native part of the Python package `fwctl`. The documentation is that of the stubs,
//! `python/fwctl/__init__.pyi`.

mod memory;
mod mlx5;
mod snapshot;

use fwctl::cxl::{
    effect_names, known_feature, Command, CxlDevice, Feature, GetFeature, Selection, SetFeature,
    SetPolicy,
};
use fwctl::mlx5::{DumpRequest, Mlx5Device};
use fwctl::replay::Replay;
use fwctl::sysfs::Root;
use fwctl::{Backend, Error, FirmwareStatus, MemoryUse, QueueOptions, Rpc, Scope, Ticket, Uuid};
use pyo3::buffer::PyBuffer;
use pyo3::create_exception;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

create_exception!(
    _fwctl,
    FwctlError,
    PyOSError,
    "A call of this package failed."
);

/// The longest output of a command of a CXL memory device: a reply has 8 bytes before it.
const MOST_OUTPUT: usize = fwctl::MAX_RPC_LEN as usize - 8;

/// How long to wait between looks for signals, such as that of Ctrl-C.
const SLICE: Duration = Duration::from_millis(100);

/// Makes the exception of an error.
fn failed(py: Python<'_>, error: &Error) -> PyErr {
    let exception = raise(py, error.nearest_errno(), &error.to_string());
    let value = exception.value_bound(py);
    let advice = error.advice();
    let status = error.firmware_status();
    let set = value
        .setattr("meaning", advice.map(|advice| advice.meaning))
        .and_then(|()| value.setattr("remedy", advice.map(|advice| advice.remedy)))
        .and_then(|()| status.map(|found| refusal(py, found)).transpose())
        .and_then(|status| value.setattr("status", status));
    set.err().unwrap_or(exception)
}

/// Makes an exception that has no more to say.
fn raise(py: Python<'_>, errno: i32, text: &str) -> PyErr {
    let exception = FwctlError::new_err((errno, text.to_owned()));
    let value = exception.value_bound(py);
    let set = value
        .setattr("meaning", py.None())
        .and_then(|()| value.setattr("remedy", py.None()))
        .and_then(|()| value.setattr("status", py.None()))
        .and_then(|()| value.setattr("partial", PyBytes::new_bound(py, &[])));
    set.err().unwrap_or(exception)
}

trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Error> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| failed(py, &error))
    }
}

fn scope(name: &str) -> PyResult<Scope> {
    name.parse()
        .map_err(|error: fwctl::UnknownScope| PyValueError::new_err(error.to_string()))
}

/// The time that a limit in seconds ends at.
fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(seconds) = timeout else {
        return Ok(None);
    };
    let limit = Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err("timeout is not a number of seconds"))?;
    Ok(Instant::now().checked_add(limit))
}

/// A device that sysfs lists.
#[pyclass(frozen, get_all, module = "fwctl")]
struct Entry {
    name: String,
    node: String,
    parent: String,
    r#type: Option<String>,
}

/// Answer to FWCTL_INFO.
#[pyclass(frozen, get_all, module = "fwctl")]
struct Info {
    r#type: String,
    data: Py<PyBytes>,
    data_len: usize,
}

/// Answer to a request.
#[pyclass(frozen, get_all, module = "fwctl")]
struct Reply {
    data: Py<PyBytes>,
    true_len: usize,
    status: Option<Py<Status>>,
}

#[pymethods]
impl Reply {
    #[getter]
    fn is_truncated(&self, py: Python<'_>) -> bool {
        self.true_len > self.data.as_bytes(py).len()
    }
}

/// The firmware's refusal.
#[pyclass(frozen, get_all, module = "fwctl")]
struct Status {
    code: u32,
    name: &'static str,
    syndrome: Option<u32>,
}

/// A command of a CXL memory device.
#[pyclass(frozen, get_all, module = "fwctl")]
struct CxlCommand {
    opcode: u16,
    name: Option<&'static str>,
    effects: u16,
    effect_names: Vec<&'static str>,
    scope: Option<&'static str>,
    by_feature: bool,
    by_payload: bool,
    refused: Option<&'static str>,
}

#[pymethods]
impl CxlCommand {
    fn __repr__(&self) -> String {
        let scope = self.scope.unwrap_or("never");
        format!("<fwctl.CxlCommand {:#06x} {scope}>", self.opcode)
    }
}

impl From<Command> for CxlCommand {
    fn from(command: Command) -> CxlCommand {
        let least = command.policy.least_scope();
        let effects = effect_names(command.effects).into_iter();
        CxlCommand {
            opcode: command.opcode,
            name: command.name(),
            effects: command.effects,
            effect_names: effects.map(|effect| effect.name).collect(),
            scope: least.ok().map(|scope| scope.name()),
            by_feature: command.policy.is_by_feature(),
            by_payload: command.policy.is_by_payload(),
            refused: least.err().map(|refusal| refusal.name()),
        }
    }
}

/// A Feature of a CXL memory device.
#[pyclass(frozen, get_all, module = "fwctl")]
struct CxlFeature {
    uuid: String,
    name: Option<&'static str>,
    get_size: u16,
    set_size: u16,
    get_version: u8,
    set_version: u8,
    flags: u32,
    effects: u16,
    effect_names: Vec<&'static str>,
    scope: Option<&'static str>,
}

#[pymethods]
impl CxlFeature {
    fn __repr__(&self) -> String {
        format!("<fwctl.CxlFeature {}>", self.name.unwrap_or(&self.uuid))
    }
}

impl From<Feature> for CxlFeature {
    fn from(feature: Feature) -> CxlFeature {
        let effects = effect_names(feature.effects).into_iter();
        CxlFeature {
            uuid: feature.uuid.to_string(),
            name: feature.name(),
            get_size: feature.get_size,
            set_size: feature.set_size,
            get_version: feature.get_version,
            set_version: feature.set_version,
            flags: feature.flags,
            effects: feature.effects,
            effect_names: effects.map(|effect| effect.name).collect(),
            scope: match feature.set_policy() {
                SetPolicy::Scope(scope) => Some(scope.name()),
                SetPolicy::Never(_) => None,
            },
        }
    }
}

/// The UUID of a Feature, or that of its short name.
fn uuid(name: &str) -> PyResult<Uuid> {
    known_feature(name)
        .map_or_else(|| name.parse(), Ok)
        .map_err(|error: fwctl::BadUuid| PyValueError::new_err(error.to_string()))
}

/// The Feature of this UUID.
fn feature(cxl: &CxlDevice, uuid: Uuid) -> Result<Feature, Error> {
    let found = cxl.features()?.into_iter().find(|found| found.uuid == uuid);
    found.ok_or_else(|| Error::Feature {
        device: cxl.device().name().into(),
        feature: uuid.to_string(),
        why: "the device does not have this feature".into(),
    })
}

/// The end of an RPC of a queue.
#[pyclass(frozen, get_all, module = "fwctl")]
struct Completion {
    ticket: u64,
    reply: Option<Py<Reply>>,
    error: Option<PyObject>,
}

#[pymethods]
impl Completion {
    /// Returns the reply, or raises the error.
    fn result(&self, py: Python<'_>) -> PyResult<Py<Reply>> {
        match (&self.reply, &self.error) {
            (Some(reply), _) => Ok(reply.clone_ref(py)),
            (None, Some(error)) => Err(PyErr::from_value_bound(error.bind(py).clone())),
            (None, None) => unreachable!("a completion has one of them"),
        }
    }
}

fn refusal(py: Python<'_>, found: FirmwareStatus) -> PyResult<Py<Status>> {
    let FirmwareStatus {
        code,
        name,
        syndrome,
        ..
    } = found;
    Py::new(
        py,
        Status {
            code,
            name,
            syndrome,
        },
    )
}

fn reply(py: Python<'_>, device: &fwctl::Device, reply: &fwctl::Reply) -> PyResult<Py<Reply>> {
    let found = FirmwareStatus::of_reply(device.device_type().or_raise(py)?, &reply.bytes);
    let status = found.map(|found| refusal(py, found));
    let data = PyBytes::new_bound(py, &reply.bytes).unbind();
    Py::new(
        py,
        Reply {
            data,
            true_len: reply.true_len,
            status: status.transpose()?,
        },
    )
}

/// An open device.
#[pyclass(frozen, module = "fwctl")]
struct Device {
    name: String,
    /// None once it has been closed.
    device: Mutex<Option<fwctl::Device>>,
}

#[pymethods]
impl Device {
    #[staticmethod]
    fn from_fd(py: Python<'_>, fd: RawFd) -> PyResult<Device> {
        if fd < 0 {
            return Err(PyValueError::new_err("the descriptor is negative"));
        }
        // SAFETY: The caller has it open: a descriptor that is not gives EBADF.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let fd = fd.try_clone_to_owned()?;
        fwctl::Device::from_fd(fd).map(Device::new).or_raise(py)
    }

    #[staticmethod]
    fn from_recording(recording: &str) -> PyResult<Device> {
        let replay = Replay::parse(recording).map_err(|e| PyValueError::new_err(e.to_string()))?;
        Ok(Device::new(fwctl::Device::with_transport("fwctl0", replay)))
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    #[getter]
    fn closed(&self) -> bool {
        self.device().is_none()
    }

    fn close(&self, py: Python<'_>) {
        let device = self.device().take();
        py.allow_threads(|| drop(device));
    }

    fn __enter__(slf: Py<Device>) -> PyResult<Py<Device>> {
        slf.get().open()?;
        Ok(slf)
    }

    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) {
        let _ = (exc_type, exc_value, traceback);
        self.close(py);
    }

    #[getter]
    fn r#type(&self, py: Python<'_>) -> PyResult<String> {
        let device = self.open()?;
        let found = py.allow_threads(|| device.device_type());
        Ok(found.or_raise(py)?.to_string())
    }

    fn fileno(&self) -> PyResult<RawFd> {
        let fd = self.open()?.fd().map(|fd| fd.as_raw_fd());
        fd.ok_or_else(|| PyValueError::new_err("a recording has no descriptor"))
    }

    fn info(&self, py: Python<'_>) -> PyResult<Info> {
        let device = self.open()?;
        let info = py.allow_threads(|| device.info()).or_raise(py)?;
        Ok(Info {
            r#type: info.device_type.to_string(),
            data: PyBytes::new_bound(py, &info.data).unbind(),
            data_len: info.data_len,
        })
    }

    #[pyo3(signature = (scope, request, reply_len, *, timeout = None))]
    fn rpc(
        &self,
        py: Python<'_>,
        scope: &str,
        request: Vec<u8>,
        reply_len: usize,
        timeout: Option<f64>,
    ) -> PyResult<Py<Reply>> {
        let scope = crate::scope(scope)?;
        let device = self.limited(timeout)?;
        let answer = py.allow_threads(|| device.rpc(scope, &request, reply_len));
        reply(py, &device, &answer.or_raise(py)?)
    }

    #[pyo3(signature = (scope, request, buffer, *, timeout = None))]
    fn rpc_into(
        &self,
        py: Python<'_>,
        scope: &str,
        request: Vec<u8>,
        buffer: PyBuffer<u8>,
        timeout: Option<f64>,
    ) -> PyResult<usize> {
        let scope = crate::scope(scope)?;
        let device = self.limited(timeout)?;
        // Other threads may use the buffer meanwhile, so the answer is copied.
        let len = buffer.len_bytes();
        let answer = py
            .allow_threads(|| device.rpc(scope, &request, len))
            .or_raise(py)?;
        let mut all = buffer.to_vec(py)?;
        all[..answer.bytes.len()].copy_from_slice(&answer.bytes);
        buffer.copy_from_slice(py, &all)?;
        Ok(answer.true_len)
    }

    #[pyo3(signature = (*, timeout = None))]
    fn snapshot(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<PyObject> {
        snapshot::snapshot(py, &self.limited(timeout)?)
    }

    fn cxl_commands(&self, py: Python<'_>) -> PyResult<Option<Vec<CxlCommand>>> {
        let device = self.open()?;
        let commands = py.allow_threads(|| CxlDevice::new(device)?.commands());
        let commands = commands.or_raise(py)?;
        Ok(commands.map(|found| found.into_iter().map(CxlCommand::from).collect()))
    }

    #[pyo3(signature = (*, timeout = None))]
    fn cxl_features(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Vec<CxlFeature>> {
        let device = self.limited(timeout)?;
        let features = py.allow_threads(|| CxlDevice::new(device)?.features());
        let features = features.or_raise(py)?;
        Ok(features.into_iter().map(CxlFeature::from).collect())
    }

    #[pyo3(signature = (feature, *, selection = "current", offset = 0, size = None, timeout = None))]
    fn cxl_get_feature(
        &self,
        py: Python<'_>,
        feature: &str,
        selection: &str,
        offset: u16,
        size: Option<u16>,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyBytes>> {
        let uuid = uuid(feature)?;
        let selection: Selection = selection
            .parse()
            .map_err(|_| PyValueError::new_err("selection is current, default or saved"))?;
        let device = self.limited(timeout)?;
        let value = py.allow_threads(|| {
            let cxl = CxlDevice::new(device)?;
            let size = match size {
                Some(size) => size,
                None => crate::feature(&cxl, uuid)?.get_size.saturating_sub(offset),
            };
            cxl.get(&GetFeature {
                uuid,
                selection,
                offset,
                size,
            })
        });
        Ok(PyBytes::new_bound(py, &value.or_raise(py)?).unbind())
    }

    #[pyo3(signature = (scope, feature, data, *, offset = 0, saved = false, timeout = None))]
    #[allow(clippy::too_many_arguments)]
    fn cxl_set_feature(
        &self,
        py: Python<'_>,
        scope: &str,
        feature: &str,
        data: Vec<u8>,
        offset: u16,
        saved: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let (scope, uuid) = (crate::scope(scope)?, uuid(feature)?);
        let device = self.limited(timeout)?;
        let set = py.allow_threads(|| {
            let cxl = CxlDevice::new(device)?;
            let version = crate::feature(&cxl, uuid)?.set_version;
            cxl.set(
                scope,
                &SetFeature {
                    uuid,
                    version,
                    offset,
                    is_saved: saved,
                    data: &data,
                },
            )
        });
        set.or_raise(py)
    }

    #[pyo3(signature = (id, data, *, argument = 0, timeout = None))]
    fn mlx5_read_register(
        &self,
        py: Python<'_>,
        id: u16,
        data: Vec<u8>,
        argument: u32,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyBytes>> {
        let device = self.limited(timeout)?;
        let register =
            py.allow_threads(|| Mlx5Device::new(device)?.read_register_with(id, argument, &data));
        Ok(PyBytes::new_bound(py, &register.or_raise(py)?).unbind())
    }

    #[pyo3(signature = (scope, id, data, *, argument = 0, timeout = None))]
    fn mlx5_write_register(
        &self,
        py: Python<'_>,
        scope: &str,
        id: u16,
        data: Vec<u8>,
        argument: u32,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let scope = crate::scope(scope)?;
        let device = self.limited(timeout)?;
        let written = py.allow_threads(|| {
            Mlx5Device::new(device)?.write_register_with(scope, id, argument, &data)
        });
        written.or_raise(py)
    }

    // The default in the signature that Python shows: PyO3 cannot tell.
    #[pyo3(
        signature = (scope, opcode, data = Vec::new(), *, timeout = None),
        text_signature = "($self, scope, opcode, data=b'', *, timeout=None)"
    )]
    fn cxl_send(
        &self,
        py: Python<'_>,
        scope: &str,
        opcode: u16,
        data: Vec<u8>,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyBytes>> {
        let scope = crate::scope(scope)?;
        let device = self.limited(timeout)?;
        let output = py.allow_threads(|| {
            let cxl = CxlDevice::new(device)?;
            let most = cxl.payload_size()?.unwrap_or(0);
            cxl.send(scope, opcode, &data, most.min(MOST_OUTPUT))
        });
        Ok(PyBytes::new_bound(py, &output.or_raise(py)?).unbind())
    }

    #[pyo3(signature = (length, *, key = true, pages = false, timeout = None))]
    fn register_memory(
        &self,
        py: Python<'_>,
        length: usize,
        key: bool,
        pages: bool,
        timeout: Option<f64>,
    ) -> PyResult<memory::Memory> {
        let use_ = match (key, pages) {
            (true, true) => MemoryUse::KEY | MemoryUse::PAGES,
            (true, false) => MemoryUse::KEY,
            (false, true) => MemoryUse::PAGES,
            (false, false) => return Err(PyValueError::new_err("the memory has no use")),
        };
        let device = self.limited(timeout)?;
        let registered = py.allow_threads(|| device.register_memory(length, use_));
        registered.map(memory::Memory::new).or_raise(py)
    }

    #[pyo3(signature = (
        segment_type, *, index1 = 0, index2 = 0, num_of_obj1 = 0, num_of_obj2 = 0, vhca_id = 0,
        memory = None, max = 67108864, progress = None, timeout = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn mlx5_dump(
        &self,
        py: Python<'_>,
        segment_type: u16,
        index1: u32,
        index2: u32,
        num_of_obj1: u16,
        num_of_obj2: u16,
        vhca_id: u16,
        memory: Option<mlx5::Destination<'_>>,
        max: usize,
        progress: Option<PyObject>,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyBytes>> {
        let what = DumpRequest {
            segment_type,
            vhca_id,
            index1,
            index2,
            num_of_obj1,
            num_of_obj2,
        };
        let options = mlx5::Options {
            into: memory,
            max,
            progress,
        };
        mlx5::dump(py, self.limited(timeout)?, &what, options)
    }

    #[pyo3(signature = (*, memory = None, max = 268435456, progress = None, timeout = None))]
    fn mlx5_core_dump(
        &self,
        py: Python<'_>,
        memory: Option<mlx5::Destination<'_>>,
        max: usize,
        progress: Option<PyObject>,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyBytes>> {
        let options = mlx5::Options {
            into: memory,
            max,
            progress,
        };
        mlx5::core_dump(py, self.limited(timeout)?, options)
    }

    #[pyo3(signature = (*, depth = None, backend = None))]
    fn queue(
        &self,
        py: Python<'_>,
        depth: Option<usize>,
        backend: Option<&str>,
    ) -> PyResult<Queue> {
        let mut options = QueueOptions::new();
        if let Some(depth) = depth {
            options = options.depth(depth);
        }
        options = match backend {
            None => options,
            Some("io_uring") => options.backend(Backend::IoUring),
            Some("threads") => options.backend(Backend::Threads),
            Some(_) => return Err(PyValueError::new_err("backend is io_uring or threads")),
        };
        let queue = options.create(&self.open()?).or_raise(py)?;
        let tickets = HashMap::new();
        Ok(Queue { queue, tickets })
    }

    fn __repr__(&self) -> String {
        format!("<fwctl.Device {}>", self.name)
    }
}

impl Device {
    fn new(device: fwctl::Device) -> Device {
        Device {
            name: device.name().to_owned(),
            device: Mutex::new(Some(device)),
        }
    }

    fn device(&self) -> MutexGuard<'_, Option<fwctl::Device>> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> PyResult<fwctl::Device> {
        let device = self.device().clone();
        device.ok_or_else(|| PyValueError::new_err("the device is closed"))
    }

    fn limited(&self, timeout: Option<f64>) -> PyResult<fwctl::Device> {
        let device = self.open()?;
        Ok(match deadline(timeout)? {
            Some(deadline) => device.with_deadline(deadline),
            None => device,
        })
    }
}

/// RPCs in flight on one device.
#[pyclass(unsendable, module = "fwctl")]
struct Queue {
    queue: fwctl::Queue,
    tickets: HashMap<u64, Ticket>,
}

/// A queue on its way into `Python::allow_threads`.
struct OnThisThread<'a>(&'a mut fwctl::Queue);

// SAFETY: `Python::allow_threads` demands Send to keep what belongs to the interpreter out of its
// closure, and calls the closure on the same thread. A queue has nothing of the interpreter.
unsafe impl Send for OnThisThread<'_> {}

impl OnThisThread<'_> {
    fn wait(self, ticket: Option<Ticket>, time: Instant) -> Option<fwctl::Completion> {
        match ticket {
            Some(ticket) => self.0.wait_until(ticket, time),
            None => self.0.wait_any_until(time),
        }
    }
}

#[pymethods]
impl Queue {
    #[getter]
    fn backend(&self) -> String {
        self.queue.backend().to_string()
    }

    #[getter]
    fn depth(&self) -> usize {
        self.queue.depth()
    }

    #[pyo3(signature = (scope, request, reply_len, *, timeout = None))]
    fn begin(
        &mut self,
        py: Python<'_>,
        scope: &str,
        request: Vec<u8>,
        reply_len: usize,
        timeout: Option<f64>,
    ) -> PyResult<u64> {
        let mut rpc = Rpc::new(crate::scope(scope)?, request, reply_len);
        if let Some(deadline) = deadline(timeout)? {
            rpc = rpc.deadline(deadline);
        }
        let ticket = self.queue.begin(rpc).or_raise(py)?;
        self.tickets.insert(ticket.number(), ticket);
        Ok(ticket.number())
    }

    #[pyo3(signature = (ticket = None, *, timeout = None))]
    fn wait(
        &mut self,
        py: Python<'_>,
        ticket: Option<u64>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Completion>> {
        let end = deadline(timeout)?;
        let ticket = match ticket {
            None => None,
            Some(number) => match self.tickets.get(&number) {
                None => return Ok(None),
                known => known.copied(),
            },
        };
        loop {
            let slice = Instant::now() + SLICE;
            let time = end.map_or(slice, |end| end.min(slice));
            let queue = OnThisThread(&mut self.queue);
            let found = py.allow_threads(move || queue.wait(ticket, time));
            if let Some(found) = found {
                return self.completion(py, found).map(Some);
            }
            let is_over = end.is_some_and(|end| end <= Instant::now());
            if self.queue.is_empty() || is_over {
                return Ok(None);
            }
            py.check_signals()?;
        }
    }

    fn wait_all(&mut self, py: Python<'_>) -> PyResult<Vec<Completion>> {
        let mut all = Vec::new();
        while let Some(completion) = self.wait(py, None, None)? {
            all.push(completion);
        }
        all.sort_by_key(|completion| completion.ticket);
        Ok(all)
    }

    fn cancel(&mut self, ticket: u64) -> bool {
        let ticket = self.tickets.get(&ticket).copied();
        ticket.is_some_and(|ticket| self.queue.cancel(ticket))
    }

    fn cancel_all(&mut self) {
        self.queue.cancel_all();
    }

    fn __len__(&self) -> usize {
        self.queue.len()
    }
}

impl Queue {
    fn completion(&mut self, py: Python<'_>, found: fwctl::Completion) -> PyResult<Completion> {
        let ticket = found.ticket.number();
        self.tickets.remove(&ticket);
        let (reply, error) = match found.reply {
            Ok(answer) => (Some(reply(py, self.queue.device(), &answer)?), None),
            Err(error) => (None, Some(failed(py, &error).into_value(py).into_any())),
        };
        Ok(Completion {
            ticket,
            reply,
            error,
        })
    }
}

/// Opens a device by one of its names.
#[pyfunction]
fn open(py: Python<'_>, name: &str) -> PyResult<Device> {
    let opened = py.allow_threads(|| Root::default().resolve(name)?.open());
    opened.map(Device::new).or_raise(py)
}

/// Lists the devices, from sysfs alone.
#[pyfunction]
fn devices(py: Python<'_>) -> PyResult<Vec<Entry>> {
    let entries = match Root::default().devices() {
        Err(Error::Absent(_)) => Vec::new(),
        entries => entries.or_raise(py)?,
    };
    let entry = |entry: &fwctl::sysfs::Entry| Entry {
        name: entry.name.clone(),
        node: entry.node.display().to_string(),
        parent: entry.parent.name.clone(),
        r#type: entry.likely_type().map(|found| found.to_string()),
    };
    Ok(entries.iter().map(entry).collect())
}

#[pymodule]
fn _fwctl(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("MAX_LEN", fwctl::MAX_RPC_LEN)?;
    module.add("FwctlError", module.py().get_type_bound::<FwctlError>())?;
    module.add_class::<Completion>()?;
    module.add_class::<CxlCommand>()?;
    module.add_class::<CxlFeature>()?;
    module.add_class::<Device>()?;
    module.add_class::<Entry>()?;
    module.add_class::<Info>()?;
    module.add_class::<snapshot::Item>()?;
    module.add_class::<memory::Memory>()?;
    module.add_class::<Queue>()?;
    module.add_class::<Reply>()?;
    module.add_class::<Status>()?;
    module.add_function(wrap_pyfunction!(snapshot::catalogue, module)?)?;
    module.add_function(wrap_pyfunction!(devices, module)?)?;
    module.add_function(wrap_pyfunction!(open, module)?)
}
