// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5 dump`.

use crate::common::{number, number_text, DeviceArg, World};
use crate::failure::{ErrorRow, Failure};
use crate::file::Output;
use crate::output::{self, say, Block, Bytes, OutputArgs, Report};
use crate::progress;
use fwctl::mlx5::{segments, Content, DumpRequest, Index, MenuRecord, Mlx5Device, Segment, MENU};
use fwctl::Memory;
use serde::Serialize;
use std::ops::ControlFlow;

/// Dump state of the firmware: queues, contexts and other objects
///
/// Without WHAT, lists what can be dumped, with the numbers that each takes. Asks until the firmware
/// has no more, and splits the dump into its segments; their content is the vendor's. Raw output is
/// the dump as it came, which other tools read.
///
/// Where the kernel can register memory for the firmware, a dump goes through memory, in fewer
/// requests. The result is the same.
///
/// The file of --out is replaced as a whole, and only by a dump that is complete. If the firmware
/// fails midway, what came before is written to a file of the same name with .partial at its end.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl mlx5 dump 0000:07:00.0\n  fwctl mlx5 dump 0000:07:00.0 PRM_QUERY_QP --index1 0x48 --out qp.bin\n  fwctl mlx5 dump 0000:07:00.0 --all --out all.bin"
)]
pub struct DumpArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Name of the list, or the number of a segment type
    #[arg(value_name = "WHAT")]
    what: Option<String>,
    /// Dump everything in the list that exists: all objects, where the firmware knows which those are
    ///
    /// Prints how long each dump is. Raw output, and the file of --out, is one dump after the other.
    #[arg(
        long,
        conflicts_with_all = ["what", "index1", "index2", "count1", "count2"]
    )]
    all: bool,
    /// First number of the object
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u32>)]
    index1: u32,
    /// Second number of the object
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u32>)]
    index2: u32,
    /// How many objects from --index1 on
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u16>)]
    count1: u16,
    /// How many objects from --index2 on
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u16>)]
    count2: u16,
    /// Virtual device whose objects are meant
    #[arg(long, value_name = "ID", default_value = "0", value_parser = number::<u16>)]
    vhca: u16,
    /// Register no memory for the firmware
    #[arg(long)]
    inline: bool,
    /// Give up after this many bytes
    #[arg(long, value_name = "BYTES", default_value = "16777216", value_parser = number::<u32>)]
    max: u32,
    /// Write the dump's bytes to this file, which is replaced as a whole
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct Menu {
    device: String,
    menu: Vec<MenuRow>,
}

#[derive(Serialize)]
struct MenuRow {
    segment_type: u16,
    name: String,
    index1: IndexRow,
    index2: IndexRow,
}

#[derive(Serialize)]
struct IndexRow {
    name: String,
    supported: bool,
    required: bool,
    takes_count: bool,
    requires_count: bool,
    takes_all: bool,
    takes_active: bool,
}

#[derive(Serialize)]
struct Dump {
    device: String,
    segment_type: u16,
    size: usize,
    segments: Vec<SegmentRow>,
    /// Bytes behind the last segment that is whole.
    rest: Bytes,
    #[serde(skip)]
    bytes: Vec<u8>,
}

#[derive(Serialize)]
struct All {
    device: String,
    size: usize,
    dumps: Vec<AllRow>,
    #[serde(skip)]
    bytes: Vec<u8>,
}

#[derive(Serialize)]
struct AllRow {
    name: String,
    segment_type: u16,
    /// None if it was not dumped.
    size: Option<usize>,
    note: Option<String>,
}

impl AllRow {
    fn new(record: &MenuRecord, size: Option<usize>, note: Option<String>) -> AllRow {
        AllRow {
            name: record.name.clone(),
            segment_type: record.segment_type,
            size,
            note,
        }
    }
}

#[derive(Serialize)]
struct SegmentRow {
    segment_type: u16,
    kind: &'static str,
    #[serde(skip)]
    text: String,
    syndrome: Option<u16>,
    message: Option<String>,
    index1: Option<u32>,
    index2: Option<u32>,
    data: Bytes,
}

