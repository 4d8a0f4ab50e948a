// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fault injection: which commands fail, and how.
//!
//! A specification is a comma-separated list of `key=value`: which commands match, which of the
//! matches are hit, and with what effect. `op=0x805,reg=0x9020,nth=2,times=3,late=500` delays the
//! answers to the second, third and fourth access to that register by half a second. All devices
//! share the grammar; a device's [`Dialect`] lists the keys that it supports.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Maximum number of faults.
pub const MAX_FAULTS: usize = 1024;
/// Maximum delay.
const MAX_DELAY: Duration = Duration::from_secs(24 * 3600);

/// The part of the grammar that a device supports.
#[derive(Debug)]
pub struct Dialect {
    /// Supported keys.
    pub keys: &'static [&'static str],
    /// Maximum status of a command.
    pub max_status: u16,
    /// Help text for the command line and the control socket.
    pub help: &'static str,
}

impl Dialect {
    /// Parses a specification for the device.
    pub fn parse(&self, spec: &str) -> Result<Fault, BadFault> {
        let fault: Fault = spec.parse()?;
        let keys = spec.split(',').map(|word| word.split('=').next());
        for key in keys.flatten().map(str::trim) {
            if !self.keys.contains(&key) {
                return Err(BadFault(format!("`{key}` is not supported by this device")));
            }
        }
        match fault.effects.status {
            Some((status, _)) if status > self.max_status => {
                Err(BadFault(format!("status {status:#x} is too large")))
            }
            _ => Ok(fault),
        }
    }
}

/// The properties of a command that a fault can match.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject {
    /// The opcode.
    pub opcode: u16,
    /// The opcode modifier, if the device has one.
    pub op_mod: Option<u16>,
    /// The register that the command accesses.
    pub register: Option<u16>,
    /// The index of the Feature that the command is about.
    pub feature: Option<u16>,
    /// The action of a transfer in parts.
    pub action: Option<u16>,
    /// The command comes from a user context.
    pub is_user: bool,
}

/// The effects of a fault on a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Fails with this status and syndrome, without being executed.
    pub status: Option<(u16, u32)>,
    /// Fails with this delivery status, without being executed.
    pub delivery: Option<u8>,
    /// Delays the answer.
    pub late: Option<Duration>,
    /// Never answers.
    pub never: bool,
    /// Replaces the answer by noise from this byte on.
    pub garble: Option<usize>,
    /// Writes only this many bytes of the answer.
    pub truncate: Option<usize>,
    /// Reports this length of the answer instead of the real one.
    pub claim: Option<u32>,
    /// Reports that the command continues in the background.
    pub background: bool,
    /// Raises no interrupt for the event of the answer.
    pub silent: bool,
    /// Posts no event for the answer.
    pub lost: bool,
    /// Removes the device: reads return all ones.
    pub vanish: bool,
    /// Delays what the command writes to host memory, but not its answer.
    pub dma_late: Option<Duration>,
    /// Writes nothing to host memory.
    pub dma_lost: bool,
    /// Exits.
    pub exit: bool,
    /// Reports fatal health with this syndrome and executes no further command.
    pub health: Option<u8>,
}

/// A fault and its progress.
#[derive(Clone, Debug)]
pub struct Fault {
    spec: String,
    opcode: Option<u16>,
    op_mod: Option<u16>,
    register: Option<u16>,
    feature: Option<u16>,
    action: Option<u16>,
    is_user: bool,
    /// Matches to skip before the first hit.
    pass: u64,
    /// Matches to hit after that.
    times: u64,
    /// Matches hit so far.
    hits: u64,
    effects: Effects,
}

/// Why a specification is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFault(String);

impl fmt::Display for BadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault: {}", self.0)
    }
}

impl std::error::Error for BadFault {}

impl FromStr for Fault {
    type Err = BadFault;

    fn from_str(spec: &str) -> Result<Self, BadFault> {
        let mut fault = Fault {
            spec: spec.into(),
            opcode: None,
            op_mod: None,
            register: None,
            feature: None,
            action: None,
            is_user: false,
            pass: 0,
            times: 1,
            hits: 0,
            effects: Effects::default(),
        };
        for word in spec.split(',') {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key.trim(), Some(value.trim())),
                None => (word.trim(), None),
            };
            fault
                .set(key, value)
                .map_err(|what| BadFault(format!("`{word}`: {what}")))?;
        }
        if fault.effects == Effects::default() {
            return Err(BadFault(format!("`{spec}` has no effect")));
        }
        Ok(fault)
    }
}

