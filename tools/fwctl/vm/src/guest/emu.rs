// SPDX-License-Identifier: MIT OR Apache-2.0

//! `emu` in the guest: what a test says to the emulated devices of its machine, behind their
//! drivers' backs.
//!
//! A device's control socket on the host is a virtio-serial port here.  Only one process can have
//! it open, so that several take turns, and each command carries a tag, because an answer whose
//! asker was killed waits for the next one.

use crate::protocol::EMULATOR_PORT;
use rustix::event::{poll, PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Name under which this program is the command.
pub const NAME: &str = "emu";

const USAGE: &str = "\
usage: emu [-p POINTER] [DEVICE] COMMAND...

Says COMMAND to the control socket of an emulated device and prints the answer as JSON; `emu help` lists the commands.
DEVICE can be left out where there is only one. POINTER chooses a part of the answer: emu -p /alive/uids counters
Exit status: 0 done, 1 the device refuses the command, 2 usage, 3 the device was removed.";

/// For its turn and for its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest answer.
const MAX_ANSWER: usize = 4 << 20;

/// Why there is no answer to print.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Refused(String),
    Usage(String),
    Gone(String),
}

impl Failure {
    fn status(&self) -> i32 {
        match self {
            Failure::Refused(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Gone(_) => 3,
        }
    }

    fn text(&self) -> &str {
        match self {
            Failure::Refused(text) | Failure::Usage(text) | Failure::Gone(text) => text,
        }
    }
}

/// Whether this program was called as `emu`.
pub fn is_called() -> bool {
    let name = std::env::args_os().next().unwrap_or_default();
    Path::new(&name).file_name() == Some(NAME.as_ref())
}

/// The command; its exit status.
pub fn main() -> i32 {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.first().map(String::as_str) {
        Some("--help" | "-h") => Ok(Value::from(USAGE)),
        _ => run(&words, &ports()),
    };
    let text = match result {
        Ok(Value::Null) => return 0,
        Ok(Value::String(text)) => text,
        Ok(value) => value.to_string(),
        Err(failure) => {
            eprintln!("emu: {}", failure.text());
            return failure.status();
        }
    };
    // A reader that has seen enough is no failure.
    let _ = writeln!(std::io::stdout(), "{text}");
    0
}

/// Names of this machine's devices, and their ports.
fn ports() -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir("/sys/class/virtio-ports")
        .into_iter()
        .flatten();
    let port = |entry: fs::DirEntry| {
        let name = fs::read_to_string(entry.path().join("name")).ok()?;
        let device = name.trim().strip_prefix(EMULATOR_PORT)?.to_string();
        Some((device, Path::new("/dev").join(entry.file_name())))
    };
    let mut ports: Vec<_> = entries.flatten().filter_map(port).collect();
    ports.sort();
    ports
}

fn run(words: &[String], ports: &[(String, PathBuf)]) -> Result<Value, Failure> {
    let request = Request::parse(words, ports)?;
    let mut port = open(request.port)?;
    let answer = ask(&mut port, &request.line, &tag())?;
    // The command says that the device is to go without an answer.
    let Some(mut answer) = answer else {
        return match request.line.as_str() {
            "exit" => Ok(Value::Null),
            _ => Err(Failure::Gone("the emulated device was removed".into())),
        };
    };
    if answer["ok"] != Value::Bool(true) {
        let error = answer["error"].as_str().unwrap_or("it does not say why");
        return Err(Failure::Refused(error.into()));
    }
    let result = answer["result"].take();
    match request.pointer {
        None => Ok(result),
        Some(pointer) => result
            .pointer(pointer)
            .cloned()
            .ok_or_else(|| Failure::Refused(format!("the answer has no {pointer}: {result}"))),
    }
}

/// What the words on the command line ask for.
#[derive(Debug, PartialEq, Eq)]
struct Request<'a> {
    pointer: Option<&'a str>,
    port: &'a Path,
    line: String,
}

impl<'a> Request<'a> {
    fn parse(mut words: &'a [String], ports: &'a [(String, PathBuf)]) -> Result<Self, Failure> {
        let usage = |what: &str| Failure::Usage(format!("{what}\n{USAGE}"));
        let mut pointer = None;
        if let [option, value, rest @ ..] = words {
            if option == "-p" {
                pointer = Some(value.as_str());
                words = rest;
            }
        }
        let named = words
            .first()
            .and_then(|word| ports.iter().find(|(name, _)| name == word));
        let port = match (named, ports) {
            (Some((_, path)), _) => {
                words = &words[1..];
                path
            }
            (None, [(_, path)]) => path,
            (None, []) => {
                return Err(Failure::Gone("this machine has no emulated device".into()));
            }
            (None, _) => {
                let names: Vec<&str> = ports.iter().map(|(name, _)| name.as_str()).collect();
                return Err(usage(&format!("say which device: {}", names.join(", "))));
            }
        };
        let line = words.join(" ");
        if line.is_empty() || line.contains('\n') || line.starts_with(['-', '@']) {
            return Err(usage("there is no command"));
        }
        Ok(Request {
            pointer,
            port,
            line,
        })
    }
}

