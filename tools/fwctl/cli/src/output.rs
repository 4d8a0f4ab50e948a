// SPDX-License-Identifier: MIT OR Apache-2.0

//! The only printer. A command makes one report; tables, JSON and raw bytes are made from it here.

use crate::failure::Failure;
use clap::{Args, ValueEnum};
use comfy_table::{presets, ColumnConstraint, ContentArrangement, Table};
use fwctl::snapshot::Versioned;
use rustix::event::{poll, PollFd, PollFlags};
use rustix::termios::tcgetwinsize;
use serde::{Serialize, Serializer};
use std::fmt;
use std::io::{self, IsTerminal, Write};

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For programs: one object, with "format": 2
    Json,
    /// Raw bytes, for commands that return bytes
    Raw,
}

/// The option that every verb has.
#[derive(Args, Clone, Copy, Debug)]
pub struct OutputArgs {
    /// Print a table, JSON or raw bytes
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,
}

/// Result of a command.
pub trait Report: Serialize {
    /// For people: what to show, in order.
    fn blocks(&self) -> Vec<Block>;

    /// The bytes that the command is about, if it is about bytes.
    fn raw(&self) -> Option<&[u8]> {
        None
    }
}

/// A piece of a report for people.
pub enum Block {
    /// One value a line.
    Fields(Vec<(&'static str, String)>),
    /// Rows under headings.
    Table(&'static [&'static str], Vec<Vec<String>>),
    /// The same. A terminal that is too narrow gets it without the columns of these headings, as many
    /// of them as needed, from the first on.
    Trimmed(
        &'static [&'static str],
        Vec<Vec<String>>,
        &'static [&'static str],
    ),
    /// Bytes as a dump.
    Dump(Vec<u8>),
}

/// Bytes that are hexadecimal digits in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

/// Prints a report to stdout.
pub fn print(format: Format, report: &impl Report) -> Result<(), Failure> {
    match format {
        Format::Table => {
            let width = width();
            let is_coloured = io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            print_bytes(render(&report.blocks(), width, is_coloured).as_bytes())
        }
        Format::Json => print_bytes((json(report)? + "\n").as_bytes()),
        Format::Raw => match report.raw() {
            Some(bytes) => print_bytes(bytes),
            None => Err(no_raw_output()),
        },
    }
}

/// Prints the report of a command that wrote its bytes to a file: people have a message, and programs
/// the same object as without the file.
pub fn print_beside_file(format: Format, report: &impl Report) -> Result<(), Failure> {
    match format {
        Format::Json => print(format, report),
        Format::Table | Format::Raw => Ok(()),
    }
}

/// The failure of a command that does not return bytes, and was asked for them.
pub fn no_raw_output() -> Failure {
    Failure::Usage("this command has no raw output: use -o table or -o json".into())
}

/// Columns of the terminal that stdout is, if it is one. A serial console may not know them, nor its
/// lines.
pub fn width() -> Option<u16> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

/// Prints bytes to stdout.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|e| Failure::file("stdout", &e))
}

/// Returns whether the reader of stdout has closed it.
pub fn is_reader_gone() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let closed = PollFlags::ERR | PollFlags::HUP;
    poll(&mut fds, 0).is_ok() && fds[0].revents().intersects(closed)
}

/// Prints a message to stderr. Failures are ignored.
pub fn say(text: &str) {
    let lines: Vec<String> = text.split('\n').map(printable).collect();
    let _ = writeln!(io::stderr(), "fwctl: {}", lines.join("\n"));
}

/// A number of bytes with its unit.
pub fn bytes(count: usize) -> String {
    match count {
        1 => "1 byte".into(),
        _ => format!("{count} bytes"),
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
    }
    text
}

/// A report on one line of JSON, with the version in front.
pub fn json_line(report: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(&Versioned::new(report)).map_err(|e| Failure::Failed(e.to_string()))
}

/// A report as JSON, with the version in front.
pub fn json(report: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(&Versioned::new(report))
        .map_err(|e| Failure::Failed(e.to_string()))
}

