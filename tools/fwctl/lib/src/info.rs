// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver's part of FWCTL_INFO.
//!
//! ```
//! use fwctl::{replay::Replay, Device, DriverInfo};
//!
//! let open = |recording| Device::with_transport("fwctl0", Replay::parse(recording).unwrap());
//! let pds = open("info pds 03000000").info()?.driver;
//! assert_eq!(pds, DriverInfo::Pds { uctx_caps: 3 });
//! let bnxt = open("info bnxt 09000000").info()?.driver;
//! assert_eq!(bnxt.capabilities(), [(1, Some("inline-commands")), (8, Some("dma-commands"))]);
//! # Ok::<(), fwctl::Error>(())
//! ```

use crate::DeviceType;
use fwctl_uapi::{bnxt, cxl, mlx5, pds};

/// One bit of a capability word: its mask, and its name where the bit has one.
pub type Capability = (u32, Option<&'static str>);

/// What a driver says about a device, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DriverInfo {
    /// ConnectX: the firmware user context of this open file, and its capabilities.
    Mlx5 {
        /// Firmware user context id.
        uid: u32,
        /// Capability word of the context.
        uctx_caps: u32,
    },
    /// CXL, with a kernel that passes only the Feature commands: its driver has nothing to say.
    Cxl,
    /// CXL, with a kernel that passes other commands: capability word and payload size.
    CxlCommands {
        /// Capability word.
        uctx_caps: u32,
        /// Most bytes of payload that a command has, in either direction.
        payload_size: u32,
    },
    /// Pensando: capability word.
    Pds {
        /// Capability word.
        uctx_caps: u32,
    },
    /// NetXtreme: capability word.
    Bnxt {
        /// Capability word.
        uctx_caps: u32,
    },
    /// Unknown type, or fewer bytes than the type's struct has.
    Bytes,
}

impl DriverInfo {
    /// Decodes `data`, of which only the bytes that the driver wrote count.
    pub fn decode(device_type: DeviceType, data: &[u8]) -> DriverInfo {
        match device_type {
            DeviceType::Mlx5 => {
                mlx5::InfoMlx5::split_from(data).map_or(DriverInfo::Bytes, |(info, _)| {
                    DriverInfo::Mlx5 {
                        uid: info.uid,
                        uctx_caps: info.uctx_caps,
                    }
                })
            }
            DeviceType::Pds => {
                pds::InfoPds::split_from(data).map_or(DriverInfo::Bytes, |(info, _)| {
                    DriverInfo::Pds {
                        uctx_caps: info.uctx_caps,
                    }
                })
            }
            DeviceType::Bnxt => {
                bnxt::InfoBnxt::split_from(data).map_or(DriverInfo::Bytes, |(info, _)| {
                    DriverInfo::Bnxt {
                        uctx_caps: info.uctx_caps,
                    }
                })
            }
            DeviceType::Cxl if data.is_empty() => DriverInfo::Cxl,
            DeviceType::Cxl => {
                cxl::Info::split_from(data).map_or(DriverInfo::Bytes, |(info, _)| {
                    DriverInfo::CxlCommands {
                        uctx_caps: info.uctx_caps,
                        payload_size: info.payload_size,
                    }
                })
            }
            DeviceType::None | DeviceType::Other(_) => DriverInfo::Bytes,
        }
    }

