// SPDX-License-Identifier: MIT OR Apache-2.0

//! Diagnostic counters: which ones a device has, which ones it samples, and the samples.
//!
//! The kernel's headers do not describe these commands. Layouts are those of the public tool
//! mlx5ctl, by the authors of the driver.

use super::{capabilities, Capability, Mlx5Device, HEADER};
use crate::{Malformed, Result, Scope};

const QUERY_DIAGNOSTIC_PARAMS: u16 = 0x819;
const SET_DIAGNOSTIC_PARAMS: u16 = 0x820;
const QUERY_DIAGNOSTIC_COUNTERS: u16 = 0x821;

/// Bytes of the parameters before the list of counters.
const PARAMS: usize = 24;
/// Bytes of a reply's status and syndrome, after which parameters start.
const STATUS: usize = 8;
/// Where the list of counters starts in the debug capability.
const LIST: usize = 64;
/// Bytes of a sample.
const SAMPLE: usize = 16;
/// Counters that a device can have: as many as fit into the debug capability.
const MAX_COUNTERS: usize = (4096 - LIST) / 4;

/// What a device can sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DiagnosticCaps {
    /// A set of samples can be taken once.
    pub single: bool,
    /// Samples can be taken again and again.
    pub repetitive: bool,
    /// Most samples, as a power of two.
    pub log_max_samples: u8,
    /// Shortest period, as a power of two.
    pub log_min_sample_period: u8,
    /// The counters, and whether each can be sampled in step with others.
    pub counters: Vec<(u16, bool)>,
}

/// What a device samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DiagnosticParams {
    /// Samples that are kept, as a power of two.
    pub log_num_of_samples: u8,
    /// Time between two samples, as a power of two, in clocks of the device.
    pub log_sample_period: u8,
    /// Samples are taken once.
    pub single: bool,
    /// Samples are taken again and again.
    pub repetitive: bool,
    /// All counters are sampled at the same time.
    pub sync: bool,
    /// Counters are cleared by each sample.
    pub clear: bool,
    /// Samples are taken when they are asked for.
    pub on_demand: bool,
    /// Sampling is on.
    pub enable: bool,
    /// The counters.
    pub counters: Vec<u16>,
}

/// A sample of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DiagnosticSample {
    /// The counter.
    pub counter: u16,
    /// Number of the sample.
    pub sample: u16,
    /// Low 32 bits of the device's clock.
    pub time_stamp: u32,
    /// Value of the counter.
    pub value: u64,
}

/// Name and unit of a diagnostic counter, if they are published.
pub fn diagnostic_counter(id: u16) -> Option<(&'static str, &'static str)> {
    const CLOCKS: &str = "device clocks";
    Some(match id {
        0x0401 => ("back pressure from datalink to transport unit", CLOCKS),
        0x0402 => ("outbound stalled writes", CLOCKS),
        0x0403 => ("outbound stalled reads", CLOCKS),
        0x0406 => ("received data on PCI Express", "128 bytes"),
        0x0409 => ("PCI reads stalled without a read engine", CLOCKS),
        0x040a => ("PCI reads stalled without a completion buffer", CLOCKS),
        0x040b => ("PCI reads stalled by ordering", CLOCKS),
        0x1001 => ("packets in receive steering", "packets"),
        0x2001 => ("send queues stopped by a limited virtual lane", CLOCKS),
        0x2006 => ("transmitted packets", "packets"),
        0x2c02 => ("transmitted on port 1", "unknown unit"),
        0x2c03 => ("transmitted on port 2", "unknown unit"),
        0x2c04 => ("transmitted to loopback", "unknown unit"),
        _ => return None,
    })
}

