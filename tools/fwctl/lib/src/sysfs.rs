// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which fwctl devices are there, and what are they? All from sysfs: looking opens no device.

use crate::replay::Replay;
use crate::{pci_ids, Device, DeviceType, Error, Operation, Result};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the system's files are: `/`, or a directory with a copy of a system in it.
///
/// In a copy, a device node is a text file with a [recording](crate::replay), and that answers.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    is_copy: bool,
}

impl Default for Root {
    fn default() -> Root {
        Root {
            path: PathBuf::from("/"),
            is_copy: false,
        }
    }
}

/// A fwctl device as sysfs describes it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name: `fwctl0`.
    pub name: String,
    /// Its node.
    pub node: PathBuf,
    /// Who may open the node; nothing if there is no node.
    pub access: Option<Access>,
    /// The device that it controls.
    pub parent: Parent,
    is_copy: bool,
}

/// Owner and mode of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Owner: the name, or the number if it has none.
    pub owner: String,
    /// Group: the name, or the number if it has none.
    pub group: String,
}

/// The device behind a fwctl device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parent {
    /// Its name: a PCI address, `mem0`, or another bus's name.
    pub name: String,
    /// Its bus: `pci`, `cxl`, ...
    pub bus: Option<String>,
    /// Driver bound to it, or to the PCI function it belongs to.
    pub driver: Option<String>,
    /// PCI function that it is or belongs to.
    pub pci: Option<PciFunction>,
    /// CXL memory device that it is.
    pub memdev: Option<Memdev>,
}

/// A PCI function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PciFunction {
    /// Domain, bus, device and function: `0000:0d:00.0`.
    pub address: String,
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Name of the product, if the system has a database that knows it.
    pub product: Option<String>,
}

impl PciFunction {
    /// Name of the product, or vendor and device id where the name is not known: `15b3:1021`.
    pub fn product_or_ids(&self) -> String {
        self.product
            .clone()
            .unwrap_or_else(|| format!("{:04x}:{:04x}", self.vendor, self.device))
    }
}

/// A CXL memory device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memdev {
    /// Its name: `mem0`.
    pub name: String,
    /// Serial number.
    pub serial: Option<String>,
    /// Version of the firmware that runs.
    pub firmware_version: Option<String>,
}

/// Why there is no device. The text is a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// sysfs is not mounted.
    NoSysfs,
    /// The fwctl class is not there.
    NoModule {
        /// Release of the running kernel.
        release: String,
        /// The kernel has the module, so it can be loaded; nothing if its modules cannot be looked at.
        is_available: Option<bool>,
    },
    /// The class is there and empty.
    NoDevices {
        /// Devices made for a fwctl driver that none has taken.
        unbound: Vec<String>,
    },
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absence::NoSysfs => f.write_str("sysfs is not mounted, so no device can be found: mount -t sysfs sysfs /sys"),
            Absence::NoModule { release, is_available: Some(false) } => write!(
                f,
                "this kernel ({release}) has no fwctl module: boot a kernel with CONFIG_FWCTL, or install the module for this one"
            ),
            Absence::NoModule { release, is_available: Some(true) } => write!(
                f,
                "the fwctl module is not loaded: load a device driver, such as modprobe cxl_fwctl or modprobe mlx5_fwctl (kernel {release})"
            ),
            Absence::NoModule { release, is_available: None } => write!(
                f,
                "the kernel ({release}) has no fwctl class: load a device driver, such as modprobe cxl_fwctl or modprobe mlx5_fwctl, \
                 if the kernel has them (CONFIG_FWCTL)"
            ),
            Absence::NoDevices { unbound } if unbound.is_empty() => f.write_str(
                "fwctl is there and has no devices: load the driver of your device, such as modprobe cxl_fwctl or modprobe mlx5_fwctl; \
                 if it is loaded, this machine has no device for it (see dmesg)",
            ),
            Absence::NoDevices { unbound } => write!(
                f,
                "fwctl is there and has no devices, but {} {} no driver: load it, such as modprobe cxl_fwctl or modprobe mlx5_fwctl",
                unbound.join(", "),
                if unbound.len() == 1 { "has" } else { "have" }
            ),
        }
    }
}

impl std::error::Error for Absence {}

