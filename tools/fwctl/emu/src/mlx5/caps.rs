// SPDX-License-Identifier: MIT OR Apache-2.0

//! Capability pages: what QUERY_HCA_CAP shows and SET_HCA_CAP changes.

use super::cr_space;
use super::diagnostics;
use super::eq;
use super::fields::{core_dump, hca_cap as layout};
use super::memory;
use super::refusal::{Refusal, Status, Syndrome};
use super::Options;

/// Types of capabilities (`enum mlx5_cap_type`, include/linux/mlx5/device.h).
mod kind {
    pub const GENERAL: u16 = 0;
    pub const DEBUG: u16 = 0xd;
    pub const GENERAL_2: u16 = 0x20;
}

/// The unit of `log_uar_page_sz`: 4 KiB (`MLX5_ADAPTER_PAGE_SHIFT`, include/linux/mlx5/device.h).
pub const ADAPTER_PAGE: u64 = 1 << 12;
/// Largest `log_uar_page_sz`: 256 KiB, the largest page of a Linux architecture.
const MAX_LOG_UAR_PAGE: u64 = 6;

/// Capabilities of a function.
#[derive(Clone, Debug)]
pub struct Capabilities {
    max: Vec<u8>,
    current: Vec<u8>,
    general_2: Vec<u8>,
    debug: Vec<u8>,
}

impl Capabilities {
    /// Returns the capabilities after a reset.
    pub fn new(options: &Options) -> Self {
        let mut max = vec![0; layout::LEN];
        let log_max_uctx = match options.max_uctx {
            0 => 0,
            most => most.ilog2(),
        };
        for (field, value) in [
            (layout::HCA_CAP_2, 1),
            (layout::VHCA_ID, u64::from(options.serial)),
            (layout::DEBUG, 1),
            (layout::LOG_MAX_EQ_SZ, eq::LOG_MAX_SIZE.into()),
            (layout::LOG_MAX_EQ, 7),
            (layout::MAX_NUM_EQS, eq::MAX_EQS as u64),
            (layout::VPORT_GROUP_MANAGER, 1),
            (layout::MCAM_REG, 1),
            (layout::PCAM_REG, 1),
            (layout::PORT_TYPE, 1),
            (layout::NUM_PORTS, 1),
            (layout::NATIVE_PORT_NUM, 1),
            (layout::DRIVER_VERSION, 1),
            (layout::LOG_MAX_UCTX, log_max_uctx.into()),
            (layout::LOG_MAX_UMEM, memory::LOG_MAX_OBJECTS.into()),
            (layout::UCTX_CAP, options.uctx_caps.into()),
        ] {
            field.set(&mut max, value);
        }
        let mut general_2 = vec![0; layout::LEN];
        layout::QUERY_VUID.set(&mut general_2, 1);
        // Without `resource_dump`: mlx5_core would dump into memory, by a key of another kind than
        // those of umems.
        let mut debug = vec![0; layout::LEN];
        diagnostics::announce(&mut debug);
        core_dump::LOG_MEMORY.set(&mut debug, cr_space::LOG_MEMORY.into());
        Capabilities {
            current: max.clone(),
            max,
            general_2,
            debug,
        }
    }

    /// log2 of the size of a UAR page in units of [`ADAPTER_PAGE`], as set by the driver. The
    /// device does not offer `uar_4k`, with which UARs are 4 KiB apart for all page sizes.
    pub fn log_uar_page_size(&self) -> u64 {
        layout::LOG_UAR_PAGE_SZ.get(&self.current)
    }

    /// QUERY_HCA_CAP: returns the answer.
    pub fn query(&self, which: u16, is_current: bool) -> Result<Vec<u8>, Refusal> {
        let capability = match (which, is_current) {
            (kind::GENERAL, true) => &self.current,
            (kind::GENERAL, false) => &self.max,
            (kind::GENERAL_2, _) => &self.general_2,
            (kind::DEBUG, _) => &self.debug,
            _ => return Err(Refusal(Status::BAD_PARAM, Syndrome::UNKNOWN_CAPABILITY)),
        };
        let mut answer = vec![0; layout::CAPABILITY];
        answer.extend_from_slice(capability);
        Ok(answer)
    }

    /// SET_HCA_CAP. The driver cannot change the capabilities of user contexts.
    pub fn set(&mut self, which: u16, capability: &[u8]) -> Result<(), Refusal> {
        match which {
            kind::GENERAL => {
                if layout::LOG_UAR_PAGE_SZ.get(capability) > MAX_LOG_UAR_PAGE {
                    return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_VALUE));
                }
                self.current.copy_from_slice(capability);
                for field in [layout::UCTX_CAP, layout::LOG_MAX_UCTX] {
                    field.set(&mut self.current, field.get(&self.max));
                }
                Ok(())
            }
            kind::GENERAL_2 | kind::DEBUG => Ok(()),
            _ => Err(Refusal(Status::BAD_PARAM, Syndrome::UNKNOWN_CAPABILITY)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_general() {
        let caps = Capabilities::new(&Options {
            uctx_caps: 4,
            serial: 2,
            ..Options::default()
        });
        let answer = caps.query(0, true).unwrap();
        assert_eq!(answer.len(), 0x1010);
        assert_eq!(
            answer[0x10 + 0xd4..][..4],
            [0, 0, 0, 4],
            "uctx_cap, bit 0x6a0"
        );
        assert_eq!(
            answer[0x10 + 4..][..4],
            [0x80, 0, 0, 2],
            "hca_cap_2, vhca_id"
        );
        assert_eq!(answer[0x10 + 0x35], 0x60, "mcam_reg, pcam_reg");
        assert_eq!(answer[0x10 + 0x37], 1, "num_ports");
        assert_eq!(answer[0x10 + 0x8c], 6, "log_max_uctx");
    }

    #[test]
    fn current_can_be_set_but_not_uctx() {
        let mut caps = Capabilities::new(&Options::default());
        let mut page = vec![0xff; layout::LEN];
        layout::LOG_UAR_PAGE_SZ.set(&mut page, 0);
        caps.set(0, &page).unwrap();
        page = caps.query(0, true).unwrap();
        assert_eq!((page[0x10], page[0x10 + 0xd7]), (0xff, 7));
        assert_eq!(caps.query(0, false).unwrap()[0x10], 0);
        assert!(caps.query(1, true).is_err() && caps.query(0x7fff, true).is_err());
        assert!(caps.set(1, &[0; layout::LEN]).is_err());
    }

    #[test]
    fn uar_page_size_is_bounded() {
        let mut caps = Capabilities::new(&Options::default());
        assert_eq!(caps.log_uar_page_size(), 0);
        for (log, is_accepted) in [(0, true), (4, true), (6, true), (7, false), (0xffff, false)] {
            let mut page = vec![0; layout::LEN];
            layout::LOG_UAR_PAGE_SZ.set(&mut page, log);
            assert_eq!(caps.set(0, &page).is_ok(), is_accepted, "{log}");
        }
        assert_eq!(caps.log_uar_page_size(), 6, "refused values have no effect");
    }
}
