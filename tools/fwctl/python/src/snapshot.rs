// SPDX-License-Identifier: MIT OR Apache-2.0

//! The catalogue, and snapshots of devices.

use crate::failed;
use fwctl::catalogue::items;
use fwctl::snapshot::{Snapshot, Versioned};
use fwctl::{DeviceType, UnknownType};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Something that can be read of a device.
#[pyclass(frozen, get_all, module = "fwctl")]
pub(crate) struct Item {
    kind: &'static str,
    name: &'static str,
    about: &'static str,
    volatility: &'static str,
    select: Vec<&'static str>,
    scope: &'static str,
}

#[pymethods]
impl Item {
    fn __repr__(&self) -> String {
        format!("<fwctl.Item {}/{}>", self.kind, self.name)
    }
}

/// Everything that is known to be readable of devices of a type.
#[pyfunction]
pub(crate) fn catalogue(r#type: &str) -> PyResult<Vec<Item>> {
    let device_type: DeviceType = r#type
        .parse()
        .map_err(|error: UnknownType| PyValueError::new_err(error.to_string()))?;
    let item = |item: &fwctl::catalogue::Item| Item {
        kind: item.kind.name(),
        name: item.name,
        about: item.about,
        volatility: item.volatility.name(),
        select: item.select.iter().map(|(field, _)| *field).collect(),
        scope: item.scope.name(),
    };
    Ok(items(device_type).iter().map(item).collect())
}

/// Reads all of the catalogue.
pub(crate) fn snapshot(py: Python<'_>, device: &fwctl::Device) -> PyResult<PyObject> {
    let tool = concat!("fwctl for Python ", env!("CARGO_PKG_VERSION"));
    let (json, end) = py.allow_threads(|| {
        let (snapshot, end) = Snapshot::of_device(tool, device);
        (serde_json::to_string(&Versioned::new(&snapshot)), end)
    });
    let json = json.map_err(|error| PyValueError::new_err(error.to_string()))?;
    match end {
        Ok(()) => {
            let module = py.import_bound("json")?;
            Ok(module.call_method1("loads", (json,))?.unbind())
        }
        Err(error) => {
            let exception = failed(py, &error);
            let bytes = PyBytes::new_bound(py, json.as_bytes());
            exception.value_bound(py).setattr("partial", bytes)?;
            Err(exception)
        }
    }
}
