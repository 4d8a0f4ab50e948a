// SPDX-License-Identifier: MIT OR Apache-2.0

//! The control socket: one command per line, answered by one line of JSON.
//!
//! `{"ok":true,"result":...}` or `{"ok":false,"error":"..."}`. The answer to a command that starts
//! with `@TAG ` also has a `"tag"`, for clients that share a connection. All devices understand
//! [`VERBS`]; a device adds its own.

use crate::fault::{Dialect, Faults};
use serde_json::{json, Value};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

/// Maximum length of a line.
const MAX_LINE: u64 = 4096;

/// Verbs that all devices understand.
pub const VERBS: &[&str] = &[
    "help",
    "counters",
    "fault SPEC",
    "faults",
    "clear (removes all faults)",
    "vanish (removes the device: it reads as all ones)",
    "return (undoes vanish, as after power on)",
    "memory (number of regions that the device can access, and their bytes)",
    "exit (exits at once)",
];

/// Answers one command.
pub type Answer = dyn Fn(&str, &str) -> Result<Value, String> + Send + Sync;

/// Serves `listener` on separate threads until the process exits.
pub fn serve(listener: UnixListener, answer: Arc<Answer>) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // An error ends only the thread of this client.
            std::thread::spawn(move || drop(talk(&stream, &*answer)));
        }
    });
}

fn talk(stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (first, rest) = first_word(line);
        let (tag, (verb, argument)) = match first.strip_prefix('@') {
            Some(tag) => (Some(tag), first_word(rest)),
            None => (None, (first, rest)),
        };
        let mut reply = match answer(verb, argument) {
            Ok(result) => json!({"ok": true, "result": result}),
            Err(error) => json!({"ok": false, "error": error}),
        };
        if let Some(tag) = tag {
            reply["tag"] = tag.into();
        }
        writeln!(writer, "{reply}")?;
    }
}

fn first_word(line: &str) -> (&str, &str) {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    (first, rest.trim())
}

/// The fault verbs, for [`crate::device::Device::control`]. Returns `None` if `verb` is not one of
/// them.
pub fn faults(
    faults: &mut Faults,
    dialect: &Dialect,
    verb: &str,
    argument: &str,
) -> Option<Result<Value, String>> {
    let result = match verb {
        "fault" => dialect
            .parse(argument)
            .and_then(|fault| faults.add(fault))
            .map(|()| Value::Null)
            .map_err(|error| format!("{error}\n{}", dialect.help)),
        "faults" => Ok(json!(faults.list())),
        "clear" => {
            faults.clear();
            Ok(Value::Null)
        }
        _ => return None,
    };
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_each() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let serving = std::thread::spawn(move || {
            let answer: &Answer = &|verb, argument| match verb {
                "echo" => Ok(json!(argument)),
                _ => Err("what?".into()),
            };
            talk(&theirs, answer).unwrap();
        });
        (&ours)
            .write_all(b"echo  a b \n\nnothing\n@5 echo c\n@6\n")
            .unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        (&ours).read_to_string(&mut text).unwrap();
        assert_eq!(
            text,
            "{\"ok\":true,\"result\":\"a b\"}\n{\"error\":\"what?\",\"ok\":false}\n\
             {\"ok\":true,\"result\":\"c\",\"tag\":\"5\"}\n\
             {\"error\":\"what?\",\"ok\":false,\"tag\":\"6\"}\n"
        );
        serving.join().unwrap();
    }

    #[test]
    fn fault_verbs() {
        let dialect = Dialect {
            keys: &["never"],
            max_status: 0,
            help: "only never",
        };
        let mut list = Faults::default();
        let mut ask = |verb, argument| faults(&mut list, &dialect, verb, argument);
        assert_eq!(ask("fault", "never"), Some(Ok(Value::Null)));
        for refused in ["nonsense", "late=1"] {
            let error = ask("fault", refused).unwrap().unwrap_err();
            assert!(error.ends_with("\nonly never"), "{error}");
        }
        assert_eq!(ask("faults", ""), Some(Ok(json!(["never (hit 0)"]))));
        assert_eq!(ask("clear", ""), Some(Ok(Value::Null)));
        assert_eq!(ask("faults", ""), Some(Ok(json!([]))));
        assert_eq!(ask("counters", ""), None);
    }
}
