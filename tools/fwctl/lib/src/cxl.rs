// SPDX-License-Identifier: MIT OR Apache-2.0

//! CXL memory devices: the features of a device, and their values.
//!
//! Messages and tables are those of CXL 3.2, sections 8.2.10.6.1 to 8.2.10.6.3, in the envelope of
//! `include/uapi/fwctl/cxl.h`.
//!
//! ```
//! use fwctl::{cxl::{CxlDevice, GetFeature, Selection}, replay::Replay, Device};
//!
//! let replay = Replay::parse("
//!     info cxl
//! rpc configuration 01050000 00000000 15000000 00000000    # Get Feature, 21 bytes:
//!     96dad7d6fde8482ba73375774e06db8a 0000 0200 00         # patrol scrub, offset 0, 2 bytes, current value
//!     -> 02000000 00000000 0c01                             # 2 bytes, success
//! ").unwrap();
//! let cxl = CxlDevice::new(Device::with_transport("fwctl0", replay))?;
//! let uuid = fwctl::cxl::known_feature("patrol-scrub").unwrap();
//! let value = cxl.get(&GetFeature { uuid, selection: Selection::Current, offset: 0, size: 2 })?;
//! assert_eq!(value, [0x0c, 0x01]);
//! # Ok::<(), fwctl::Error>(())
//! ```

mod effects;
mod feature;
mod message;

pub use effects::{effect_names, Effect};
pub use feature::{known_feature, known_features, Feature, SetPolicy, Verdict};
pub use message::{GetFeature, Selection, SetFeature};

use crate::{Device, DeviceType, Error, Malformed, Result, Scope};
use message::Payload;

/// Scope of the commands that read.
pub const READ_SCOPE: Scope = Scope::Configuration;

/// Features asked for at a time: a reply of 3 KiB.
const BATCH: u16 = 64;

/// A fwctl device that is a CXL memory device.
#[derive(Clone, Debug)]
pub struct CxlDevice {
    device: Device,
}

impl CxlDevice {
    /// Takes a device; fails if it is not a CXL one.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] if it is another type's; [`Error::Call`] if it cannot be asked.
    pub fn new(device: Device) -> Result<CxlDevice> {
        device.expect_type(DeviceType::Cxl)?;
        Ok(CxlDevice { device })
    }

    /// The device below.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Every feature that the device has, in its order.
    ///
    /// # Errors
    ///
    /// [`Error::Call`], [`Error::Refused`]; [`Error::Malformed`] if counts and bytes of a reply
    /// disagree.
    pub fn features(&self) -> Result<Vec<Feature>> {
        self.features_with(|_, _| {})
    }

    /// Like [`CxlDevice::features`]; `progress` is told after each reply how many have come, and
    /// how many there are.
    ///
    /// # Errors
    ///
    /// As for [`CxlDevice::features`].
    pub fn features_with(&self, mut progress: impl FnMut(usize, usize)) -> Result<Vec<Feature>> {
        const WHAT: &str = "Get Supported Features";
        // The first reply says how many there are. A device without features is not registered by
        // the kernel.
        let first = self.ask(
            WHAT,
            &message::get_supported(0, 0),
            message::supported_room(0),
        )?;
        let (announced, _) =
            message::supported(&first, 0).map_err(|why| self.malformed(WHAT, why))?;
        let mut features = Vec::new();
        while features.len() < usize::from(announced) {
            let start = features.len() as u16;
            let count = BATCH.min(announced - start);
            let reply = self.ask(
                WHAT,
                &message::get_supported(start, count),
                message::supported_room(count),
            )?;
            let (_, batch) =
                message::supported(&reply, count).map_err(|why| self.malformed(WHAT, why))?;
            if batch.is_empty() {
                let (announced, got) = (announced.into(), features.len());
                return Err(self.malformed(
                    WHAT,
                    Malformed::Stopped {
                        part: "features",
                        announced,
                        got,
                    },
                ));
            }
            features.extend(batch);
            progress(features.len(), announced.into());
        }
        Ok(features)
    }

    /// Part of a feature's value: exactly `get.size` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Call`], [`Error::Refused`]; [`Error::Malformed`] if more or fewer bytes came than
    /// were asked for.
    pub fn get(&self, get: &GetFeature) -> Result<Vec<u8>> {
        const WHAT: &str = "Get Feature";
        let size = usize::from(get.size);
        let payload = self
            .ask(WHAT, &get.request(), message::REPLY_HEADER + size)?
            .0;
        if payload.len() != size {
            let (part, got) = ("the feature", payload.len());
            let why = if got > size {
                Malformed::Long {
                    part,
                    asked: size,
                    got,
                }
            } else {
                Malformed::Short {
                    part,
                    needed: size,
                    got,
                }
            };
            return Err(self.malformed(WHAT, why));
        }
        Ok(payload)
    }

    /// Changes part of a feature's value, in the scope that the caller has agreed to: see
    /// [`Feature::set_policy`].
    ///
    /// # Errors
    ///
    /// [`Error::Call`] if the kernel refuses the scope or the feature, [`Error::Refused`] if the
    /// device does, [`Error::Malformed`].
    pub fn set(&self, scope: Scope, set: &SetFeature<'_>) -> Result<()> {
        const WHAT: &str = "Set Feature";
        let reply = self
            .device
            .rpc(scope, &set.request(), message::REPLY_HEADER)?;
        self.payload(WHAT, &reply.bytes)?;
        Ok(())
    }

    fn ask(&self, what: &str, request: &[u8], room: usize) -> Result<Payload> {
        let reply = self.device.rpc(READ_SCOPE, request, room)?;
        self.payload(what, &reply.bytes)
    }

    fn payload(&self, what: &str, reply: &[u8]) -> Result<Payload> {
        match message::open(reply) {
            Ok(Ok(payload)) => Ok(payload),
            Ok(Err(status)) => Err(Error::Refused {
                device: self.device.name().into(),
                what: what.into(),
                status,
            }),
            Err(why) => Err(self.malformed(what, why)),
        }
    }

    fn malformed(&self, what: &str, why: Malformed) -> Error {
        Error::Malformed {
            device: self.device.name().into(),
            what: what.into(),
            why,
        }
    }
}
