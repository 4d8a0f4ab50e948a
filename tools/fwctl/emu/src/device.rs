// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a device is to the framework, and what the framework gives it.

use crate::dma::Memory;
use crate::irq::Vectors;
use crate::pci::ConfigSpace;
use serde_json::Value;
use std::time::Instant;

/// A device behind one PCI function.
///
/// Called with the device's lock held, from the connection's thread, the timer and the control
/// socket.
pub trait Device: Send {
    /// Number of MSI-X vectors.
    fn vectors(&self) -> u32;
    /// Size of each BAR; 0 if it is not there.
    fn bars(&self) -> [u64; 6];
    /// The configuration space.
    fn config(&mut self) -> &mut ConfigSpace;
    /// The guest reads from a BAR.  `data` is in memory order.
    fn read(&mut self, bus: &mut Bus, bar: usize, offset: u64, data: &mut [u8]);
    /// The guest writes to a BAR.
    fn write(&mut self, bus: &mut Bus, bar: usize, offset: u64, data: &[u8]);
    /// The function is reset.
    fn reset(&mut self, bus: &mut Bus, reset: Reset);
    /// When [`Device::run_due`] is to be called, if at all.
    fn due(&self) -> Option<Instant>;
    /// Does what is due at `now`.
    fn run_due(&mut self, bus: &mut Bus, now: Instant);
    /// A command of the control socket: the answer, or what is wrong with the command.
    fn control(&mut self, bus: &mut Bus, verb: &str, argument: &str) -> Result<Value, String>;
    /// What is to be said when the connection has ended.
    fn report(&self) -> Report;
}

/// The machine as a device sees it.
#[derive(Default)]
pub struct Bus {
    /// Guest memory.
    pub memory: Memory,
    /// MSI-X.
    pub vectors: Vectors,
    /// Whether the device is still there.
    pub presence: Presence,
}

/// What resets a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The guest, by a function level reset.
    Function,
    /// The machine, which keeps its power.
    Machine,
    /// Power comes back.
    PowerOn,
}

/// Whether a device is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    #[default]
    Here,
    /// It was pulled out: every read is all ones, writes and interrupts go nowhere.  What QEMU shows
    /// the guest of a device whose process has died, but without its races.
    Gone,
    /// The process is to end at once, without a word to QEMU.
    Exit,
}

/// The state of a device at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is alive, or was left over by a driver that had gone; empty if all is well.
    pub leaks: Vec<String>,
    /// What happened, for people.
    pub lines: Vec<String>,
}