    /// The set bits of the capability word, lowest first. Empty where the type has none.
    pub fn capabilities(&self) -> Vec<Capability> {
        let (word, name): (u32, fn(u32) -> Option<&'static str>) = match *self {
            DriverInfo::Mlx5 { uctx_caps, .. } => (uctx_caps, |bit| match bit {
                mlx5::uctx_caps::RAW_TX => Some("raw-tx"),
                mlx5::uctx_caps::INTERNAL_DEV_RES => Some("internal-device-resources"),
                mlx5::uctx_caps::TOOLS_RESOURCES => Some("tools-resources"),
                mlx5::uctx_caps::RDMA_CTRL => Some("rdma-control"),
                mlx5::uctx_caps::RDMA_CTRL_OTHER_VHCA => Some("rdma-control-other-vhca"),
                _ => None,
            }),
            DriverInfo::CxlCommands { uctx_caps, .. } => (uctx_caps, |bit| match bit {
                cxl::caps::QUERY_COMMANDS => Some("query-commands"),
                cxl::caps::COMMANDS => Some("commands"),
                _ => None,
            }),
            DriverInfo::Pds { uctx_caps } => (uctx_caps, |bit| match bit.trailing_zeros() {
                pds::QUERY_CAP => Some("query"),
                pds::SEND_CAP => Some("send"),
                pds::LIST_CAP => Some("list"),
                _ => None,
            }),
            DriverInfo::Bnxt { uctx_caps } => (uctx_caps, |bit| match bit.trailing_zeros() {
                bnxt::INLINE_COMMANDS => Some("inline-commands"),
                bnxt::QUERY_COMMANDS => Some("query-commands"),
                bnxt::SEND_COMMANDS => Some("send-commands"),
                bnxt::DMA_COMMANDS => Some("dma-commands"),
                _ => None,
            }),
            DriverInfo::Cxl | DriverInfo::Bytes => return Vec::new(),
        };
        (0..32)
            .map(|bit| 1 << bit)
            .filter(|mask| word & mask != 0)
            .map(|mask| (mask, name(mask)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // struct fwctl_info_mlx5, include/uapi/fwctl/mlx5.h; the words are in the machine's byte order.
    #[test]
    fn mlx5_uid_and_capabilities() {
        let data = [7u32.to_ne_bytes(), 0x8000_0005u32.to_ne_bytes()].concat();
        let info = DriverInfo::decode(DeviceType::Mlx5, &data);
        assert_eq!(
            info,
            DriverInfo::Mlx5 {
                uid: 7,
                uctx_caps: 0x8000_0005
            }
        );
        assert_eq!(
            info.capabilities(),
            [
                (1, Some("raw-tx")),
                (4, Some("tools-resources")),
                (0x8000_0000, None)
            ]
        );
    }

    // struct fwctl_info_cxl, include/uapi/fwctl/cxl.h.
    #[test]
    fn cxl_capabilities() {
        let data = [3u32.to_ne_bytes(), 512u32.to_ne_bytes()].concat();
        let info = DriverInfo::decode(DeviceType::Cxl, &data);
        assert_eq!(
            info,
            DriverInfo::CxlCommands {
                uctx_caps: 3,
                payload_size: 512
            }
        );
        assert_eq!(
            info.capabilities(),
            [(1, Some("query-commands")), (2, Some("commands"))]
        );
        assert_eq!(
            DriverInfo::decode(DeviceType::Cxl, &data[..7]),
            DriverInfo::Bytes
        );
    }

    // struct fwctl_info_pds, struct fwctl_info_bnxt: include/uapi/fwctl/{pds,bnxt}.h.
    #[test]
    fn pds_and_bnxt_capabilities() {
        let pds = DriverInfo::decode(DeviceType::Pds, &3u32.to_ne_bytes());
        assert_eq!(pds.capabilities(), [(1, Some("query")), (2, Some("send"))]);
        let bnxt = DriverInfo::decode(DeviceType::Bnxt, &0xau32.to_ne_bytes());
        assert_eq!(
            bnxt.capabilities(),
            [(2, Some("query-commands")), (8, Some("dma-commands"))]
        );
    }

    #[test]
    fn a_struct_that_is_cut_short_stays_bytes() {
        for device_type in [DeviceType::Mlx5, DeviceType::Pds, DeviceType::Bnxt] {
            assert_eq!(
                DriverInfo::decode(device_type, &[1, 2, 3]),
                DriverInfo::Bytes
            );
        }
        assert_eq!(
            DriverInfo::decode(DeviceType::Other(9), &[1; 64]),
            DriverInfo::Bytes
        );
        assert_eq!(DriverInfo::decode(DeviceType::Cxl, &[]), DriverInfo::Cxl);
    }
}
