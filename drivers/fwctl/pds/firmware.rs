// SPDX-License-Identifier: GPL-2.0-only

//! What the firmware has told about itself, and RPCs that it allows.
//!
//! The driver asks for limits and endpoints when it is bound, and for the operations of an endpoint
//! when they are first used. It copies and checks each list once. When the firmware was reset, all
//! of it is asked again: it may be another version, with other operations.
//!
//! # Locking
//!
//! 1. The [`Turn`], which one caller at a time has to ask the firmware. Others wait for it, and can
//!    be killed.
//! 2. [`Card::known`] is a mutex around the answers. It is never held during a command.

use fwctl::{
    CallerMemory,
    Context,
    RpcScope, //
};
use kernel::{
    auxiliary,
    device::Bound,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full, //
        },
        Mutex, //
    },
};

use crate::{
    client::{
        Client,
        Turn, //
    },
    policy::{
        self,
        Operation, //
    },
    wire::{
        self,
        EndpointEntry,
        List,
        ListEntry,
        Message,
        OperationEntry, //
    },
    Uctx,
    REQUEST,
    RESPONSE, //
};

/// An endpoint of the firmware.
struct Endpoint {
    id: u32,
    /// Its operations, once they were asked for.
    operations: Option<KVVec<Operation>>,
}

/// The answers of the firmware.
struct Known {
    /// [`Client::resets`] when it was asked.
    resets: u32,
    max_request: u32,
    max_response: u32,
    endpoints: KVVec<Endpoint>,
}

impl Known {
    fn endpoint(&mut self, id: u32) -> Option<&mut Endpoint> {
        self.endpoints.iter_mut().find(|endpoint| endpoint.id == id)
    }
}

/// State of a device.
#[pin_data]
pub(crate) struct Card<'bound> {
    #[pin]
    client: Client<'bound>,
    #[pin]
    known: Mutex<Option<Known>>,
    /// RPCs that were allowed and have not ended.
    in_flight: Atomic<usize>,
}

