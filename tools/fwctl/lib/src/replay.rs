// SPDX-License-Identifier: MIT OR Apache-2.0

//! A device that answers from a recording, for tests without hardware.
//!
//! A recording is text. A line that starts with white space continues the line before; `#` starts a
//! comment. Bytes are hexadecimal digits, with white space where it helps.
//!
//! ```text
//! number 240:3                                  # device number of the node, of which there is at most one
//! info cxl                                      # answer to FWCTL_INFO, any number of times: type, bytes of the driver
//! rpc configuration 0005 0000 -> 0800 0000      # request in this scope, and its reply
//! rpc debug-read-only 0105 -> len 4096 0800     # a reply that claims to have 4096 bytes
//! rpc debug-write 0205 -> errno 22              # the kernel refuses
//! rpc configuration 03 -> after 500 0800        # the firmware takes half a second; also before len and errno
//! memory 7 0x142                                # memory can be registered: the numbers of it and of its key
//! release errno 16                              # the kernel refuses to release it, the first time
//! rpc configuration 04 -> dma 0a0b then 0800    # before it answers, the firmware writes to the start of the memory
//! otherwise 0300 0000                           # answer to every request that is not recorded
//! ```
//!
//! Several lines `memory` answer one registration each, and the last one all further ones; `memory errno
//! N` makes it fail. Lines `release` do the same for releases, after the last of which they succeed.
//! Both take `after N`. After errno 16, EBUSY, the memory is still registered. What the firmware writes
//! goes to the memory that was registered last.
//!
//! The request of a call to a Pensando card is its message, with zeros as addresses, and the bytes of
//! the operation's request; the reply is the result of the operation, four bytes, and the response.
//!
//! A line `unordered` lets requests come in any order, and several at the same time; of equal ones,
//! the first is answered first. With `otherwise`, they may come in any order, one at a time unless
//! `unordered` is there too, and any number of times. `open errno N` and `info errno N` make these
//! calls fail; `open after N` makes opening take N milliseconds. In other recordings requests must
//! come in the order and with the bytes of the recording; any other request fails, and says so.

use crate::{pds, DeviceType, InfoReply, MemoryIds, MemoryUse, Pages, Scope, Transport};
use std::collections::VecDeque;
use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A recorded device.
#[derive(Debug)]
pub struct Replay {
    number: Option<(u32, u32)>,
    open_errno: Option<i32>,
    open_delay: Duration,
    info: Result<(DeviceType, Vec<u8>), i32>,
    exchanges: Mutex<VecDeque<Exchange>>,
    is_unordered: bool,
    memory: Mutex<Memory>,
    /// The answer to other requests.
    otherwise: Option<(Answer, Duration)>,
}

/// Memory for the firmware.
#[derive(Debug, Default)]
struct Memory {
    /// How registrations end; the last one is for all that follow.
    registrations: VecDeque<(Result<MemoryIds, i32>, Duration)>,
    /// How releases end, before they succeed.
    releases: VecDeque<(i32, Duration)>,
    /// What is registered, by the number of the resource.
    pages: Vec<(u32, Arc<Pages>)>,
}

impl Memory {
    /// How the next registration ends.
    fn registration(&mut self) -> (Result<MemoryIds, i32>, Duration) {
        let next = if self.registrations.len() > 1 {
            self.registrations.pop_front()
        } else {
            self.registrations.front().copied()
        };
        next.unwrap_or((Err(libc::ENOTTY), Duration::ZERO))
    }

    /// Adds memory; returns the lowest number that is free.
    fn add(&mut self, pages: Arc<Pages>) -> u32 {
        let is_free = |number: &u32| self.pages.iter().all(|(used, _)| used != number);
        let number = (1..).find(is_free).unwrap_or(u32::MAX);
        self.pages.push((number, pages));
        number
    }

    /// Ends the registration of memory. Returns whether there was one.
    fn remove(&mut self, number: u32) -> bool {
        let before = self.pages.len();
        self.pages.retain(|(used, _)| *used != number);
        self.pages.len() < before
    }
}

