// SPDX-License-Identifier: MIT OR Apache-2.0

//! Serde for types that are written as text.

use crate::catalogue::{Datum, Kind, Unit, Volatility};
use crate::cxl::Selection;
use crate::{Backend, DeviceType, MaxScope, Scope, Uuid};
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;

macro_rules! as_text {
    ($($type:ty)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

macro_rules! from_text {
    ($($type:ty)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text: Cow<'_, str> = Deserialize::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

/// By their names.
macro_rules! as_name {
    ($($type:ty)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    )*};
}

as_text!(Backend DeviceType MaxScope Scope Selection Uuid);
as_name!(Kind Unit Volatility);
from_text!(DeviceType MaxScope Scope Selection Uuid);

/// Numbers as numbers, text as text, and bytes as hexadecimal digits.
impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Datum::Number(number) => serializer.serialize_u64(*number),
            Datum::Decimal(decimal) => serializer.serialize_f64(*decimal),
            Datum::Text(text) => serializer.serialize_str(text),
            Datum::Bytes(_) => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Decoded;
    use crate::replay::Replay;
    use crate::{Device, Info};

    #[test]
    fn names_are_text() {
        let json = serde_json::to_string(&(DeviceType::Cxl, Scope::DebugWrite, Selection::Saved));
        let json = json.unwrap();
        assert_eq!(json, r#"["cxl","debug-write","saved"]"#);
        let back: (DeviceType, Scope, Selection) = serde_json::from_str(&json).unwrap();
        assert_eq!(back, (DeviceType::Cxl, Scope::DebugWrite, Selection::Saved));
        let error = serde_json::from_str::<Scope>("\"read\"").unwrap_err();
        assert!(error.to_string().starts_with("not a scope"), "{error}");
        let uuid = Uuid([0x5a; 16]);
        let json = serde_json::to_string(&uuid).unwrap();
        assert_eq!(json, "\"5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a\"");
        assert_eq!(serde_json::from_str::<Uuid>(&json).unwrap(), uuid);
    }

    #[test]
    fn decoded_fields_are_as_in_snapshots() {
        let mut field = Decoded::new("x", Datum::Decimal(-10.5));
        (field.unit, field.raw) = (Some(Unit::Celsius), Some(0xffac));
        assert_eq!(
            serde_json::to_string(&field).unwrap(),
            r#"{"name":"x","datum":-10.5,"unit":"celsius","volatility":null,"raw":65452,"meaning":null}"#
        );
        let data = [
            Datum::Number(7),
            Datum::Text("a".into()),
            Datum::Bytes(vec![1, 0xab]),
        ];
        assert_eq!(serde_json::to_string(&data).unwrap(), r#"[7,"a","01ab"]"#);
        let names = (Kind::Register, Volatility::Counter);
        assert_eq!(
            serde_json::to_string(&names).unwrap(),
            r#"["register","counter"]"#
        );
    }

    #[test]
    fn a_struct_comes_back() {
        let replay = Replay::parse("info pds 03000000").unwrap();
        let info = Device::with_transport("fwctl0", replay).info().unwrap();
        let json = serde_json::to_string(&info).unwrap();
        assert_eq!(
            json,
            r#"{"device_type":"pds","data":[3,0,0,0],"data_len":4,"driver":{"Pds":{"uctx_caps":3}}}"#
        );
        assert_eq!(serde_json::from_str::<Info>(&json).unwrap(), info);
    }
}
