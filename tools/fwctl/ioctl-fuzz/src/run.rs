// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a case, and compares its visible results with the prediction.
//!
//! - Return value, errno and taint match the prediction, and so does the reply as far as it is
//!   predicted.
//! - An error changes neither the structure nor other memory, except that after `EFAULT` part of
//!   the output buffer may be written.
//! - Success changes the output fields of the structure and the part of the output buffer that the
//!   reply fills, and nothing else.

use crate::answer::word;
use crate::case::{Buffer, Call, Case, Place};
use crate::devices::{Device, Uuid};
use crate::model::{Attempt, Prediction, Success, INFO_LEN, RPC_LEN};
use crate::sys::{set_privileged, Memory, Node, Ring, Role, Spot};
use anyhow::{bail, Context, Result};
use fwctl_uapi::{FWCTL_INFO, FWCTL_RPC};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Maximum size of a structure in memory. Larger ones are refused because of their size.
const MAX_STRUCT: usize = 4096;

/// Maximum length of a request in memory. Longer ones are refused because of their length.
const MAX_REQUEST: usize = (2 << 20) + 1;

/// `TAINT_FWCTL`.
const TAINT: u64 = 1 << 19;

/// A violation of the contract by the kernel.
#[derive(Debug)]
pub struct Finding(String);

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Finding {}

/// Returns a [`Finding`] unless the condition holds.
macro_rules! judge {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(Finding(format!($($what)+)).into());
        }
    };
}

/// A device, and the memory for calls on it.
pub struct Runner {
    path: PathBuf,
    node: Node,
    memory: Memory,
    device: Device,
    /// Device type.
    pub device_type: u32,
    /// Device data. The first word differs between files.
    info: Vec<u8>,
    is_privileged: bool,
    /// What makes the calls, unless ioctl(2) does.
    ring: Option<Ring>,
    /// Whether the kernel is still untainted by fwctl. Once it is tainted, further taints cannot be
    /// seen.
    is_untainted: bool,
    /// Number of calls.
    pub calls: u64,
}

/// A call that has been laid out in memory.
struct Laid {
    number: u32,
    argument: Spot,
    structure: Vec<u8>,
    input: Spot,
    request: Vec<u8>,
    output: Spot,
}

impl Runner {
    /// Opens the device and requests its type and data.
    pub fn new(path: &Path) -> Result<Self> {
        let mut runner = Runner {
            path: path.into(),
            node: Node::open(path)?,
            memory: Memory::new()?,
            device: Device::Unknown,
            device_type: 0,
            info: Vec::new(),
            is_privileged: true,
            ring: None,
            is_untainted: !is_tainted()?,
            calls: 0,
        };
        (runner.device_type, runner.info) = runner.ask()?;
        runner.device = Device::of(runner.device_type, |request, room| {
            runner.rpc(request, room)
        })?;
        Ok(runner)
    }

    /// Returns whether taints can still be seen.
    pub fn is_untainted(&self) -> bool {
        self.is_untainted
    }

    /// Returns the UUIDs of the device's features.
    pub fn features(&self) -> Vec<Uuid> {
        self.device.features()
    }

    /// Returns device type and data.
    fn ask(&mut self) -> Result<(u32, Vec<u8>)> {
        let data = Buffer {
            len: 256,
            place: Place::Good,
        };
        let laid = self.lay_info(INFO_LEN as u32, 0, data, Place::Good, 0)?;
        let ended = self
            .memory
            .call(&self.node, &mut None, FWCTL_INFO, laid.argument)
            .map_err(io::Error::from_raw_os_error);
        ended.context("FWCTL_INFO")?;
        let structure = self.memory.at(Role::Argument, laid.argument, INFO_LEN);
        let (device_type, len) = (word(structure, 8), word(structure, 12));
        let data = self.memory.at(Role::Output, laid.output, len as usize);
        Ok((device_type, data.to_vec()))
    }

    /// Sends a request in the lowest scope.
    fn rpc(&mut self, request: &[u8], room: usize) -> Result<Vec<u8>> {
        let good = |len| Buffer {
            len,
            place: Place::Good,
        };
        let (input, output) = (good(request.len() as u32), good(room as u32));
        let head = (RPC_LEN as u32, 0);
        let laid = self.lay_rpc(head, input, request, output, Place::Good, 0)?;
        let ended = self
            .memory
            .call(&self.node, &mut None, FWCTL_RPC, laid.argument)
            .map_err(io::Error::from_raw_os_error);
        ended.context("FWCTL_RPC")?;
        let len = word(self.memory.at(Role::Argument, laid.argument, RPC_LEN), 12);
        let reply = self.memory.at(Role::Output, laid.output, len as usize);
        Ok(reply.to_vec())
    }

    /// Checks that the device still has the same type and data, on this file and on a new one.
    pub fn check_alive(&mut self) -> Result<()> {
        for _ in 0..2 {
            let (device_type, data) = self.ask()?;
            judge!(
                device_type == self.device_type && data.get(4..) == self.info.get(4..),
                "device type or data have changed"
            );
            self.node = Node::open(&self.path)?;
        }
        Ok(())
    }

