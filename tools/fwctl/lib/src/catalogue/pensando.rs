// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be read of a Pensando card: the operations of its firmware, which the driver lists.

use super::{Item, Kind, Range, Volatility};
use crate::pds::LIST_SCOPE;

pub(super) const ENTRY: &Item = &ITEMS[0];

pub(super) const ITEMS: &[Item] = &[Item {
    kind: Kind::Operation,
    name: "entry",
    about: "attribute of an operation, and the least scope that it needs",
    scope: LIST_SCOPE,
    volatility: Volatility::Identity,
    select: &[
        ("endpoint", Range::Endpoints),
        ("operation", Range::Operations),
    ],
    fixed: &[],
}];
