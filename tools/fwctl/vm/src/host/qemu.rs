// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's command line for a machine.

use crate::arch::Arch;
use crate::cli::Accel;
use crate::host::emulated::EmulatorSockets;
use crate::kernel::Kernel;
use crate::machine::{Emulated, Machine, Slot};
use crate::protocol::{EMULATOR_PORT, PORT};
use std::path::{Path, PathBuf};

/// Everything that QEMU is told.
pub struct Launch<'a> {
    /// The program.
    pub qemu: &'a Path,
    /// Kernel, topology, devices.
    pub machine: &'a Machine,
    /// Its architecture.
    pub arch: &'static Arch,
    /// What its kernel wants.
    pub checks: &'static Kernel,
    /// Its image.
    pub kernel: &'a Path,
    /// Its initramfs.
    pub initramfs: &'a Path,
    /// Unix sockets on which we listen.
    pub sockets: &'a Sockets,
    /// Folder with the sockets of the emulated devices.
    pub dir: &'a Path,
    /// How the processors run.
    pub accel: Accel,
    /// How many times as long as usual everything may take on this host.
    pub time_factor: f64,
    /// More for the kernel's command line.
    pub cmdline: &'a str,
}

/// Where the guest's channels end on the host.
#[derive(Clone, Debug)]
pub struct Sockets {
    /// Serial port: the kernel log.
    pub console: PathBuf,
    /// Virtio port: requests and events.
    pub port: PathBuf,
    /// Virtio console: the interactive shell.
    pub tty: PathBuf,
}

impl Sockets {
    /// The sockets in `dir`.
    pub fn in_dir(dir: &Path) -> Sockets {
        let at = |name: &str| dir.join(name);
        Sockets {
            console: at("console"),
            port: at("port"),
            tty: at("tty"),
        }
    }
}

/// Kernel arguments for every machine.
const CMDLINE: &[&str] = &[
    // The kernel log goes to the serial port, with levels, and nobody is kept from writing to it.
    "console_msg_format=syslog loglevel=7 printk.devkmsg=on",
    "rdinit=/init",
    // An oops ends the machine at once, and so does a panic: with -no-reboot QEMU then exits.
    "oops=panic panic=-1",
    // An emulated processor on a busy host may stand still for a while.
    "rcupdate.rcu_cpu_stall_timeout=60",
];

/// What sleeps uninterruptibly for as many seconds hangs, on a host and a kernel that are as fast
/// as usual. A command of `mlx5_core` to a card that was removed takes 60 seconds, and a call may
/// consist of two.
const HUNG_AFTER: f64 = 150.0;

