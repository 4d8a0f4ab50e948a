// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl-queue` in the guest: the library's queue of RPCs on a loopback device, as TAP.

use fwctl::{
    Backend, Completion, Device, Error, NoRing, Queue, QueueOptions, Rpc, Scope, Ticket,
    MAX_RPC_LEN,
};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

/// Name under which this program is the command.
pub const NAME: &str = "fwctl-queue";

const USAGE: &str = "usage: fwctl-queue NODE [BACKEND]\n\
    Tests the queue of the library on a loopback device: with io_uring and with threads, or with one of them.";

/// Why a case did not pass.
type Outcome = Result<(), String>;

type Case = fn(&Trial) -> Outcome;

/// The cases for each backend.
const CASES: &[(&str, Case)] = &[
    ("answers_belong_to_their_requests", answers),
    ("a_later_request_overtakes", overtaking),
    ("errnos_and_lengths_as_by_ioctl", as_by_ioctl),
    ("cancelled_at_once", cancelled),
    ("deadline", deadline),
    ("depth", depth),
    ("dropped_in_flight", dropped),
    ("forgotten_in_flight", forgotten),
    ("buffers_of_2_mib", long),
];

/// A backend on a device.
struct Trial {
    device: Device,
    backend: Backend,
}

/// Operations of drivers/fwctl/loopback/loopback.h.
const SLEEP: u32 = 2;
const ERRNO: u32 = 3;
const FILL: u32 = 5;

/// A request of the loopback: a header, and bytes that are echoed.
fn request(op: u32, arg: u32, rest: &[u8]) -> Vec<u8> {
    let words = [0x7030_6c66, op, arg, 0].map(u32::to_ne_bytes);
    [&words.concat(), rest].concat()
}

fn rpc(op: u32, arg: u32, rest: &[u8]) -> Rpc {
    let request = request(op, arg, rest);
    let len = request.len();
    Rpc::new(Scope::Configuration, request, len)
}

impl Trial {
    fn queue(&self, depth: usize) -> Queue {
        let options = QueueOptions::new().depth(depth).backend(self.backend);
        options
            .create(&self.device)
            .expect("it has been tried before")
    }
}

/// Returns whether this program was called under its name.
pub fn is_called() -> bool {
    let name = std::env::args_os().next().unwrap_or_default();
    Path::new(&name).file_name() == Some(NAME.as_ref())
}

/// The command; its exit status.
pub fn main() -> i32 {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (node, only) = match words.as_slice() {
        [node] => (node, None),
        [node, only] => (node, Some(only.as_str())),
        _ => {
            eprintln!("{USAGE}");
            return 2;
        }
    };
    // As a program gets it that is passed an open node.
    let device = match File::open(node).map(|file| Device::from_fd(file.into())) {
        Ok(Ok(device)) if device.fd().is_some() => device,
        error => {
            let error = error.map(|device| device.map(|_| "no descriptor"));
            println!("Bail out! {error:?}");
            return 1;
        }
    };
    let mut tap = Tap::default();
    for backend in [Backend::IoUring, Backend::Threads] {
        if only.is_some_and(|name| name != backend.to_string()) {
            continue;
        }
        let missing = QueueOptions::new().backend(backend).create(&device).err();
        for (name, case) in CASES {
            let name = format!("{backend}.{name}");
            match &missing {
                Some(why) => tap.skip(&name, &why.to_string()),
                None => {
                    let device = device.clone();
                    tap.result(&name, case(&Trial { device, backend }));
                }
            }
        }
    }
    if only.is_none() {
        match QueueOptions::new()
            .backend(Backend::IoUring)
            .create(&device)
        {
            Err(why) => tap.skip("sysctl.io_uring_disabled", &why.to_string()),
            Ok(_) => tap.result("sysctl.io_uring_disabled", disabled(&device)),
        }
    }
    tap.end()
}

#[derive(Default)]
struct Tap {
    count: usize,
    failed: usize,
}

impl Tap {
    fn result(&mut self, name: &str, outcome: Outcome) {
        self.count += 1;
        match outcome {
            Ok(()) => println!("ok {} {name}", self.count),
            Err(why) => {
                self.failed += 1;
                println!("# {name}: {why}\nnot ok {} {name}", self.count);
            }
        }
    }

