// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be read of a CXL memory device: its commands, which the kernel lists, and its Features,
//! which the device itself lists.

use super::{Item, Kind, Range, Volatility};
use crate::cxl::READ_SCOPE;

pub(super) const COMMAND: &Item = &ITEMS[0];
pub(super) const ENTRY: &Item = &ITEMS[1];
pub(super) const VALUE: &Item = &ITEMS[2];

pub(super) const ITEMS: &[Item] = &[
    Item {
        kind: Kind::Command,
        name: "entry",
        about: "effects of a command, and the least scope in which the kernel sends it",
        scope: READ_SCOPE,
        volatility: Volatility::Identity,
        select: &[("opcode", Range::Commands)],
        fixed: &[],
    },
    Item {
        kind: Kind::Feature,
        name: "entry",
        about: "sizes and versions of a Feature, and the effects of a change",
        scope: READ_SCOPE,
        volatility: Volatility::Identity,
        select: &[("uuid", Range::Features)],
        fixed: &[],
    },
    Item {
        kind: Kind::Feature,
        name: "value",
        about: "value of a Feature: current, default or saved",
        scope: READ_SCOPE,
        volatility: Volatility::Configuration,
        select: &[("uuid", Range::Features), ("selection", Range::Values)],
        fixed: &[],
    },
];