/// Opens a port when it is our turn.
fn open(path: &Path) -> Result<File, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // With the other side gone a plain write would wait for ever.
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path);
        match opened {
            Ok(file) => return Ok(file),
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
                if Instant::now() > deadline {
                    let what = format!("{}: others keep it busy", path.display());
                    return Err(Failure::Gone(what));
                }
                sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(Failure::Gone(format!("{}: {error}", path.display()))),
        }
    }
}

/// Tells our answer from those that others did not wait for.
fn tag() -> String {
    let time = UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("{}.{}", std::process::id(), time.as_nanos())
}

/// Sends one line and returns its answer, or `None` if the other side has closed the connection.
fn ask(port: &mut File, line: &str, tag: &str) -> Result<Option<Value>, Failure> {
    let deadline = Instant::now() + PATIENCE;
    // The first newline ends what somebody before us may not have said to its end.
    let request = format!("\n@{tag} {line}\n").into_bytes();
    let mut unsent = request.as_slice();
    let mut received = Vec::new();
    loop {
        while let Some(end) = received.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = received.drain(..=end).collect();
            match serde_json::from_slice::<Value>(&line) {
                Ok(answer) if answer["tag"] == tag => return Ok(Some(answer)),
                // Of somebody who was killed, and maybe cut.
                _ => {}
            }
        }
        let wanted = if unsent.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::IN | PollFlags::OUT
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(&*port, wanted)];
        let ready = match poll(&mut fds, left.as_millis() as i32) {
            Ok(0) => return Err(Failure::Gone("the emulated device does not answer".into())),
            Ok(_) => fds[0].revents(),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(Failure::Gone(error.to_string())),
        };
        if ready.contains(PollFlags::OUT) {
            match port.write(unsent) {
                Ok(count) => unsent = &unsent[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Ok(None),
            }
        }
        if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            let mut buffer = [0; 4096];
            match port.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Ok(None),
            }
            if received.len() > MAX_ANSWER {
                return Err(Failure::Gone("the answer does not end".into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::thread;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    fn two() -> Vec<(String, PathBuf)> {
        [("a", "/dev/vport0p1"), ("b", "/dev/vport0p2")]
            .map(|(name, path)| (name.into(), path.into()))
            .to_vec()
    }

    #[test]
    fn command_lines() {
        let ports = two();
        let line = words("-p /x/0 b fault op=1,times=forever");
        let request = Request::parse(&line, &ports).unwrap();
        assert_eq!(request.pointer, Some("/x/0"));
        assert_eq!(request.port, Path::new("/dev/vport0p2"));
        assert_eq!(request.line, "fault op=1,times=forever");
        let line = words("counters");
        assert_eq!(Request::parse(&line, &ports[..1]).unwrap().line, "counters");
        for (line, ports, status) in [
            ("counters", &ports[..], 2),
            ("counters", &[], 3),
            ("a", &ports, 2),
            ("", &ports[..1], 2),
            ("-p", &ports[..1], 2),
            ("-x counters", &ports[..1], 2),
        ] {
            let failure = Request::parse(&words(line), ports)
                .err()
                .map(|f| f.status());
            assert_eq!(failure, Some(status), "{line}");
        }
    }

    /// What `ask` makes of a device that answers `answers` to whatever it is told.
    fn asked(answers: &str) -> Result<Option<Value>, Failure> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let answers = answers.to_string();
        let device = thread::spawn(move || {
            let mut request = String::new();
            let mut reader = BufReader::new(&theirs);
            while !request.contains("do it") {
                reader.read_line(&mut request).unwrap();
            }
            (&theirs).write_all(answers.as_bytes()).unwrap();
            request
        });
        let answer = ask(&mut File::from(OwnedFd::from(ours)), "do it", "7");
        assert_eq!(device.join().unwrap(), "\n@7 do it\n");
        answer
    }

    #[test]
    fn answers_of_others_are_passed_over() {
        let mine = r#"{"ok":true,"result":[1],"tag":"7"}"#;
        let answer = asked(&format!(
            "cut\":1}}\n{{\"ok\":true,\"tag\":\"6\"}}\n{mine}\n"
        ));
        assert_eq!(answer.unwrap().unwrap()["result"], serde_json::json!([1]));
    }

    #[test]
    fn a_device_that_goes_is_no_answer() {
        assert_eq!(asked(""), Ok(None));
        assert_eq!(asked("{\"ok\":tr"), Ok(None));
    }
}
