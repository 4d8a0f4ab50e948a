// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5 reg`.

use super::{assign, assignment, blocks, size, undescribed, value_text, Assignment, Id, IdParser};
use crate::common::{number, scope_parser, warn_of_taint, DeviceArg, World};
use crate::failure::Failure;
use crate::fields::Fields;
use crate::output::{self, Block, Bytes, OutputArgs, Report};
use crate::rpc::{Changed, Changes, Plan};
use fwctl::mlx5::{
    access_register_with, decode, registers, Layout, Mlx5Device, Value, HEADER, READ_SCOPE,
};
use fwctl::Scope;
use serde::Serialize;

/// Read or change a register
///
/// Registers and fields have their names from the kernel's headers; other registers are read by
/// number, as bytes. With --set, the register is read, changed, written, and read again. A write
/// must name its scope: Linux 7.3 accepts register writes in every scope, including configuration,
/// which does not taint the kernel.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl mlx5 reg 0000:07:00.0 mtmp --arg sensor_index=1\n  \
                        fwctl mlx5 reg 0000:07:00.0 ppcnt --arg local_port=1 --arg grp=0x12\n  \
                        fwctl mlx5 reg 0000:07:00.0 0x9081 --size 64 -o raw"
)]
pub struct RegArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Name of the register, or its number
    #[arg(value_parser = IdParser(names), add = crate::complete::registers())]
    register: Id,
    /// Argument of the request beside the register's fields, which few registers have
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u32>)]
    argument: u32,
    /// Set a field of the request, such as sensor_index, which selects a sensor
    #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment, add = crate::complete::fields())]
    arg: Vec<Assignment>,
    /// Change a field of the register
    #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment, requires = "scope", add = crate::complete::fields())]
    set: Vec<Assignment>,
    /// Scope of the write
    #[arg(long, value_parser = scope_parser(), requires = "set")]
    scope: Option<Scope>,
    /// Length of the register in bytes, if it has no known layout or a longer one
    #[arg(long, value_name = "N", value_parser = size)]
    size: Option<u16>,
    /// Write nothing: print the request, and for a write the old and new values. A read is not sent
    /// either
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

fn names() -> Vec<&'static str> {
    registers().iter().map(|layout| layout.name).collect()
}

#[derive(Serialize)]
struct Register {
    device: String,
    name: Option<&'static str>,
    id: u16,
    /// It was written before it was read.
    written: bool,
    fields: Fields,
    data: Bytes,
    /// What the fields leave open.
    #[serde(skip)]
    rest: Vec<u8>,
}

pub fn reg(world: &World, args: RegArgs) -> Result<(), Failure> {
    let layout = layout(&args.register, args.size)?;
    let size = args.size.map_or(layout.size, usize::from);
    let mut select = vec![0; size];
    assign(&layout, &mut select, &args.arg)?;
    // Before anything is sent.
    assign(&layout, &mut select.clone(), &args.set)?;
    let entry = args.device.entry(world)?;
    if args.dry_run && args.scope.is_none() {
        let plan = Plan::new(
            &entry,
            READ_SCOPE,
            HEADER + size,
            access_register_with(layout.id, true, args.argument, &select),
        );
        return output::print(args.output.output, &plan);
    }
    let mlx5 = Mlx5Device::new(world.open_entry(&entry)?)?;
    let mut data = mlx5.read_register_with(layout.id, args.argument, &select)?;
    if let Some(scope) = args.scope {
        let old = data.clone();
        assign(&layout, &mut data, &args.arg)?;
        assign(&layout, &mut data, &args.set)?;
        if args.dry_run {
            let request = access_register_with(layout.id, false, args.argument, &data);
            let mut plan = Plan::new(&entry, scope, request.len(), request);
            plan.changes = changes(&layout, &old, &data);
            let plan = plan.with_values(Some(old), data);
            return output::print(args.output.output, &plan);
        }
        warn_of_taint(scope);
        mlx5.write_register_with(scope, layout.id, args.argument, &data)?;
        data = mlx5.read_register_with(layout.id, args.argument, &select)?;
    }
    let register = Register {
        device: entry.name,
        name: Some(layout.name).filter(|name| !name.is_empty()),
        id: layout.id,
        written: args.scope.is_some(),
        fields: Fields::new(decode(&layout, &data)),
        rest: undescribed(&layout, &data).to_vec(),
        data: Bytes(data),
    };
    output::print(args.output.output, &register)
}

/// The fields in which two values of a register differ.
fn changes(layout: &Layout, old_data: &[u8], new_data: &[u8]) -> Changes {
    let changed = layout.fields_of(new_data).filter_map(|field| {
        match (field.get(old_data)?, field.get(new_data)?) {
            (Value::Number(old), Value::Number(new)) if old != new => Some(Changed {
                name: field.name.into(),
                old,
                new,
                texts: [old_data, new_data].map(|data| value_text(layout, data, field.name)),
            }),
            _ => None,
        }
    });
    Changes(changed.collect())
}

/// The register of a name or number, which can be one of which nothing is known but its length.
fn layout(id: &Id, size: Option<u16>) -> Result<Layout, Failure> {
    let known = registers().iter().find(|layout| id.means(layout));
    match (known, size) {
        (Some(layout), Some(_)) => Ok(layout.clone()),
        (Some(layout), None) if layout.size > 0 => Ok(layout.clone()),
        _ => id.unknown(size),
    }
}

impl Report for Register {
    fn blocks(&self) -> Vec<Block> {
        let name = self
            .name
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        let mut fields = vec![
            ("device", self.device.clone()),
            ("register", format!("{:#06x}{name}", self.id)),
        ];
        if self.written {
            fields.push(("written", "yes; read back below".into()));
        }
        let mut all = vec![Block::Fields(fields)];
        all.extend(blocks(&self.fields, &self.rest));
        all
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.data.0)
    }
}
