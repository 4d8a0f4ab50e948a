// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a ConnectX is: versions and identifiers, in one call.

use super::{command, decode, register, Mlx5Device};
use crate::catalogue::{Datum, Decoded};

/// Identity of a ConnectX. What the firmware does not say is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Identity {
    /// Version of the firmware, such as `28.45.1200`.
    pub firmware_version: Option<String>,
    /// Identifier of the board and its configuration.
    pub psid: Option<String>,
}

impl Mlx5Device {
    /// Asks for versions and identifiers. A request that fails leaves its part out.
    pub fn identity(&self) -> Identity {
        let text = |fields: Vec<Decoded>, name: &str| {
            let field = fields.into_iter().find(|field| field.name == name)?;
            match field.datum {
                Datum::Text(text) if !text.is_empty() => Some(text),
                _ => None,
            }
        };
        let version = || {
            let mcqi = register("mcqi")?;
            let mut data = vec![0; mcqi.size];
            // The version of component 0, the running firmware.
            mcqi.set(&mut data, "info_type", 1).ok()?;
            mcqi.set(&mut data, "data_size", 124).ok()?;
            let data = self.read_register(mcqi.id, &data).ok()?;
            text(decode(mcqi, &data), "data.mcqi_version.version")
        };
        let psid = || {
            let adapter = command("adapter")?;
            let reply = self.query(adapter, &adapter.request()).ok()?;
            text(
                decode(&adapter.output, &reply),
                "query_adapter_struct.vsd_contd_psid",
            )
        };
        Identity {
            firmware_version: version(),
            psid: psid(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Replay;
    use crate::Device;

    fn identity(recording: &str) -> Identity {
        let replay = Replay::parse(&format!("info mlx5\n{recording}")).unwrap();
        let device = Device::with_transport("fwctl0", replay);
        Mlx5Device::new(device).unwrap().identity()
    }

    #[test]
    fn versions_and_psid() {
        let mcqi = "00000000 00000000 00000001 00000000 00000000 0000007c";
        let recording = format!(
            "rpc debug-read-only 08050000 00000001 00009061 00000000 {mcqi} {:0248x} -> {:032x} {mcqi} 0000000a 1c2d04b0 {:0232x}\n\
             rpc debug-read-only 01010000 00000000 00000000 00000000 -> {:0512x} 4d545f30000000000000000000000000\n\
             otherwise 03",
            0, 0, 0, 0
        );
        assert_eq!(
            identity(&recording),
            Identity {
                firmware_version: Some("28.45.1200".into()),
                psid: Some("MT_0".into()),
            }
        );
        assert_eq!(identity("otherwise 03000000"), Identity::default());
        assert_eq!(identity("otherwise errno 19"), Identity::default());
    }
}