    fn skip(&mut self, name: &str, why: &str) {
        self.count += 1;
        println!("ok {} {name} # SKIP {why}", self.count);
    }

    fn end(self) -> i32 {
        println!("1..{}", self.count);
        i32::from(self.failed > 0)
    }
}

fn answers(trial: &Trial) -> Outcome {
    let mut queue = trial.queue(16);
    let rests: Vec<Vec<u8>> = (0..200u32).map(|n| vec![n as u8; n as usize * 7]).collect();
    let sleep = |n: usize| if n % 10 == 0 { 5 } else { 0 };
    let rpcs = rests
        .iter()
        .enumerate()
        .map(|(n, rest)| rpc(SLEEP, sleep(n), rest));
    let tickets = begin(queue.begin_all(rpcs))?;
    let all = queue.wait_all();
    is(all.len(), tickets.len(), "completions")?;
    for (n, (completion, rest)) in all.into_iter().zip(&rests).enumerate() {
        is(completion.ticket, tickets[n], "ticket")?;
        is(bytes(completion)?, request(SLEEP, sleep(n), rest), "reply")?;
    }
    Ok(())
}

fn overtaking(trial: &Trial) -> Outcome {
    let mut queue = trial.queue(4);
    let slow = begin(queue.begin(rpc(SLEEP, 400, &[1])))?;
    let quick = begin(queue.begin(rpc(SLEEP, 0, &[2])))?;
    let first = queue.wait_any().ok_or("no completion")?.ticket;
    is(first, quick, "the first to complete")?;
    let second = queue.wait_any().ok_or("no completion")?;
    is(second.ticket, slow, "the second")?;
    bytes(second).map(drop)
}

/// What the queue returns is what ioctl(2) returns.
fn as_by_ioctl(trial: &Trial) -> Outcome {
    let cases = [
        (request(ERRNO, 5, &[]), 16),
        (request(ERRNO, 125, &[]), 16),
        (request(FILL, 5000, &[]), 100),
        (request(FILL, 5000, &[]), 0),
        (request(FILL, 10, &[]), 100),
        (request(99, 0, &[]), 16),
        (vec![], 16),
        (vec![7; 3], 2),
    ];
    let scope = Scope::Configuration;
    for (request, len) in cases {
        let by_ioctl = trial.device.rpc(scope, &request, len);
        let mut queue = trial.queue(2);
        let ticket = begin(queue.begin(Rpc::new(scope, request.clone(), len)))?;
        let by_queue = queue.wait(ticket).ok_or("no completion")?.reply;
        let text = |reply: Result<fwctl::Reply, Error>| match reply {
            Ok(reply) => format!(
                "{} of {}: {:x?}",
                reply.bytes.len(),
                reply.true_len,
                reply.bytes
            ),
            Err(error) => error.to_string(),
        };
        is(
            text(by_queue),
            text(by_ioctl),
            &format!("{request:x?}, {len}"),
        )?;
    }
    Ok(())
}

fn cancelled(trial: &Trial) -> Outcome {
    let mut queue = trial.queue(2);
    let slow = begin(queue.begin(rpc(SLEEP, 10_000, &[1])))?;
    let other = begin(queue.begin(rpc(SLEEP, 0, &[2])))?;
    // Requests are sent in order, so the slow one has been sent as well.
    bytes(queue.wait(other).ok_or("no completion")?)?;
    is(queue.cancel(slow), true, "cancelled")?;
    let completion = queue
        .try_any()
        .ok_or("the cancelled RPC did not complete at once")?;
    is(completion.ticket, slow, "the next to complete")?;
    match completion.reply {
        Err(Error::Cancelled { was_sent: true, .. }) => {}
        reply => return Err(format!("not cancelled: {reply:?}")),
    }
    is(queue.cancel(slow), false, "cancelled twice")?;
    is(
        queue.wait_any().map(|late| late.ticket),
        None,
        "late completion",
    )
}

