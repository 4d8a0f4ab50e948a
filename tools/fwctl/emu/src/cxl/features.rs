// SPDX-License-Identifier: MIT OR Apache-2.0

//! Features (8.2.10.6): their values, and the effect of resets on them.

use super::catalogue::{flag, Definition, CATALOGUE, VERSION};
use super::codes::ReturnCode;
use super::opcodes::effect;
use super::payloads::{
    GetFeatureIn, GetSupportedIn, SetFeatureHead, SupportedFeature, SupportedHead, Uuid,
};
use super::transfer::{Action, Part, Transfers};
use serde_json::{json, Value};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, IntoBytes};

/// Selections of Get Feature (8.2.10.6.2, table 8-111).
mod selection {
    pub const CURRENT: u8 = 0;
    pub const DEFAULT: u8 = 1;
    pub const SAVED: u8 = 2;
}

/// Flag of Set Feature: the value is saved across resets.
const SAVED: u32 = 1 << 3;
/// Longer values are truncated in `features` of the control socket.
const SHOWN: usize = 32;

/// Resets of the device, in the order of their depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reset {
    /// CXL reset (9.7).
    Cxl,
    /// Conventional reset: hot or warm.
    Conventional,
    /// Cold reset: power off and on.
    Cold,
}

/// One Feature and its values.
#[derive(Debug)]
pub struct Feature {
    definition: &'static Definition,
    uuid: Uuid,
    default: Vec<u8>,
    current: Vec<u8>,
    saved: Vec<u8>,
    /// The value that becomes current at a reset.
    pending: Option<Vec<u8>>,
    gets: u64,
    sets: u64,
}

impl Feature {
    fn new(index: usize, definition: &'static Definition) -> Self {
        let default = definition.default_value(index);
        Feature {
            definition,
            uuid: definition.uuid(index),
            current: default.clone(),
            saved: default.clone(),
            default,
            pending: None,
            gets: 0,
            sets: 0,
        }
    }

    /// Returns the value that a partial change modifies.
    fn newest(&self) -> &[u8] {
        self.pending.as_deref().unwrap_or(&self.current)
    }

    /// Changes the value, now or at the reset that the change requires.
    fn set(&mut self, value: Vec<u8>, is_saved: bool) -> Result<(), ReturnCode> {
        if value
            .first()
            .is_some_and(|&first| first > self.definition.limit)
        {
            return Err(ReturnCode::INPUT);
        }
        if is_saved && self.definition.is_saved() {
            self.saved.clone_from(&value);
        }
        if self.waits_for(Reset::Cold) {
            self.pending = Some(value);
        } else {
            self.current = value;
        }
        self.sets += 1;
        Ok(())
    }

    /// Returns whether a change takes effect only at a reset, and `reset` is sufficient.
    fn waits_for(&self, reset: Reset) -> bool {
        let effects = self.definition.effects;
        let at = |bit: u16, least: Reset| effects & bit != 0 && reset >= least;
        let resets_count = effects & effect::RESETS_ARE_VALID != 0;
        effects & effect::IMMEDIATE == 0
            && (at(effect::CONFIGURATION_COLD_RESET, Reset::Cold)
                || resets_count
                    && (at(effect::CONFIGURATION_CXL_RESET, Reset::Cxl)
                        || at(
                            effect::CONFIGURATION_CONVENTIONAL_RESET,
                            Reset::Conventional,
                        )))
    }

    fn reset(&mut self, reset: Reset) {
        if self.waits_for(reset) && self.pending.is_some() {
            self.current = self.pending.take().unwrap_or_default();
        } else if self.pending.is_none() && reset >= Reset::Conventional {
            let kept = if self.definition.is_saved() {
                &self.saved
            } else {
                &self.default
            };
            self.current.clone_from(kept);
        }
    }

    fn json(&self, index: usize, is_whole: bool) -> Value {
        let hex = |bytes: &[u8]| match bytes.len() <= SHOWN || is_whole {
            true => hex(bytes),
            false => format!("{}...", hex(&bytes[..SHOWN])),
        };
        json!({
            "id": index,
            "name": self.definition.name,
            "uuid": uuid(&self.uuid),
            "size": self.definition.size,
            "effects": self.definition.effects,
            "current": hex(&self.current),
            "default": hex(&self.default),
            "saved": hex(&self.saved),
            "pending": self.pending.as_deref().map(hex),
            "gets": self.gets,
            "sets": self.sets,
        })
    }
}

/// All Features of the device.
#[derive(Debug)]
pub struct Features {
    list: Vec<Feature>,
    /// Transfers in parts.
    pub transfers: Transfers,
}

impl Features {
    /// Returns the Features with their factory values.
    pub fn new(part_timeout: Duration) -> Self {
        Features {
            list: CATALOGUE
                .iter()
                .enumerate()
                .map(|(n, definition)| Feature::new(n, definition))
                .collect(),
            transfers: Transfers::new(part_timeout),
        }
    }

    /// Returns the index of a Feature.
    pub fn index(&self, uuid: &[u8]) -> Option<usize> {
        self.list.iter().position(|feature| feature.uuid == uuid)
    }

