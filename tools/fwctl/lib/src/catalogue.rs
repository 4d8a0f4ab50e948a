// SPDX-License-Identifier: MIT OR Apache-2.0

//! Everything that can be read of a device, by device type: registers, capabilities, query commands,
//! features, and lists of commands and operations, with scope, volatility, units and decoded fields.
//!
//! [`items`] lists what is known of a type, without a device. [`read_all`] reads all of it from a
//! device: an item that fails is reported as such, and the rest is still read.
//!
//! ```
//! use fwctl::{catalogue::{items, Datum, Unit}, mlx5, DeviceType};
//!
//! let mtmp = items(DeviceType::Mlx5).iter().find(|item| item.name == "mtmp").unwrap();
//! assert_eq!(mtmp.about, "temperature of a sensor");
//! let mut data = vec![0; 32];
//! data[7] = 90;
//! let fields = mlx5::decode(mlx5::register("mtmp").unwrap(), &data);
//! let temperature = fields.iter().find(|field| field.name == "temperature").unwrap();
//! assert_eq!(temperature.datum, Datum::Decimal(11.25));
//! assert_eq!(temperature.unit, Some(Unit::Celsius));
//! assert_eq!(temperature.to_string(), "11.25 C");
//! ```

mod connectx;
mod memory;
mod pensando;
mod read;

pub use read::{read_all, read_some, Reading};

use crate::{DeviceType, Scope};
use std::borrow::Cow;
use std::fmt;

/// What kind of thing an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An access register of a ConnectX.
    Register,
    /// A capability of a ConnectX.
    Capability,
    /// A query command of a ConnectX.
    Query,
    /// A Feature of a CXL memory device.
    Feature,
    /// A mailbox command of a CXL memory device, which is listed and not sent.
    Command,
    /// An operation of a Pensando card's firmware.
    Operation,
}

impl Kind {
    /// The name that command lines and outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Register => "register",
            Kind::Capability => "capability",
            Kind::Query => "query",
            Kind::Feature => "feature",
            Kind::Command => "command",
            Kind::Operation => "operation",
        }
    }
}

/// When a value changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Volatility {
    /// With the hardware or its firmware: versions, capabilities, limits.
    Identity,
    /// When somebody configures it.
    Configuration,
    /// By itself: link state, temperatures, clocks.
    State,
    /// By itself, and only upwards until it wraps or is reset.
    Counter,
}

impl Volatility {
    /// The name that command lines and outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Volatility::Identity => "identity",
            Volatility::Configuration => "configuration",
            Volatility::State => "state",
            Volatility::Counter => "counter",
        }
    }

    /// Returns whether the value changes by itself, so two readings usually differ.
    pub const fn is_volatile(self) -> bool {
        matches!(self, Volatility::State | Volatility::Counter)
    }
}

/// Unit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Degrees Celsius.
    Celsius,
    /// Bytes.
    Bytes,
    /// Units of four bytes, in which InfiniBand counts data.
    Words,
    /// Bits.
    Bits,
    /// Packets or frames.
    Packets,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Hours.
    Hours,
    /// Errors in a gigabit of memory.
    ErrorsPerGigabit,
    /// Megabits a second.
    MegabitsPerSecond,
}

impl Unit {
    /// The name that outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Celsius => "celsius",
            Unit::Bytes => "bytes",
            Unit::Words => "words",
            Unit::Bits => "bits",
            Unit::Packets => "packets",
            Unit::Milliseconds => "milliseconds",
            Unit::Microseconds => "microseconds",
            Unit::Hours => "hours",
            Unit::ErrorsPerGigabit => "errors-per-gigabit",
            Unit::MegabitsPerSecond => "megabits-per-second",
        }
    }

    /// The abbreviation that tables use.
    pub const fn symbol(self) -> &'static str {
        match self {
            Unit::Celsius => "C",
            Unit::Bytes => "bytes",
            Unit::Words => "words",
            Unit::Bits => "bits",
            Unit::Packets => "packets",
            Unit::Milliseconds => "ms",
            Unit::Microseconds => "us",
            Unit::Hours => "h",
            Unit::ErrorsPerGigabit => "errors per Gbit",
            Unit::MegabitsPerSecond => "Mb/s",
        }
    }
}

/// A decoded value.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// A whole number.
    Number(u64),
    /// A number with a fraction.
    Decimal(f64),
    /// Text that ends before the first zero. It comes from the device, so it may contain anything.
    Text(String),
    /// Bytes of which no more is known.
    Bytes(Vec<u8>),
}

impl fmt::Display for Datum {
    /// Text with characters that a terminal would act on escaped, and bytes as hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Datum::Number(number) => number.fmt(f),
            Datum::Decimal(decimal) => decimal.fmt(f),
            Datum::Text(text) => text.escape_debug().fmt(f),
            Datum::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// A decoded field of an item. It is displayed as people read it: `42.5 C`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Decoded {
    /// Its name. Two halves of a number or text are one field, without the suffix.
    pub name: Cow<'static, str>,
    /// Its value.
    pub datum: Datum,
    /// The unit of the value.
    pub unit: Option<Unit>,
    /// When it changes, if that differs from the rest of the item.
    pub volatility: Option<Volatility>,
    /// The number in the device's own unit, if the value was converted.
    pub raw: Option<u64>,
    /// What a number stands for, where it stands for something.
    pub meaning: Option<&'static str>,
}

impl Decoded {
    /// A field of which only name and value are known.
    pub fn new(name: impl Into<Cow<'static, str>>, datum: Datum) -> Decoded {
        Decoded {
            name: name.into(),
            datum,
            unit: None,
            volatility: None,
            raw: None,
            meaning: None,
        }
    }
}

impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.meaning, self.unit) {
            (Some(meaning), _) => f.write_str(meaning),
            (None, Some(unit)) => write!(f, "{} {}", self.datum, unit.symbol()),
            (None, None) => self.datum.fmt(f),
        }
    }
}

/// Which instances of an item a device has: the values of a field of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Range {
    /// These numbers.
    Each(&'static [u64]),
    /// The ports of the device, from 1.
    Ports,
    /// The modules of the device, one a port, from 0.
    Modules,
    /// The temperature sensors of the device.
    Sensors,
    /// The Features of the device.
    Features,
    /// The values that a Feature has: current, default, saved.
    Values,
    /// The commands of the device.
    Commands,
    /// The endpoints of the firmware.
    Endpoints,
    /// The operations of an endpoint.
    Operations,
}

/// Something that can be read of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// What kind of thing it is.
    pub kind: Kind,
    /// Its name, which is unique with its kind and its selection.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Scope of the request that reads it.
    pub scope: Scope,
    /// When it changes, unless a field says otherwise.
    pub volatility: Volatility,
    /// Fields of the request, and the values to give them: every combination is an instance.
    pub select: &'static [(&'static str, Range)],
    /// Fields of the request that have one value, which is not part of an instance's name.
    pub fixed: &'static [(&'static str, u64)],
}

/// Everything that is known to be readable of devices of this type; nothing for types whose
/// messages this library does not know.
pub fn items(device_type: DeviceType) -> &'static [Item] {
    match device_type {
        DeviceType::Mlx5 => connectx::items(),
        DeviceType::Cxl => memory::ITEMS,
        DeviceType::Pds => pensando::ITEMS,
        _ => &[],
    }
}

/// Registers and query commands of a ConnectX that are no items, and why.
pub fn left_out() -> &'static [(Kind, &'static str, &'static str)] {
    connectx::LEFT_OUT
}
