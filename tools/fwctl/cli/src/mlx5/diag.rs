// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5 diag`.

use crate::common::{number, scope_parser, warn_of_taint, DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, Block, Format, OutputArgs, Report};
use crate::rpc::Plan;
use clap::Subcommand;
use fwctl::mlx5::{diagnostic_counter, DiagnosticParams, Mlx5Device, HEADER};
use fwctl::Scope;
use serde::Serialize;

/// Sample the diagnostic counters of a ConnectX
///
/// A device samples a set of counters that is chosen with set. Samples are read with read. The
/// kernel lets set and disable through in scope debug-write, which taints the kernel.
#[derive(Subcommand, Debug)]
pub enum DiagVerb {
    Caps(CapsArgs),
    Params(ParamsArgs),
    Read(ReadArgs),
    Set(SetArgs),
    Disable(DisableArgs),
}

/// List the counters that a device has, and what it can do with them
#[derive(clap::Args, Debug)]
pub struct CapsArgs {
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Show which counters a device samples, and how
#[derive(clap::Args, Debug)]
pub struct ParamsArgs {
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Print samples of the counters
#[derive(clap::Args, Debug)]
pub struct ReadArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Number of samples of each counter
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::<u16>)]
    samples: u16,
    /// First sample
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u16>)]
    first: u16,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Choose the counters to sample, and start sampling
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: fwctl mlx5 diag set fwctl0 --counter 0x402 --on-demand --scope debug-write"
)]
pub struct SetArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// A counter, from the list that caps prints
    #[arg(long = "counter", value_name = "ID", required = true, value_parser = number::<u16>)]
    counters: Vec<u16>,
    /// Samples to keep, as a power of two
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u8>)]
    log_samples: u8,
    /// Time between two samples, as a power of two, in clocks of the device
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u8>)]
    log_period: u8,
    /// Take the samples once
    #[arg(long)]
    single: bool,
    /// Take samples again and again
    #[arg(long, conflicts_with = "single")]
    repetitive: bool,
    /// Take a sample when it is read
    #[arg(long, conflicts_with_all = ["single", "repetitive"])]
    on_demand: bool,
    /// Sample all counters at the same time
    #[arg(long)]
    sync: bool,
    /// Clear the counters with each sample
    #[arg(long)]
    clear: bool,
    /// Scope of the request
    #[arg(long, value_parser = scope_parser())]
    scope: Scope,
    /// Send nothing; print the request
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Stop sampling, and clear the samples
#[derive(clap::Args, Debug)]
pub struct DisableArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Scope of the request
    #[arg(long, value_parser = scope_parser())]
    scope: Scope,
    /// Send nothing; print the request
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

impl DiagVerb {
    pub fn format(&self) -> Format {
        match self {
            DiagVerb::Caps(args) => args.output.output,
            DiagVerb::Params(args) => args.output.output,
            DiagVerb::Read(args) => args.output.output,
            DiagVerb::Set(args) => args.output.output,
            DiagVerb::Disable(args) => args.output.output,
        }
    }
}

#[derive(Serialize)]
struct Caps {
    device: String,
    single: bool,
    repetitive: bool,
    log_max_samples: u8,
    log_min_sample_period: u8,
    counters: Vec<CounterRow>,
}

#[derive(Serialize)]
struct CounterRow {
    id: u16,
    sync: bool,
    name: Option<&'static str>,
    unit: Option<&'static str>,
}

#[derive(Serialize)]
struct Params {
    device: String,
    enable: bool,
    single: bool,
    repetitive: bool,
    on_demand: bool,
    sync: bool,
    clear: bool,
    log_num_of_samples: u8,
    log_sample_period: u8,
    counters: Vec<u16>,
}

#[derive(Serialize)]
struct Samples {
    device: String,
    samples: Vec<SampleRow>,
}

#[derive(Serialize)]
struct SampleRow {
    counter: u16,
    name: Option<&'static str>,
    unit: Option<&'static str>,
    sample: u16,
    time_stamp: u32,
    value: u64,
}

pub fn diag(world: &World, verb: &DiagVerb) -> Result<(), Failure> {
    match verb {
        DiagVerb::Caps(args) => caps(world, args),
        DiagVerb::Params(args) => params(world, args),
        DiagVerb::Read(args) => read(world, args),
        DiagVerb::Set(args) => {
            let params = DiagnosticParams {
                log_num_of_samples: args.log_samples,
                log_sample_period: args.log_period,
                single: args.single,
                repetitive: args.repetitive,
                sync: args.sync,
                clear: args.clear,
                on_demand: args.on_demand,
                enable: true,
                counters: args.counters.clone(),
            };
            set(
                world,
                &args.device,
                &params,
                args.scope,
                args.dry_run,
                args.output,
            )
        }
        DiagVerb::Disable(args) => {
            let params = DiagnosticParams {
                clear: true,
                ..DiagnosticParams::default()
            };
            set(
                world,
                &args.device,
                &params,
                args.scope,
                args.dry_run,
                args.output,
            )
        }
    }
}

