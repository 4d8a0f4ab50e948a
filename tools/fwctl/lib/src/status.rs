// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the firmware itself said: the status in a reply, by name.
//!
//! An errno says that a request was not delivered. A request that was delivered has a reply, and
//! the firmware's yes or no is in it.

use crate::DeviceType;
use std::fmt;

/// Status of a firmware that refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FirmwareStatus {
    /// Number in the reply.
    pub code: u32,
    /// Name of the number; "unknown" where the sources have none.
    pub name: &'static str,
    /// mlx5: what the firmware's makers can look up.
    pub syndrome: Option<u32>,
}

impl FirmwareStatus {
    /// The refusal in the start of a reply to a device of this type; nothing if the firmware
    /// agreed, if the type's replies are unknown, or if the reply is too short to hold a status.
    pub fn of_reply(device_type: DeviceType, reply: &[u8]) -> Option<FirmwareStatus> {
        let status = match device_type {
            DeviceType::Cxl => {
                let code = u32::from_ne_bytes(field(reply, 4)?);
                FirmwareStatus {
                    code,
                    name: cxl_name(code),
                    syndrome: None,
                }
            }
            DeviceType::Mlx5 => {
                let code = u32::from(*reply.first()?);
                let syndrome = Some(u32::from_be_bytes(field(reply, 4)?));
                FirmwareStatus {
                    code,
                    name: mlx5_name(code),
                    syndrome,
                }
            }
            DeviceType::Bnxt => {
                let code = u32::from(u16::from_le_bytes(field(reply, 0)?));
                FirmwareStatus {
                    code,
                    name: bnxt_name(code),
                    syndrome: None,
                }
            }
            DeviceType::Pds => {
                let code = u32::from_ne_bytes(field(reply, 24)?);
                FirmwareStatus {
                    code,
                    name: "unknown",
                    syndrome: None,
                }
            }
            DeviceType::None | DeviceType::Other(_) => return None,
        };
        (status.code != 0).then_some(status)
    }
}

impl fmt::Display for FirmwareStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {:#x} ({})", self.code, self.name)?;
        if let Some(syndrome) = self.syndrome {
            write!(f, ", syndrome {syndrome:#010x}")?;
        }
        Ok(())
    }
}

fn field<const N: usize>(reply: &[u8], at: usize) -> Option<[u8; N]> {
    reply.get(at..at + N)?.try_into().ok()
}

/// Return codes of the mailbox: CXL 3.2, table 8-46.
fn cxl_name(code: u32) -> &'static str {
    const NAMES: [&str; 31] = [
        "success",
        "background command started",
        "invalid input",
        "unsupported",
        "internal error",
        "retry required",
        "busy",
        "media disabled",
        "firmware transfer in progress",
        "firmware transfer out of order",
        "firmware verification failed",
        "invalid slot",
        "activation failed, firmware rolled back",
        "activation failed, cold reset required",
        "invalid handle",
        "invalid physical address",
        "inject poison limit reached",
        "permanent media failure",
        "aborted",
        "invalid security state",
        "incorrect passphrase",
        "unsupported mailbox or command",
        "invalid payload length",
        "invalid log",
        "interrupted",
        "unsupported feature version",
        "unsupported feature selection value",
        "feature transfer in progress",
        "feature transfer out of order",
        "resources exhausted",
        "invalid extent list",
    ];
    NAMES.get(code as usize).unwrap_or(&"unknown")
}

/// Command statuses: MLX5_CMD_STAT_* in `include/linux/mlx5/device.h`.
fn mlx5_name(code: u32) -> &'static str {
    match code {
        0x0 => "ok",
        0x1 => "internal error",
        0x2 => "bad operation",
        0x3 => "bad parameter",
        0x4 => "bad system state",
        0x5 => "bad resource",
        0x6 => "resource busy",
        0x7 => "not ready",
        0x8 => "limit exceeded",
        0x9 => "bad resource state",
        0xa => "bad index",
        0xf => "no resources",
        0x10 => "bad QP state",
        0x30 => "bad packet",
        0x40 => "bad size or too many outstanding CQEs",
        0x50 => "bad input length",
        0x51 => "bad output length",
        _ => "unknown",
    }
}

