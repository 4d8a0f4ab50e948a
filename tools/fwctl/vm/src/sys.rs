// SPDX-License-Identifier: MIT OR Apache-2.0

//! System calls without a safe wrapper: signal handlers, parent-death signals, and killing all
//! other processes.  All `unsafe` code of this crate is here.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

static ENDED_BY: AtomicI32 = AtomicI32::new(0);
static RESIZED: AtomicBool = AtomicBool::new(false);

/// A signal asked this program to end.
#[derive(Debug)]
pub struct Interrupted(pub i32);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted by signal {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

extern "C" fn on_end(signal: libc::c_int) {
    ENDED_BY.store(signal, Ordering::Relaxed);
}

extern "C" fn on_resize(_: libc::c_int) {
    RESIZED.store(true, Ordering::Relaxed);
}

fn catch(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: The handlers of this file do only what a signal handler may do: they store to
    // atomics, or make a system call.
    unsafe { libc::signal(signal, handler as *const () as libc::sighandler_t) };
}

/// From here on Ctrl-C and its relatives do not end the program; [`check_interrupt`] tells of them.
pub fn catch_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        catch(signal, on_end);
    }
    catch(libc::SIGWINCH, on_resize);
}

/// An error once a signal has asked the program to end.
pub fn check_interrupt() -> Result<(), Interrupted> {
    match ENDED_BY.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal => Err(Interrupted(signal)),
    }
}

/// Whether the terminal has changed its size since the last call.
pub fn take_resize() -> bool {
    RESIZED.swap(false, Ordering::Relaxed)
}

/// Makes the kernel kill the child when this program dies, however it dies.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = rustix::process::getpid();
    let setup = move || {
        use rustix::process::{getppid, set_parent_process_death_signal, Signal};
        set_parent_process_death_signal(Some(Signal::Kill))?;
        if getppid() != Some(parent) {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: Between fork and exec, `setup` makes two system calls and does nothing else.
    unsafe { command.pre_exec(setup) }
}

extern "C" fn on_power_off(_: libc::c_int) {
    power_off();
}

/// Ends the guest.  A kernel without ACPI can only halt, so there it reboots, which ends QEMU as
/// well.  Nothing is lost, there are no disks.
pub fn power_off() {
    // SAFETY: The path is a C string.
    let has_acpi = unsafe { libc::access(c"/sys/firmware/acpi".as_ptr(), libc::F_OK) } == 0;
    let how = match has_acpi {
        true => libc::RB_POWER_OFF,
        false => libc::RB_AUTOBOOT,
    };
    // SAFETY: The call takes no pointers.  A signal handler may make both calls: each is one system
    // call.
    unsafe { libc::reboot(how) };
}

/// Makes the guest's init obey `poweroff`, `halt` and `reboot`, which send it signals.
pub fn power_off_on_request() {
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM] {
        catch(signal, on_power_off);
    }
}

/// Kills every other process of the machine.  For the guest's init.
pub fn kill_others() {
    assert!(
        rustix::process::getpid().is_init(),
        "only init may kill everybody"
    );
    // SAFETY: kill() takes no pointers.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}