/// Bytes of a reply and the length that it claims, or an errno.
type Answer = Result<(Vec<u8>, u32), i32>;

#[derive(Debug)]
struct Exchange {
    scope: Scope,
    request: Vec<u8>,
    answer: Answer,
    delay: Duration,
    /// What the firmware writes to the memory.
    dma: Vec<u8>,
}

/// A recording that cannot be read, by line number and reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the recording: {why}")]
pub struct BadRecording {
    /// Number of the line that the entry starts on, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl Replay {
    /// Reads a recording.
    ///
    /// # Errors
    ///
    /// [`BadRecording`] names the first line that cannot be read.
    pub fn parse(text: &str) -> Result<Replay, BadRecording> {
        let mut replay = Replay {
            number: None,
            open_errno: None,
            open_delay: Duration::ZERO,
            info: Err(libc::ENOTTY),
            exchanges: Mutex::default(),
            is_unordered: false,
            memory: Mutex::default(),
            otherwise: None,
        };
        let mut exchanges = VecDeque::new();
        let mut memory = Memory::default();
        for (line, entry) in entries(text) {
            let (verb, rest) = entry.split_once(' ').unwrap_or((&entry, ""));
            let parsed = match verb {
                "number" => number(rest).map(|number| replay.number = Some(number)),
                "open" => delay(rest).and_then(|(delay, rest)| {
                    replay.open_delay = delay;
                    errno(rest).map(|errno| replay.open_errno = errno)
                }),
                "info" => info(rest).map(|info| replay.info = info),
                "rpc" => exchange(rest).map(|exchange| exchanges.push_back(exchange)),
                "unordered" => {
                    replay.is_unordered = true;
                    Ok(())
                }
                "memory" => registration(rest).map(|end| memory.registrations.push_back(end)),
                "release" => release(rest).map(|end| memory.releases.push_back(end)),
                "otherwise" => answer(rest).map(|answer| replay.otherwise = Some(answer)),
                _ => {
                    Err("not one of number, open, info, rpc, memory, release, unordered, otherwise")
                }
            };
            parsed.map_err(|why| BadRecording { line, why })?;
        }
        replay.exchanges = Mutex::new(exchanges);
        replay.memory = Mutex::new(memory);
        Ok(replay)
    }

    /// The device number of the node, if the recording states it.
    pub fn number(&self) -> Option<(u32, u32)> {
        self.number
    }

    /// Takes the time that opening the device took.
    pub fn open(&self) {
        std::thread::sleep(self.open_delay);
    }

    /// The errno that opening this device ends in, if it does.
    pub fn open_errno(&self) -> Option<i32> {
        self.open_errno
    }
}

impl Transport for Replay {
    fn info(&self, data: &mut [u8]) -> io::Result<InfoReply> {
        let (device_type, bytes) = self
            .info
            .as_ref()
            .map_err(|&errno| io::Error::from_raw_os_error(errno))?;
        data.fill(0);
        copy_prefix(bytes, data);
        Ok(InfoReply {
            device_type: device_type.number(),
            data_len: bytes.len() as u32,
        })
    }

    fn rpc(&self, scope: Scope, request: &[u8], reply: &mut [u8]) -> io::Result<u32> {
        if let Some((answer, delay)) = self.repeated(scope, request) {
            std::thread::sleep(delay);
            return give(&answer, reply);
        }
        let expected = self.next(scope, request)?;
        std::thread::sleep(expected.delay);
        if !expected.dma.is_empty() {
            let memory = self.memory();
            let last = memory.pages.last();
            let is_written = last.is_some_and(|(_, pages)| pages.write(0, &expected.dma));
            if !is_written {
                return Err(io::Error::other("the recording writes to no memory"));
            }
        }
        give(&expected.answer, reply)
    }