impl DiagnosticParams {
    /// The command that sets these parameters.
    pub fn request(&self) -> Vec<u8> {
        let flags = [
            self.single,
            self.repetitive,
            self.sync,
            self.clear,
            self.on_demand,
            self.enable,
        ];
        let flags = flags
            .iter()
            .enumerate()
            .fold(0, |byte, (bit, flag)| byte | (u8::from(*flag) << (7 - bit)));
        let count = self.counters.len() as u16;
        let mut body = [
            &count.to_be_bytes()[..],
            &[
                0,
                self.log_num_of_samples,
                flags,
                0,
                0,
                self.log_sample_period,
            ],
            &[0; 16],
        ]
        .concat();
        for counter in &self.counters {
            body.extend([0, 0]);
            body.extend(counter.to_be_bytes());
        }
        // The parameters start where other commands have the second half of their header.
        let opcode = SET_DIAGNOSTIC_PARAMS.to_be_bytes();
        [&opcode[..], &[0; 6], &body].concat()
    }

    fn parse(context: &[u8]) -> Option<DiagnosticParams> {
        let (head, list) = context.split_at_checked(PARAMS)?;
        let has = |bit: u8| head[4] & (0x80 >> bit) != 0;
        let count = usize::from(u16::from_be_bytes([head[0], head[1]]));
        Some(DiagnosticParams {
            log_num_of_samples: head[3],
            log_sample_period: head[7],
            single: has(0),
            repetitive: has(1),
            sync: has(2),
            clear: has(3),
            on_demand: has(4),
            enable: has(5),
            counters: list
                .chunks_exact(4)
                .take(count)
                .map(|entry| u16::from_be_bytes([entry[2], entry[3]]))
                .collect(),
        })
    }
}

impl Mlx5Device {
    /// What the device can sample.
    ///
    /// # Errors
    ///
    /// As for [`Mlx5Device::capability`]; the firmware refuses if it has no debug capability.
    pub fn diagnostic_caps(&self) -> Result<DiagnosticCaps> {
        let debug = capabilities().iter().find(|layout| layout.name == "debug");
        let Some(debug) = debug else {
            return Ok(DiagnosticCaps::default());
        };
        let data = self.capability(debug.id, Capability::Current)?;
        let list = data.get(LIST..).unwrap_or_default().chunks_exact(4);
        let counter = |entry: &[u8]| {
            let id = u16::from_be_bytes([entry[2], entry[3]]);
            (id, entry[0] & 0x80 != 0)
        };
        Ok(DiagnosticCaps {
            single: data[4] & 0x80 != 0,
            repetitive: data[4] & 0x40 != 0,
            log_max_samples: data[3],
            log_min_sample_period: data[7],
            counters: list.map(counter).take_while(|(id, _)| *id != 0).collect(),
        })
    }

    /// What the device samples.
    ///
    /// # Errors
    ///
    /// [`Error::Call`](crate::Error::Call), [`Error::Refused`](crate::Error::Refused),
    /// [`Error::Malformed`](crate::Error::Malformed).
    pub fn diagnostic_params(&self) -> Result<DiagnosticParams> {
        let request = super::request(QUERY_DIAGNOSTIC_PARAMS, 0, &[]);
        let reply = self.command(
            "QUERY_DIAGNOSTIC_PARAMS",
            super::READ_SCOPE,
            &request,
            STATUS + PARAMS + 4 * MAX_COUNTERS,
        )?;
        DiagnosticParams::parse(&reply[STATUS..]).ok_or_else(|| crate::Error::Malformed {
            device: self.device().name().into(),
            what: "QUERY_DIAGNOSTIC_PARAMS".into(),
            why: Malformed::Short {
                part: "reply",
                needed: STATUS + PARAMS,
                got: reply.len(),
            },
        })
    }

    /// Changes what the device samples, in the scope that the caller has agreed to.
    ///
    /// # Errors
    ///
    /// [`Error::Call`](crate::Error::Call), [`Error::Refused`](crate::Error::Refused).
    pub fn set_diagnostic_params(&self, scope: Scope, params: &DiagnosticParams) -> Result<()> {
        self.command("SET_DIAGNOSTIC_PARAMS", scope, &params.request(), HEADER)?;
        Ok(())
    }

