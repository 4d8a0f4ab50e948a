// SPDX-License-Identifier: MIT OR Apache-2.0

//! Queries of a switch (CXL 3.2, section 7.6.7.1).

use crate::Malformed;

/// What a switch is made of, from Identify Switch Device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Switch {
    /// Port through which the query came.
    pub ingress_port: u8,
    /// Number of physical ports.
    pub num_ports: u8,
    /// Number of virtual switches.
    pub num_virtual_switches: u8,
    /// Ports that are in use, in ascending order.
    pub active_ports: Vec<u8>,
    /// Number of virtual bridges.
    pub num_vppbs: u16,
    /// Number of virtual bridges that are bound.
    pub num_bound_vppbs: u16,
    /// Number of decoders of an upstream port.
    pub num_decoders: u8,
}

/// A physical port, from Get Physical Port State.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Port {
    /// Its number.
    pub id: u8,
    /// How it is configured: see [`Port::state_name`].
    pub state: u8,
    /// What is behind it: see [`Port::device_name`].
    pub device: u8,
    /// Number of lanes that the port has.
    pub max_width: u8,
    /// Number of lanes that the link uses.
    pub width: u8,
    /// Generation of PCI Express that the port is capable of: 1 is 2.5 GT/s.
    pub max_speed: u8,
    /// Generation of PCI Express of the link.
    pub speed: u8,
    /// State of the link: see [`Port::link_name`].
    pub link: u8,
    /// Flags of the link.
    pub flags: u16,
    /// Number of logical devices that the port supports.
    pub num_logical_devices: u8,
}

impl Port {
    /// How the port is configured, in a word (table 7-19).
    pub fn state_name(&self) -> Option<&'static str> {
        Some(match self.state & 0xf {
            0x0 => "disabled",
            0x1 => "bind-in-progress",
            0x2 => "unbind-in-progress",
            0x3 => "downstream",
            0x4 => "upstream",
            0x5 => "fabric",
            _ => return None,
        })
    }

    /// What is behind the port, in a word (table 7-19).
    pub fn device_name(&self) -> Option<&'static str> {
        Some(match self.device {
            0x0 => "none",
            0x1 => "pcie",
            0x2 => "type-1",
            0x3 => "type-2-or-switch",
            0x4 => "type-3-sld",
            0x5 => "type-3-mld",
            0x6 => "pbr-component",
            _ => return None,
        })
    }

    /// State of the link, as PCI Express calls it (table 7-19).
    pub fn link_name(&self) -> Option<&'static str> {
        Some(match self.link {
            0x0 => "detect",
            0x1 => "polling",
            0x2 => "configuration",
            0x3 => "recovery",
            0x4 => "l0",
            0x5 => "l0s",
            0x6 => "l1",
            0x7 => "l2",
            0x8 => "disabled",
            0x9 => "loopback",
            0xa => "hot-reset",
            _ => return None,
        })
    }
}

/// Length of the header of the output of Get Physical Port State, and of the block of a port.
const PORTS_HEAD: usize = 4;
const PORT: usize = 16;

/// How many ports the output payload of one command describes.
pub(super) fn ports_at_a_time(payload_size: usize) -> usize {
    (payload_size.saturating_sub(PORTS_HEAD) / PORT).clamp(1, u8::MAX.into())
}

/// The output payload of Identify Switch Device.
pub(super) fn switch(payload: &[u8]) -> Result<Switch, Malformed> {
    const LEN: usize = 73;
    let Some(bytes) = payload.get(..LEN) else {
        return Err(Malformed::Short {
            part: "the identity of the switch",
            needed: LEN,
            got: payload.len(),
        });
    };
    let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let is_active = |port: &u8| bytes[4 + usize::from(port / 8)] & (1 << (port % 8)) != 0;
    Ok(Switch {
        ingress_port: bytes[0],
        num_ports: bytes[2],
        num_virtual_switches: bytes[3],
        active_ports: (0..=u8::MAX).filter(is_active).collect(),
        num_vppbs: word(68),
        num_bound_vppbs: word(70),
        num_decoders: bytes[72],
    })
}

/// Input payload of Get Physical Port State.
pub(super) fn get_ports(ids: &[u8]) -> Vec<u8> {
    [&[ids.len() as u8], ids].concat()
}

/// The output payload of Get Physical Port State for these ports.
pub(super) fn ports(payload: &[u8], ids: &[u8]) -> Result<Vec<Port>, Malformed> {
    let needed = PORTS_HEAD + ids.len() * PORT;
    let Some(blocks) = payload.get(PORTS_HEAD..needed) else {
        return Err(Malformed::Short {
            part: "the states of the ports",
            needed,
            got: payload.len(),
        });
    };
    let port = |block: &[u8]| Port {
        id: block[0],
        state: block[1],
        device: block[4],
        max_width: block[6],
        width: block[7],
        max_speed: block[9],
        speed: block[10],
        link: block[11],
        flags: u16::from_le_bytes([block[13], block[14]]),
        num_logical_devices: block[15],
    };
    Ok(blocks.chunks_exact(PORT).map(port).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_read_field_by_field() {
        let mut bytes = [0; 73];
        (bytes[0], bytes[2], bytes[3]) = (7, 9, 2);
        (bytes[4], bytes[5], bytes[35]) = (0x81, 0x02, 0x80);
        bytes[36] = 0xff;
        bytes[68..].copy_from_slice(&[4, 1, 3, 0, 5]);
        let read = switch(&bytes).unwrap();
        assert_eq!(
            (read.ingress_port, read.num_ports, read.num_virtual_switches),
            (7, 9, 2)
        );
        assert_eq!(read.active_ports, [0, 7, 9, 255]);
        assert_eq!(
            (read.num_vppbs, read.num_bound_vppbs, read.num_decoders),
            (0x104, 3, 5)
        );
        assert!(switch(&bytes[..72]).is_err());
    }

    #[test]
    fn ports_are_read_field_by_field() {
        assert_eq!(get_ports(&[3, 200]), [2, 3, 200]);
        let block = [
            3, 0x13, 2, 0, 4, 0x0f, 16, 8, 0x3f, 5, 4, 0x04, 1, 0x06, 0x01, 2,
        ];
        let payload = [&[1, 0, 0, 0], &block[..]].concat();
        let read = ports(&payload, &[3]).unwrap()[0];
        assert_eq!((read.id, read.state, read.device), (3, 0x13, 4));
        assert_eq!((read.max_width, read.width), (16, 8));
        assert_eq!((read.max_speed, read.speed), (5, 4));
        assert_eq!((read.flags, read.num_logical_devices), (0x106, 2));
        assert_eq!(read.state_name(), Some("downstream"));
        assert_eq!(read.device_name(), Some("type-3-sld"));
        assert_eq!(read.link_name(), Some("l0"));
        assert!(ports(&payload, &[3, 4]).is_err());
        assert!(ports(&payload[..19], &[3]).is_err());
        assert!(ports(&[], &[]).is_err());
    }

    #[test]
    fn a_payload_limits_the_ports() {
        assert_eq!(ports_at_a_time(256), 15);
        assert_eq!(ports_at_a_time(1 << 20), 255);
        assert_eq!(ports_at_a_time(0), 1);
    }
}
