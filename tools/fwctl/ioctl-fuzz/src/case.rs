// SPDX-License-Identifier: MIT OR Apache-2.0

//! A case: a sequence of calls on one device, and its text format.
//!
//! One call per line, a blank line between cases, `#` for comments:
//!
//! ```text
//! info size=24 flags=0x0 data=64@good arg=good tail=0
//! rpc size=32 scope=0 in=16@good out=4096@good arg=good tail=0 request=666c307001,00*11
//! raw number=0x9a02 arg=good bytes=20,00*3
//! reopen
//! caller plain
//! via ring
//! ```
//!
//! `LEN@PLACE`, where `PLACE` is `good`, `null`, `kernel`, `readonly`, or `end+N`: the mapping ends
//! after N bytes. Bytes are hexadecimal; `00*11` repeats a byte eleven times. A case starts with an
//! open file, a caller with all capabilities, and ioctl(2).

use anyhow::{bail, ensure, Context, Result};
use fwctl_uapi::{FWCTL_TYPE, MAX_RPC_LEN};
use std::fmt;

/// The kind of address that a call passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Mapped memory.
    Good,
    /// Memory whose mapping ends after this many bytes.
    Ends(u32),
    /// Read-only memory.
    ReadOnly,
    /// NULL.
    Null,
    /// An address in the kernel's half of the address space.
    Kernel,
}

/// A length and the address that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The length that the call passes, which may exceed the memory.
    pub len: u32,
    /// The address.
    pub place: Place,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `FWCTL_INFO`
    Info {
        /// `size`.
        size: u32,
        /// `flags`, which must be 0.
        flags: u32,
        /// Buffer for the device data.
        data: Buffer,
        /// Address of the structure.
        arg: Place,
        /// Byte that follows the structure.
        tail: u8,
    },
    /// `FWCTL_RPC`
    Rpc {
        /// `size`.
        size: u32,
        /// `enum fwctl_rpc_scope`
        scope: u32,
        /// Buffer of the request.
        input: Buffer,
        /// Bytes of the request, followed by zeros.
        request: Vec<u8>,
        /// Buffer for the reply.
        output: Buffer,
        /// Address of the structure.
        arg: Place,
        /// Byte that follows the structure.
        tail: u8,
    },
    /// Any ioctl, with a structure that contains no valid addresses.
    Raw {
        /// Number of the ioctl, which has the type of fwctl.
        number: u32,
        /// Address of the structure.
        arg: Place,
        /// Bytes of the structure.
        bytes: Vec<u8>,
    },
    /// Closes the file and opens the device again.
    Reopen,
    /// Sets the capabilities of the caller.
    Caller {
        /// All capabilities, or none.
        is_privileged: bool,
    },
    /// Sets how the calls that follow are made.
    Via(Carrier),
}

/// How a call gets to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// ioctl(2).
    Ioctl,
    /// A command of io_uring.
    Ring,
    /// A command of io_uring that a worker carries out.
    Worker,
}

impl Carrier {
    /// All of them, with their names in the text format.
    pub const ALL: [(&'static str, Carrier); 3] = [
        ("ioctl", Carrier::Ioctl),
        ("ring", Carrier::Ring),
        ("worker", Carrier::Worker),
    ];
}

/// A sequence of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// The calls.
    pub calls: Vec<Call>,
}

impl Case {
    /// Parses a file of cases.
    pub fn parse_all(text: &str) -> Result<Vec<Case>> {
        let mut cases = vec![Case::default()];
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                cases.push(Case::default());
            } else if !line.starts_with('#') {
                let call = Call::parse(line).with_context(|| format!("line {}", n + 1))?;
                cases
                    .last_mut()
                    .expect("a case was pushed")
                    .calls
                    .push(call);
            }
        }
        cases.retain(|case| !case.calls.is_empty());
        Ok(cases)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls.iter().try_for_each(|call| writeln!(f, "{call}"))
    }
}