impl Fault {
    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        let effects = &mut self.effects;
        match (key, value) {
            ("op", Some(value)) => self.opcode = Some(number(value)?),
            ("op_mod", Some(value)) => self.op_mod = Some(number(value)?),
            ("reg", Some(value)) => self.register = Some(number(value)?),
            ("feature", Some(value)) => self.feature = Some(number(value)?),
            ("action", Some(value)) => self.action = Some(number(value)?),
            ("user", None) => self.is_user = true,
            ("nth", Some(value)) => {
                self.pass = number::<u64>(value)?
                    .checked_sub(1)
                    .ok_or("counts from 1")?;
            }
            ("times", Some("forever")) => self.times = u64::MAX,
            ("times", Some(value)) => self.times = number(value)?,
            ("status", Some(value)) => {
                let (status, syndrome) = value.split_once('/').unwrap_or((value, "0xfa017"));
                effects.status = Some((number(status)?, number(syndrome)?));
            }
            ("delivery", Some(value)) => {
                let status = number(value)?;
                if status >= 0x80 {
                    return Err("more than 7 bits".into());
                }
                effects.delivery = Some(status);
            }
            ("late", Some(value)) => {
                effects.late = Some(Duration::from_millis(number(value)?).min(MAX_DELAY))
            }
            ("dma_late", Some(value)) => {
                effects.dma_late = Some(Duration::from_millis(number(value)?).min(MAX_DELAY))
            }
            ("dma_lost", None) => effects.dma_lost = true,
            ("never", None) => effects.never = true,
            ("garble", None) => effects.garble = Some(0),
            ("garble", Some(value)) => effects.garble = Some(number(value)?),
            ("truncate", Some(value)) => effects.truncate = Some(number(value)?),
            ("claim", Some(value)) => effects.claim = Some(number(value)?),
            ("background", None) => effects.background = true,
            ("silent", None) => effects.silent = true,
            ("lost", None) => effects.lost = true,
            ("vanish", None) => effects.vanish = true,
            ("exit", None) => effects.exit = true,
            ("health", None) => effects.health = Some(1),
            ("health", Some(value)) => match number(value)? {
                0 => return Err("syndrome 0 means healthy".into()),
                syndrome => effects.health = Some(syndrome),
            },
            (_, None) => return Err("unknown, or its value is missing".into()),
            (_, Some(_)) => return Err("unknown".into()),
        }
        Ok(())
    }

    fn is_about(&self, subject: &Subject) -> bool {
        self.opcode.is_none_or(|opcode| opcode == subject.opcode)
            && (self.op_mod.is_none() || self.op_mod == subject.op_mod)
            && (self.register.is_none() || self.register == subject.register)
            && (self.feature.is_none() || self.feature == subject.feature)
            && (self.action.is_none() || self.action == subject.action)
            && (!self.is_user || subject.is_user)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (hit {})", self.spec, self.hits)
    }
}

/// All faults of a device.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Vec<Fault>,
    /// Number of commands hit.
    pub hits: u64,
}

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) -> Result<(), BadFault> {
        if self.list.len() >= MAX_FAULTS {
            return Err(BadFault(format!("more than {MAX_FAULTS} faults")));
        }
        self.list.push(fault);
        Ok(())
    }

    /// Removes all faults.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// The faults as specified, with the number of hits of each.
    pub fn list(&self) -> Vec<String> {
        self.list.iter().map(Fault::to_string).collect()
    }

    /// Counts a command and returns the effects on it. If several faults match, the first one wins.
    pub fn strike(&mut self, subject: &Subject) -> Option<Effects> {
        let mut struck = None;
        for fault in self.list.iter_mut().filter(|fault| fault.is_about(subject)) {
            if fault.pass > 0 {
                fault.pass -= 1;
            } else if struck.is_none() && fault.hits < fault.times {
                fault.hits += 1;
                struck = Some(fault.effects.clone());
            }
        }
        self.hits += u64::from(struck.is_some());
        struck
    }
}

/// A deterministic source of noise.
#[derive(Clone, Debug)]
pub struct Noise(
    /// Never 0.
    pub u64,
);

