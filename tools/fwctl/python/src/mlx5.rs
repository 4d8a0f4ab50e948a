// SPDX-License-Identifier: MIT OR Apache-2.0

//! Dumps of a ConnectX.

use crate::memory::Memory;
use crate::{failed, raise, OrRaise};
use fwctl::mlx5::{DumpRequest, Mlx5Device};
use fwctl::{Error, MemoryUse};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::ops::ControlFlow;
use std::sync::Arc;

/// How much memory to register for a dump of objects.
const MEMORY: usize = 1 << 20;
/// Most memory that the kernel registers at once.
const MAX_MEMORY: usize = 64 << 20;

/// What to dump into.
#[derive(FromPyObject)]
pub enum Destination<'py> {
    Registered(Bound<'py, Memory>),
    /// So much memory, which is registered for this dump.
    New(usize),
}

/// Memory for one dump, or one that the program has registered.
enum Target {
    Own(fwctl::Memory),
    Registered(Arc<fwctl::Memory>),
}

impl Target {
    fn memory(&self) -> &fwctl::Memory {
        match self {
            Target::Own(memory) => memory,
            Target::Registered(memory) => memory,
        }
    }

    fn registered(memory: &Memory) -> PyResult<Target> {
        let memory = memory.open()?;
        if memory.ids().key == 0 {
            return Err(PyValueError::new_err("the memory has no key"));
        }
        Ok(Target::Registered(memory))
    }
}

/// What a dump needs besides its subject.
pub struct Options<'py> {
    pub into: Option<Destination<'py>>,
    pub max: usize,
    pub progress: Option<PyObject>,
}

/// Dumps objects.
pub fn dump(
    py: Python<'_>,
    device: fwctl::Device,
    what: &DumpRequest,
    options: Options<'_>,
) -> PyResult<Py<PyBytes>> {
    let mlx5 = py.allow_threads(|| Mlx5Device::new(device)).or_raise(py)?;
    let target = match &options.into {
        Some(Destination::New(0)) => None,
        Some(Destination::Registered(memory)) => Some(Target::registered(memory.get())?),
        Some(Destination::New(len)) => own(py, &mlx5, *len)?,
        None => own(py, &mlx5, MEMORY)?,
    };
    run(py, options.progress, target, |target, all, told| {
        let memory = target.map(Target::memory);
        mlx5.dump_to(what, options.max, memory, all, told)
    })
}

/// Memory for one dump; none if there can be none.
fn own(py: Python<'_>, mlx5: &Mlx5Device, len: usize) -> PyResult<Option<Target>> {
    match py.allow_threads(|| mlx5.dump_memory(len)) {
        // Above a limit.
        Err(error) if error.is_above_limit() => Ok(None),
        registered => Ok(registered.or_raise(py)?.map(Target::Own)),
    }
}

/// Dumps the device's own registers.
pub fn core_dump(
    py: Python<'_>,
    device: fwctl::Device,
    options: Options<'_>,
) -> PyResult<Py<PyBytes>> {
    let mlx5 = py.allow_threads(|| Mlx5Device::new(device)).or_raise(py)?;
    let own = |len: usize| {
        let registered = py.allow_threads(|| match mlx5.dump_memory(len)? {
            Some(memory) => Ok(memory),
            // Fails, and says why.
            None => mlx5.device().register_memory(len, MemoryUse::KEY),
        });
        registered.map(Target::Own).or_raise(py)
    };
    let target = match &options.into {
        Some(Destination::Registered(memory)) => Target::registered(memory.get())?,
        Some(Destination::New(0)) => {
            return Err(PyValueError::new_err("a core dump needs memory"));
        }
        Some(Destination::New(len)) => own(*len)?,
        None => {
            let len = py.allow_threads(|| mlx5.core_dump_len()).or_raise(py)?;
            let len = len.ok_or_else(|| {
                let name = mlx5.device().name();
                raise(
                    py,
                    libc::EOPNOTSUPP,
                    &format!("{name}: the device does not make core dumps"),
                )
            })?;
            own(len.min(MAX_MEMORY))?
        }
    };
    run(
        py,
        options.progress,
        Some(target),
        |target, all, told| match target {
            Some(target) => mlx5.core_dump(target.memory(), options.max, all, told),
            None => Ok(()),
        },
    )
}

/// Makes a dump, while other threads run. Calls `progress` after each step, which an exception ends, as
/// does one of a signal handler.
fn run(
    py: Python<'_>,
    progress: Option<PyObject>,
    target: Option<Target>,
    dump: impl FnOnce(
            Option<&Target>,
            &mut Vec<u8>,
            &mut dyn FnMut(usize) -> ControlFlow<()>,
        ) -> Result<(), Error>
        + Send,
) -> PyResult<Py<PyBytes>> {
    let (all, result, raised) = py.allow_threads(move || {
        let (mut all, mut raised) = (Vec::new(), None);
        let mut told = |count: usize| {
            let called = Python::with_gil(|py| {
                py.check_signals()?;
                match &progress {
                    Some(progress) => progress.call1(py, (count,)).map(drop),
                    None => Ok(()),
                }
            });
            match called {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    raised = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        let result = dump(target.as_ref(), &mut all, &mut told);
        // Memory for this dump is released here, where nothing waits for it.
        drop(target);
        (all, result, raised)
    });
    let bytes = PyBytes::new_bound(py, &all);
    match (raised, result) {
        (Some(raised), _) => Err(raised),
        (None, Ok(())) => Ok(bytes.unbind()),
        (None, Err(error)) => {
            let error = failed(py, &error);
            error.value_bound(py).setattr("partial", bytes)?;
            Err(error)
        }
    }
}