pub fn dump(world: &World, args: &DumpArgs) -> Result<(), Failure> {
    let file = args.out.as_deref().map(Output::prepare).transpose()?;
    let mlx5 = Mlx5Device::new(args.device.open(world)?)?;
    let device = mlx5.device().name().to_owned();
    if args.all {
        return dump_all(&mlx5, file, args);
    }
    let Some(what) = &args.what else {
        let menu = mlx5.dump_menu()?.into_iter().map(menu_row).collect();
        return output::print(args.output.output, &Menu { device, menu });
    };
    let request = DumpRequest {
        segment_type: segment_type(&mlx5, what)?,
        vhca_id: args.vhca,
        index1: args.index1,
        index2: args.index2,
        num_of_obj1: args.count1,
        num_of_obj2: args.count2,
    };
    let memory = memory_for_dumps(&mlx5, args)?;
    let mut bytes = Vec::new();
    let result = read_to(
        &mlx5,
        &request,
        args.max as usize,
        memory.as_ref(),
        &mut bytes,
    );
    // The firmware forgets the memory before anything is printed.
    drop(memory);
    if let Err(error) = result {
        if let Some(file) = file {
            keep(&device, file, &bytes)?;
        }
        return Err(error.into());
    }
    let (found, rest) = segments(&bytes);
    if !rest.is_empty() {
        say(&format!(
            "{device}: the dump does not end with a whole segment: {} are left",
            output::bytes(rest.len())
        ));
    }
    let dump = Dump {
        segment_type: request.segment_type,
        size: bytes.len(),
        segments: found.into_iter().map(segment_row).collect(),
        rest: Bytes(rest.to_vec()),
        bytes: bytes.clone(),
        device,
    };
    let refusal = dump.segments.iter().find(|row| row.kind == "error");
    let refusal =
        refusal.map(|row| format!("{}: the dump has an error: {}", dump.device, row.text));
    match file {
        Some(file) => {
            file.write(&bytes)?;
            output::print_beside_file(args.output.output, &dump)?;
        }
        None => output::print(args.output.output, &dump)?,
    }
    match refusal {
        Some(text) => Err(Failure::Reported(text)),
        None => Ok(()),
    }
}

/// Reads a dump inline, and shows how far it is.
pub fn read(mlx5: &Mlx5Device, request: &DumpRequest, max: usize) -> Result<Vec<u8>, fwctl::Error> {
    let mut bytes = Vec::new();
    read_to(mlx5, request, max, None, &mut bytes)?;
    Ok(bytes)
}

/// Reads a dump, by way of memory if there is some. Appends it, or what came before an error.
fn read_to(
    mlx5: &Mlx5Device,
    request: &DumpRequest,
    max: usize,
    memory: Option<&Memory>,
    bytes: &mut Vec<u8>,
) -> Result<(), fwctl::Error> {
    let name = mlx5.device().name().to_owned();
    let result = mlx5.dump_to(request, max, memory, bytes, |count| {
        progress::count(&name, "bytes dumped", count);
        ControlFlow::Continue(())
    });
    progress::clear();
    result
}

/// How much memory to register for dumps. It is cleared before each step, and no firmware is known
/// that writes more at once.
const MEMORY: usize = 1 << 20;

/// Registers memory for dumps that could also be made without.
fn memory_for_dumps(mlx5: &Mlx5Device, args: &DumpArgs) -> Result<Option<Memory>, fwctl::Error> {
    if args.inline {
        return Ok(None);
    }
    match mlx5.dump_memory(MEMORY) {
        Err(error) if error.is_above_limit() => {
            say(&format!("{error}: dumping without memory, which is slow"));
            Ok(None)
        }
        result => result,
    }
}

/// Keeps what came before an error, if anything did, beside the file that it was for.
pub fn keep(device: &str, file: Output, bytes: &[u8]) -> Result<(), Failure> {
    if bytes.is_empty() {
        return Ok(());
    }
    let name = file.write_partial(bytes)?;
    say(&format!(
        "{device}: {} came before the error; they are in {name}",
        output::bytes(bytes.len())
    ));
    Ok(())
}