    fn register_memory(&self, pages: &Arc<Pages>, _: MemoryUse) -> io::Result<MemoryIds> {
        // In its own statement, so other calls go on during the delay.
        let (ids, delay) = self.memory().registration();
        std::thread::sleep(delay);
        let ids = ids.map_err(io::Error::from_raw_os_error)?;
        let resource = self.memory().add(pages.clone());
        Ok(MemoryIds { resource, ..ids })
    }

    fn release_memory(&self, resource: u32) -> io::Result<()> {
        let end = self.memory().releases.pop_front();
        let (errno, delay) = end.map_or((0, Duration::ZERO), |end| end);
        std::thread::sleep(delay);
        if errno != libc::EBUSY && !self.memory().remove(resource) {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        match errno {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn call_pds(&self, scope: Scope, call: &pds::Call, response: &mut [u8]) -> io::Result<u32> {
        let mut reply = vec![0; 4 + response.len()];
        self.rpc(scope, &call.recorded(), &mut reply)?;
        let (retval, bytes) = reply.split_at(4);
        response.copy_from_slice(bytes);
        Ok(u32::from_ne_bytes(retval.try_into().unwrap_or_default()))
    }

    fn concurrency(&self) -> usize {
        if self.is_unordered {
            usize::MAX
        } else {
            1
        }
    }
}

impl Replay {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a request of a recording with `otherwise`.
    fn repeated(&self, scope: Scope, request: &[u8]) -> Option<(Answer, Duration)> {
        let otherwise = self.otherwise.as_ref()?;
        let exchanges = self
            .exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = exchanges
            .iter()
            .find(|exchange| exchange.scope == scope && exchange.request == request);
        Some(found.map_or(otherwise.clone(), |exchange| {
            (exchange.answer.clone(), exchange.delay)
        }))
    }

    /// Takes the exchange that answers a request.
    fn next(&self, scope: Scope, request: &[u8]) -> io::Result<Exchange> {
        let mut exchanges = self
            .exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let fits = |next: &Exchange| next.scope == scope && next.request == request;
        let place = if self.is_unordered {
            exchanges.iter().position(fits).unwrap_or(0)
        } else {
            0
        };
        let expected = exchanges
            .remove(place)
            .ok_or_else(|| io::Error::other("the recording is at its end"))?;
        if fits(&expected) {
            return Ok(expected);
        }
        Err(io::Error::other(format!(
            "the recording has another request next: {} {}, this one is {scope} {}",
            expected.scope,
            hex(&expected.request),
            hex(request)
        )))
    }
}

fn give(answer: &Answer, reply: &mut [u8]) -> io::Result<u32> {
    let (bytes, true_len) = answer
        .as_ref()
        .map_err(|&errno| io::Error::from_raw_os_error(errno))?;
    copy_prefix(bytes, reply);
    Ok(*true_len)
}

fn copy_prefix(from: &[u8], to: &mut [u8]) {
    let len = from.len().min(to.len());
    to[..len].copy_from_slice(&from[..len]);
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Entries of a recording with the number of their first line; continued lines are joined, white
/// space is single.
fn entries(text: &str) -> Vec<(usize, String)> {
    let mut entries: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match entries.last_mut() {
            _ if words.is_empty() => {}
            Some((_, entry)) if line.starts_with(char::is_whitespace) => {
                entry.push(' ');
                entry.push_str(&words);
            }
            _ => entries.push((number + 1, words)),
        }
    }
    entries
}

fn info(text: &str) -> Result<Result<(DeviceType, Vec<u8>), i32>, &'static str> {
    if let Some(errno) = errno(text)? {
        return Ok(Err(errno));
    }
    let (name, bytes) = text.split_once(' ').unwrap_or((text, ""));
    let device_type: DeviceType = name.parse().map_err(|_| "no such device type")?;
    Ok(Ok((device_type, bytes_of(bytes)?)))
}

fn exchange(text: &str) -> Result<Exchange, &'static str> {
    let (request, reply) = text.split_once("->").ok_or("an rpc has no ->")?;
    let (scope, request) = request
        .trim()
        .split_once(' ')
        .ok_or("an rpc has no request")?;
    let scope = scope.parse().map_err(|_| "no such scope")?;
    let (dma, reply) = match reply.trim().strip_prefix("dma ") {
        Some(rest) => rest.split_once("then").ok_or("a dma has no then")?,
        None => ("", reply),
    };
    let (answer, delay) = answer(reply)?;
    Ok(Exchange {
        scope,
        request: bytes_of(request)?,
        answer,
        delay,
        dma: bytes_of(dma)?,
    })
}

/// How a registration of memory ends, and the delay before it.
fn registration(text: &str) -> Result<(Result<MemoryIds, i32>, Duration), &'static str> {
    let (delay, text) = delay(text)?;
    let ids = match errno(text)? {
        Some(errno) => Err(errno),
        None => Ok(ids(text)?),
    };
    Ok((ids, delay))
}