impl Noise {
    /// The next number (xorshift64*).
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Fills `bytes` with noise.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = (self.number() >> 32) as u8;
        }
    }
}

/// Parses a number, decimal or with `0x`.
pub fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let value = parsed.map_err(|_| format!("`{text}` is not a number"))?;
    T::try_from(value).map_err(|_| format!("{text} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(specs: &[&str]) -> Faults {
        let mut faults = Faults::default();
        for spec in specs {
            faults.add(spec.parse().unwrap()).unwrap();
        }
        faults
    }

    #[test]
    fn nth_counts_matches() {
        let mut faults = faults(&["op=0x805,reg=0x9020,nth=2,times=2,status=5/0x1234"]);
        let mgir = Subject {
            opcode: 0x805,
            op_mod: Some(1),
            register: Some(0x9020),
            is_user: true,
            ..Subject::default()
        };
        let mcam = Subject {
            register: Some(0x907f),
            ..mgir
        };
        let hit = |faults: &mut Faults, subject| {
            faults.strike(&subject).and_then(|effects| effects.status)
        };
        let order = [mgir, mcam, mgir, mgir, mcam, mgir];
        let hits = order.map(|subject| hit(&mut faults, subject));
        assert_eq!(
            hits,
            [None, None, Some((5, 0x1234)), Some((5, 0x1234)), None, None]
        );
        assert_eq!(faults.hits, 2);
        assert_eq!(
            faults.list(),
            ["op=0x805,reg=0x9020,nth=2,times=2,status=5/0x1234 (hit 2)"]
        );
    }

    #[test]
    fn first_match_wins() {
        let mut faults = faults(&["user,times=forever,late=5", "never"]);
        let kernel = Subject::default();
        let user = Subject {
            is_user: true,
            ..kernel
        };
        assert_eq!(
            faults.strike(&user).unwrap().late,
            Some(Duration::from_millis(5))
        );
        assert!(faults.strike(&kernel).unwrap().never);
        assert!(faults.strike(&kernel).is_none());
        assert!(faults.strike(&user).is_some());
        faults.clear();
        assert!(faults.strike(&user).is_none());
    }

    #[test]
    fn combined_effects() {
        let fault: Fault = "late=1, garble=8, truncate=100, silent".parse().unwrap();
        assert_eq!(fault.effects.garble, Some(8));
        assert_eq!(fault.effects.truncate, Some(100));
        assert!(fault.effects.silent && fault.effects.late.is_some());
    }

    #[test]
    fn parts_of_a_transfer() {
        let mut faults = faults(&["op=0x502,feature=3,action=2,times=forever,never"]);
        let part = |feature, action| Subject {
            opcode: 0x502,
            feature,
            action,
            ..Subject::default()
        };
        let order = [
            (Some(3), Some(1)),
            (Some(3), Some(2)),
            (Some(2), Some(2)),
            (None, None),
        ];
        let hits = order.map(|(feature, action)| faults.strike(&part(feature, action)).is_some());
        assert_eq!(hits, [false, true, false, false]);
    }

    #[test]
    fn unsupported_keys_are_refused() {
        let dialect = Dialect {
            keys: &["op", "nth", "status", "never"],
            max_status: 0xff,
            help: "",
        };
        for spec in ["never", "op=1, nth=2,status=0xff", "status=1/2"] {
            assert_eq!(dialect.parse(spec).map(|fault| fault.spec), Ok(spec.into()));
        }
        for spec in ["user,never", "late=1", "status=0x100", "op=1", "nonsense"] {
            assert!(dialect.parse(spec).is_err(), "{spec}");
        }
    }

    #[test]
    fn invalid_specifications_are_refused() {
        for spec in [
            "",
            "op=1",
            "op",
            "op=0x10000,never",
            "nth=0,never",
            "late",
            "status=65536",
            "feature",
            "background=1",
            "status=x",
            "never=1",
            "delivery=128",
            "health=0",
            "health=256",
            "what=1",
            "late=-1",
            "times=,never",
        ] {
            assert!(spec.parse::<Fault>().is_err(), "{spec}");
        }
        let mut full = Faults::default();
        for _ in 0..MAX_FAULTS {
            full.add("never".parse().unwrap()).unwrap();
        }
        assert!(full.add("never".parse().unwrap()).is_err());
    }
}