/// Dumps all that the menu lists, as far as no number must be known for it.
fn dump_all(mlx5: &Mlx5Device, file: Option<Output>, args: &DumpArgs) -> Result<(), Failure> {
    let device = mlx5.device().name().to_owned();
    let menu = mlx5.dump_menu()?;
    let memory = memory_for_dumps(mlx5, args)?;
    let (mut bytes, mut dumps, mut refusals) = (Vec::new(), Vec::new(), 0);
    for record in &menu {
        let (count1, count2) = match (count(&record.index1), count(&record.index2)) {
            (Some(count1), Some(count2)) => (count1, count2),
            _ => {
                dumps.push(AllRow::new(record, None, Some("needs a number".into())));
                continue;
            }
        };
        let request = DumpRequest {
            vhca_id: args.vhca,
            num_of_obj1: count1,
            num_of_obj2: count2,
            ..DumpRequest::new(record.segment_type)
        };
        let before = bytes.len();
        let max = (args.max as usize).saturating_sub(before);
        let result = read_to(mlx5, &request, max, memory.as_ref(), &mut bytes);
        let note = match result {
            Ok(()) => first_error(&bytes[before..]),
            // The firmware does not like this one.
            Err(error) if error.firmware_status().is_some() => {
                refusals += 1;
                Some(error.to_string())
            }
            Err(error) => {
                drop(memory);
                if let Some(file) = file {
                    keep(&device, file, &bytes)?;
                }
                return Err(error.into());
            }
        };
        dumps.push(AllRow::new(record, Some(bytes.len() - before), note));
    }
    drop(memory);
    let all = All {
        device,
        size: bytes.len(),
        dumps,
        bytes,
    };
    match file {
        Some(file) => {
            file.write(&all.bytes)?;
            output::print_beside_file(args.output.output, &all)?;
        }
        None => output::print(args.output.output, &all)?,
    }
    match refusals {
        0 => Ok(()),
        _ => Err(Failure::Reported(format!(
            "{}: the firmware refused {refusals} of {} dumps",
            all.device,
            all.dumps.len()
        ))),
    }
}

/// The count that means all objects, or 0 if there is no such number; none if a number is needed.
fn count(index: &Index) -> Option<u16> {
    const ALL: u16 = 0xffff;
    const ACTIVE: u16 = 0xfffe;
    match index {
        Index {
            takes_active: true, ..
        } => Some(ACTIVE),
        Index {
            takes_all: true, ..
        } => Some(ALL),
        Index {
            is_required: true, ..
        }
        | Index {
            requires_count: true,
            ..
        } => None,
        _ => Some(0),
    }
}

/// What a dump says went wrong.
fn first_error(bytes: &[u8]) -> Option<String> {
    let (found, _) = segments(bytes);
    found.into_iter().find_map(|segment| match segment.content {
        Content::Error(message) => Some(message.text),
        _ => None,
    })
}

/// The type of a number or of a name of the menu.
fn segment_type(mlx5: &Mlx5Device, what: &str) -> Result<u16, Failure> {
    if let Ok(number) = number::<u16>(what) {
        return Ok(number);
    }
    if what.eq_ignore_ascii_case("menu") {
        return Ok(MENU);
    }
    let menu = mlx5.dump_menu()?;
    if let Some(record) = menu
        .iter()
        .find(|record| record.name.eq_ignore_ascii_case(what))
    {
        return Ok(record.segment_type);
    }
    let names: Vec<&str> = menu.iter().map(|record| record.name.as_str()).collect();
    Err(Failure::Device(Box::new(ErrorRow::of_text(format!(
        "{what}: cannot be dumped: not a number, and not one of {}",
        names.join(", ")
    )))))
}

fn menu_row(record: MenuRecord) -> MenuRow {
    let row = |index: Index| IndexRow {
        name: index.name,
        supported: index.is_supported,
        required: index.is_required,
        takes_count: index.takes_count,
        requires_count: index.requires_count,
        takes_all: index.takes_all,
        takes_active: index.takes_active,
    };
    MenuRow {
        segment_type: record.segment_type,
        name: record.name,
        index1: row(record.index1),
        index2: row(record.index2),
    }
}