    /// Runs a case on a new file. Fails with a [`Finding`].
    pub fn run(&mut self, case: &Case) -> Result<()> {
        self.node = Node::open(&self.path)?;
        let result =
            case.calls.iter().enumerate().try_for_each(|(n, call)| {
                self.call(call).with_context(|| format!("call {n}: {call}"))
            });
        self.let_caller_be(true)?;
        self.ring = None;
        result
    }

    fn let_caller_be(&mut self, is_privileged: bool) -> Result<()> {
        if self.is_privileged != is_privileged {
            set_privileged(is_privileged)?;
            self.is_privileged = is_privileged;
        }
        Ok(())
    }

    fn call(&mut self, call: &Call) -> Result<()> {
        let laid = match *call {
            Call::Info {
                size,
                flags,
                data,
                arg,
                tail,
            } => self.lay_info(size, flags, data, arg, tail)?,
            Call::Rpc {
                size,
                scope,
                input,
                ref request,
                output,
                arg,
                tail,
            } => self.lay_rpc((size, scope), input, request, output, arg, tail)?,
            Call::Raw {
                number,
                arg,
                ref bytes,
            } => self.lay_raw(number, arg, bytes)?,
            Call::Reopen => {
                self.node = Node::open(&self.path)?;
                return Ok(());
            }
            Call::Caller { is_privileged } => return self.let_caller_be(is_privileged),
            Call::Via(carrier) => {
                self.ring = Ring::of(carrier)?;
                return Ok(());
            }
        };
        self.calls += 1;
        self.carry_out(&laid)
    }

    fn lay_info(
        &mut self,
        size: u32,
        flags: u32,
        data: Buffer,
        arg: Place,
        tail: u8,
    ) -> Result<Laid> {
        let output = self
            .memory
            .put(Role::Output, data.place, &[], data.len as usize)?;
        let mut structure = Vec::new();
        for word in [size, flags, 0, data.len] {
            structure.extend(word.to_ne_bytes());
        }
        structure.extend(output.address.to_ne_bytes());
        let input = self.memory.put(Role::Input, Place::Null, &[], 0)?;
        self.lay(
            FWCTL_INFO,
            structure,
            tail,
            arg,
            (input, Vec::new()),
            output,
        )
    }

    fn lay_rpc(
        &mut self,
        (size, scope): (u32, u32),
        input: Buffer,
        request: &[u8],
        output: Buffer,
        arg: Place,
        tail: u8,
    ) -> Result<Laid> {
        let mut bytes = request.to_vec();
        bytes.resize((input.len as usize).min(MAX_REQUEST), 0);
        let spot = self.memory.put(Role::Input, input.place, &bytes, 0)?;
        let output_spot = self
            .memory
            .put(Role::Output, output.place, &[], output.len as usize)?;
        let mut structure = Vec::new();
        for word in [size, scope, input.len, output.len] {
            structure.extend(word.to_ne_bytes());
        }
        structure.extend(spot.address.to_ne_bytes());
        structure.extend(output_spot.address.to_ne_bytes());
        self.lay(FWCTL_RPC, structure, tail, arg, (spot, bytes), output_spot)
    }

    fn lay_raw(&mut self, number: u32, arg: Place, bytes: &[u8]) -> Result<Laid> {
        let mut structure = bytes.to_vec();
        structure.resize(structure.len().max(RPC_LEN), 0);
        // Addresses in the structures point to the kernel's half of the address space, not to
        // memory of this process.
        structure[23] |= 0x80;
        structure[31] |= 0x80;
        let input = self.memory.put(Role::Input, Place::Null, &[], 0)?;
        let output = self.memory.put(Role::Output, Place::Null, &[], 0)?;
        self.lay(number, structure, 0, arg, (input, Vec::new()), output)
    }

    fn lay(
        &mut self,
        number: u32,
        mut structure: Vec<u8>,
        tail: u8,
        place: Place,
        (input, request): (Spot, Vec<u8>),
        output: Spot,
    ) -> Result<Laid> {
        // Up to `size`, and some bytes that the kernel must not read.
        let size = (word(&structure, 0) as usize).min(MAX_STRUCT);
        structure.resize(size.max(structure.len()) + 16, tail);
        let argument = self.memory.put(Role::Argument, place, &structure, 0)?;
        Ok(Laid {
            number,
            argument,
            structure,
            input,
            request,
            output,
        })
    }