fn deadline(trial: &Trial) -> Outcome {
    let mut queue = trial.queue(1);
    let start = Instant::now();
    let limit = Duration::from_millis(50);
    let stuck = begin(queue.begin(rpc(SLEEP, 1000, &[1]).timeout(limit)))?;
    let behind = begin(queue.begin(rpc(SLEEP, 0, &[2]).timeout(limit)))?;
    for ticket in [stuck, behind] {
        match queue.wait(ticket).ok_or("no completion")?.reply {
            // On a busy machine no thread may have had its turn.
            Err(Error::TimedOut { was_sent, .. }) => {
                is(was_sent && ticket == behind, false, "sent")?;
            }
            reply => return Err(format!("no deadline: {reply:?}")),
        }
    }
    is(start.elapsed() >= limit, true, "not before the deadline")?;
    // The place in the queue is free again when the driver is done.
    let next = begin(queue.begin(rpc(SLEEP, 0, &[3])))?;
    bytes(queue.wait(next).ok_or("no completion")?).map(drop)
}

fn depth(trial: &Trial) -> Outcome {
    let mut queue = trial.queue(3);
    is(queue.depth(), 3, "depth")?;
    let tickets = begin(queue.begin_all((0..30).map(|n| rpc(SLEEP, 1, &[n]))))?;
    let mut seen: Vec<Ticket> = Vec::new();
    while let Some(completion) = queue.wait_any() {
        seen.push(completion.ticket);
        bytes(completion)?;
    }
    seen.sort();
    is(seen, tickets, "completions")
}

fn dropped(trial: &Trial) -> Outcome {
    for _ in 0..20 {
        let mut queue = trial.queue(8);
        begin(queue.begin_all((0..20).map(|_| rpc(SLEEP, 100, &[0xee; 4096]))))?;
        drop(queue);
        // Memory that late answers would be written to, had it been freed.
        let fresh: Vec<Vec<u8>> = (0..64).map(|_| vec![0u8; 4112]).collect();
        std::thread::sleep(Duration::from_millis(10));
        is(
            fresh.iter().flatten().all(|&byte| byte == 0),
            true,
            "memory is untouched",
        )?;
    }
    Ok(())
}

fn forgotten(trial: &Trial) -> Outcome {
    let mut queue = trial.queue(4);
    begin(queue.begin_all((0..4).map(|_| rpc(SLEEP, 50, &[0xee; 4096]))))?;
    std::mem::forget(queue);
    let fresh: Vec<Vec<u8>> = (0..64).map(|_| vec![0u8; 4112]).collect();
    std::thread::sleep(Duration::from_millis(200));
    is(
        fresh.iter().flatten().all(|&byte| byte == 0),
        true,
        "memory is untouched",
    )
}

fn long(trial: &Trial) -> Outcome {
    let mut queue = trial.queue(4);
    let len = MAX_RPC_LEN as usize;
    let fill = request(FILL, MAX_RPC_LEN, &[]);
    begin(queue.begin_all((0..4).map(|_| Rpc::new(Scope::Configuration, fill.clone(), len))))?;
    for completion in queue.wait_all() {
        let bytes = bytes(completion)?;
        is(bytes.len(), len, "length")?;
        let is_right = bytes
            .iter()
            .enumerate()
            .all(|(i, &byte)| byte == (i % 251) as u8);
        is(is_right, true, "bytes are right")?;
    }
    Ok(())
}

/// Where the administrator forbids io_uring, threads do the same.
fn disabled(device: &Device) -> Outcome {
    const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";
    let set = |value: &str| fs::write(SYSCTL, value).map_err(|e| format!("{SYSCTL}: {e}"));
    set("2")?;
    let queue = Queue::new(device);
    set("0")?;
    is(queue.backend(), Backend::Threads, "backend")?;
    match queue.no_ring() {
        Some(NoRing::Setup(error)) => is(error.raw_os_error(), Some(1), "errno")?,
        why => return Err(format!("not forbidden: {why:?}")),
    }
    is(
        Queue::new(device).backend(),
        Backend::IoUring,
        "backend afterwards",
    )
}

fn begin<T>(begun: Result<T, Error>) -> Result<T, String> {
    begun.map_err(|error| error.to_string())
}

fn bytes(completion: Completion) -> Result<Vec<u8>, String> {
    Ok(completion.reply.map_err(|error| error.to_string())?.bytes)
}

fn is<T: PartialEq + std::fmt::Debug>(found: T, expected: T, what: &str) -> Outcome {
    if found == expected {
        return Ok(());
    }
    let mut text = format!("{what}: {found:?}, not {expected:?}");
    text.truncate(300);
    Err(text)
}
