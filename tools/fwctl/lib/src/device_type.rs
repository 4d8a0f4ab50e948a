// SPDX-License-Identifier: MIT OR Apache-2.0

//! Device types.

use fwctl_uapi::device_type;
use std::fmt;
use std::str::FromStr;

/// Whose messages a device speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
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

impl FromStr for DeviceType {
    type Err = UnknownType;

    /// Reads what [`DeviceType`] is displayed as.
    fn from_str(name: &str) -> Result<DeviceType, UnknownType> {
        Ok(match name {
            "none" => DeviceType::None,
            "mlx5" => DeviceType::Mlx5,
            "cxl" => DeviceType::Cxl,
            "bnxt" => DeviceType::Bnxt,
            "pds" => DeviceType::Pds,
            _ => {
                let number = name.strip_prefix("type-").ok_or(UnknownType)?;
                let number = match number.strip_prefix("0x") {
                    Some(digits) => u32::from_str_radix(digits, 16),
                    None => number.parse(),
                };
                DeviceType::from_number(number.map_err(|_| UnknownType)?)
            }
        })
    }
}

/// No device type has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a device type: use none, mlx5, cxl, bnxt, pds or type-NUMBER")]
pub struct UnknownType;

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
        for number in (0..=9).chain([0xffff, 0x1_0000, u32::MAX]) {
            let device_type = DeviceType::from_number(number);
            assert_eq!(device_type.number(), number);
            assert_eq!(device_type.to_string().parse(), Ok(device_type));
        }
        for name in ["", "type-", "type-0x", "type--1", "type-4294967296", "MLX5"] {
            assert_eq!(name.parse::<DeviceType>(), Err(UnknownType), "{name}");
        }
    }
}
