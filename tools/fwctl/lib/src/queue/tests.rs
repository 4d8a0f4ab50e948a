// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::replay::Replay;
use crate::{InfoReply, Transport};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};

/// A device that answers a request when the test says so. Requests are one byte, replies repeat it.
#[derive(Default)]
struct Gate {
    /// Requests that have arrived, in order, and those that may be answered, with an errno or 0.
    state: Mutex<(Vec<u8>, BTreeMap<u8, i32>)>,
    changed: Condvar,
}

impl Gate {
    fn answer(&self, request: u8, errno: i32) {
        self.state.lock().unwrap().1.insert(request, errno);
        self.changed.notify_all();
    }

    /// Waits until this many requests have arrived.
    fn arrived(&self, count: usize) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        let wait = self
            .changed
            .wait_timeout_while(state, LONG, |state| state.0.len() < count);
        let (state, timeout) = wait.unwrap();
        assert!(!timeout.timed_out(), "{:?}", state.0);
        state.0.clone()
    }
}

struct Gated(Arc<Gate>);

impl Transport for Gated {
    fn info(&self, _: &mut [u8]) -> io::Result<InfoReply> {
        Ok(InfoReply {
            device_type: 0,
            data_len: 0,
        })
    }

    fn rpc(&self, _: Scope, request: &[u8], reply: &mut [u8]) -> io::Result<u32> {
        let mut state = self.0.state.lock().unwrap();
        state.0.push(request[0]);
        self.0.changed.notify_all();
        let state = self
            .0
            .changed
            .wait_while(state, |state| !state.1.contains_key(&request[0]));
        match state.unwrap().1[&request[0]] {
            0 => {
                reply.fill(request[0]);
                Ok(reply.len() as u32)
            }
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn concurrency(&self) -> usize {
        4
    }
}

/// A limit that no healthy run gets near to.
const LONG: Duration = Duration::from_secs(60);

fn gated() -> (Arc<Gate>, Device) {
    let gate = Arc::new(Gate::default());
    let device = Device::with_transport("fwctl0", Gated(gate.clone()));
    (gate, device)
}

fn rpc(byte: u8) -> Rpc {
    Rpc::new(Scope::Configuration, [byte], 2)
}

fn bytes(completion: Option<Completion>) -> Vec<u8> {
    completion.unwrap().reply.unwrap().bytes
}

#[test]
fn answers_come_in_any_order() {
    let (gate, device) = gated();
    let mut queue = Queue::new(&device);
    assert_eq!((queue.backend(), queue.depth()), (Backend::Threads, 4));
    assert!(matches!(queue.no_ring(), Some(NoRing::NotANode)));
    let tickets = queue.begin_all([rpc(1), rpc(2), rpc(3)]).unwrap();
    gate.arrived(3);
    gate.answer(3, 0);
    let third = queue.wait_any().unwrap();
    assert_eq!(third.ticket, tickets[2]);
    assert!(queue.try_any().is_none());
    gate.answer(1, libc::EIO);
    gate.answer(2, 0);
    assert_eq!(bytes(queue.wait(tickets[1])), [2, 2]);
    assert!(queue
        .wait_until(tickets[2], Instant::now() + LONG)
        .is_none());
    let first = queue.wait(tickets[0]).unwrap().reply.unwrap_err();
    assert_eq!(first.errno(), Some(libc::EIO));
    assert!(queue.wait(tickets[0]).is_none() && queue.wait_any().is_none());
}

#[test]
fn the_depth_bounds_what_is_in_flight_and_all_keep_their_order() {
    let (gate, device) = gated();
    let mut queue = QueueOptions::new().depth(2).create(&device).unwrap();
    let tickets = queue.begin_all((1..=5).map(rpc)).unwrap();
    let mut first = gate.arrived(2);
    first.sort();
    assert_eq!(first, [1, 2]);
    let soon = || Instant::now() + Duration::from_millis(10);
    assert!(queue.wait_any_until(soon()).is_none());
    assert!(queue.wait_until(tickets[0], soon()).is_none());
    assert_eq!(gate.arrived(2).len(), 2, "more in flight than the depth");
    (1..=5).for_each(|byte| gate.answer(byte, 0));
    let all = queue.wait_all();
    let order: Vec<Ticket> = all.iter().map(|done| done.ticket).collect();
    assert_eq!(order, tickets);
    let replies = all.into_iter().map(|done| done.reply.unwrap().bytes[0]);
    assert_eq!(replies.collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_cancelled_rpc_completes_at_once_and_only_once() {
    let (gate, device) = gated();
    let mut queue = QueueOptions::new().depth(1).create(&device).unwrap();
    let sent = queue.begin(rpc(1)).unwrap();
    let waits = queue.begin(rpc(2)).unwrap();
    gate.arrived(1);
    assert!(queue.cancel(waits) && queue.cancel(sent) && !queue.cancel(sent));
    for (ticket, expected) in [(waits, false), (sent, true)] {
        let completion = queue.try_any().unwrap();
        assert_eq!(completion.ticket, ticket);
        let error = completion.reply.unwrap_err();
        assert!(
            matches!(error, Error::Cancelled { was_sent, .. } if was_sent == expected),
            "{error}"
        );
        assert_eq!(error.errno(), Some(libc::ECANCELED));
    }
    assert!(queue.is_empty());
    // The late answer goes nowhere, and frees the place of the request.
    let next = queue.begin(rpc(3)).unwrap();
    gate.answer(1, 0);
    gate.answer(3, 0);
    assert_eq!(bytes(queue.wait(next)), [3, 3]);
    assert!(queue.wait_any().is_none());
    assert_eq!(gate.arrived(2), [1, 3]);
}

#[test]
fn an_answer_that_is_there_is_not_cancelled() {
    let (gate, device) = gated();
    let mut queue = Queue::new(&device);
    let ticket = queue.begin(rpc(1)).unwrap();
    gate.answer(1, 0);
    let end = Instant::now() + LONG;
    // The thread stores the result soon after the answer.
    while queue.len() == 1 && queue.flight.len() == 1 && Instant::now() < end {
        queue.collect(Until::Now);
    }
    assert!(!queue.cancel(ticket));
    assert_eq!(bytes(queue.wait(ticket)), [1, 1]);
}

#[test]
fn a_deadline_ends_what_was_sent_and_what_waits() {
    let (gate, device) = gated();
    let mut queue = QueueOptions::new().depth(1).create(&device).unwrap();
    let stuck = queue.begin(rpc(1).timeout(LONG)).unwrap();
    gate.arrived(1);
    let time = Instant::now() + Duration::from_millis(30);
    queue.flight.get_mut(&stuck.0).unwrap().deadline = Some(time);
    let behind = queue.begin(rpc(2).deadline(time)).unwrap();
    for (ticket, expected) in [(stuck, true), (behind, false)] {
        let error = queue.wait(ticket).unwrap().reply.unwrap_err();
        assert!(
            matches!(error, Error::TimedOut { was_sent, .. } if was_sent == expected),
            "{error}"
        );
    }
    assert!(Instant::now() >= time);
    assert_eq!(gate.arrived(1), [1]);
    gate.answer(1, 0);
}

#[test]
fn a_deadline_of_the_device_holds_for_every_call() {
    let (gate, device) = gated();
    let device = device.with_deadline(Instant::now() + Duration::from_millis(20));
    let single = device.rpc(Scope::Configuration, &[1], 2).unwrap_err();
    assert!(matches!(single, Error::TimedOut { .. }), "{single}");
    assert!(single.advice().is_some());
    let mut buffer = [9; 2];
    let into = device.rpc_into(Scope::Configuration, &[2], &mut buffer);
    assert_eq!(into.unwrap_err().errno(), Some(libc::ETIMEDOUT));
    gate.answer(2, 0);
    assert_eq!(buffer, [9; 2]);
    let later = rpc(3).timeout(LONG);
    let all = device.rpc_all(vec![later, rpc(4)]).unwrap();
    assert!(all
        .iter()
        .all(|reply| matches!(reply, Err(Error::TimedOut { .. }))));
    gate.answer(1, 0);
}

#[test]
fn dropping_a_queue_sends_no_more_and_waits_for_nothing() {
    let (gate, device) = gated();
    let mut queue = QueueOptions::new().depth(1).create(&device).unwrap();
    queue.begin_all([rpc(1), rpc(2)]).unwrap();
    gate.arrived(1);
    drop(queue);
    gate.answer(1, 0);
    gate.answer(2, 0);
    let mut other = Queue::new(&device);
    other.begin(rpc(2)).unwrap();
    other.wait_any().unwrap().reply.unwrap();
    let mut first = gate.arrived(2);
    first.sort();
    assert_eq!(first, [1, 2]);
}

#[test]
fn nothing_is_begun_if_one_of_several_is_refused() {
    let (gate, device) = gated();
    let mut queue = Queue::new(&device);
    let long = Rpc::new(Scope::Configuration, [2], usize::MAX);
    assert!(matches!(
        queue.begin_all([rpc(1), long]),
        Err(Error::TooLong { .. })
    ));
    assert!(queue.is_empty() && gate.arrived(0).is_empty());
}

#[test]
fn a_transport_that_panics_is_an_error() {
    struct Panics;
    impl Transport for Panics {
        fn info(&self, _: &mut [u8]) -> io::Result<InfoReply> {
            Ok(InfoReply {
                device_type: 0,
                data_len: 0,
            })
        }
        fn rpc(&self, _: Scope, _: &[u8], _: &mut [u8]) -> io::Result<u32> {
            panic!("as the test wants")
        }
    }
    let device = Device::with_transport("fwctl0", Panics);
    let error = device.rpc_all(vec![rpc(1), rpc(2)]).unwrap().remove(1);
    assert!(error
        .unwrap_err()
        .to_string()
        .ends_with("the transport panicked"));
}

#[test]
fn the_buffer_of_a_reply_is_the_callers() {
    let device = Device::with_transport(
        "fwctl0",
        Replay::parse("info none\nrpc configuration 01 -> aabbcc").unwrap(),
    );
    let mut buffer = Vec::with_capacity(100);
    buffer.resize(8, 0xff);
    let at = buffer.as_ptr();
    let mut queue = Queue::new(&device);
    queue
        .begin(Rpc::with_buffer(Scope::Configuration, [1], buffer))
        .unwrap();
    let reply = queue.wait_any().unwrap().reply.unwrap();
    assert_eq!(
        (reply.bytes.as_slice(), reply.true_len),
        (&[0xaa, 0xbb, 0xcc][..], 3)
    );
    assert_eq!(reply.bytes.as_ptr(), at);
}

#[test]
fn observers_see_each_request_begin_and_end_once() {
    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);
    struct Observer(Arc<Seen>);
    impl crate::Observer for Observer {
        fn sent(&self) {
            self.0 .0.lock().unwrap().push("sent".into());
        }
        fn ended(&self, exchange: &Exchange<'_>) {
            let outcome = exchange.outcome.map_err(|error| error.raw_os_error());
            let text = format!("{:?} {:?}", exchange.request, outcome);
            self.0 .0.lock().unwrap().push(text);
        }
    }
    let (gate, device) = gated();
    let seen = Arc::new(Seen::default());
    let device = device.observed(Observer(seen.clone()));
    let mut queue = QueueOptions::new().depth(2).create(&device).unwrap();
    let tickets = queue.begin_all([rpc(1), rpc(2), rpc(3)]).unwrap();
    gate.arrived(2);
    gate.answer(2, 0);
    queue.wait(tickets[1]).unwrap();
    queue.cancel(tickets[0]);
    gate.answer(3, 0);
    gate.answer(1, 0);
    queue.wait_all();
    let seen = seen.0.lock().unwrap();
    assert_eq!(
        *seen,
        [
            "sent",
            "sent",
            "[2] Ok(([2, 2], 2))",
            "sent",
            "[1] Err(Some(125))",
            "[3] Ok(([3, 3], 2))"
        ]
    );
}