fn segment_row(segment: Segment) -> SegmentRow {
    let request = |what: &DumpRequest| {
        format!(
            "type {:#x}, index1 {}, index2 {}, counts {} and {}",
            what.segment_type,
            number_text(what.index1.into()),
            number_text(what.index2.into()),
            what.num_of_obj1,
            what.num_of_obj2
        )
    };
    let (kind, text) = match &segment.content {
        Content::Info {
            dump_version,
            hw_version,
            fw_version,
        } => (
            "info",
            format!("format {dump_version}, hardware {hw_version:#x}, firmware {fw_version:#x}"),
        ),
        Content::Command(what) => ("command", request(what)),
        Content::Menu(records) => ("menu", format!("{} records", records.len())),
        Content::Notice(message) => ("notice", message.text.clone()),
        Content::Error(message) => (
            "error",
            format!("{} (syndrome {:#x})", message.text, message.syndrome),
        ),
        Content::Reference(what) => ("reference", request(what)),
        Content::Resource { index1, index2 } => (
            "resource",
            format!(
                "index1 {}, index2 {}",
                number_text((*index1).into()),
                number_text((*index2).into())
            ),
        ),
        Content::Terminate => ("terminate", String::new()),
        _ => ("unknown", String::new()),
    };
    let message = match &segment.content {
        Content::Notice(message) | Content::Error(message) => Some(message),
        _ => None,
    };
    let indexes = match &segment.content {
        Content::Resource { index1, index2 } => Some((*index1, *index2)),
        Content::Reference(what) | Content::Command(what) => Some((what.index1, what.index2)),
        _ => None,
    };
    SegmentRow {
        segment_type: segment.segment_type,
        kind,
        text,
        syndrome: message.map(|message| message.syndrome),
        message: message.map(|message| message.text.clone()),
        index1: indexes.map(|(index1, _)| index1),
        index2: indexes.map(|(_, index2)| index2),
        data: Bytes(segment.data),
    }
}

impl Report for Menu {
    fn blocks(&self) -> Vec<Block> {
        let index = |index: &IndexRow| match (index.supported, index.required) {
            (false, _) => "-".to_owned(),
            (true, false) => index.name.clone(),
            (true, true) => format!("{} (required)", index.name),
        };
        let cells = |row: &MenuRow| {
            vec![
                row.name.clone(),
                format!("{:#06x}", row.segment_type),
                index(&row.index1),
                index(&row.index2),
            ]
        };
        vec![Block::Table(
            &["NAME", "TYPE", "INDEX1", "INDEX2"],
            self.menu.iter().map(cells).collect(),
        )]
    }
}

impl Report for All {
    fn blocks(&self) -> Vec<Block> {
        let cells = |row: &AllRow| {
            vec![
                row.name.clone(),
                format!("{:#06x}", row.segment_type),
                row.size.map_or("-".to_owned(), |size| size.to_string()),
                row.note.clone().unwrap_or_default(),
            ]
        };
        vec![Block::Table(
            &["NAME", "TYPE", "BYTES", "NOTE"],
            self.dumps.iter().map(cells).collect(),
        )]
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.bytes)
    }
}

impl Report for Dump {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = vec![Block::Fields(vec![
            ("device", self.device.clone()),
            ("type", format!("{:#06x}", self.segment_type)),
            ("size", output::bytes(self.size)),
        ])];
        for row in &self.segments {
            let mut fields = vec![(row.kind, row.text.clone())];
            if matches!(row.kind, "resource" | "unknown") {
                fields.push(("type", format!("{:#06x}", row.segment_type)));
            }
            blocks.push(Block::Fields(fields));
            // Two words of reserved bits and two numbers are before a resource's payload.
            let payload = match row.kind {
                "resource" => row.data.0.get(12..),
                "unknown" => Some(row.data.0.as_slice()),
                _ => None,
            };
            blocks.extend(
                payload
                    .filter(|bytes| !bytes.is_empty())
                    .map(|bytes| Block::Dump(bytes.to_vec())),
            );
        }
        blocks
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.bytes)
    }
}
