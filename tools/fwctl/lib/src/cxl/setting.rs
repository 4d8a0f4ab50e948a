// SPDX-License-Identifier: MIT OR Apache-2.0

//! New values for fields of the Features that the specification defines.
//!
//! Get Feature and Set Feature have different layouts: what can only be read is not part of what is
//! written. A change therefore reads the present value, replaces fields in it, and writes the bytes
//! that Set Feature takes.

use super::decode::{Kind, Layout, Part, Place};
use super::Feature;
use crate::catalogue::Unit;
use crate::Uuid;

/// New values for fields of a Feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    layout: Layout,
    settings: Vec<Setting>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    /// The media FRU, of a field that each has.
    fru: Option<usize>,
    place: Place,
    value: u64,
    /// As it was given.
    text: String,
}

/// A new value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewField<'a> {
    /// In words, such as `24h` or `on`.
    Text(&'a str),
    /// The number that the device stores.
    Number(u64),
}

/// A change of a Feature's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewValue {
    /// The whole new value, as Get Feature returns it.
    pub value: Vec<u8>,
    /// What Set Feature takes, from offset 0 on.
    pub data: Vec<u8>,
}

/// Why fields cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// Only the bytes of the Feature can be written.
    #[error("the fields of this feature are not known, only its bytes can be written")]
    UnknownLayout,

    /// There is no equals sign.
    #[error("{text:?} is not of the form FIELD=VALUE; possible are {possible}")]
    Form {
        /// The text.
        text: String,
        /// All fields that can be set, and their values.
        possible: String,
    },

    /// The Feature has no such field.
    #[error("no field {name:?}; possible are {possible}")]
    UnknownField {
        /// The name.
        name: String,
        /// All fields that can be set, and their values.
        possible: String,
    },

    /// Set Feature does not take the field.
    #[error("{name} can only be read; possible are {possible}")]
    ReadOnly {
        /// The field.
        name: String,
        /// All fields that can be set, and their values.
        possible: String,
    },

    /// The field is named more than once.
    #[error("{name} is named twice")]
    Twice {
        /// The field.
        name: String,
    },

    /// The field cannot have this value.
    #[error("{name}={value}: {why}; possible is {possible}")]
    Value {
        /// The field.
        name: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
        /// The field, and its values.
        possible: String,
    },

    /// This device cannot do it.
    #[error("{name} cannot be set to {value}: {flag} of this device is no")]
    Unsupported {
        /// The field.
        name: String,
        /// The value.
        value: String,
        /// The field that says so.
        flag: &'static str,
    },

    /// The device has fewer media FRUs.
    #[error("no field {name:?}: the device has {count} media FRUs, and the first is fru0")]
    NoFru {
        /// The field.
        name: String,
        /// Number of media FRUs.
        count: usize,
    },

    /// The present value does not have the layout that the specification defines.
    #[error("the present value has {got} bytes, too few for the layout of the specification")]
    Short {
        /// Its length.
        got: usize,
    },

    /// Set Feature does not have the layout that the specification defines.
    #[error("the feature takes {takes} bytes, and the layout of the specification has {layout}")]
    Size {
        /// What the device announces.
        takes: usize,
        /// What the fields need.
        layout: usize,
    },
}

/// The fields of a Feature that Set Feature takes, and the values that each can have. `fruN.` stands
/// for each media FRU, such as `fru0.`. Nothing for Features that the specification does not define.
pub fn settable_fields(uuid: Uuid) -> Option<Vec<(String, String)>> {
    Some(settable(Layout::of(uuid)?))
}

/// The bytes that Set Feature takes, of a whole value as Get Feature returns it. Nothing for
/// Features that the specification does not define, and for a value that is too short.
pub fn writable_part(uuid: Uuid, value: &[u8]) -> Option<Vec<u8>> {
    part(Layout::of(uuid)?, value)
}

fn part(layout: Layout, value: &[u8]) -> Option<Vec<u8>> {
    let ranges = layout.writable_bytes(value.len()).into_iter();
    let parts: Vec<&[u8]> = ranges
        .map(|range| value.get(range))
        .collect::<Option<_>>()?;
    Some(parts.concat())
}

/// Names of fields in messages and lists, if they are not those of one media FRU.
const ANY_FRU: &str = "fruN.";

fn settable(layout: Layout) -> Vec<(String, String)> {
    let fru = layout.fru(0).map(|part| Part {
        prefix: ANY_FRU.into(),
        ..part
    });
    let parts = layout.common().into_iter().chain(fru);
    let fields = |part: Part| {
        let places = part.places.iter().filter(|place| place.is_writable);
        let field = |place: &Place| (format!("{}{}", part.prefix, place.name), place.possible());
        places.map(field).collect::<Vec<_>>()
    };
    parts.flat_map(fields).collect()
}