fn render(blocks: &[Block], width: Option<u16>, is_coloured: bool) -> String {
    let mut text = String::new();
    for (number, block) in blocks.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        match block {
            Block::Fields(fields) => {
                let label_width = fields
                    .iter()
                    .map(|(label, _)| label.len() + 1)
                    .max()
                    .unwrap_or(0);
                for (label, value) in fields {
                    text += &field(label, label_width, value, width);
                }
            }
            Block::Table(head, rows) => text.push_str(&table(head, rows, width, is_coloured)),
            Block::Trimmed(head, rows, dispensable) => {
                let (head, rows) = trimmed(head, rows, dispensable, width);
                text.push_str(&table(&head, &rows, width, is_coloured));
            }
            Block::Dump(bytes) => text.push_str(&dump(bytes)),
        }
    }
    text
}

/// A label with its colon, and a value that is broken over lines between words if a terminal is too
/// narrow for it.
fn field(label: &str, label_width: usize, value: &str, width: Option<u16>) -> String {
    let indent = label_width + 2;
    let rest = width.map_or(usize::MAX, |width| {
        usize::from(width).saturating_sub(indent)
    });
    let mut line = format!("{:label_width$}  ", format!("{label}:"));
    let (mut used, mut text) = (0, String::new());
    for word in printable(value).split(' ') {
        let len = word.chars().count();
        if used > 0 && used + len > rest {
            text = text + line.trim_end() + "\n";
            line = " ".repeat(indent);
            used = 0;
        }
        line = line + word + " ";
        used += len + 1;
    }
    text + line.trim_end() + "\n"
}

/// Rows under headings; or, if a terminal is too narrow for that without breaking words, the fields
/// of each row one below the other.
fn table(head: &[&str], rows: &[Vec<String>], width: Option<u16>, is_coloured: bool) -> String {
    if width.is_some_and(|width| least_width(head, rows) > usize::from(width)) {
        return records(head, rows, width);
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(head.iter().copied());
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    // Only the last column is broken over lines: names and numbers of the others are there to be
    // copied.
    let last = head.len().saturating_sub(1);
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if number < last { 2 } else { 0 }));
        if number < last {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let text = table.trim_fmt() + "\n";
    match text.split_once('\n') {
        Some((first, rest)) if is_coloured => format!("\x1b[1m{first}\x1b[0m\n{rest}"),
        _ => text,
    }
}

/// A table without as many of its dispensable columns as it needs to fit; all of it if that is not
/// enough.
fn trimmed<'a>(
    head: &[&'a str],
    rows: &[Vec<String>],
    dispensable: &[&str],
    width: Option<u16>,
) -> (Vec<&'a str>, Vec<Vec<String>>) {
    let without = |count: usize| {
        let is_kept = |title: &&str| !dispensable[..count].contains(title);
        let kept = |row: &Vec<String>| {
            let cells = head.iter().zip(row).filter(|(title, _)| is_kept(title));
            cells.map(|(_, cell)| cell.clone()).collect()
        };
        let head: Vec<&str> = head.iter().copied().filter(is_kept).collect();
        (head, rows.iter().map(kept).collect::<Vec<_>>())
    };
    let fits = |(head, rows): &(Vec<&str>, Vec<Vec<String>>)| {
        width.is_none_or(|width| least_width(head, rows) <= usize::from(width))
    };
    (0..=dispensable.len())
        .map(without)
        .find(fits)
        .unwrap_or_else(|| without(0))
}

/// The width that a table needs at least: all columns but the last one are as wide as their longest
/// cell, and that one as its longest word.
fn least_width(head: &[&str], rows: &[Vec<String>]) -> usize {
    let last = head.len().saturating_sub(1);
    let cells = |column: usize| {
        let head = std::iter::once(head[column]);
        head.chain(
            rows.iter()
                .filter_map(move |row| row.get(column).map(String::as_str)),
        )
    };
    let len = |text: &str| text.chars().count();
    let width = |column: usize| match column == last {
        true => cells(column).flat_map(str::split_whitespace).map(len).max(),
        false => cells(column).map(|cell| len(cell) + 2).max(),
    };
    (0..head.len()).filter_map(width).sum()
}

fn records(head: &[&str], rows: &[Vec<String>], width: Option<u16>) -> String {
    let label_width = head.iter().map(|label| label.len() + 1).max().unwrap_or(0);
    let record = |row: &Vec<String>| {
        head.iter()
            .zip(row)
            .map(|(label, value)| field(label, label_width, value, width))
            .collect::<String>()
    };
    rows.iter().map(record).collect::<Vec<_>>().join("\n")
}

