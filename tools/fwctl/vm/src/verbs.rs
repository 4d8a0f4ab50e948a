// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl-vm run`, `shell` and `exec`: one boot, one command, perhaps a shell.

use crate::cli::Accel;
use crate::host::session::{Ended, Seen};
use crate::host::{image, shell};
use crate::host::{Booted, Host};
use crate::judge::complaints;
use crate::machine::{self, Machine, MACHINES};
use crate::protocol::{Status, Step, Stream};
use crate::report::print;
use anyhow::{bail, Context, Result};
use std::io::{stdout, IsTerminal, Write};

/// Exit status when the machine died, or did not come up.
pub const DIED: i32 = 255;

/// `fwctl-vm run`: the demo, and a shell if `interactive`.
pub fn run(host: &Host, machine: Option<&str>, interactive: bool) -> Result<i32> {
    let machine = choose(host, machine)?;
    if interactive {
        need_terminal()?;
    }
    let Some(mut booted) = boot(host, machine, "run")? else {
        return Ok(0);
    };
    let status = script(host, &mut booted, "demo")?;
    if interactive && booted.session.vm.exited().is_none() {
        print("\n");
        interact(&mut booted)?;
    }
    end(booted);
    Ok(status)
}

/// `fwctl-vm shell`.
pub fn shell(host: &Host, machine: Option<&str>) -> Result<i32> {
    let machine = choose(host, machine)?;
    if !host.options.dry_run {
        need_terminal()?;
    }
    let Some(mut booted) = boot(host, machine, "shell")? else {
        return Ok(0);
    };
    if setup(host, &mut booted)? == DIED {
        end(booted);
        return Ok(DIED);
    }
    interact(&mut booted)?;
    end(booted);
    Ok(0)
}

/// `fwctl-vm exec`.
pub fn exec(host: &Host, machine: Option<&str>, limit: u64, command: &[String]) -> Result<i32> {
    let Some(mut booted) = host.boot(choose(host, machine)?, "exec")? else {
        return Ok(0);
    };
    let mut status = setup(host, &mut booted)?;
    if status != DIED {
        status = step(host, &mut booted, "exec", command.to_vec(), limit)?;
    }
    end(booted);
    Ok(status)
}

/// Ends the machine; that a driver still had its device is no news, that a device broke is.
fn end(booted: Booted) {
    for end in booted.end(false) {
        let (name, what, log) = (end.name, end.what, end.log.display());
        eprintln!("fwctl-vm: the emulated {name}: {what}\n  log: {log}");
    }
}

/// Boots for somebody who watches.
fn boot(host: &Host, machine: &'static Machine, log_name: &str) -> Result<Option<Booted>> {
    if !host.options.dry_run {
        let how = match host.accel() {
            Accel::Kvm => "with KVM",
            Accel::Tcg => "emulated, without KVM",
        };
        print(&format!("Booting in QEMU ({how}): {} ...\n", machine.about));
    }
    let booted = host.boot(machine, log_name)?;
    if let Some(booted) = &booted {
        print(&format!(
            "Linux {} is up after {:.1} s; its log: {}\n",
            booted.session.release,
            booted.session.boot_time.as_secs_f32(),
            booted.console_log.display()
        ));
        if let Some(complaint) = complaints(&booted.session.stray, &[]) {
            print(&format!("While it booted: {complaint}\n"));
        }
    }
    Ok(booted)
}

/// Our terminal in the guest, until it is left.
fn interact(booted: &mut Booted) -> Result<()> {
    print(&format!("You are root in the VM: {}.\n", shell::HELP));
    shell::interact(&mut booted.session)
}

/// Loads the drivers for what is there; that one fails is said, and no more.
fn setup(host: &Host, booted: &mut Booted) -> Result<i32> {
    let status = script(host, booted, "setup")?;
    if status != 0 {
        eprintln!("fwctl-vm: not all drivers could be loaded (status {status})");
    }
    Ok(status)
}

/// Runs one of the guest's scripts.
fn script(host: &Host, booted: &mut Booted, name: &str) -> Result<i32> {
    /// In seconds.
    const LIMIT: u64 = 300;
    let path = format!("{}/{name}.sh", image::SCRIPTS);
    step(host, booted, name, vec!["/bin/sh".into(), path], LIMIT)
}

/// Runs a command in the guest with its output on ours; kernel warnings go to standard error.
fn step(
    host: &Host,
    booted: &mut Booted,
    name: &str,
    argv: Vec<String>,
    limit: u64,
) -> Result<i32> {
    let mut env = vec![("FWCTL_VM_MACHINE".to_string(), booted.machine.to_string())];
    if stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        env.push(("FWCTL_VM_COLOR".to_string(), "1".to_string()));
    }
    let step = Step {
        seq: 0,
        name: name.into(),
        argv,
        env,
    };
    let mut watch = |seen: Seen<'_>| match seen {
        Seen::Output(Stream::Out, bytes) => {
            let mut out = stdout().lock();
            // A reader that has seen enough is none of the guest's business.
            let _ = out.write_all(bytes).and_then(|()| out.flush());
        }
        Seen::Output(Stream::Err, bytes) => {
            let _ = std::io::stderr().write_all(bytes);
        }
        Seen::Kernel(line) if line.is_warning() => eprintln!("[kernel] {}", line.text),
        Seen::Kernel(_) => {}
    };
    let ran = booted.session.run(step, host.limit(limit), &mut watch)?;
    let console = booted.console_log.display();
    let died = |what: &str| {
        let last = ran
            .kernel
            .last()
            .map(|line| line.text.as_str())
            .unwrap_or("none");
        eprintln!("fwctl-vm: {what}; the kernel's last message: {last}\n  console: {console}");
        DIED
    };
    Ok(match &ran.ended {
        Ended::Status(Status::Exited(status)) => *status,
        Ended::Status(Status::Killed(signal)) => 128 + signal,
        Ended::Status(Status::TimedOut) => {
            eprintln!(
                "fwctl-vm: not done after {} s, stopped; console: {console}",
                ran.time.as_secs()
            );
            124
        }
        Ended::Status(Status::NotStarted(why)) => {
            eprintln!("fwctl-vm: the VM cannot start {why}");
            127
        }
        Ended::Died => died("the VM died"),
        Ended::Hung => died("the VM hung"),
    })
}

/// The machine called `name`; without a name the one with most devices that can be had.
fn choose(host: &Host, name: Option<&str>) -> Result<&'static Machine> {
    if let Some(name) = name {
        return find(name);
    }
    let arch = host.artifacts.arch(&machine::BOTH);
    let (most, least) = match arch.lacks(&machine::BOTH) {
        None => (&machine::BOTH, &machine::CXL),
        Some(_) => (&machine::CONNECTX, &machine::PLAIN),
    };
    match host.artifacts.unavailable(most) {
        None => Ok(most),
        Some(reason) => {
            eprintln!("fwctl-vm: {reason}; the VM has no ConnectX");
            Ok(least)
        }
    }
}

fn find(name: &str) -> Result<&'static Machine> {
    let names = || {
        MACHINES
            .iter()
            .map(|machine| machine.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    machine::find(name).with_context(|| format!("there is no machine {name}, but {}", names()))
}

fn need_terminal() -> Result<()> {
    if !shell::is_possible() {
        bail!(
            "a shell needs a terminal on standard input and output; use `fwctl-vm exec -- COMMAND`"
        );
    }
    Ok(())
}
