// SPDX-License-Identifier: MIT OR Apache-2.0

//! Faults on demand: which commands go wrong, and how.
//!
//! A specification is a list of `key=value`, separated by commas: what a command must be, which
//! of those it hits, and what happens.  `op=0x805,reg=0x9020,nth=2,times=3,late=500` answers the
//! second, third and fourth read or write of that register half a second late.  The grammar is one;
//! what of it means something to a device is the device's [`Dialect`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Most faults at one time.
pub const MAX_FAULTS: usize = 1024;
/// Longest delay.
const MAX_DELAY: Duration = Duration::from_secs(24 * 3600);

/// The part of the grammar that a device understands.
#[derive(Debug)]
pub struct Dialect {
    /// Keys that mean something to it.
    pub keys: &'static [&'static str],
    /// Largest status of a command.
    pub max_status: u16,
    /// For `fwctl-emu help` and the control socket.
    pub help: &'static str,
}

impl Dialect {
    /// Reads a specification for the device.
    pub fn parse(&self, spec: &str) -> Result<Fault, BadFault> {
        let fault: Fault = spec.parse()?;
        let keys = spec.split(',').map(|word| word.split('=').next());
        for key in keys.flatten().map(str::trim) {
            if !self.keys.contains(&key) {
                return Err(BadFault(format!("`{key}` is nothing to this device")));
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

/// What a fault can be told to look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject {
    /// The command.
    pub opcode: u16,
    /// Its modifier, where the device has one.
    pub op_mod: Option<u16>,
    /// The register that it accesses.
    pub register: Option<u16>,
    /// The number of the Feature that it is about.
    pub feature: Option<u16>,
    /// What it is to a transfer in parts.
    pub action: Option<u16>,
    /// It comes from a user context.
    pub is_user: bool,
}

/// What happens to a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// It is not executed but fails with this status and syndrome.
    pub status: Option<(u16, u32)>,
    /// It is not executed, and the interface reports a delivery error.
    pub delivery: Option<u8>,
    /// The answer comes that much later.
    pub late: Option<Duration>,
    /// The answer never comes.
    pub never: bool,
    /// The answer's bytes from here on are noise.
    pub garble: Option<usize>,
    /// Only that many bytes of the answer are written.
    pub truncate: Option<usize>,
    /// The answer claims to have that many bytes, whatever it has.
    pub claim: Option<u32>,
    /// The answer is that it goes on in the background.
    pub background: bool,
    /// The event of the answer raises no interrupt.
    pub silent: bool,
    /// There is no event of the answer.
    pub lost: bool,
    /// The device is gone, and reads as all ones.
    pub vanish: bool,
    /// The process ends.
    pub exit: bool,
    /// The device reports that it is broken, in this way, and executes nothing any more.
    pub health: Option<u8>,
}

/// One specification and its progress.
#[derive(Clone, Debug)]
pub struct Fault {
    spec: String,
    opcode: Option<u16>,
    op_mod: Option<u16>,
    register: Option<u16>,
    feature: Option<u16>,
    action: Option<u16>,
    is_user: bool,
    /// Commands to let pass.
    pass: u64,
    /// Commands to hit after that.
    times: u64,
    /// Commands hit.
    hits: u64,
    effects: Effects,
}

/// What is wrong with a specification.
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
                    return Err("has 7 bits".into());
                }
                effects.delivery = Some(status);
            }
            ("late", Some(value)) => {
                effects.late = Some(Duration::from_millis(number(value)?).min(MAX_DELAY))
            }
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
                0 => return Err("0 is health".into()),
                syndrome => effects.health = Some(syndrome),
            },
            (_, None) => return Err("unknown, or without its value".into()),
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
    /// Commands that something happened to.
    pub hits: u64,
}

impl Faults {
    /// Adds one.
    pub fn add(&mut self, fault: Fault) -> Result<(), BadFault> {
        if self.list.len() >= MAX_FAULTS {
            return Err(BadFault(format!("there are {MAX_FAULTS} already")));
        }
        self.list.push(fault);
        Ok(())
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// The faults, as specified, and how often each has hit.
    pub fn list(&self) -> Vec<String> {
        self.list.iter().map(Fault::to_string).collect()
    }

    /// Counts a command, and says what is to happen to it.  Of several faults that hit it, the
    /// first one counts.
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

/// Noise that is the same each time.
#[derive(Clone, Debug)]
pub struct Noise(
    /// State; not 0.
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

    /// Noise in each byte.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = (self.number() >> 32) as u8;
        }
    }
}

/// A number, decimal or with `0x`.
pub fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let value = parsed.map_err(|_| format!("`{text}` is no number"))?;
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
    fn the_nth_of_its_kind() {
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
    fn first_one_counts() {
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
    fn what_a_device_does_not_understand() {
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
    fn what_is_refused() {
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