/// How a release of memory ends, 0 if it succeeds, and the delay before it.
fn release(text: &str) -> Result<(i32, Duration), &'static str> {
    let (delay, text) = delay(text)?;
    match errno(text)? {
        None if !text.is_empty() => Err("not the errno of a release"),
        errno => Ok((errno.unwrap_or(0), delay)),
    }
}

fn ids(text: &str) -> Result<MemoryIds, &'static str> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let (umem, key) = text.split_once(' ').ok_or("a memory has two numbers")?;
    let ids = number(umem).zip(number(key));
    let (umem, key) = ids.ok_or("not the number of a memory")?;
    Ok(MemoryIds {
        umem,
        key,
        resource: 0,
    })
}

/// An answer, and the delay before it.
fn answer(text: &str) -> Result<(Answer, Duration), &'static str> {
    let (delay, text) = delay(text.trim())?;
    let answer = if let Some(errno) = errno(text)? {
        Err(errno)
    } else if let Some(rest) = text.strip_prefix("len ") {
        let (len, bytes) = rest.split_once(' ').unwrap_or((rest, ""));
        Ok((
            bytes_of(bytes)?,
            len.parse().map_err(|_| "a length is not a number")?,
        ))
    } else {
        let bytes = bytes_of(text)?;
        let len = bytes.len() as u32;
        Ok((bytes, len))
    };
    Ok((answer, delay))
}

/// Longest delay of a recording, which bounds the time a test takes.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// The delay before an answer, and the answer.
fn delay(answer: &str) -> Result<(Duration, &str), &'static str> {
    let Some(rest) = answer.strip_prefix("after ") else {
        return Ok((Duration::ZERO, answer));
    };
    let (delay, answer) = rest.split_once(' ').unwrap_or((rest, ""));
    let delay = Duration::from_millis(delay.parse().map_err(|_| "a delay is not a number")?);
    if delay > MAX_DELAY {
        return Err("a delay is longer than a minute");
    }
    Ok((delay, answer))
}

fn number(text: &str) -> Result<(u32, u32), &'static str> {
    text.split_once(':')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .ok_or("not a device number")
}

fn errno(text: &str) -> Result<Option<i32>, &'static str> {
    text.strip_prefix("errno ")
        .map(str::parse)
        .transpose()
        .map_err(|_| "an errno is not a number")
}

fn bytes_of(text: &str) -> Result<Vec<u8>, &'static str> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()
        .ok_or("bytes are not hexadecimal")?;
    if digits.len() % 2 != 0 {
        return Err("half a byte is missing");
    }
    Ok(digits
        .chunks_exact(2)
        .map(|pair| (pair[0] << 4) | pair[1])
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Error};

    const RECORDING: &str = "
info mlx5 0700 0000  # uid
    0100 0000
