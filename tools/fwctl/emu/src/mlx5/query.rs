// SPDX-License-Identifier: MIT OR Apache-2.0

//! Answers of QUERY commands with constant content.

use super::fields::{adapter, congestion, output, vport, vuid};
use super::identity;
use super::refusal::{Refusal, Status, Syndrome};
use std::collections::BTreeMap;

/// MTU of the port.
const MTU: u64 = 1500;
/// Link speed in 100 Mb/s: 100 Gb/s.
const SPEED: u64 = 1000;
/// The reserved lkey and the null mkey (values of real devices).
const RESERVED_LKEY: u64 = 0x100;
const NULL_MKEY: u64 = 0x700;

/// QUERY_ADAPTER (`query_adapter_out`).
pub fn adapter() -> Vec<u8> {
    let mut answer = vec![0; adapter::LEN];
    adapter::IEEE_VENDOR_ID.set(&mut answer, 0x0002c9);
    adapter::VSD_VENDOR_ID.set(&mut answer, identity::VENDOR.into());
    answer[adapter::PSID..].copy_from_slice(identity::PSID);
    answer
}

/// QUERY_SPECIAL_CONTEXTS (`query_special_contexts_out`).
pub fn special_contexts() -> Vec<u8> {
    let mut answer = vec![0; vport::SPECIAL_LEN];
    vport::RESERVED_LKEY.set(&mut answer, RESERVED_LKEY);
    vport::NULL_MKEY.set(&mut answer, NULL_MKEY);
    answer
}

/// QUERY_VPORT_STATE (`query_vport_state_out`): up, following the port.
pub fn vport_state() -> Vec<u8> {
    let mut answer = vec![0; output::LEN];
    vport::MAX_TX_SPEED.set(&mut answer, SPEED);
    vport::ADMIN_STATE.set(&mut answer, 2);
    vport::STATE.set(&mut answer, 1);
    answer
}

/// QUERY_NIC_VPORT_CONTEXT (`query_nic_vport_context_out`).
pub fn nic_vport(serial: u16) -> Vec<u8> {
    let mut answer = vec![0; vport::NIC_LEN];
    let mac = identity::mac(serial);
    let number = mac
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    // EUI-64 of the MAC address.
    let guid = number >> 24 << 40 | 0xff_fe << 24 | number & 0xff_ffff;
    for (field, value) in [
        (vport::NIC_MTU, MTU),
        (vport::NIC_SYSTEM_GUID, guid),
        (vport::NIC_PORT_GUID, guid),
        (vport::NIC_NODE_GUID, guid),
        (vport::NIC_MAC_HIGH, number >> 32),
        (vport::NIC_MAC_LOW, number & 0xffff_ffff),
    ] {
        field.set(&mut answer, value);
    }
    answer
}

/// QUERY_VPORT_COUNTER (`query_vport_counter_out`): no traffic.
pub fn vport_counter() -> Vec<u8> {
    vec![0; vport::COUNTER_LEN]
}

/// QUERY_WOL_ROL (`query_wol_rol_out`): disabled.
pub fn wol_rol() -> Vec<u8> {
    vec![0; output::LEN]
}

/// QUERY_VUID (`query_vuid_out`).
pub fn vuid(serial: u16) -> Vec<u8> {
    let mut answer = vec![0; vuid::ENTRIES + vuid::ENTRY_LEN];
    vuid::NUM_OF_ENTRIES.set(&mut answer, 1);
    let text = format!("EMU{serial:04X}MLNXS0D0F0");
    answer[vuid::ENTRIES..][..text.len()].copy_from_slice(text.as_bytes());
    answer
}

/// State of congestion control, by priority and protocol.
#[derive(Clone, Debug, Default)]
pub struct Congestion(BTreeMap<(u8, u8), (bool, bool)>);

impl Congestion {
    /// Protocols of RoCE: the reaction and the notification point (`cong_protocol`).
    fn check(priority: u8, protocol: u8) -> Result<(), Refusal> {
        if priority > 7 || !matches!(protocol, 1..=4) {
            return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_INDEX));
        }
        Ok(())
    }

    /// QUERY_CONG_STATUS (`query_cong_status_out`).
    pub fn query(&self, priority: u8, protocol: u8) -> Result<Vec<u8>, Refusal> {
        Self::check(priority, protocol)?;
        let (enabled, tagged) = self
            .0
            .get(&(priority, protocol))
            .copied()
            .unwrap_or((true, false));
        let mut answer = vec![0; output::LEN];
        congestion::ENABLE.set(&mut answer, enabled.into());
        congestion::TAG_ENABLE.set(&mut answer, tagged.into());
        Ok(answer)
    }

    /// MODIFY_CONG_STATUS (`modify_cong_status_in`).
    pub fn modify(
        &mut self,
        priority: u8,
        protocol: u8,
        enabled: bool,
        tagged: bool,
    ) -> Result<(), Refusal> {
        Self::check(priority, protocol)?;
        self.0.insert((priority, protocol), (enabled, tagged));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_answers() {
        let answer = adapter();
        assert_eq!(answer[0x28..0x30], [0, 0x00, 0x02, 0xc9, 0, 0, 0x15, 0xb3]);
        assert_eq!(&answer[0x100..0x10d], b"EMU0000000001");
        assert_eq!(special_contexts()[0x0c..0x14], [0, 0, 1, 0, 0, 0, 7, 0]);
        assert_eq!(vport_state()[0x0c..], [0x03, 0xe8, 0, 0x21]);
        let answer = nic_vport(0x102);
        assert_eq!(answer[0x34..0x38], [0, 0, 0x05, 0xdc]);
        assert_eq!(
            answer[0x48..0x50],
            [0x02, 0x00, 0x15, 0xff, 0xfe, 0xb3, 0x01, 0x02]
        );
        assert_eq!(
            answer[0x104..0x10c],
            [0, 0, 0x02, 0x00, 0x15, 0xb3, 0x01, 0x02]
        );
        let answer = vuid(0xab);
        assert_eq!(
            (&answer[0x3c..0x40], &answer[0x40..0x47]),
            (&[0, 0, 0, 1][..], &b"EMU00AB"[..])
        );
    }

    #[test]
    fn congestion_can_be_switched() {
        let mut congestion = Congestion::default();
        assert_eq!(congestion.query(3, 1).unwrap()[0x0c], 0x80);
        congestion.modify(3, 1, false, true).unwrap();
        assert_eq!(congestion.query(3, 1).unwrap()[0x0c], 0x40);
        assert!(congestion.modify(8, 1, true, true).is_err() && congestion.query(0, 0).is_err());
    }
}