    /// Reads `samples` samples of each of `counters` counters, from sample `first` on. Entries
    /// that the device left empty are left out.
    ///
    /// # Errors
    ///
    /// [`Error::Call`](crate::Error::Call), [`Error::Refused`](crate::Error::Refused),
    /// [`Error::TooLong`](crate::Error::TooLong).
    pub fn diagnostic_samples(
        &self,
        counters: usize,
        samples: u16,
        first: u16,
    ) -> Result<Vec<DiagnosticSample>> {
        let body = [samples.to_be_bytes(), first.to_be_bytes(), [0, 0], [0, 0]].concat();
        let request = super::request(QUERY_DIAGNOSTIC_COUNTERS, 0, &body);
        let count = counters.saturating_mul(usize::from(samples));
        let reply = self.command(
            "QUERY_DIAGNOSTIC_COUNTERS",
            super::READ_SCOPE,
            &request,
            HEADER.saturating_add(count.saturating_mul(SAMPLE)),
        )?;
        let word = |entry: &[u8], at: usize| {
            u32::from_be_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
        };
        let sample = |entry: &[u8]| DiagnosticSample {
            counter: (word(entry, 0) >> 16) as u16,
            sample: word(entry, 0) as u16,
            time_stamp: word(entry, 4),
            value: (u64::from(word(entry, 8)) << 32) | u64::from(word(entry, 12)),
        };
        let entries = reply[HEADER..].chunks_exact(SAMPLE).map(sample);
        Ok(entries.filter(|sample| sample.counter != 0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Replay;
    use crate::Device;

    fn device(recording: &str) -> Mlx5Device {
        let replay = Replay::parse(&format!("info mlx5\n{recording}")).unwrap();
        Mlx5Device::new(Device::with_transport("fwctl0", replay)).unwrap()
    }

    fn params() -> DiagnosticParams {
        DiagnosticParams {
            log_num_of_samples: 3,
            log_sample_period: 27,
            repetitive: true,
            sync: true,
            enable: true,
            counters: vec![0x402, 0x1001],
            ..DiagnosticParams::default()
        }
    }

    // diagnostic_params_context of mlx5ctl: flags from bit 32 on, in the order of the struct.
    const CONTEXT: &str =
        "0002 00 03 64 0000 1b 00000000000000000000000000000000 0000 0402 0000 1001";

    #[test]
    fn parameters_are_written_and_read_back() {
        let set = format!(
            "rpc debug-write 0820 0000 0000 0000 {CONTEXT} -> {:032x}",
            0
        );
        device(&set)
            .set_diagnostic_params(Scope::DebugWrite, &params())
            .unwrap();
        let len = 8 + 24 + 4 * MAX_COUNTERS;
        let query = format!(
            "rpc debug-read-only 0819 0000 0000 0000 0000 0000 0000 0000 -> len {len} 00000000 00000000 {CONTEXT}"
        );
        assert_eq!(device(&query).diagnostic_params().unwrap(), params());
        // A count without the counters.
        let lie = format!(
            "rpc debug-read-only 0819 0000 0000 0000 0000 0000 0000 0000 -> len {len} 00000000 00000000 ffff"
        );
        let counters = device(&lie).diagnostic_params().unwrap().counters;
        assert_eq!(counters, vec![0; MAX_COUNTERS]);
    }

    #[test]
    fn capabilities_list_the_counters() {
        let caps = format!(
            "rpc configuration 01000000 0000001b 00000000 00000000 -> len 4112 {:032x} 00000005 c000000a {:0112x} 80000402 00001001 00000000 00001234",
            0, 0
        );
        assert_eq!(
            device(&caps).diagnostic_caps().unwrap(),
            DiagnosticCaps {
                single: true,
                repetitive: true,
                log_max_samples: 5,
                log_min_sample_period: 10,
                counters: vec![(0x402, true), (0x1001, false)],
            }
        );
    }

    #[test]
    fn samples() {
        let query = "rpc debug-read-only 0821 0000 0000 0000 0001 0002 0000 0000
            -> 00000000 00000000 00000000 00000000
            0402 0007 00000009 00000001 00000002 00000000000000000000000000000000";
        let samples = device(query).diagnostic_samples(2, 1, 2).unwrap();
        let sample = DiagnosticSample {
            counter: 0x402,
            sample: 7,
            time_stamp: 9,
            value: 0x1_0000_0002,
        };
        assert_eq!(samples, [sample]);
        assert!(device("").diagnostic_samples(usize::MAX, 9, 0).is_err());
    }
}
