// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl pds`: the operations of a Pensando card's firmware.

mod call;
mod endpoints;
mod operations;

use crate::common::World;
use crate::failure::Failure;
use crate::output::Format;
use clap::Subcommand;

/// List and call operations of a Pensando card's firmware
#[derive(Subcommand, Debug)]
pub enum PdsVerb {
    Endpoints(endpoints::EndpointsArgs),
    Operations(operations::OperationsArgs),
    Call(call::CallArgs),
}

impl PdsVerb {
    pub fn format(&self) -> Format {
        match self {
            PdsVerb::Endpoints(args) => args.output.output,
            PdsVerb::Operations(args) => args.output.output,
            PdsVerb::Call(args) => args.output.output,
        }
    }
}

pub fn run(world: &World, verb: PdsVerb) -> Result<(), Failure> {
    match verb {
        PdsVerb::Endpoints(args) => endpoints::endpoints(world, &args),
        PdsVerb::Operations(args) => operations::operations(world, &args),
        PdsVerb::Call(args) => call::call(world, args),
    }
}

/// A number of the firmware, which tables and messages show in hexadecimal.
fn hex_number(number: u32) -> String {
    format!("{number:#x}")
}