impl<'bound> Card<'bound> {
    /// Returns the card of an auxiliary device, after asking its firmware.
    ///
    /// Fails as [`Client::new`] and [`Turn::endpoints`], and with [`EPROTO`] if a list of the
    /// firmware is malformed. Sleeps.
    pub(crate) fn new(
        host: &'bound auxiliary::Device<Bound>,
    ) -> impl PinInit<Self, Error> + 'bound {
        try_pin_init!(Self {
            client <- Client::new(host),
            known <- new_mutex!(None, "pds_fwctl::known"),
            in_flight: Atomic::new(0),
        }? Error)
        .pin_chain(|card| {
            let mut turn = card.client.turn().ok_or(EBUSY)?;

            card.refresh(&mut turn)
        })
    }

    /// Executes the operation that `message` names, on the buffers that it named. Returns the
    /// result of the operation.
    ///
    /// Fails with [`EINVAL`] if the firmware does not take requests or responses of that length,
    /// or has no such endpoint or operation; with [`EPERM`] if `scope` does not allow the
    /// operation; with [`ENODEV`] if the device is being unregistered; with [`EINTR`] if the caller
    /// is killed while it waits; and as [`Client::rpc`] and [`Turn::operations`].
    pub(crate) fn execute(
        &self,
        cx: &Context<'_, '_, Uctx>,
        scope: RpcScope,
        message: &Message,
        memory: &mut CallerMemory,
    ) -> Result<u32> {
        let mut execute = || {
            while !self.admit(scope, message)? {
                self.ask(cx, Some(message.endpoint))?;
            }

            let result = self.send(message, memory);
            if self.in_flight.fetch_sub(1, Full) == 1 {
                cx.notify();
            }
            result
        };

        execute().map_err(removed)
    }

    /// Returns a list for a program, see [`wire::list_reply`].
    ///
    /// Fails with [`EINVAL`] if there is no such endpoint; with [`ENODEV`] if the device is being
    /// unregistered; with [`EINTR`] if the caller is killed while it waits; with [`ENOMEM`]; and as
    /// [`Turn::operations`].
    pub(crate) fn list(&self, cx: &Context<'_, '_, Uctx>, list: List) -> Result<KVVec<u8>> {
        let endpoint = match list {
            List::Endpoints => None,
            List::Operations(endpoint) => Some(endpoint),
        };

        loop {
            if let Some(reply) = self.listed(list)? {
                return Ok(reply);
            }
            self.ask(cx, endpoint).map_err(removed)?;
        }
    }

    /// Returns a list for a program, or [`None`] if the firmware has to be asked first.
    fn listed(&self, list: List) -> Result<Option<KVVec<u8>>> {
        let mut known = self.known.lock();
        let Some(known) = self.current(&mut known) else {
            return Ok(None);
        };

        match list {
            List::Endpoints => {
                let endpoints = known.endpoints.iter();
                let entries = endpoints.map(|endpoint| ListEntry::endpoint(endpoint.id));

                wire::list_reply(entries).map(Some)
            }
            List::Operations(id) => match &known.endpoint(id).ok_or(EINVAL)?.operations {
                Some(operations) => {
                    wire::list_reply(operations.iter().map(Operation::to_entry)).map(Some)
                }
                None => Ok(None),
            },
        }
    }

    fn send(&self, message: &Message, memory: &mut CallerMemory) -> Result<u32> {
        let request = memory.bytes(REQUEST)?;
        let request_len = request.len();
        let buffers = self
            .client
            .buffers(request, memory.bytes(RESPONSE)?.len())?;

        self.client.rpc(
            message.endpoint,
            message.operation,
            request_len,
            buffers,
            memory.bytes_mut(RESPONSE)?,
        )
    }

    /// Checks an RPC, and counts it as in flight if it is allowed. Returns `false` if the firmware
    /// has to be asked first.
    fn admit(&self, scope: RpcScope, message: &Message) -> Result<bool> {
        let mut known = self.known.lock();
        let Some(known) = self.current(&mut known) else {
            return Ok(false);
        };

        if message.request_len > known.max_request || message.response_len > known.max_response {
            return Err(EINVAL);
        }
        let endpoint = known.endpoint(message.endpoint).ok_or(EINVAL)?;
        let Some(operations) = &endpoint.operations else {
            return Ok(false);
        };
        policy::check(operations, message.operation, scope)?;
        if self.client.has_lost() {
            return Ok(false);
        }
        self.in_flight.fetch_add(1, Full);
        Ok(true)
    }

    /// Returns the answers, unless the firmware was reset since it was asked.
    fn current<'a>(&self, known: &'a mut Option<Known>) -> Option<&'a mut Known> {
        let resets = self.client.resets();

        known.as_mut().filter(|known| known.resets == resets)
    }

    /// Asks the firmware what an RPC needs to know: about the operations of `endpoint`, too, if
    /// there is one.
    fn ask(&self, cx: &Context<'_, '_, Uctx>, endpoint: Option<u32>) -> Result {
        let mut turn = None;
        cx.wait(|| {
            turn = self.client.turn();
            turn.is_some()
        })?;

        let mut turn = turn.ok_or(EAGAIN)?;
        let result = self.ask_in_turn(cx, &mut turn, endpoint);
        drop(turn);
        cx.notify();
        result
    }

    fn ask_in_turn(
        &self,
        cx: &Context<'_, '_, Uctx>,
        turn: &mut Turn<'_>,
        endpoint: Option<u32>,
    ) -> Result {
        // Another caller may have asked before.
        let (is_current, unknown) = {
            let mut known = self.known.lock();
            let known = self.current(&mut known);
            let is_current = known.is_some();
            let endpoint = known.and_then(|known| known.endpoint(endpoint?));

            (
                is_current,
                endpoint
                    .filter(|endpoint| endpoint.operations.is_none())
                    .map(|endpoint| endpoint.id),
            )
        };

        if !is_current {
            // RPCs that were allowed by the old answers. No more are: `admit()` sees the reset,
            // too, once the mutex was taken above.
            cx.wait(|| self.in_flight.load(Acquire) == 0)?;
            return self.refresh(turn);
        }
        if self.client.has_lost() {
            turn.ident()?;
        }
        if let Some(endpoint) = unknown {
            let operations = read_operations(turn, endpoint)?;
            let mut known = self.known.lock();

            if let Some(known) = self.current(&mut known) {
                if let Some(endpoint) = known.endpoint(endpoint) {
                    endpoint.operations = Some(operations);
                }
            }
        }
        Ok(())
    }

    /// Asks the firmware for its limits and its endpoints. No RPC may be in flight.
    fn refresh(&self, turn: &mut Turn<'_>) -> Result {
        let resets = self.client.resets();
        let ident = match turn.ident() {
            // Firmware that was reset does not know its clients any more, and `pds_core` does not
            // register them again.
            Err(ECHILD) => {
                turn.register()?;
                turn.ident()?
            }
            ident => ident?,
        };
        let known = Known {
            resets,
            max_request: ident.max_req_sz.get(),
            max_response: ident.max_resp_sz.get(),
            endpoints: read_endpoints(turn)?,
        };

        let old = self.known.lock().replace(known);
        drop(old);
        Ok(())
    }
}

/// Translates the error of firmware that does not know the client: the card is being removed.
fn removed(error: Error) -> Error {
    if error == ECHILD {
        ENODEV
    } else {
        error
    }
}

fn read_endpoints(turn: &mut Turn<'_>) -> Result<KVVec<Endpoint>> {
    let list = turn.endpoints()?;
    let entries = wire::entries::<EndpointEntry>(&list)?;
    let mut endpoints = KVVec::with_capacity(entries.len(), GFP_KERNEL)?;

    for entry in entries {
        let endpoint = Endpoint {
            id: entry.id.get(),
            operations: None,
        };
        endpoints.push(endpoint, GFP_KERNEL)?;
    }
    Ok(endpoints)
}

fn read_operations(turn: &mut Turn<'_>, endpoint: u32) -> Result<KVVec<Operation>> {
    let list = turn.operations(endpoint)?;
    let entries = wire::entries::<OperationEntry>(&list)?;
    let mut operations = KVVec::with_capacity(entries.len(), GFP_KERNEL)?;

    for entry in entries {
        operations.push(Operation::of(entry), GFP_KERNEL)?;
    }
    Ok(operations)
}