    /// Makes the call and checks the result.
    fn carry_out(&mut self, laid: &Laid) -> Result<()> {
        let attempt = Attempt {
            number: laid.number,
            argument: laid.argument,
            structure: &laid.structure,
            input: laid.input,
            request: &laid.request,
            output: laid.output,
            is_privileged: self.is_privileged,
        };
        let prediction = Prediction::of(&attempt, &self.device);
        let ended = self
            .memory
            .call(&self.node, &mut self.ring, laid.number, laid.argument);
        // The number of bytes that may have been written.
        let room = word(&laid.structure, 12) as usize;
        let wrote = match (ended, laid.number) {
            (Ok(()), FWCTL_RPC) => {
                let after = self.memory.at(Role::Argument, laid.argument, RPC_LEN);
                room.min(word(after, 12) as usize)
            }
            (Ok(()) | Err(libc::EFAULT), FWCTL_INFO | FWCTL_RPC) => room,
            _ => 0,
        };
        self.memory.wrote(Role::Output, laid.output, wrote);
        self.check_taint(prediction.taints)?;
        match (ended, &prediction.success) {
            (Ok(()), Some(success)) => self.check_success(laid, success)?,
            (Ok(()), None) => bail!(Finding(format!(
                "it succeeded but should have failed with {}",
                names(&prediction.errnos)
            ))),
            (Err(errno), success) => {
                judge!(
                    prediction.errnos.contains(&errno),
                    "it failed with {} but {}",
                    names(&[errno]),
                    match (success, prediction.errnos.as_slice()) {
                        (Some(_), []) => "should have succeeded".to_string(),
                        (Some(_), errnos) => format!("may only fail with {}", names(errnos)),
                        (None, errnos) => format!("should have failed with {}", names(errnos)),
                    }
                );
                self.check_around(laid, 0..0, wrote)?;
            }
        }
        let is_asked = !prediction.errnos.is_empty() && prediction.success.is_some();
        if laid.number == FWCTL_RPC && (ended.is_ok() || is_asked) {
            let scope = word(&laid.structure, 4);
            let learnt = self.device.learn(scope, &laid.request, ended.err());
            learnt.map_err(|error| Finding(error.to_string()))?;
        }
        Ok(())
    }

    /// Checks that nothing was written around the buffers, to the request, or to the structure
    /// outside of `out`.
    fn check_around(&self, laid: &Laid, out: std::ops::Range<usize>, filled: usize) -> Result<()> {
        let memory = &self.memory;
        let after = memory.at(Role::Argument, laid.argument, laid.structure.len());
        let (front, behind) = (out.start.min(after.len()), out.end.min(after.len()));
        for range in [0..front, behind..after.len()] {
            judge!(
                laid.structure[range.clone()] == after[range.clone()],
                "the structure was {:x?} and is {:x?}",
                &laid.structure[..RPC_LEN],
                &after[..after.len().min(RPC_LEN)]
            );
        }
        let request = memory.at(Role::Input, laid.input, laid.request.len());
        judge!(laid.request.starts_with(request), "the request was changed");
        for (role, spot, len) in [
            (Role::Argument, laid.argument, laid.structure.len()),
            (Role::Input, laid.input, laid.request.len()),
            (Role::Output, laid.output, filled),
        ] {
            if let Some(offset) = memory.written_around(role, spot, len) {
                bail!(Finding(format!(
                    "{role:?}: byte {offset} was written but only {len} may be"
                )));
            }
        }
        Ok(())
    }

    fn check_success(&self, laid: &Laid, success: &Success) -> Result<()> {
        let structure = self.memory.at(Role::Argument, laid.argument, RPC_LEN);
        let len = word(structure, 12) as usize;
        let room = word(&laid.structure, 12) as usize;
        match success {
            Success::Info => {
                let device_type = word(structure, 8);
                judge!(device_type == self.device_type, "device type {device_type}");
                judge!(len == self.info.len(), "{len} bytes of device data");
                let data = self.memory.at(Role::Output, laid.output, room);
                let (front, rest) = data.split_at(room.min(len));
                judge!(
                    front.get(4..).unwrap_or_default()
                        == &self.info[4.min(len)..front.len().max(4.min(len))],
                    "the device data are {front:x?}"
                );
                judge!(
                    rest.iter().all(|&byte| byte == 0),
                    "the device data are not followed by zeros"
                );
                self.check_around(laid, 8..16, room)
            }
            Success::Reply(reply) => {
                let visible = self.memory.at(Role::Output, laid.output, len.min(room));
                judge!(
                    visible.len() == len.min(room),
                    "the buffer for the reply is not mapped"
                );
                judge!(
                    reply.is(len, visible),
                    "the reply of {len} bytes, {:x?}, should have been {reply:?}",
                    &visible[..visible.len().min(32)]
                );
                self.check_around(laid, 12..16, visible.len())
            }
        }
    }

    fn check_taint(&mut self, taints: bool) -> Result<()> {
        if self.is_untainted {
            let is_tainted = is_tainted()?;
            judge!(
                is_tainted == taints,
                "the kernel is {}tainted",
                if is_tainted { "" } else { "not " }
            );
            self.is_untainted = !taints;
        }
        Ok(())
    }
}

fn is_tainted() -> Result<bool> {
    let path = "/proc/sys/kernel/tainted";
    let text = std::fs::read_to_string(path).context(path)?;
    let bits: u64 = text.trim().parse().context(path)?;
    Ok(bits & TAINT != 0)
}

fn names(errnos: &[i32]) -> String {
    let names = errnos
        .iter()
        .map(|errno| io::Error::from_raw_os_error(*errno).to_string());
    names.collect::<Vec<_>>().join(", or ")
}
