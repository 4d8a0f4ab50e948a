// SPDX-License-Identifier: MIT OR Apache-2.0

//! Serde for types that are written as text.

use crate::catalogue::Unit;
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

as_text!(Backend DeviceType MaxScope Scope Selection Uuid);
from_text!(DeviceType MaxScope Scope Selection Uuid);

/// By its name.
impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