/// Error codes: HWRM_ERR_CODE_* in `include/linux/bnxt/hsi.h`.
fn bnxt_name(code: u32) -> &'static str {
    match code {
        0x0 => "success",
        0x1 => "fail",
        0x2 => "invalid parameters",
        0x3 => "resource access denied",
        0x4 => "resource allocation error",
        0x5 => "invalid flags",
        0x6 => "invalid enables",
        0x7 => "unsupported TLV",
        0x8 => "no buffer",
        0x9 => "unsupported option",
        0xa => "hot reset in progress",
        0xb => "hot reset failed",
        0xc => "no flow counter during allocation",
        0xd => "key hash collision",
        0xe => "key already exists",
        0xf => "HWRM error",
        0x10 => "busy",
        0x11 => "resource locked",
        0x12 => "PF unavailable",
        0x13 => "entity not present",
        0x14 => "secure SoC error",
        0x8000 => "TLV encapsulated response",
        0xfffe => "unknown error",
        0xffff => "command not supported",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(device_type: DeviceType, reply: &[u8]) -> Option<String> {
        FirmwareStatus::of_reply(device_type, reply).map(|status| status.to_string())
    }

    // struct fwctl_rpc_cxl_out, include/uapi/fwctl/cxl.h; CXL 3.2 table 8-46.
    #[test]
    fn cxl_return_codes() {
        let reply = |code: u32| [0u32.to_ne_bytes(), code.to_ne_bytes()].concat();
        assert_eq!(said(DeviceType::Cxl, &reply(0)), None);
        assert_eq!(
            said(DeviceType::Cxl, &reply(2)).unwrap(),
            "status 0x2 (invalid input)"
        );
        assert_eq!(
            said(DeviceType::Cxl, &reply(0x1a)).unwrap(),
            "status 0x1a (unsupported feature selection value)"
        );
        assert_eq!(
            said(DeviceType::Cxl, &reply(0x1e)).unwrap(),
            "status 0x1e (invalid extent list)"
        );
        assert_eq!(
            said(DeviceType::Cxl, &reply(u32::MAX)).unwrap(),
            "status 0xffffffff (unknown)"
        );
    }

    // struct mlx5_ifc_mbox_out_hdr_bits: status in bits 31:24 of the first word, syndrome in the
    // second.
    #[test]
    fn mlx5_status_and_syndrome() {
        let refused = [3, 0, 0, 0, 0x00, 0x12, 0x34, 0x56];
        assert_eq!(
            said(DeviceType::Mlx5, &refused).unwrap(),
            "status 0x3 (bad parameter), syndrome 0x00123456"
        );
        assert_eq!(said(DeviceType::Mlx5, &[0; 16]), None);
    }

    // struct output, include/linux/bnxt/hsi.h; struct fwctl_rpc_pds, include/uapi/fwctl/pds.h.
    #[test]
    fn bnxt_and_pds() {
        assert_eq!(
            said(DeviceType::Bnxt, &[0xff, 0xff, 0, 0]).unwrap(),
            "status 0xffff (command not supported)"
        );
        let mut pds = [0; 48];
        pds[24..28].copy_from_slice(&5u32.to_ne_bytes());
        assert_eq!(said(DeviceType::Pds, &pds).unwrap(), "status 0x5 (unknown)");
    }

    #[test]
    fn a_reply_too_short_for_a_status_has_none() {
        for device_type in (0..6).map(DeviceType::from_number) {
            for len in 0..8 {
                let _ = said(device_type, &vec![0xff; len]);
            }
            assert_eq!(said(device_type, &[]), None);
        }
    }
}