/// The fields that can be set and their values, for messages.
fn possible(layout: Layout) -> String {
    let fields = settable(layout).into_iter();
    let fields: Vec<String> = fields
        .map(|(name, values)| format!("{name}={values}"))
        .collect();
    fields.join(", ")
}

impl Settings {
    /// Parses texts of the form `FIELD=VALUE`, such as `cycle=24h`. Numbers of hours must have their
    /// unit.
    ///
    /// # Errors
    ///
    /// A [`SettingError`] that names what is possible.
    pub fn parse<T: AsRef<str>>(uuid: Uuid, texts: &[T]) -> Result<Settings, SettingError> {
        let layout = Layout::of(uuid).ok_or(SettingError::UnknownLayout)?;
        let field = |text: &'_ T| {
            let text = text.as_ref();
            let (name, value) = text.split_once('=').ok_or_else(|| SettingError::Form {
                text: text.into(),
                possible: possible(layout),
            })?;
            Ok((name.to_owned(), value.to_owned()))
        };
        let fields: Vec<(String, String)> = texts.iter().map(field).collect::<Result<_, _>>()?;
        let fields = fields.iter();
        Settings::new(
            uuid,
            fields.map(|(name, value)| (name.as_str(), NewField::Text(value))),
        )
    }

    /// New values of fields with these names.
    ///
    /// # Errors
    ///
    /// A [`SettingError`] that names what is possible.
    pub fn new<'a>(
        uuid: Uuid,
        fields: impl IntoIterator<Item = (&'a str, NewField<'a>)>,
    ) -> Result<Settings, SettingError> {
        let layout = Layout::of(uuid).ok_or(SettingError::UnknownLayout)?;
        let mut settings: Vec<Setting> = Vec::new();
        for (name, value) in fields {
            let setting = Setting::new(layout, name, value)?;
            let is_same =
                |known: &Setting| (known.fru, known.place) == (setting.fru, setting.place);
            if settings.iter().any(is_same) {
                return Err(SettingError::Twice { name: name.into() });
            }
            settings.push(setting);
        }
        Ok(Settings { layout, settings })
    }

    /// The names of the fields, in the order in which they were given.
    pub fn names(&self) -> Vec<String> {
        self.settings.iter().map(Setting::name).collect()
    }

    /// Replaces the fields in the present value, which Get Feature has returned as a whole. All
    /// other bits stay.
    ///
    /// # Errors
    ///
    /// [`SettingError::Unsupported`], [`SettingError::Value`] and [`SettingError::NoFru`] if the
    /// device cannot have these values; [`SettingError::Short`] and [`SettingError::Size`] if its
    /// value has another layout.
    pub fn apply(&self, feature: &Feature, value: &[u8]) -> Result<NewValue, SettingError> {
        let short = || SettingError::Short { got: value.len() };
        let mut new = value.to_vec();
        for setting in &self.settings {
            setting.check(self.layout, value)?;
            let at = setting.at(self.layout);
            let bytes = new.get_mut(at..).ok_or_else(short)?;
            let set = setting.place.set(bytes, setting.value);
            set.ok_or_else(short)?;
        }
        let data = part(self.layout, &new).ok_or_else(short)?;
        let takes = usize::from(feature.set_size);
        if data.len() != takes {
            let layout = data.len();
            return Err(SettingError::Size { takes, layout });
        }
        Ok(NewValue { value: new, data })
    }
}

impl Setting {
    fn new(layout: Layout, name: &str, value: NewField<'_>) -> Result<Setting, SettingError> {
        let (fru, parts) = match fru_of(name) {
            Some((fru, _)) => (Some(fru), layout.fru(fru).into_iter().collect()),
            None => (None, layout.common()),
        };
        let field = fru_of(name).map_or(name, |(_, field)| field);
        let mut places = parts.iter().flat_map(|part| part.places);
        let place = *places.find(|place| place.name == field).ok_or_else(|| {
            SettingError::UnknownField {
                name: name.into(),
                possible: possible(layout),
            }
        })?;
        if !place.is_writable {
            return Err(SettingError::ReadOnly {
                name: name.into(),
                possible: possible(layout),
            });
        }
        let (number, text) = match value {
            NewField::Text(text) => (place.parse(text), text.to_owned()),
            NewField::Number(number) => (place.accept(number), number.to_string()),
        };
        let number = number.map_err(|why| SettingError::Value {
            name: name.into(),
            value: text.clone(),
            why,
            possible: format!("{name}={}", place.possible()),
        })?;
        Ok(Setting {
            fru,
            place,
            value: number,
            text,
        })
    }