impl Root {
    /// A directory with a copy of a system.
    pub fn copy(path: impl Into<PathBuf>) -> Root {
        Root {
            path: path.into(),
            is_copy: true,
        }
    }

    /// Path of a file, given without the leading slash.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path)
    }

    /// Every fwctl device, in the order of their numbers; there is at least one.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`] says why there is none; [`Error::File`] if the class cannot be read.
    pub fn devices(&self) -> Result<Vec<Entry>> {
        let class = self.join("sys/class/fwctl");
        let names = match fs::read_dir(&class) {
            Ok(names) => names,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(self.no_class().into()),
            Err(source) => {
                return Err(Error::File {
                    path: class,
                    source,
                })
            }
        };
        let mut entries: Vec<Entry> = names
            .filter_map(|name| name.ok()?.file_name().into_string().ok())
            .filter(|name| index(name).is_some())
            .map(|name| self.entry(name))
            .collect();
        if entries.is_empty() {
            return Err(Absence::NoDevices {
                unbound: self.unbound(),
            }
            .into());
        }
        entries.sort_by_key(|entry| index(&entry.name));
        Ok(entries)
    }

    /// The device that `name` means: `fwctl0`, the path of a node, a PCI address (with or without domain) or a memdev.
    ///
    /// A path of a node that sysfs does not know is taken as it is.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Ambiguous`], or as for [`Root::devices`].
    pub fn resolve(&self, name: &str) -> Result<Entry> {
        if name.contains('/') {
            return Ok(self.resolve_path(Path::new(name)));
        }
        let entries = self.devices()?;
        let known = listing(&entries);
        let mut fitting: Vec<Entry> = entries
            .into_iter()
            .filter(|entry| entry.is_called(name))
            .collect();
        match fitting.len() {
            1 => Ok(fitting.remove(0)),
            0 => Err(Error::NotFound {
                name: name.into(),
                known,
            }),
            _ => Err(Error::Ambiguous {
                name: name.into(),
                candidates: listing(&fitting),
            }),
        }
    }

    fn resolve_path(&self, path: &Path) -> Entry {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = real
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        let known = self.join("sys/class/fwctl").join(&name).exists();
        let parent = if known {
            self.parent(&name)
        } else {
            Parent::default()
        };
        Entry {
            access: self.access(path),
            node: path.to_owned(),
            name,
            parent,
            is_copy: self.is_copy,
        }
    }

    fn entry(&self, name: String) -> Entry {
        let node = self.node(&name);
        Entry {
            access: self.access(&node),
            parent: self.parent(&name),
            node,
            name,
            is_copy: self.is_copy,
        }
    }

    /// The node's name is the kernel's to say; without its word it is the class's usual place.
    fn node(&self, name: &str) -> PathBuf {
        let uevent =
            read(&self.join("sys/class/fwctl").join(name).join("uevent")).unwrap_or_default();
        let said = uevent
            .lines()
            .find_map(|line| line.strip_prefix("DEVNAME="));
        let usual = format!("fwctl/{name}");
        let name = said
            .filter(|name| !name.starts_with('/') && !name.contains(".."))
            .unwrap_or(&usual);
        self.join("dev").join(name)
    }

    fn parent(&self, name: &str) -> Parent {
        let Ok(path) = fs::canonicalize(self.join("sys/class/fwctl").join(name).join("device"))
        else {
            return Parent::default();
        };
        let name = file_name(&path).unwrap_or_default();
        let bus = link_name(&path.join("subsystem"));
        let pci_path = path
            .ancestors()
            .find(|path| link_name(&path.join("subsystem")).as_deref() == Some("pci"));
        let memdev = (bus.as_deref() == Some("cxl")).then(|| Memdev {
            name: name.clone(),
            serial: read(&path.join("serial")),
            firmware_version: read(&path.join("firmware_version")),
        });
        // A memdev's own driver is the one that uses the memory; the mailbox belongs to the PCI function's.
        let driver_of = if memdev.is_some() {
            pci_path
        } else {
            Some(path.as_path())
        };
        let driver = driver_of.and_then(|path| link_name(&path.join("driver")));
        Parent {
            driver,
            pci: pci_path.and_then(|path| self.pci(path)),
            name,
            bus,
            memdev,
        }
    }

    fn pci(&self, path: &Path) -> Option<PciFunction> {
        let vendor = hex16(&read(&path.join("vendor"))?)?;
        let device = hex16(&read(&path.join("device"))?)?;
        let product = pci_ids::product(&self.path, vendor, device);
        Some(PciFunction {
            address: file_name(path)?,
            vendor,
            device,
            product,
        })
    }

    fn access(&self, node: &Path) -> Option<Access> {
        let metadata = fs::metadata(node).ok()?;
        Some(Access {
            mode: metadata.mode() & 0o7777,
            owner: self.id_name("etc/passwd", metadata.uid()),
            group: self.id_name("etc/group", metadata.gid()),
        })
    }

    /// Name of a user or group from the local file; a directory service is not asked.
    fn id_name(&self, file: &str, id: u32) -> String {
        let text = read(&self.join(file)).unwrap_or_default();
        let number = id.to_string();
        let name = text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == number).then(|| name.to_owned())
        });
        name.unwrap_or(number)
    }

    fn no_class(&self) -> Absence {
        if !self.join("sys/class").is_dir() {
            return Absence::NoSysfs;
        }
        let release =
            read(&self.join("proc/sys/kernel/osrelease")).unwrap_or_else(|| "unknown".into());
        let modules = self.join("lib/modules").join(&release);
        // A built-in fwctl has its class from the start, so modules.builtin has nothing to add.
        let is_available =
            read(&modules.join("modules.dep")).map(|text| text.contains("/fwctl.ko"));
        Absence::NoModule {
            release,
            is_available,
        }
    }

    /// Auxiliary devices for a fwctl driver, without one.
    fn unbound(&self) -> Vec<String> {
        let Ok(devices) = fs::read_dir(self.join("sys/bus/auxiliary/devices")) else {
            return Vec::new();
        };
        let mut names: Vec<String> = devices
            .filter_map(|device| device.ok())
            .filter(|device| !device.path().join("driver").exists())
            .filter_map(|device| device.file_name().into_string().ok())
            .filter(|name| name.contains("fwctl"))
            .collect();
        names.sort();
        names
    }
}