rpc debug-read-only 01 02 -> aabb ccdd
rpc configuration 0101 -> len 6 aabb
rpc configuration 0101 -> aabb ccdd eeff
rpc debug-read-only 0823 -> len 999 00
rpc configuration 04 -> errno 19
";

    #[test]
    fn answers_in_order() {
        let device = Device::with_transport("fwctl7", Replay::parse(RECORDING).unwrap());
        let info = device.info().unwrap();
        assert_eq!(
            (info.device_type, info.data, info.data_len),
            (DeviceType::Mlx5, vec![7, 0, 0, 0, 1, 0, 0, 0], 8)
        );
        assert_eq!(
            device.rpc(Scope::DebugReadOnly, &[1, 2], 64).unwrap().bytes,
            [0xaa, 0xbb, 0xcc, 0xdd]
        );
        // Longer than the buffer, and QUERY_ADAPTER changes nothing: sent again.
        let whole = device.rpc_whole(Scope::Configuration, &[1, 1], 2).unwrap();
        assert_eq!((whole.bytes.len(), whole.true_len), (6, 6));
        // MODIFY_CONG_STATUS is sent once, also in scope debug-read-only.
        let cut = device
            .rpc_whole(Scope::DebugReadOnly, &[8, 0x23], 2)
            .unwrap();
        assert_eq!(
            (cut.bytes.len(), cut.true_len, cut.is_truncated()),
            (2, 999, true)
        );
        let removed = device.rpc(Scope::Configuration, &[4], 2).unwrap_err();
        assert_eq!(removed.to_string(), "fwctl7: FWCTL_RPC (scope configuration, request 1 bytes, reply buffer 2): No such device (ENODEV)");
    }

    #[test]
    fn unordered_requests_are_answered_at_the_same_time() {
        let replay = Replay::parse(
            "unordered\ninfo none\nrpc configuration 01 -> after 200 aa\nrpc configuration 02 -> bb",
        );
        let device = Device::with_transport("fwctl0", replay.unwrap());
        let mut queue = crate::Queue::new(&device);
        let rpc = |byte| crate::Rpc::new(Scope::Configuration, [byte], 2);
        let tickets = queue.begin_all([rpc(1), rpc(2)]).unwrap();
        assert_eq!(queue.wait_any().unwrap().ticket, tickets[1]);
        assert_eq!(queue.wait_any().unwrap().reply.unwrap().bytes, [0xaa]);
    }

    #[test]
    fn a_request_that_was_not_recorded_fails() {
        let replay = Replay::parse("info cxl\nrpc configuration 01 -> 02").unwrap();
        let device = Device::with_transport("fwctl0", replay);
        let error = device
            .rpc(Scope::Configuration, &[9], 2)
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("the recording has another request next: configuration 01, this one is configuration 09"), "{error}");
        let error = device
            .rpc(Scope::Configuration, &[1], 2)
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("the recording is at its end"), "{error}");
    }

    #[test]
    fn messages_with_addresses_and_long_ones_are_not_sent() {
        let pds = Device::with_transport("fwctl0", Replay::parse("info pds").unwrap());
        assert!(matches!(
            pds.rpc(Scope::Configuration, &[0; 48], 48),
            Err(Error::CarriesAddresses { .. })
        ));
        let unknown = Replay::parse("info type-77\nrpc configuration 01 -> 02").unwrap();
        let unknown = Device::with_transport("fwctl0", unknown);
        assert!(matches!(
            unknown.rpc(Scope::Configuration, &[1], 1),
            Err(Error::UnknownMessages {
                device_type: DeviceType::Other(77),
                ..
            })
        ));
        #[allow(unsafe_code)]
        // SAFETY: A recording accesses no memory.
        let trusted = unsafe { unknown.trust_messages() };
        assert!(trusted.rpc(Scope::Configuration, &[1], 1).is_ok());
        let bnxt = Device::with_transport(
            "fwctl0",
            Replay::parse("info bnxt\nrpc configuration 1100 -> 00").unwrap(),
        );
        assert!(matches!(
            bnxt.rpc(Scope::Configuration, &[0x23, 0x00], 8),
            Err(Error::CarriesAddresses { .. })
        ));
        assert!(bnxt.rpc(Scope::Configuration, &[0x11, 0x00], 8).is_ok());
        assert!(matches!(
            bnxt.rpc(Scope::Configuration, &vec![0; 2 << 21], 8),
            Err(Error::TooLong { .. })
        ));
        assert!(matches!(
            bnxt.rpc(Scope::Configuration, &[0; 2], usize::MAX),
            Err(Error::TooLong { .. })
        ));
    }

    #[test]
    fn with_otherwise_requests_come_in_any_order() {
        let recording = "info mlx5\nrpc configuration 01 -> 0a\nrpc configuration 02 -> errno 5\notherwise len 9 0f";
        let device = Device::with_transport("fwctl0", Replay::parse(recording).unwrap());
        let ask = |request| device.rpc(Scope::Configuration, &[request], 4);
        for _ in 0..2 {
            assert_eq!(ask(1).unwrap().bytes, [0x0a]);
        }
        assert!(ask(2).is_err());
        let other = ask(3).unwrap();
        assert_eq!((other.true_len, other.bytes[0]), (9, 0x0f));
        assert!(ask(1).is_ok());
    }

    #[test]
    fn memory_is_written_before_the_answer() {
        let recording = "info mlx5\nmemory 7 0x142\n\
                         rpc configuration 01 -> dma 0a0b then 0c\n\
                         rpc configuration 02 -> dma 0d then errno 5";
        let device = Device::with_transport("fwctl0", Replay::parse(recording).unwrap());
        let memory = device.register_memory(1, MemoryUse::KEY).unwrap();
        assert_eq!((memory.ids().umem, memory.ids().key), (7, 0x142));
        let reply = device.rpc(Scope::Configuration, &[1], 1).unwrap();
        let mut bytes = [0; 3];
        assert!(memory.read(0, &mut bytes));
        assert_eq!((reply.bytes, bytes), (vec![0x0c], [0x0a, 0x0b, 0]));
        drop(memory);
        assert!(device.rpc(Scope::Configuration, &[2], 1).is_err());
        for bad in ["memory 7", "memory x 1", "rpc configuration 00 -> dma 00"] {
            assert!(Replay::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn registrations_and_releases_fail_as_recorded() {
        let recording = "info mlx5\nmemory errno 12\nmemory after 1 7 0x142\n\
                         release errno 16\nrelease after 1 errno 5";
        let replay = Replay::parse(recording).unwrap();
        let pages = Arc::new(Pages::new(1).unwrap());
        let register = || replay.register_memory(&pages, MemoryUse::KEY);
        let errno = |error: io::Error| error.raw_os_error();
        assert_eq!(register().map_err(errno), Err(Some(libc::ENOMEM)));
        let numbers = [(); 2].map(|()| register().unwrap().resource);
        assert_eq!(numbers, [1, 2]);
        for (resource, expected) in [
            // Still registered, and then not any more.
            (1, Err(Some(libc::EBUSY))),
            (1, Err(Some(libc::EIO))),
            (1, Err(Some(libc::ENOENT))),
            (2, Ok(())),
        ] {
            assert_eq!(replay.release_memory(resource).map_err(errno), expected);
        }
        assert_eq!(register().unwrap().resource, 1);
        for bad in [
            "memory errno x",
            "release x",
            "release after x",
            "release 5",
        ] {
            assert!(Replay::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bad_recordings_name_the_line() {
        for (text, line, why) in [
            (
                "\nhello",
                2,
                "not one of number, open, info, rpc, memory, release, unordered, otherwise",
            ),
            ("info nobody", 1, "no such device type"),
            (
                "info cxl\n\nrpc configuration 0 -> 00",
                3,
                "half a byte is missing",
            ),
            ("rpc configuration 00", 1, "an rpc has no ->"),
            ("rpc never 00 -> 00", 1, "no such scope"),
            ("rpc configuration zz -> 00", 1, "bytes are not hexadecimal"),
        ] {
            assert_eq!(Replay::parse(text).unwrap_err(), BadRecording { line, why });
        }
    }
}
