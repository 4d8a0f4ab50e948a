// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that is registered with a device.
//!
//! The device can change its bytes at any time, and they are unmapped when the memory is closed. So
//! bytes are copied, and there is no buffer: a `memoryview` of it would outlive the memory.

use crate::{deadline, OrRaise};
use fwctl::MemoryIds;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Memory that the firmware can access, until it is closed.
#[pyclass(frozen, module = "fwctl")]
pub struct Memory {
    /// None once it is closed. Never locked while something waits.
    memory: Mutex<Option<Arc<fwctl::Memory>>>,
    name: String,
    ids: MemoryIds,
    address: u64,
    len: usize,
}

impl Memory {
    /// The limit of the registration does not apply to the end of it.
    pub fn new(memory: fwctl::Memory) -> Memory {
        Memory {
            name: memory.device().name().to_owned(),
            ids: memory.ids(),
            address: memory.address(),
            len: memory.len(),
            memory: Mutex::new(Some(Arc::new(memory.without_deadline()))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<fwctl::Memory>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory, which stays mapped while the result exists.
    pub fn open(&self) -> PyResult<Arc<fwctl::Memory>> {
        let open = self.lock().clone();
        open.ok_or_else(|| PyValueError::new_err("the memory is closed"))
    }

    /// The memory, and the number of bytes to copy, all of which are inside.
    fn part(&self, offset: usize, len: Option<usize>) -> PyResult<(Arc<fwctl::Memory>, usize)> {
        let memory = self.open()?;
        let left = self.len.checked_sub(offset);
        match (left, len.or(left)) {
            (Some(left), Some(len)) if len <= left => Ok((memory, len)),
            _ => Err(PyValueError::new_err(
                "the memory does not have these bytes",
            )),
        }
    }
}

/// Inside of its bounds, memory can only not be accessed by another process.
fn or_elsewhere(is_copied: bool) -> PyResult<()> {
    if is_copied {
        return Ok(());
    }
    Err(PyValueError::new_err(
        "the memory is that of the process which registered it",
    ))
}

#[pymethods]
impl Memory {
    #[getter]
    fn address(&self) -> u64 {
        self.address
    }

    #[getter]
    fn umem(&self) -> u32 {
        self.ids.umem
    }

    #[getter]
    fn key(&self) -> Option<u32> {
        (self.ids.key != 0).then_some(self.ids.key)
    }

    #[getter]
    fn resource(&self) -> u32 {
        self.ids.resource
    }

    #[getter]
    fn closed(&self) -> bool {
        self.lock().is_none()
    }

    #[pyo3(signature = (offset = 0, length = None))]
    fn read(&self, py: Python<'_>, offset: usize, length: Option<usize>) -> PyResult<Py<PyBytes>> {
        let (memory, len) = self.part(offset, length)?;
        let fill = |to: &mut [u8]| or_elsewhere(memory.read(offset, to));
        Ok(PyBytes::new_bound_with(py, len, fill)?.unbind())
    }

    fn write(&self, offset: usize, data: PyBackedBytes) -> PyResult<()> {
        let (memory, _) = self.part(offset, Some(data.len()))?;
        or_elsewhere(memory.write(offset, &data))
    }

    #[pyo3(signature = (*, timeout = None))]
    fn close(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let deadline = deadline(timeout)?;
        let Some(memory) = self.lock().clone() else {
            return Ok(());
        };
        let result = py.allow_threads(|| memory.release(deadline));
        // Otherwise it is still registered, or its release goes on.
        if result.is_ok() || memory.is_released() {
            self.lock().take();
        }
        result.or_raise(py)
    }

    fn __enter__(slf: Py<Self>) -> PyResult<Py<Self>> {
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
    ) -> PyResult<()> {
        let _ = (exc_type, exc_value, traceback);
        self.close(py, None)
    }

    fn __len__(&self) -> usize {
        self.len
    }

    fn __repr__(&self) -> String {
        let closed = if self.closed() { ", closed" } else { "" };
        format!(
            "<fwctl.Memory of {}: {} bytes{closed}>",
            self.name, self.len
        )
    }
}

impl Drop for Memory {
    /// Closes it, and waits for that, while other threads run.
    fn drop(&mut self) {
        let memory = self.lock().take();
        if let Some(memory) = memory {
            Python::with_gil(|py| py.allow_threads(|| drop(memory)));
        }
    }
}