    /// Get Supported Features: returns the answer, at most `room` bytes.
    pub fn supported(&self, input: &GetSupportedIn, room: usize) -> Result<Vec<u8>, ReturnCode> {
        let head = size_of::<SupportedHead>();
        let wanted = (input.count.get() as usize).min(room);
        let start = usize::from(input.start.get());
        if wanted < head || start >= self.list.len() || input.reserved != [0; 2] {
            return Err(ReturnCode::INPUT);
        }
        let fitting = (wanted - head) / size_of::<SupportedFeature>();
        let entries = || self.list.iter().enumerate().skip(start).take(fitting);
        let mut answer = SupportedHead {
            count: (entries().count() as u16).into(),
            supported: (self.list.len() as u16).into(),
            reserved: [0; 4],
        }
        .as_bytes()
        .to_vec();
        for (n, feature) in entries() {
            answer.extend(feature.definition.entry(n).as_bytes());
        }
        Ok(answer)
    }

    /// Get Feature: returns the answer, at most `room` bytes, less at the end of the value.
    pub fn get(&mut self, input: &GetFeatureIn, room: usize) -> Result<Vec<u8>, ReturnCode> {
        let index = self.index(&input.uuid).ok_or(ReturnCode::UNSUPPORTED)?;
        let feature = &mut self.list[index];
        let flags = feature.definition.flags;
        let value = match input.selection {
            selection::CURRENT => &feature.current,
            selection::DEFAULT if flags & flag::DEFAULT_SELECTION != 0 => &feature.default,
            selection::SAVED if flags & flag::SAVED_SELECTION != 0 => &feature.saved,
            _ => return Err(ReturnCode::FEATURE_SELECTION),
        };
        let (offset, count) = (
            usize::from(input.offset.get()),
            usize::from(input.count.get()),
        );
        if offset >= value.len() || count > room {
            return Err(ReturnCode::INPUT);
        }
        feature.gets += 1;
        Ok(value[offset..value.len().min(offset + count)].to_vec())
    }

    /// Set Feature: a complete change, or a part of it.
    pub fn set(&mut self, input: &[u8], now: Instant) -> Result<Set, ReturnCode> {
        let (head, data) =
            SetFeatureHead::read_from_prefix(input).map_err(|_| ReturnCode::PAYLOAD_LENGTH)?;
        let index = self.index(&head.uuid).ok_or(ReturnCode::UNSUPPORTED)?;
        let feature = &mut self.list[index];
        let flags = head.flags.get();
        let action = Action::of(flags).ok_or(ReturnCode::INPUT)?;
        if flags & !(Action::MASK | SAVED) != 0 || head.reserved != [0; 9] {
            return Err(ReturnCode::INPUT);
        }
        if !feature.definition.is_changeable() {
            return Err(ReturnCode::UNSUPPORTED);
        }
        if head.version != VERSION {
            return Err(ReturnCode::FEATURE_VERSION);
        }
        let start = usize::from(head.offset.get());
        let is_outside = start + data.len() > feature.definition.set_size().into();
        if action != Action::Abort && (data.is_empty() || is_outside) {
            return Err(ReturnCode::INPUT);
        }
        let part = Part {
            feature: index,
            action,
            offset: start,
            data,
        };
        let Some(change) = self.transfers.take(part, now)? else {
            return Ok(Set::InParts);
        };
        let mut value = feature.newest().to_vec();
        value[change.offset..change.offset + change.data.len()].copy_from_slice(&change.data);
        feature.set(value, flags & SAVED != 0)?;
        self.transfers.done(action);
        match feature.definition.effects & effect::BACKGROUND {
            0 => Ok(Set::Done),
            _ => Ok(Set::Background),
        }
    }

    /// Resets the values.
    pub fn reset(&mut self, reset: Reset) {
        self.list
            .iter_mut()
            .for_each(|feature| feature.reset(reset));
    }

    /// Returns all Features for the control socket, long values truncated.
    pub fn json(&self) -> Value {
        let features = self.list.iter().enumerate();
        features
            .map(|(n, feature)| feature.json(n, false))
            .collect()
    }

    /// Returns a Feature by index or name.
    pub fn one(&self, which: &str) -> Option<Value> {
        let index = match which.parse() {
            Ok(index) => index,
            Err(_) => self
                .list
                .iter()
                .position(|feature| feature.definition.name == which)?,
        };
        Some(self.list.get(index)?.json(index, true))
    }

    /// Returns a description of the transfer in progress.
    pub fn open_transfer(&self) -> Option<String> {
        let (index, len) = self.transfers.open()?;
        let name = self.list.get(index)?.definition.name;
        Some(format!("transfer of {name}, {len} bytes"))
    }
}

/// Result of a Set Feature that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// More parts follow, or the transfer was aborted.
    InParts,
    /// The value has changed.
    Done,
    /// The value changes in the background.
    Background,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the text form of a UUID.
pub fn uuid(bytes: &Uuid) -> String {
    let hex = hex(bytes);
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests;
