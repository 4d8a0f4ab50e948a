// SPDX-License-Identifier: MIT OR Apache-2.0

//! The protocol between the host and the guest's init, over a virtio-serial port.
//!
//! Host to guest: one JSON [`Request`] per line.  Guest to host: one JSON [`Event`] per line; an
//! [`Event::Output`] line is followed by that many raw bytes, so that a program's output crosses
//! unchanged.  Kernel messages use the serial port and cannot tear this stream.

use anyhow::{bail, ensure, Context, Result};
use serde::{Deserialize, Serialize};

/// Name of the virtio-serial port, as the guest finds it in sysfs.
pub const PORT: &str = "fwctl-vm";

/// What the names of the ports to the emulated devices' control sockets start with.
pub const EMULATOR_PORT: &str = "fwctl-emu.";

/// Start of each line that the guest's init writes to /dev/kmsg.
pub const MARK: &str = "fwctl-vm: ";

/// Longest line that a [`Decoder`] accepts.
const MAX_LINE: usize = 16 << 10;

/// Longest block of output that a [`Decoder`] accepts.
const MAX_BLOCK: usize = 1 << 20;

/// One program to run in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Number of the step in this boot; the kernel log's markers carry it.
    pub seq: u32,
    /// Name for the kernel log.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables to add to the environment.
    pub env: Vec<(String, String)>,
}

/// What the host asks of the guest's init.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Run a program; answered by output events and one [`Event::End`].
    Run(Step),
    /// Stop the program of this step: it has had its time, by the host's measure.
    Stop {
        /// [`Step::seq`].
        seq: u32,
    },
    /// Start a shell on the virtio console; answered by [`Event::ShellEnd`].
    Shell {
        /// Type of the host's terminal.
        term: String,
        /// Its size.
        size: Size,
    },
    /// The host's terminal has a new size.
    Resize(Size),
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters per line.
    pub cols: u16,
}

/// Which of a program's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// How a step ended, as the guest's init saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The program exited with this status.
    Exited(i32),
    /// A signal ended the program.
    Killed(i32),
    /// The host stopped it; the kernel was asked for its stacks and the program was killed.
    TimedOut,
    /// The program could not be started.
    NotStarted(String),
}

/// What the guest's init tells the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Init is up and waits for requests.
    Ready {
        /// `uname -r`.
        release: String,
    },
    /// This many raw bytes of output follow.
    Output {
        /// Where the program wrote them.
        stream: Stream,
        /// Their number.
        bytes: usize,
    },
    /// A step is over.
    End {
        /// [`Step::seq`].
        seq: u32,
        /// How it ended.
        status: Status,
    },
    /// The interactive shell is over.
    ShellEnd,
}

/// A decoded piece of the guest's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Any event but output.
    Event(Event),
    /// A block of output.
    Output(Stream, Vec<u8>),
}

/// Cuts the guest's byte stream into messages.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    block: Option<(Stream, usize)>,
}

impl Decoder {
    /// Adds bytes as they came from the port.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message, `None` while more bytes are needed.
    ///
    /// An error is final: after it nobody knows where the next message starts.
    pub fn next(&mut self) -> Result<Option<Message>> {
        if let Some((stream, bytes)) = self.block {
            if self.buffer.len() < bytes {
                return Ok(None);
            }
            self.block = None;
            let data = self.buffer.drain(..bytes).collect();
            return Ok(Some(Message::Output(stream, data)));
        }
        let Some(end) = self.buffer.iter().position(|&b| b == b'\n') else {
            ensure!(
                self.buffer.len() <= MAX_LINE,
                "a line of the guest's port does not end"
            );
            return Ok(None);
        };
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        ensure!(
            line.len() <= MAX_LINE,
            "a line of the guest's port is too long"
        );
        let event = serde_json::from_slice(&line).with_context(|| {
            format!("the guest's port says {:?}", String::from_utf8_lossy(&line))
        })?;
        match event {
            Event::Output { bytes, .. } if bytes > MAX_BLOCK => {
                bail!("the guest's port announces {bytes} bytes of output at once")
            }
            Event::Output { stream, bytes } => {
                self.block = Some((stream, bytes));
                self.next()
            }
            event => Ok(Some(Message::Event(event))),
        }
    }
}

/// Marker that says a step begins, as written to /dev/kmsg and looked for on the console.
pub fn begin_mark(seq: u32, name: &str) -> String {
    format!("{MARK}begin {seq} {name}")
}

/// Marker that says a step is over.
pub fn end_mark(seq: u32) -> String {
    format!("{MARK}end {seq}")
}

/// Marker that says the time limit has passed; what follows are stacks that init asked for.
pub fn late_mark(seq: u32) -> String {
    format!("{MARK}late {seq}, blocked tasks and stacks follow")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(chunks: &[&[u8]]) -> Result<Vec<Message>> {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        for chunk in chunks {
            decoder.push(chunk);
            while let Some(message) = decoder.next()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    const STREAM: &[u8] = b"{\"Ready\":{\"release\":\"7.3.4\"}}\n\
        {\"Output\":{\"stream\":\"Out\",\"bytes\":5}}\na\n\xff{\x00\
        {\"End\":{\"seq\":1,\"status\":{\"Exited\":3}}}\n";

    fn expected() -> Vec<Message> {
        vec![
            Message::Event(Event::Ready {
                release: "7.3.4".into(),
            }),
            Message::Output(Stream::Out, b"a\n\xff{\x00".to_vec()),
            Message::Event(Event::End {
                seq: 1,
                status: Status::Exited(3),
            }),
        ]
    }

    #[test]
    fn whole_stream() {
        assert_eq!(decode(&[STREAM]).unwrap(), expected());
    }

    #[test]
    fn byte_by_byte() {
        let chunks: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(decode(&chunks).unwrap(), expected());
    }

    #[test]
    fn empty_block() {
        let stream = b"{\"Output\":{\"stream\":\"Err\",\"bytes\":0}}\n\"ShellEnd\"\n";
        let messages = decode(&[stream]).unwrap();
        assert_eq!(
            messages,
            [
                Message::Output(Stream::Err, vec![]),
                Message::Event(Event::ShellEnd)
            ]
        );
    }

    #[test]
    fn hostile_input_is_an_error() {
        for bad in [
            &b"hello\n"[..],
            b"{\"Ready\":{}}\n",
            b"{\"Output\":{\"stream\":\"Out\",\"bytes\":99999999}}\n",
            b"{\"Output\":{\"stream\":\"Out\",\"bytes\":-1}}\n",
            b"\xff\xfe\n",
            b"\n",
        ] {
            assert!(decode(&[bad]).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(decode(&[&vec![b'x'; MAX_LINE + 1]]).is_err());
    }

    #[test]
    fn requests_survive_a_round_trip() {
        let step = Step {
            seq: 2,
            name: "core/x".into(),
            argv: vec!["sh".into(), "-c".into(), "echo \"\n\"".into()],
            env: vec![("A".into(), "b".into())],
        };
        let line = serde_json::to_string(&Request::Run(step.clone())).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(
            serde_json::from_str::<Request>(&line).unwrap(),
            Request::Run(step)
        );
    }
}
