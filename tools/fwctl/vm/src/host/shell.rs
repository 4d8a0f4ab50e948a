// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interactive shell: connects our terminal to the guest's virtio console.

use crate::host::session::{News, Session};
use crate::protocol::{Event, Message, Request, Size};
use crate::sys;
use anyhow::{Context, Result};
use rustix::termios::{self, OptionalActions, Termios};
use std::io::{stdin, stdout, IsTerminal, Write};
use std::time::Duration;

/// What leaves the shell, for the greeting and for Ctrl-A H.
pub const HELP: &str =
    "`poweroff` or Ctrl-D leaves, Ctrl-A X ends the VM at once, Ctrl-A Ctrl-A types Ctrl-A";

/// Whether there is a person to talk to.
pub fn is_possible() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Runs a shell in the guest until it ends, the machine ends, or Ctrl-A X.
pub fn interact(session: &mut Session) -> Result<()> {
    let _raw = RawTerminal::enter()?;
    let term = std::env::var("TERM").unwrap_or_else(|_| "vt100".into());
    session.vm.send(&Request::Shell { term, size: size() })?;
    session.vm.read_keys();
    let mut keyboard = Keyboard::default();
    loop {
        if sys::take_resize() {
            session.vm.send(&Request::Resize(size()))?;
        }
        match session.news(Duration::from_millis(500))? {
            News::Tty(bytes) => show(&bytes),
            News::Keys(Some(keys)) => {
                let (typed, action) = keyboard.press(&keys);
                session.vm.type_keys(&typed);
                match action {
                    Some(Action::Quit) => return Ok(()),
                    Some(Action::Help) => show(format!("\r\n{HELP}\r\n").as_bytes()),
                    None => {}
                }
            }
            News::Keys(None) | News::Message(Message::Event(Event::ShellEnd)) | News::Ended => {
                return Ok(())
            }
            News::Message(_) | News::Line(_) | News::Nothing => {}
        }
    }
}

fn show(bytes: &[u8]) {
    let mut out = stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

fn size() -> Size {
    match termios::tcgetwinsize(stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => Size {
            rows: size.ws_row,
            cols: size.ws_col,
        },
        _ => Size { rows: 24, cols: 80 },
    }
}

/// The terminal in raw mode; its old state returns on drop.
struct RawTerminal(Termios);

impl RawTerminal {
    fn enter() -> Result<Self> {
        let before = termios::tcgetattr(stdin()).context("standard input is no terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(RawTerminal(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(stdin(), OptionalActions::Drain, &self.0);
        println!();
    }
}

/// What an escape sequence asks for.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Quit,
    Help,
}

/// Filters the Ctrl-A sequences out of what is typed.
#[derive(Default)]
struct Keyboard {
    escaped: bool,
}

impl Keyboard {
    fn press(&mut self, keys: &[u8]) -> (Vec<u8>, Option<Action>) {
        const CTRL_A: u8 = 1;
        let mut typed = Vec::new();
        let mut action = None;
        for &key in keys {
            match (std::mem::take(&mut self.escaped), key) {
                (false, CTRL_A) => self.escaped = true,
                (true, b'x' | b'X') => return (typed, Some(Action::Quit)),
                (true, b'h' | b'H' | b'?') => action = Some(Action::Help),
                (true, CTRL_A | b'a') => typed.push(CTRL_A),
                (true, key) => typed.extend([CTRL_A, key]),
                (false, key) => typed.push(key),
            }
        }
        (typed, action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences() {
        let mut keyboard = Keyboard::default();
        assert_eq!(keyboard.press(b"ls\r"), (b"ls\r".to_vec(), None));
        assert_eq!(keyboard.press(b"\x03"), (b"\x03".to_vec(), None));
        assert_eq!(keyboard.press(b"a\x01"), (b"a".to_vec(), None));
        assert_eq!(keyboard.press(b"\x01b"), (b"\x01b".to_vec(), None));
        assert_eq!(keyboard.press(b"\x01zq"), (b"\x01zq".to_vec(), None));
        assert_eq!(keyboard.press(b"\x01h"), (vec![], Some(Action::Help)));
        assert_eq!(keyboard.press(b"a\x01"), (b"a".to_vec(), None));
        assert_eq!(keyboard.press(b"xb"), (vec![], Some(Action::Quit)));
    }
}
