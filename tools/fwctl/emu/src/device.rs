// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interface between a device and the framework.

use crate::dma::Memory;
use crate::irq::Vectors;
use crate::pci::ConfigSpace;
use serde_json::Value;
use std::time::Instant;

/// A device behind one PCI function.
///
/// Called with the lock of the device held, by the threads of the connection, the timer and the
/// control socket.
pub trait Device: Send {
    /// Number of MSI-X vectors.
    fn vectors(&self) -> u32;
    /// Size of each BAR, or 0 if the BAR does not exist.
    fn bars(&self) -> [u64; 6];
    /// The configuration space.
    fn config(&mut self) -> &mut ConfigSpace;
    /// The guest reads from a BAR. `data` is in memory order.
    fn read(&mut self, bus: &mut Bus, bar: usize, offset: u64, data: &mut [u8]);
    /// The guest writes to a BAR.
    fn write(&mut self, bus: &mut Bus, bar: usize, offset: u64, data: &[u8]);
    /// Resets the function.
    fn reset(&mut self, bus: &mut Bus, reset: Reset);
    /// When to call [`Device::run_due`], if at all.
    fn due(&self) -> Option<Instant>;
    /// Does the work that is due at `now`.
    fn run_due(&mut self, bus: &mut Bus, now: Instant);
    /// Executes a command of the control socket. Errors are messages for the client.
    fn control(&mut self, bus: &mut Bus, verb: &str, argument: &str) -> Result<Value, String>;
    /// The report to print when the connection has ended.
    fn report(&self) -> Report;
}

/// The machine as a device sees it.
#[derive(Default)]
pub struct Bus {
    /// Guest memory.
    pub memory: Memory,
    /// MSI-X.
    pub vectors: Vectors,
    /// Whether the device is present.
    pub presence: Presence,
}

/// The cause of a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The guest: a function level reset.
    Function,
    /// A reset of the machine without loss of power.
    Machine,
    /// Power on.
    PowerOn,
}

/// Whether the device is present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// The device is present.
    #[default]
    Here,
    /// The device was removed: reads return all ones, writes and interrupts are dropped. QEMU shows
    /// the guest the same when the process of a device has died, but with races.
    Gone,
    /// Exit at once, without telling QEMU.
    Exit,
}

/// The state of a device when the connection ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Resources that a driver has not released. Empty if there are none.
    pub leaks: Vec<String>,
    /// A summary for people.
    pub lines: Vec<String>,
}