impl Call {
    fn parse(line: &str) -> Result<Call> {
        match line {
            "reopen" => return Ok(Call::Reopen),
            "caller privileged" => {
                return Ok(Call::Caller {
                    is_privileged: true,
                })
            }
            "caller plain" => {
                return Ok(Call::Caller {
                    is_privileged: false,
                })
            }
            _ => {}
        }
        if let Some(name) = line.strip_prefix("via ") {
            let found = Carrier::ALL.iter().find(|(known, _)| *known == name);
            let (_, carrier) = found.with_context(|| format!("unknown carrier `{name}`"))?;
            return Ok(Call::Via(*carrier));
        }
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let fields: Vec<(&str, &str)> = words
            .map(|word| word.split_once('=').with_context(|| format!("`{word}`")))
            .collect::<Result<_>>()?;
        let field = |key: &str| {
            let found = fields.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| *value)
        };
        let need = |key: &str| field(key).with_context(|| format!("missing {key}="));
        let arg = || place(field("arg").unwrap_or("good"));
        let tail = || number(field("tail").unwrap_or("0")).map(|tail| tail as u8);
        Ok(match verb {
            "info" => Call::Info {
                size: number(need("size")?)?,
                flags: number(need("flags")?)?,
                data: buffer(need("data")?)?,
                arg: arg()?,
                tail: tail()?,
            },
            "rpc" => Call::Rpc {
                size: number(need("size")?)?,
                scope: number(need("scope")?)?,
                input: buffer(need("in")?)?,
                request: bytes(field("request").unwrap_or_default())?,
                output: buffer(need("out")?)?,
                arg: arg()?,
                tail: tail()?,
            },
            "raw" => Call::Raw {
                number: ioctl_number(need("number")?)?,
                arg: arg()?,
                bytes: bytes(field("bytes").unwrap_or_default())?,
            },
            _ => bail!("unknown call `{verb}`"),
        })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Info {
                size,
                flags,
                data,
                arg,
                tail,
            } => write!(
                f,
                "info size={size} flags={flags:#x} data={data} arg={arg} tail={tail}"
            ),
            Call::Rpc {
                size,
                scope,
                input,
                request,
                output,
                arg,
                tail,
            } => {
                write!(
                    f,
                    "rpc size={size} scope={scope} in={input} out={output} arg={arg} tail={tail} request="
                )?;
                hex(request, f)
            }
            Call::Raw { number, arg, bytes } => {
                write!(f, "raw number={number:#x} arg={arg} bytes=")?;
                hex(bytes, f)
            }
            Call::Reopen => f.write_str("reopen"),
            Call::Caller { is_privileged } => f.write_str(match is_privileged {
                true => "caller privileged",
                false => "caller plain",
            }),
            Call::Via(carrier) => {
                let found = Carrier::ALL.iter().find(|(_, known)| known == carrier);
                write!(f, "via {}", found.map_or("", |(name, _)| name))
            }
        }
    }
}

impl fmt::Display for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.len, self.place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Good => f.write_str("good"),
            Place::ReadOnly => f.write_str("readonly"),
            Place::Null => f.write_str("null"),
            Place::Kernel => f.write_str("kernel"),
            Place::Ends(left) => write!(f, "end+{left}"),
        }
    }
}

/// Formats bytes, with runs of one byte abbreviated.
fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    /// Minimum length of an abbreviated run.
    const RUN: usize = 4;
    let mut is_first = true;
    let mut after_run = false;
    for run in bytes.chunk_by(|a, b| a == b) {
        let is_run = run.len() >= RUN;
        if !is_first && (is_run || after_run) {
            f.write_str(",")?;
        }
        if is_run {
            write!(f, "{:02x}*{}", run[0], run.len())?;
        } else {
            run.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        is_first = false;
        after_run = is_run;
    }
    Ok(())
}

fn number(text: &str) -> Result<u32> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.with_context(|| format!("`{text}` is not a number"))
}