/// Text from elsewhere, without characters that a terminal would act on.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Offset, 16 bytes, and the same as text.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (number, line) in bytes.chunks(16).enumerate() {
        let mut digits = String::new();
        for (i, byte) in line.iter().enumerate() {
            digits += if i == 8 { "  " } else { " " };
            digits += &format!("{byte:02x}");
        }
        let letters: String = line
            .iter()
            .map(|&b| {
                if b.is_ascii_graphic() || b == b' ' {
                    b as char
                } else {
                    '.'
                }
            })
            .collect();
        text += &format!("{:08x} {digits:49}  |{letters}|\n", number * 16);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_has_16_bytes_a_line() {
        let bytes: Vec<u8> = (0x2e..0x40).collect();
        assert_eq!(
            dump(&bytes),
            "00000000  2e 2f 30 31 32 33 34 35  36 37 38 39 3a 3b 3c 3d  |./0123456789:;<=|\n\
             00000010  3e 3f                                             |>?|\n"
        );
        assert_eq!(dump(&[]), "");
    }

    #[test]
    fn a_table_has_no_trailing_space_and_no_colour_unless_asked() {
        let rows = vec![
            vec!["fwctl0".into(), "cxl".into()],
            vec!["fwctl10".into(), String::new()],
        ];
        assert_eq!(
            table(&["NAME", "TYPE"], &rows, None, false),
            "NAME     TYPE\nfwctl0   cxl\nfwctl10\n"
        );
        assert!(table(&["NAME", "TYPE"], &rows, None, true)
            .starts_with("\x1b[1mNAME     TYPE\x1b[0m\nfwctl0 "));
        let narrow = table(
            &["A", "B"],
            &[vec!["x".into(), "several words that wrap".into()]],
            Some(20),
            false,
        );
        assert!(
            narrow.lines().count() > 2 && narrow.lines().all(|line| line.len() <= 20),
            "{narrow}"
        );
    }

    #[test]
    fn a_terminal_that_is_too_narrow_gets_one_field_a_line() {
        let row = |name: &str| {
            vec![
                "96dad7d6-fde8-482b-a733-75774e06db8a".into(),
                name.into(),
                "configuration after a cold reset; may need a restart".into(),
            ]
        };
        let rows = [row("patrol-scrub"), row("ecs")];
        let head = ["UUID", "NAME", "EFFECTS"];
        assert_eq!(
            table(&head, &rows, Some(50), false),
            "UUID:     96dad7d6-fde8-482b-a733-75774e06db8a\n\
             NAME:     patrol-scrub\n\
             EFFECTS:  configuration after a cold reset; may\n          need a restart\n\
             \n\
             UUID:     96dad7d6-fde8-482b-a733-75774e06db8a\n\
             NAME:     ecs\n\
             EFFECTS:  configuration after a cold reset; may\n          need a restart\n"
        );
        // 36 + 2 + 12 + 2 columns, and 13 for the longest word.
        assert!(table(&head, &rows, Some(64), false).starts_with("UUID:"));
        let table = table(&head, &rows, Some(65), false);
        assert!(table.starts_with("UUID   "), "{table}");
        assert!(
            table.lines().all(|line| line.len() <= 65) && table.contains(" configuration\n"),
            "{table}"
        );
    }

    #[test]
    fn a_terminal_that_is_too_narrow_gets_the_columns_that_matter() {
        const HEAD: &[&str] = &["NAME", "DRIVER", "OPEN TO", "PRODUCT"];
        let row = ["fwctl0", "mlx5_core", "root (0600)", "ConnectX"];
        let rows = vec![row.map(str::to_owned).to_vec()];
        let text = |width| {
            let block = Block::Trimmed(HEAD, rows.clone(), &["DRIVER", "OPEN TO"]);
            render(&[block], width, false)
        };
        let whole =
            "NAME    DRIVER     OPEN TO      PRODUCT\nfwctl0  mlx5_core  root (0600)  ConnectX\n";
        assert_eq!(text(None), whole);
        assert_eq!(text(Some(40)), whole);
        assert_eq!(
            text(Some(39)),
            "NAME    OPEN TO      PRODUCT\nfwctl0  root (0600)  ConnectX\n"
        );
        assert_eq!(text(Some(28)), "NAME    PRODUCT\nfwctl0  ConnectX\n");
        // Where nothing helps, nothing is left out.
        assert!(text(Some(15)).contains("DRIVER:   mlx5_core\n"));
    }

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(
            render(
                &[Block::Fields(vec![("a", "x\x1b[2Jy".into())])],
                None,
                true
            ),
            "a:  x\u{fffd}[2Jy\n"
        );
    }
}
