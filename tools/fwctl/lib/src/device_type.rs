// SPDX-License-Identifier: MIT OR Apache-2.0

//! Device types.

use fwctl_uapi::device_type;
use std::fmt;

/// Whose messages a device speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceType {
    /// None: the device of a sample or a test, whose messages are no interface.
    None,
    /// NVIDIA ConnectX and BlueField.
    Mlx5,
    /// CXL memory device.
    Cxl,
    /// Broadcom NetXtreme.
    Bnxt,
    /// AMD Pensando.
    Pds,
    /// A type that this crate does not know, by its number.
    Other(u32),
}

impl DeviceType {
    /// The type with this number in the ABI.
    pub const fn from_number(number: u32) -> DeviceType {
        match number {
            device_type::ERROR => DeviceType::None,
            device_type::MLX5 => DeviceType::Mlx5,
            device_type::CXL => DeviceType::Cxl,
            device_type::BNXT => DeviceType::Bnxt,
            device_type::PDS => DeviceType::Pds,
            other => DeviceType::Other(other),
        }
    }

    /// The number in the ABI.
    pub const fn number(self) -> u32 {
        match self {
            DeviceType::None => device_type::ERROR,
            DeviceType::Mlx5 => device_type::MLX5,
            DeviceType::Cxl => device_type::CXL,
            DeviceType::Bnxt => device_type::BNXT,
            DeviceType::Pds => device_type::PDS,
            DeviceType::Other(number) => number,
        }
    }
}

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceType::None => f.pad("none"),
            DeviceType::Mlx5 => f.pad("mlx5"),
            DeviceType::Cxl => f.pad("cxl"),
            DeviceType::Bnxt => f.pad("bnxt"),
            DeviceType::Pds => f.pad("pds"),
            DeviceType::Other(number @ 0..=0xffff) => f.pad(&format!("type-{number}")),
            // Not from the list in fwctl.h, which counts from 1: more likely a pattern of bits.
            DeviceType::Other(number) => f.pad(&format!("type-{number:#x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Numbers: enum fwctl_device_type, include/uapi/fwctl/fwctl.h.
    #[test]
    fn numbers_round_trip() {
        let names: Vec<String> = (0..=5)
            .map(|n| DeviceType::from_number(n).to_string())
            .collect();
        assert_eq!(names, ["none", "mlx5", "cxl", "bnxt", "pds", "type-5"]);
        assert_eq!(
            DeviceType::Other(0x8000_0001).to_string(),
            "type-0x80000001"
        );
        assert!((0..=9).all(|n| DeviceType::from_number(n).number() == n));
    }
}
