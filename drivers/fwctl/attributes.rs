// SPDX-License-Identifier: GPL-2.0-only

//! The files of a device in sysfs, see `Documentation/ABI/testing/sysfs-class-fwctl`.

use kernel::{
    fmt::Write as _,
    prelude::*,
    str::Formatter,
    sysfs::{
        Attribute,
        File,
        FileList,
        Group,
        Groups,
        WritableAttribute, //
    }, //
};

use crate::{
    counters::Counter,
    device::Device,
    scope::RpcScope,
    shim,
    umem::Registry, //
};

/// The files of all devices.
pub(crate) static GROUPS: Groups<Device, 6> = Groups::new([
    &DEVICE,
    &MEMORY,
    &CONFIGURATION,
    &DEBUG_READ_ONLY,
    &DEBUG_WRITE,
    &DEBUG_WRITE_FULL,
]);

static TYPE: File<Type> = File::read_only(c"type", Type);
static MAX_SCOPE: File<MaxScope> = File::writable(c"max_scope", MaxScope);
static FILES: FileList<Device, 2> = FileList::new([TYPE.entry(), MAX_SCOPE.entry()]);
static DEVICE: Group<Device> = Group::new(&FILES);

/// `type`: the number that `FWCTL_INFO` returns.
struct Type;

impl Attribute for Type {
    type Device = Device;

    fn show(&self, device: &Device, text: &mut Formatter<'_>) -> Result {
        Ok(writeln!(text, "{}", device.driver.device_type)?)
    }
}

/// `max_scope`: the highest scope that RPCs may use.
struct MaxScope;

impl MaxScope {
    const NONE: &'static str = "none";
}

impl Attribute for MaxScope {
    type Device = Device;

    fn show(&self, device: &Device, text: &mut Formatter<'_>) -> Result {
        let name = device.max_scope.get().map_or(Self::NONE, RpcScope::name);

        Ok(writeln!(text, "{name}")?)
    }
}

impl WritableAttribute for MaxScope {
    fn store(&self, device: &Device, text: &[u8]) -> Result {
        let scope = RpcScope::ALL
            .into_iter()
            .find(|scope| scope.name().as_bytes() == text);

        if scope.is_none() && text != Self::NONE.as_bytes() {
            return Err(EINVAL);
        }
        device.max_scope.set(scope)
    }
}

/// A number about registered memory.
struct Memory(fn(&Registry) -> usize);

impl Attribute for Memory {
    type Device = Device;

    fn show(&self, device: &Device, text: &mut Formatter<'_>) -> Result {
        Ok(writeln!(text, "{}", (self.0)(&device.memory.lock()))?)
    }
}

/// The subdirectory `memory`.
static MEMORY: Group<Device> = {
    static REGISTRATIONS: File<Memory> = File::read_only(
        c"registrations",
        Memory(|registry| registry.registered().count),
    );
    static BYTES: File<Memory> =
        File::read_only(c"bytes", Memory(|registry| registry.registered().bytes()));
    static QUARANTINED: File<Memory> = File::read_only(
        c"quarantined_bytes",
        Memory(|registry| registry.quarantined().bytes()),
    );
    static LIST: FileList<Device, 3> =
        FileList::new([REGISTRATIONS.entry(), BYTES.entry(), QUARANTINED.entry()]);

    Group::named(c"memory", &LIST)
};

/// A counter of one scope.
struct ScopeCounter {
    scope: RpcScope,
    counter: Counter,
}

impl Attribute for ScopeCounter {
    type Device = Device;

    fn show(&self, device: &Device, text: &mut Formatter<'_>) -> Result {
        let value = device.uctx_list.lock().sum(self.scope, self.counter) as u64;
        let value = match self.counter {
            Counter::Ticks => shim::ticks_to_ms(value),
            _ => value,
        };

        Ok(writeln!(text, "{value}")?)
    }
}

const fn counter(name: &'static CStr, scope: RpcScope, counter: Counter) -> File<ScopeCounter> {
    File::read_only(name, ScopeCounter { scope, counter })
}

/// A subdirectory with the counters of a scope.
macro_rules! scope_group {
    ($group:ident, $name:literal, $scope:ident) => {
        static $group: Group<Device> = {
            static FILES: [File<ScopeCounter>; 4] = [
                counter(c"requests", RpcScope::$scope, Counter::Requests),
                counter(c"refusals", RpcScope::$scope, Counter::Refusals),
                counter(c"errors", RpcScope::$scope, Counter::Errors),
                counter(c"time_ms", RpcScope::$scope, Counter::Ticks),
            ];
            static LIST: FileList<Device, 4> = FileList::new([
                FILES[0].entry(),
                FILES[1].entry(),
                FILES[2].entry(),
                FILES[3].entry(),
            ]);

            Group::named($name, &LIST)
        };
    };
}

scope_group!(CONFIGURATION, c"rpc-configuration", Configuration);
scope_group!(DEBUG_READ_ONLY, c"rpc-debug-read-only", DebugReadOnly);
scope_group!(DEBUG_WRITE, c"rpc-debug-write", DebugWrite);
scope_group!(DEBUG_WRITE_FULL, c"rpc-debug-write-full", DebugWriteFull);