impl Entry {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// [`Error::Call`] with the errno of opening the node, or with what is wrong with the recording.
    pub fn open(&self) -> Result<Device> {
        if !self.is_copy {
            return Device::open(&self.node);
        }
        let failed = |source| Error::Call {
            device: self.node.display().to_string(),
            operation: Operation::Open,
            source,
        };
        let text = fs::read_to_string(&self.node).map_err(failed)?;
        let replay = Replay::parse(&text).map_err(|e| failed(io::Error::other(e)))?;
        if let Some(errno) = replay.open_errno() {
            return Err(failed(io::Error::from_raw_os_error(errno)));
        }
        Ok(Device::with_transport(self.name.clone(), replay))
    }

    /// Type of the device as its parent suggests it. The kernel's word is [`Device::device_type`], which needs the node opened.
    pub fn likely_type(&self) -> Option<DeviceType> {
        match self.parent.driver.as_deref() {
            _ if self.parent.memdev.is_some() => Some(DeviceType::Cxl),
            Some("mlx5_core") => Some(DeviceType::Mlx5),
            Some("bnxt_en") => Some(DeviceType::Bnxt),
            Some("pds_core") => Some(DeviceType::Pds),
            _ => None,
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let is_address = |address: &str| {
            address.eq_ignore_ascii_case(name)
                || address
                    .strip_prefix("0000:")
                    .is_some_and(|short| short.eq_ignore_ascii_case(name))
        };
        self.name == name
            || self.parent.name == name
            || self
                .parent
                .pci
                .as_ref()
                .is_some_and(|pci| is_address(&pci.address))
    }
}

/// Number of a device name such as `fwctl12`.
fn index(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("fwctl")?;
    digits
        .bytes()
        .all(|c| c.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

fn listing(entries: &[Entry]) -> String {
    let name = |entry: &Entry| match entry.parent.name.as_str() {
        "" => entry.name.clone(),
        parent => format!("{} ({parent})", entry.name),
    };
    entries.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Text of a small file, without white space at its ends.
fn read(path: &Path) -> Option<String> {
    let text = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

fn hex16(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn link_name(link: &Path) -> Option<String> {
    file_name(&fs::read_link(link).ok()?)
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}