    fn name(&self) -> String {
        match self.fru {
            Some(fru) => format!("fru{fru}.{}", self.place.name),
            None => self.place.name.into(),
        }
    }

    /// The byte of the value that the place is relative to.
    fn at(&self, layout: Layout) -> usize {
        let part = self.fru.and_then(|fru| layout.fru(fru));
        part.map_or(0, |part| part.at)
    }

    /// Compares with what the value says about the device.
    fn check(&self, layout: Layout, value: &[u8]) -> Result<(), SettingError> {
        let name = || self.name();
        let count = layout.frus(value.len());
        if self.fru.is_some_and(|fru| fru >= count) {
            return Err(SettingError::NoFru {
                name: name(),
                count,
            });
        }
        // Both are fields that a value has once.
        let parts = layout.common();
        let number = |field: &str| {
            let mut places = parts.iter().flat_map(|part| part.places);
            let place = places.find(|place| place.name == field)?;
            place.get(value)
        };
        let is_off = self.place.kind == Kind::Flag && self.value == 0;
        if let Some(flag) = self.place.needs.filter(|_| !is_off) {
            match number(flag) {
                Some(0) => {
                    return Err(SettingError::Unsupported {
                        name: name(),
                        value: self.text.clone(),
                        flag,
                    })
                }
                Some(_) => {}
                None => return Err(SettingError::Short { got: value.len() }),
            }
        }
        let least = self.place.least.and_then(number).unwrap_or(0);
        if self.value < least {
            return Err(SettingError::Value {
                name: name(),
                value: self.text.clone(),
                why: "less than the minimum of this device",
                possible: format!("{}={}", name(), self.place.possible_from(least)),
            });
        }
        Ok(())
    }
}

/// The number of the media FRU and the field, of a name such as `fru0.threshold`.
fn fru_of(name: &str) -> Option<(usize, &str)> {
    let (prefix, field) = name.split_once('.')?;
    let digits = prefix.strip_prefix("fru")?;
    // Features have at most 65535 bytes.
    let number: u16 = digits.parse().ok()?;
    (number.to_string() == digits).then_some((number.into(), field))
}

impl Place {
    /// The values that the field can have.
    fn possible(&self) -> String {
        self.possible_from(1)
    }

    /// The same, for numbers with this minimum.
    fn possible_from(&self, least: u64) -> String {
        match self.kind {
            Kind::Flag => "on|off".into(),
            Kind::Number(Some(Unit::Hours)) => format!("{least}h..{}h", self.most()),
            Kind::Number(_) => format!("0..{}", self.most()),
            Kind::Names(names, _) => {
                let keywords: Vec<&str> = names.iter().map(|known| known.keyword).collect();
                keywords.join("|")
            }
        }
    }

    /// The number itself, if the field can have it.
    fn accept(&self, number: u64) -> Result<u64, &'static str> {
        let is_possible = match self.kind {
            Kind::Flag => number <= 1,
            Kind::Number(Some(Unit::Hours)) => (1..=self.most()).contains(&number),
            Kind::Number(_) => number <= self.most(),
            Kind::Names(names, _) => names.iter().any(|known| known.number == number),
        };
        is_possible
            .then_some(number)
            .ok_or("not one of the numbers that the field can have")
    }

    /// The number that a text stands for.
    fn parse(&self, text: &str) -> Result<u64, &'static str> {
        match self.kind {
            Kind::Flag => match text {
                "on" | "yes" => Ok(1),
                "off" | "no" => Ok(0),
                _ => Err("neither on nor off"),
            },
            Kind::Number(Some(Unit::Hours)) => hours(text, self.most()),
            Kind::Number(_) => match text.parse() {
                Ok(number) if number <= self.most() => Ok(number),
                _ => Err("not a number in this range"),
            },
            Kind::Names(names, _) => {
                let found = names.iter().find(|known| known.keyword == text);
                found
                    .map(|known| known.number)
                    .ok_or("not one of the values")
            }
        }
    }
}

/// A number of hours, from 1 on, given in hours or days.
fn hours(text: &str, most: u64) -> Result<u64, &'static str> {
    const RANGE: &str = "not in this range";
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let in_unit = match unit {
        _ if digits.is_empty() => return Err("not a whole number with a unit, such as 24h or 1d"),
        "h" => 1,
        "d" => 24,
        "" => return Err("a unit is missing: h is hours, d is days"),
        _ => return Err("not a unit of the field: h is hours, d is days"),
    };
    let number: u64 = digits.parse().map_err(|_| RANGE)?;
    let hours = number.checked_mul(in_unit).ok_or(RANGE)?;
    (1..=most).contains(&hours).then_some(hours).ok_or(RANGE)
}

#[cfg(test)]
mod tests;