fn caps(world: &World, args: &CapsArgs) -> Result<(), Failure> {
    let mlx5 = Mlx5Device::new(args.device.open(world)?)?;
    let caps = mlx5.diagnostic_caps()?;
    let row = |(id, sync)| {
        let known = diagnostic_counter(id);
        CounterRow {
            id,
            sync,
            name: known.map(|(name, _)| name),
            unit: known.map(|(_, unit)| unit),
        }
    };
    let report = Caps {
        device: mlx5.device().name().into(),
        single: caps.single,
        repetitive: caps.repetitive,
        log_max_samples: caps.log_max_samples,
        log_min_sample_period: caps.log_min_sample_period,
        counters: caps.counters.into_iter().map(row).collect(),
    };
    output::print(args.output.output, &report)
}

fn report(device: &str, params: DiagnosticParams) -> Params {
    Params {
        device: device.into(),
        enable: params.enable,
        single: params.single,
        repetitive: params.repetitive,
        on_demand: params.on_demand,
        sync: params.sync,
        clear: params.clear,
        log_num_of_samples: params.log_num_of_samples,
        log_sample_period: params.log_sample_period,
        counters: params.counters,
    }
}

fn params(world: &World, args: &ParamsArgs) -> Result<(), Failure> {
    let mlx5 = Mlx5Device::new(args.device.open(world)?)?;
    let params = mlx5.diagnostic_params()?;
    output::print(args.output.output, &report(mlx5.device().name(), params))
}

fn read(world: &World, args: &ReadArgs) -> Result<(), Failure> {
    let mlx5 = Mlx5Device::new(args.device.open(world)?)?;
    let device = mlx5.device().name().to_owned();
    let counters = mlx5.diagnostic_params()?.counters.len();
    if counters == 0 {
        return Err(Failure::Failed(format!(
            "{device}: no counter is sampled: choose some with fwctl mlx5 diag set"
        )));
    }
    let samples = mlx5.diagnostic_samples(counters, args.samples, args.first)?;
    let samples = samples
        .into_iter()
        .map(|sample| {
            let known = diagnostic_counter(sample.counter);
            SampleRow {
                counter: sample.counter,
                name: known.map(|(name, _)| name),
                unit: known.map(|(_, unit)| unit),
                sample: sample.sample,
                time_stamp: sample.time_stamp,
                value: sample.value,
            }
        })
        .collect();
    output::print(args.output.output, &Samples { device, samples })
}

/// Sets parameters, and prints what the device made of them.
fn set(
    world: &World,
    device: &DeviceArg,
    params: &DiagnosticParams,
    scope: Scope,
    dry_run: bool,
    output: OutputArgs,
) -> Result<(), Failure> {
    let entry = device.entry(world)?;
    if dry_run {
        let plan = Plan::new(&entry, scope, HEADER, params.request());
        return output::print(output.output, &plan);
    }
    let mlx5 = Mlx5Device::new(world.open_entry(&entry)?)?;
    warn_of_taint(scope);
    mlx5.set_diagnostic_params(scope, params)?;
    output::print(
        output.output,
        &report(&entry.name, mlx5.diagnostic_params()?),
    )
}

fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.into()
}

impl Report for Caps {
    fn blocks(&self) -> Vec<Block> {
        let cells = |row: &CounterRow| {
            vec![
                format!("{:#06x}", row.id),
                yes_no(row.sync),
                row.unit.unwrap_or("-").into(),
                row.name.unwrap_or("-").into(),
            ]
        };
        let mut blocks = vec![Block::Fields(vec![
            ("device", self.device.clone()),
            ("single", yes_no(self.single)),
            ("repetitive", yes_no(self.repetitive)),
            ("most samples", format!("2^{}", self.log_max_samples)),
            (
                "shortest period",
                format!("2^{} device clocks", self.log_min_sample_period),
            ),
        ])];
        if !self.counters.is_empty() {
            let rows = self.counters.iter().map(cells).collect();
            blocks.push(Block::Table(&["COUNTER", "SYNC", "UNIT", "ABOUT"], rows));
        }
        blocks
    }
}

impl Report for Params {
    fn blocks(&self) -> Vec<Block> {
        let counters: Vec<String> = self
            .counters
            .iter()
            .map(|id| format!("{id:#06x}"))
            .collect();
        let counters = match counters.as_slice() {
            [] => "none".into(),
            _ => counters.join(" "),
        };
        vec![Block::Fields(vec![
            ("device", self.device.clone()),
            ("enabled", yes_no(self.enable)),
            ("single", yes_no(self.single)),
            ("repetitive", yes_no(self.repetitive)),
            ("on demand", yes_no(self.on_demand)),
            ("sync", yes_no(self.sync)),
            ("clear", yes_no(self.clear)),
            ("samples", format!("2^{}", self.log_num_of_samples)),
            (
                "period",
                format!("2^{} device clocks", self.log_sample_period),
            ),
            ("counters", counters),
        ])]
    }
}

impl Report for Samples {
    fn blocks(&self) -> Vec<Block> {
        let cells = |row: &SampleRow| {
            vec![
                format!("{:#06x}", row.counter),
                row.sample.to_string(),
                row.time_stamp.to_string(),
                row.value.to_string(),
                row.name.unwrap_or("-").into(),
            ]
        };
        vec![Block::Table(
            &["COUNTER", "SAMPLE", "TIME STAMP", "VALUE", "ABOUT"],
            self.samples.iter().map(cells).collect(),
        )]
    }
}