impl Launch<'_> {
    /// Program and arguments.
    pub fn argv(&self) -> Vec<String> {
        let mut argv = vec![self.qemu.display().to_string()];
        let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| word.to_string()));

        add(&[
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        self.accelerator(&mut add);
        add(&["-m", &format!("{}M", self.checks.memory)]);
        let cxl = if self.machine.cxl_devices > 0 {
            ",cxl=on"
        } else {
            ""
        };
        // The emulated devices map the guest's memory.
        let memory = match self.machine {
            machine if machine.emulated.is_empty() || machine.is_numa => "",
            _ => ",memory-backend=ram",
        };
        // The alarm of the clock would come through the HPET, where the kernel loses it.
        let hpet = match self.machine.can_suspend {
            true => ",hpet=off",
            false => "",
        };
        let smm = match self.machine.has_secure_boot {
            true => ",smm=on",
            false => "",
        };
        add(&[
            "-M",
            &format!("{}{cxl}{memory}{smm}{hpet}", self.arch.board),
        ]);
        if self.machine.can_suspend {
            add(&["-global", "ICH9-LPC.disable_s3=0"]);
        }
        self.firmware(&mut add);
        self.processors(&mut add);
        if self.machine.has_iommu {
            // Before the devices that it is for. In caching mode, it tells fwctl-emu of each page
            // that the guest maps for a device. Without the remapping of interrupts, KVM needs no
            // help of QEMU's with them.
            add(&["-device", "intel-iommu,caching-mode=on,intremap=off"]);
        }
        self.cxl(&mut add);
        self.emulated(&mut add);

        add(&["-device", "virtio-serial-pci,bus=pcie.0"]);
        add(&["-chardev", &channel("console", &self.sockets.console)]);
        add(&["-serial", "chardev:console"]);
        add(&["-chardev", &channel("tty", &self.sockets.tty)]);
        add(&["-device", "virtconsole,chardev=tty"]);
        add(&["-chardev", &channel("port", &self.sockets.port)]);
        add(&[
            "-device",
            &format!("virtserialport,chardev=port,name={PORT}"),
        ]);
        for Emulated { name, .. } in self.machine.emulated {
            let control = EmulatorSockets::in_dir(self.dir, name).control;
            add(&["-chardev", &channel(name, &control)]);
            add(&[
                "-device",
                &format!("virtserialport,chardev={name},name={EMULATOR_PORT}{name}"),
            ]);
        }

        add(&["-kernel", &self.kernel.display().to_string()]);
        add(&["-initrd", &self.initramfs.display().to_string()]);
        // It costs a third of the boot's time, and reports by itself only after ten minutes.
        let kmemleak = match self.machine.has_kmemleak || self.checks.has_kmemleak {
            true => "kmemleak=on",
            false => "kmemleak=off",
        };
        let hung_after = HUNG_AFTER * self.checks.slowness * self.time_factor;
        let cmdline = [
            &format!("console={}", self.arch.console),
            &CMDLINE.join(" "),
            self.arch.cmdline,
            &format!("sysctl.kernel.hung_task_timeout_secs={hung_after:.0}"),
            kmemleak,
            self.checks.cmdline,
            self.machine.cmdline,
            self.cmdline,
        ];
        let cmdline: Vec<&str> = cmdline
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        add(&["-append", &cmdline.join(" ")]);
        argv
    }

    /// UEFI with the keys that it was given; it writes to its variables only in SMM, and they are
    /// forgotten at the end.
    fn firmware(&self, add: &mut impl FnMut(&[&str])) {
        if !self.machine.has_secure_boot {
            return;
        }
        let flash = |unit: u8, name: &str, how: &str| {
            let file = self.kernel.with_file_name(name).display().to_string();
            let file = file.replace(',', ",,");
            format!("if=pflash,unit={unit},format=raw,{how}=on,file={file}")
        };
        add(&["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        add(&["-drive", &flash(0, "firmware.fd", "readonly")]);
        add(&["-drive", &flash(1, "variables.fd", "snapshot")]);
    }

    fn accelerator(&self, add: &mut impl FnMut(&[&str])) {
        if self.machine.is_counted {
            add(&["-accel", "tcg,thread=single"]);
            // An instruction is a nanosecond, and what is idle takes no time.
            add(&["-icount", "shift=0,sleep=off"]);
            // Without these the kernel copies byte by byte, as far as instructions count.
            return add(&["-cpu", "max,-erms,-fsrm,-fsrs,-fzrm"]);
        }
        let with_kvm = self.accel == Accel::Kvm && self.arch.is_native();
        if with_kvm {
            add(&["-accel", "kvm"]);
        }
        // Where KVM does not start, QEMU takes the next one.
        let emulated = match self.machine.is_realtime || self.checks.is_realtime {
            true => "tcg,thread=single",
            false => "tcg",
        };
        add(&["-accel", emulated]);
        // The host's own, under KVM.
        add(&["-cpu", if with_kvm { "max" } else { self.arch.cpu }]);
    }

    fn processors(&self, add: &mut impl FnMut(&[&str])) {
        let backend = match self.machine.emulated {
            [] => "memory-backend-ram",
            _ => "memory-backend-memfd,share=on",
        };
        if !self.machine.is_numa {
            if !self.machine.emulated.is_empty() {
                let size = self.checks.memory;
                add(&["-object", &format!("{backend},id=ram,size={size}M")]);
            }
            let count = if self.machine.is_counted { "1" } else { "2" };
            return add(&["-smp", count]);
        }
        add(&["-smp", "2,sockets=2,cores=1,threads=1"]);
        let size = self.checks.memory / 2;
        for node in 0..2 {
            add(&["-object", &format!("{backend},id=ram{node},size={size}M")]);
            add(&[
                "-numa",
                &format!("node,nodeid={node},cpus={node},memdev=ram{node}"),
            ]);
        }
    }

    /// The devices whose other end is fwctl-emu.
    fn emulated(&self, add: &mut impl FnMut(&[&str])) {
        for (n, Emulated { name, slot, .. }) in self.machine.emulated.iter().enumerate() {
            let bus = match slot {
                Slot::RootBus => "pcie.0".into(),
                Slot::RootPort => {
                    let number = n + 1;
                    let port = format!("port.{name}");
                    add(&[
                        "-device",
                        &format!(
                            "pcie-root-port,bus=pcie.0,id={port},chassis={number},slot={number}"
                        ),
                    ]);
                    port
                }
            };
            let socket = EmulatorSockets::in_dir(self.dir, name).device;
            let device = serde_json::json!({
                "driver": "vfio-user-pci",
                "id": name,
                "bus": bus,
                "socket": {"type": "unix", "path": socket},
            });
            add(&["-device", &device.to_string()]);
        }
    }

    /// One CXL host bridge with a root port and a memory device per device. If there is a switch,
    /// the first device is behind it, and its second downstream port is empty.
    fn cxl(&self, add: &mut impl FnMut(&[&str])) {
        if self.machine.cxl_devices == 0 {
            return;
        }
        add(&["-device", "pxb-cxl,bus_nr=12,bus=pcie.0,id=cxl.1"]);
        for n in 0..self.machine.cxl_devices {
            let slot = n + 2;
            let serial = 0xabcd + u32::from(n);
            add(&[
                "-object",
                &format!("memory-backend-ram,id=vmem{n},size=256M,share=on"),
            ]);
            add(&[
                "-device",
                &format!("cxl-rp,port={n},bus=cxl.1,id=rp{n},chassis=0,slot={slot}"),
            ]);
            let bus = match self.machine.has_cxl_switch && n == 0 {
                true => {
                    cxl_switch(add);
                    "dsp0".into()
                }
                false => format!("rp{n}"),
            };
            let device =
                format!("cxl-type3,bus={bus},volatile-memdev=vmem{n},id=mem{n},sn={serial:#x}");
            add(&["-device", &device]);
        }
        add(&["-M", "cxl-fmw.0.targets.0=cxl.1,cxl-fmw.0.size=4G"]);
    }
}

/// A switch at the first root port: an upstream port, a mailbox, and two downstream ports.
fn cxl_switch(add: &mut impl FnMut(&[&str])) {
    for device in [
        "cxl-upstream,bus=rp0,id=usp0,addr=0.0,multifunction=on,sn=0x5117c4",
        "cxl-switch-mailbox-cci,bus=rp0,addr=0.1,target=usp0",
        "cxl-downstream,bus=usp0,id=dsp0,port=0,chassis=1,slot=1",
        "cxl-downstream,bus=usp0,id=dsp1,port=1,chassis=1,slot=2",
    ] {
        add(&["-device", device]);
    }
}

/// A socket that QEMU connects to.
fn channel(id: &str, path: &Path) -> String {
    let path = path.display().to_string().replace(',', ",,");
    format!("socket,id={id},path={path}")
}

/// The command line as one could type it in a shell.
pub fn quote(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+%@".contains(c);
    let word = |word: &String| match word {
        word if !word.is_empty() && word.chars().all(plain) => word.clone(),
        word => format!("'{}'", word.replace('\'', "'\\''")),
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::ARM64;
    use crate::{kernel, machine};

    fn argv(machine: &Machine) -> String {
        argv_of(machine, machine.flavour)
    }

    fn argv_of(machine: &Machine, flavour: &str) -> String {
        argv_for(machine, machine.arch, flavour)
    }

    fn argv_for(machine: &Machine, arch: &'static Arch, flavour: &str) -> String {
        let sockets = Sockets::in_dir(Path::new("/tmp/a,b"));
        let launch = Launch {
            qemu: Path::new("qemu"),
            machine,
            arch,
            checks: kernel::of(flavour),
            kernel: Path::new("/k"),
            initramfs: Path::new("/i"),
            sockets: &sockets,
            dir: Path::new("/tmp/a,b"),
            accel: Accel::Kvm,
            time_factor: 2.0,
            cmdline: "more",
        };
        quote(&launch.argv())
    }

    #[test]
    fn both_accelerators_and_a_quick_death() {
        let argv = argv(&machine::PLAIN);
        assert!(argv.contains("-accel kvm -accel tcg -cpu max"));
        assert!(argv.contains("-no-reboot") && argv.contains("oops=panic panic=-1"));
        assert!(argv.contains("path=/tmp/a,,b/port"));
        assert!(argv.ends_with("kunit.enable=0 more'"), "{argv}");
        assert!(!argv.contains("cxl"));
    }

    #[test]
    fn devices() {
        let one = argv(&machine::CXL);
        assert!(one.contains("q35,sata=off,smbus=off,cxl=on"));
        assert_eq!(one.matches("cxl-type3").count(), 1);
        let two = argv(&machine::CXL2);
        assert!(two.contains("cxl-type3,bus=rp1,volatile-memdev=vmem1,id=mem1,sn=0xabce"));
        assert_eq!(two.matches("pxb-cxl").count(), 1);
        let switch = argv(&machine::CXL_SWITCH);
        assert!(switch.contains("cxl-switch-mailbox-cci,bus=rp0,addr=0.1,target=usp0"));
        assert!(switch.contains("cxl-type3,bus=dsp0,"));
        assert!(!two.contains("usp0"));
        assert!(argv(&machine::CXL_TEST).contains("sockets=2"));
    }

    #[test]
    fn emulated_devices() {
        let card = argv(&machine::CONNECTX);
        assert!(card.contains("memory-backend=ram -object memory-backend-memfd,share=on,id=ram,"));
        assert!(card.contains("-device pcie-root-port,bus=pcie.0,id=port.connectx,"));
        assert!(card.contains(r#""driver":"vfio-user-pci""#), "{card}");
        assert!(
            card.contains(r#""path":"/tmp/a,b/connectx.vfio""#),
            "{card}"
        );
        assert!(card.contains("socket,id=connectx,path=/tmp/a,,b/connectx.control"));
        assert!(card.contains("chardev=connectx,name=fwctl-emu.connectx"));
        assert!(!card.contains("cxl"), "{card}");

        let cards = argv(&machine::CONNECTX2);
        assert!(cards.contains(r#""bus":"port.connectx","#), "{cards}");
        assert!(cards.contains(r#""bus":"pcie.0","#), "{cards}");
        assert_eq!(cards.matches("pcie-root-port").count(), 1);

        let numa = argv(&Machine {
            emulated: machine::CONNECTX.emulated,
            ..machine::CXL_TEST
        });
        assert!(numa.contains("memory-backend-memfd,share=on,id=ram1,size=512M"));
        assert!(!numa.contains("memory-backend="), "{numa}");
    }

    #[test]
    fn secure_boot() {
        let secure = argv(&machine::STOCK_SECURE);
        assert!(secure.contains("smm=on"), "{secure}");
        assert!(secure.contains("if=pflash,unit=1,format=raw,snapshot=on,file=/variables.fd"));
        assert!(!argv(&machine::STOCK).contains("pflash"));
    }

    #[test]
    fn iommu() {
        let iommu = argv(&machine::STOCK_IOMMU);
        let at = |what: &str| iommu.find(what).expect(what);
        assert!(at("-device intel-iommu,caching-mode=on") < at("vfio-user-pci"));
        assert!(!argv(&machine::STOCK).contains("iommu"));
    }

    #[test]
    fn another_architecture() {
        let arm64 = argv(&machine::ARM64_STOCK);
        assert!(arm64.contains("-accel tcg -cpu cortex-a76"), "{arm64}");
        assert!(!arm64.contains("kvm"), "{arm64}");
        assert!(
            arm64.contains("-M virt,gic-version=3,memory-backend=ram "),
            "{arm64}"
        );
        assert!(
            arm64.contains("console=ttyAMA0 ") && !arm64.contains("tsc="),
            "{arm64}"
        );
        assert!(argv(&machine::PLAIN).contains("console=ttyS0 "));
        let card = argv_for(&machine::CONNECTX, &ARM64, "64k");
        assert!(card.contains("-M virt,gic-version=3,memory-backend=ram "));
        assert!(card.contains("-m 2048M") && card.contains("size=2048M"));
    }

    #[test]
    fn suspend() {
        let asleep = argv(&machine::ASLEEP);
        assert!(
            asleep.contains(",hpet=off -global ICH9-LPC.disable_s3=0"),
            "{asleep}"
        );
        assert!(!argv(&machine::BOTH).contains("disable_s3"));
    }

    #[test]
    fn real_time() {
        for (machine, is_single) in [
            (&machine::STOCK_RT, true),
            (&machine::ARM64_RT, true),
            (&machine::STOCK_CLOUD, false),
        ] {
            let argv = argv(machine);
            assert_eq!(
                argv.contains("-accel tcg,thread=single"),
                is_single,
                "{argv}"
            );
        }
    }

    #[test]
    fn counted_instructions() {
        let argv = argv(&machine::BENCH);
        assert!(argv.contains("-accel tcg,thread=single -icount shift=0,sleep=off"));
        assert!(argv.contains("-cpu max,-erms,-fsrm,-fsrs,-fzrm") && argv.contains("-smp 1 "));
        assert!(argv.contains("tsc=reliable") && argv.contains("clocksource=tsc"));
        assert!(!argv.contains("kvm"), "{argv}");
    }

    #[test]
    fn kernels_that_check() {
        let usual = argv(&machine::CONNECTX);
        assert!(usual.contains("-m 1024M") && usual.contains("size=1024M"));
        assert!(usual.contains("hung_task_timeout_secs=300 kmemleak=off kunit.enable=0 more"));
        let debug = argv_of(&machine::CONNECTX, "debug");
        assert!(debug.contains("-m 2048M") && debug.contains("size=2048M"));
        assert!(debug.contains("hung_task_timeout_secs=1500 kmemleak=on kasan_multi_shot"));
        let numa = argv_of(&machine::CXL_TEST, "debug");
        assert_eq!(numa.matches("size=1024M").count(), 2, "{numa}");
    }

    #[test]
    fn quoting() {
        let words = ["a", "b c", "it's", ""].map(String::from);
        assert_eq!(quote(&words), "a 'b c' 'it'\\''s' ''");
    }
}