fn place(text: &str) -> Result<Place> {
    Ok(match text {
        "good" => Place::Good,
        "readonly" => Place::ReadOnly,
        "null" => Place::Null,
        "kernel" => Place::Kernel,
        _ => match text.strip_prefix("end+") {
            Some(left) => Place::Ends(number(left)?),
            None => bail!("unknown place `{text}`"),
        },
    })
}

fn buffer(text: &str) -> Result<Buffer> {
    let (len, at) = text
        .split_once('@')
        .with_context(|| format!("`{text}` is not LEN@PLACE"))?;
    Ok(Buffer {
        len: number(len)?,
        place: place(at)?,
    })
}

/// Parses an ioctl number. Refuses those that the kernel would pass to another subsystem.
fn ioctl_number(text: &str) -> Result<u32> {
    let number = number(text)?;
    ensure!(
        (number >> 8) & 0xff == FWCTL_TYPE,
        "{text} is not of the type {FWCTL_TYPE:#x}"
    );
    Ok(number)
}

fn bytes(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in text.split_terminator(',') {
        let (digits, times) = match part.split_once('*') {
            Some((digits, times)) => (digits, number(times)?.min(MAX_RPC_LEN)),
            None => (part, 1),
        };
        ensure!(
            digits.is_ascii() && digits.len() % 2 == 0,
            "`{part}` is not hexadecimal"
        );
        let pairs = (0..digits.len()).step_by(2);
        let part = pairs.map(|at| {
            u8::from_str_radix(&digits[at..at + 2], 16)
                .with_context(|| format!("`{part}` is not hexadecimal"))
        });
        bytes.extend(part.collect::<Result<Vec<u8>>>()?.repeat(times as usize));
        ensure!(
            bytes.len() <= MAX_RPC_LEN as usize,
            "more bytes than any request has"
        );
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_round_trip() {
        let text = "# why\ninfo size=24 flags=0x0 data=64@good arg=good tail=0\nreopen\n\n\n\
                    rpc size=33 scope=7 in=4294967295@null out=0@end+7 arg=kernel tail=1 request=00ff\n\
                    raw number=0x9a02 arg=readonly bytes=\ncaller plain\ncaller privileged\n\
                    via ring\nvia worker\nvia ioctl\n";
        let cases = Case::parse_all(text).unwrap();
        assert_eq!(cases.len(), 2);
        let written: Vec<String> = cases.iter().map(Case::to_string).collect();
        assert_eq!(Case::parse_all(&written.join("\n")).unwrap(), cases);
        assert!(matches!(&cases[1].calls[0], Call::Rpc { request, .. } if request == &[0, 0xff]));
    }

    #[test]
    fn runs_are_abbreviated() {
        for (text, expected) in [
            ("", vec![]),
            ("00*5", vec![0; 5]),
            ("010203,00*9,04", [&[1, 2, 3][..], &[0; 9], &[4]].concat()),
            ("07*4,08*4", [[7; 4], [8; 4]].concat()),
        ] {
            let case = format!("raw number=0x9a00 arg=null bytes={text}");
            let parsed = Call::parse(&case).unwrap();
            assert!(matches!(&parsed, Call::Raw { bytes, .. } if *bytes == expected));
            assert_eq!(parsed.to_string(), case);
        }
    }

    #[test]
    fn invalid_cases_are_refused() {
        for line in [
            "what",
            "info size=24",
            "info size=x flags=0 data=0@good",
            "info size=24 flags=0 data=0",
            "rpc size=32 scope=0 in=0@good out=0@nowhere",
            "raw number=0x9a00 bytes=0",
            "raw number=0x9a00 bytes=zz",
            "raw number=0x9a00 bytes=€€",
            "raw number=0x9a00 bytes=00*x",
            "raw number=0x9a00 bytes=00*2000000,00*2000000",
            "raw number=0x5401 bytes=",
            "raw number",
            "caller",
            "caller nobody",
            "via",
            "via post",
        ] {
            assert!(Case::parse_all(line).is_err(), "{line}");
        }
    }
}
