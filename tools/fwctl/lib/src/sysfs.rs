// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lists fwctl devices and looks them up, from sysfs alone: no device is opened.

use crate::replay::Replay;
use crate::{pci_ids, vpd, Device, DeviceType, Error, MaxScope, Operation, Result, Scope};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Root directory of the system: `/`, or a directory with a copy of a system in it.
///
/// In a copy, a device node is a text file with a [recording](crate::replay), which is replayed.
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
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Entry {
    /// Its name: `fwctl0`.
    pub name: String,
    /// Its node.
    pub node: PathBuf,
    /// Owner and mode of the node, if there is a node.
    pub access: Option<Access>,
    /// Major and minor device number, by which the node is checked before it is opened.
    pub number: Option<(u32, u32)>,
    /// Type of the device, on kernels whose fwctl class has the attribute `type`.
    pub device_type: Option<DeviceType>,
    /// Scopes that the administrator allows, on kernels whose fwctl class has the attribute
    /// `max_scope`.
    pub max_scope: Option<MaxScope>,
    /// The device that it controls.
    pub parent: Parent,
    #[cfg_attr(feature = "serde", serde(skip))]
    is_copy: bool,
}

/// What the kernel has counted of the RPCs in one scope, since the device was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RpcCounters {
    /// RPCs that have ended.
    pub requests: u64,
    /// Those that were not permitted.
    pub refusals: u64,
    /// Those that failed otherwise.
    pub errors: u64,
    /// The time that they took.
    pub time: Duration,
}

/// Owner and mode of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
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
    /// Its network devices.
    pub netdevs: Vec<String>,
    /// Its RDMA devices.
    pub rdma_devices: Vec<String>,
}

/// A PCI function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
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

impl Root {
    /// Serial number of a PCI function, from its vital product data. Reading that may take a while,
    /// and only root may.
    pub fn serial_of(&self, function: &PciFunction) -> Option<String> {
        let path = self
            .join("sys/bus/pci/devices")
            .join(&function.address)
            .join("vpd");
        vpd::keyword(&fs::read(path).ok()?, *b"SN")
    }
}

impl Root {
    /// Counters of a device's RPCs by scope, without opening it. None on a kernel that does not
    /// count them.
    pub fn rpc_counters(&self, device: &Entry) -> Vec<(Scope, RpcCounters)> {
        let class = self.join("sys/class/fwctl").join(&device.name);
        let of_scope = |scope: Scope| {
            let directory = class.join(format!("rpc-{scope}"));
            let count = |name| read(&directory.join(name))?.parse().ok();
            let counters = RpcCounters {
                requests: count("requests")?,
                refusals: count("refusals")?,
                errors: count("errors")?,
                time: Duration::from_millis(count("time_ms")?),
            };
            Some((scope, counters))
        };
        Scope::ALL.into_iter().filter_map(of_scope).collect()
    }
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Memdev {
    /// Its name: `mem0`.
    pub name: String,
    /// Serial number.
    pub serial: Option<String>,
    /// Version of the firmware that runs.
    pub firmware_version: Option<String>,
}

/// Why there is no device. Its text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Absence {
    /// sysfs is not mounted.
    NoSysfs,
    /// The kernel has no fwctl class.
    NoModule {
        /// Release of the running kernel.
        release: String,
        /// Whether the module is installed for this kernel, if that is known.
        is_available: Option<bool>,
    },
    /// The fwctl class has no devices.
    NoDevices {
        /// Auxiliary devices for a fwctl driver that have no driver.
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
                "no fwctl devices: load the driver of your device, such as modprobe cxl_fwctl or modprobe mlx5_fwctl; if it is loaded, it found \
                 no device (see dmesg)",
            ),
            Absence::NoDevices { unbound } => write!(
                f,
                "no fwctl devices, but {} {} no driver: load it, such as modprobe cxl_fwctl or modprobe mlx5_fwctl",
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

    /// Lists every fwctl device, in the order of their numbers. There is at least one.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`] says why there is none; [`Error::File`] if the class cannot be read.
    pub fn devices(&self) -> Result<Vec<Entry>> {
        let entries = self.entries()?;
        if entries.is_empty() {
            return Err(Absence::NoDevices {
                unbound: self.unbound(),
            }
            .into());
        }
        Ok(entries)
    }

    /// As [`Root::devices`], but there may be none.
    fn entries(&self) -> Result<Vec<Entry>> {
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
        entries.sort_by_key(|entry| index(&entry.name));
        Ok(entries)
    }

    /// Looks up a device by one of its names:
    ///
    /// - `fwctl0`, a PCI address with or without domain, or a memdev;
    /// - an RDMA device or a network device of the same function;
    /// - a devlink handle, such as `pci/0000:01:00.0`;
    /// - the path of a node or of a link to one, or of the device's directory in sysfs.
    ///
    /// The node at a path is looked up by its device number: its name says nothing, as containers
    /// rename nodes.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Ambiguous`], [`Error::NotADevice`], or as for
    /// [`Root::devices`].
    pub fn resolve(&self, name: &str) -> Result<Entry> {
        let host = self.host_of(name);
        if name.contains('/') && host.is_none() {
            return self.resolve_path(Path::new(name));
        }
        let entries = self.devices()?;
        let known = listing(&entries);
        let mut fitting: Vec<Entry> = entries
            .into_iter()
            .filter(|entry| {
                entry.is_called(name) || host.as_ref().is_some_and(|host| entry.belongs_to(host))
            })
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

    /// Device that a network device, an RDMA device or a devlink handle belongs to.
    fn host_of(&self, name: &str) -> Option<String> {
        if let Some((bus, device)) = name.split_once('/') {
            let is_name = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('/');
            let devices = self.join("sys/bus").join(bus).join("devices");
            return (is_name(bus) && is_name(device) && devices.join(device).exists())
                .then(|| device.to_owned());
        }
        if matches!(name, "" | "." | "..") {
            return None;
        }
        ["net", "infiniband"].iter().find_map(|class| {
            let device = self.join("sys/class").join(class).join(name).join("device");
            file_name(&fs::canonicalize(device).ok()?)
        })
    }

    pub(crate) fn resolve_path(&self, path: &Path) -> Result<Entry> {
        let Ok(metadata) = fs::metadata(path) else {
            // Opening it gives the error.
            return Ok(self.unknown(path));
        };
        let entries = self.entries()?;
        let (fitting, what) = if metadata.is_dir() {
            let real = fs::canonicalize(path).ok();
            let is_at = |name: &str, below: &str| {
                let link = self.join("sys/class/fwctl").join(name).join(below);
                fs::canonicalize(link).ok() == real
            };
            let fitting = entries
                .iter()
                .find(|entry| is_at(&entry.name, "") || is_at(&entry.name, "device"));
            (fitting, "a directory".to_owned())
        } else if let Some(number) = self.number_of(path, &metadata) {
            let fitting = entries.iter().find(|entry| entry.number == Some(number));
            (fitting, format!("device {}:{}", number.0, number.1))
        } else if self.is_copy {
            let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let name = file_name(&real);
            let fitting = entries
                .iter()
                .find(|entry| Some(&entry.name) == name.as_ref());
            (fitting, "a file".to_owned())
        } else {
            (None, "a file".to_owned())
        };
        let Some(entry) = fitting else {
            return Err(Error::NotADevice {
                path: path.to_owned(),
                what,
                known: listing(&entries),
            });
        };
        let mut entry = entry.clone();
        if !metadata.is_dir() {
            entry.access = self.access(path);
            entry.node = path.to_owned();
        }
        Ok(entry)
    }

    /// The name of the device that an open node is of.
    pub(crate) fn name_of(&self, metadata: &fs::Metadata, path: &Path) -> Result<String> {
        let entries = self.entries()?;
        let number = metadata
            .file_type()
            .is_char_device()
            .then(|| device_number(metadata));
        let fitting = entries
            .iter()
            .find(|entry| number.is_some() && entry.number == number);
        fitting
            .map(|entry| entry.name.clone())
            .ok_or_else(|| Error::NotADevice {
                path: path.to_owned(),
                what: match number {
                    Some((major, minor)) => format!("device {major}:{minor}"),
                    None => "a file".into(),
                },
                known: listing(&entries),
            })
    }

    /// The device number of a node. In a copy of a system, recordings may state it.
    fn number_of(&self, path: &Path, metadata: &fs::Metadata) -> Option<(u32, u32)> {
        if !self.is_copy {
            return metadata
                .file_type()
                .is_char_device()
                .then(|| device_number(metadata));
        }
        let text = fs::read_to_string(path).ok()?;
        Replay::parse(&text).ok()?.number()
    }

    /// A node about which sysfs says nothing.
    fn unknown(&self, path: &Path) -> Entry {
        Entry {
            access: self.access(path),
            name: file_name(path).unwrap_or_else(|| path.display().to_string()),
            node: path.to_owned(),
            number: None,
            device_type: None,
            max_scope: None,
            parent: Parent::default(),
            is_copy: self.is_copy,
        }
    }

    fn entry(&self, name: String) -> Entry {
        let class = self.join("sys/class/fwctl").join(&name);
        let number = read(&class.join("dev")).and_then(|text| {
            let (major, minor) = text.split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        let device_type = read(&class.join("type"))
            .and_then(|text| text.parse().ok())
            .map(DeviceType::from_number);
        let max_scope = read(&class.join("max_scope")).and_then(|text| text.parse().ok());
        let node = self.node(&name, number);
        Entry {
            access: self.access(&node),
            parent: self.parent(&name),
            node,
            number,
            device_type,
            max_scope,
            name,
            is_copy: self.is_copy,
        }
    }

    /// Path of the node of a device: where the kernel names it, or else any node in the class's
    /// directory that has its number.
    fn node(&self, name: &str, number: Option<(u32, u32)>) -> PathBuf {
        let usual = self.usual_node(name);
        let has_number = |path: &Path| {
            fs::metadata(path).is_ok_and(|metadata| self.number_of(path, &metadata) == number)
        };
        if number.is_none() || !usual.exists() || has_number(&usual) {
            return usual;
        }
        let other = fs::read_dir(self.join("dev/fwctl"))
            .into_iter()
            .flatten()
            .filter_map(|file| Some(file.ok()?.path()))
            .find(|path| has_number(path));
        other.unwrap_or(usual)
    }

    fn usual_node(&self, name: &str) -> PathBuf {
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
        // A memdev's own driver is the one that uses the memory; the mailbox belongs to the PCI
        // function's.
        let driver_of = if memdev.is_some() {
            pci_path
        } else {
            Some(path.as_path())
        };
        let driver = driver_of.and_then(|path| link_name(&path.join("driver")));
        Parent {
            driver,
            netdevs: names_in(&path.join("net")),
            rdma_devices: names_in(&path.join("infiniband")),
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
    /// [`Error::OtherDevice`] if the node has another device number, which is checked before it is
    /// opened; [`Error::Call`] with the errno of opening the node, or with what is wrong with the
    /// recording.
    pub fn open(&self) -> Result<Device> {
        if !self.is_copy {
            return Device::open_node(&self.node, &self.name, self.number);
        }
        let failed = |source| Error::Call {
            device: self.node.display().to_string(),
            operation: Operation::Open,
            source,
        };
        let text = fs::read_to_string(&self.node).map_err(failed)?;
        let replay = Replay::parse(&text).map_err(|e| failed(io::Error::other(e)))?;
        if let (Some(wanted), Some(found)) = (self.number, replay.number()) {
            if wanted != found {
                return Err(Error::OtherDevice {
                    node: self.node.clone(),
                    device: self.name.clone(),
                    wanted,
                    found,
                });
            }
        }
        replay.open();
        if let Some(errno) = replay.open_errno() {
            return Err(failed(io::Error::from_raw_os_error(errno)));
        }
        Ok(Device::with_transport(self.name.clone(), replay))
    }

    /// Opens the device, and gives it a deadline: see [`Device::with_deadline`]. Drivers may ask the
    /// firmware to open a device.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] if it is not open by then: the device is closed as soon as it is. Else as
    /// for [`Entry::open`].
    pub fn open_by(&self, deadline: Instant) -> Result<Device> {
        let (sender, receiver) = mpsc::channel();
        let entry = self.clone();
        thread::Builder::new()
            .spawn(move || {
                let _ = sender.send(entry.open());
            })
            .map_err(|source| Error::Call {
                device: self.name.clone(),
                operation: Operation::Open,
                source,
            })?;
        let left = deadline.saturating_duration_since(Instant::now());
        let opened = receiver.recv_timeout(left).map_err(|_| Error::TimedOut {
            device: self.name.clone(),
            operation: Operation::Open,
            was_sent: true,
        })?;
        Ok(opened?.with_deadline(deadline))
    }

    /// Type of the device as sysfs tells it: by its attribute `type`, or else by the driver of the
    /// parent. To ask the device itself, see [`Device::device_type`], for which it has to be
    /// opened.
    pub fn likely_type(&self) -> Option<DeviceType> {
        if self.device_type.is_some() {
            return self.device_type;
        }
        match self.parent.driver.as_deref() {
            _ if self.parent.memdev.is_some() => Some(DeviceType::Cxl),
            Some("mlx5_core") => Some(DeviceType::Mlx5),
            Some("bnxt_en") => Some(DeviceType::Bnxt),
            Some("pds_core") => Some(DeviceType::Pds),
            _ => None,
        }
    }

    /// The parent is this device, or belongs to this PCI function.
    fn belongs_to(&self, host: &str) -> bool {
        self.parent.name == host
            || self
                .parent
                .pci
                .as_ref()
                .is_some_and(|pci| pci.address == host)
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

/// Major and minor number of a character device.
pub(crate) fn device_number(metadata: &fs::Metadata) -> (u32, u32) {
    // As gnu_dev_major() and gnu_dev_minor() take it apart; those of libc are unsafe.
    let number = metadata.rdev();
    let major = ((number >> 8) & 0xfff) | ((number >> 32) & 0xffff_f000);
    let minor = (number & 0xff) | ((number >> 12) & 0xffff_ff00);
    (major as u32, minor as u32)
}

/// Names in a directory, in order; none if there is no such directory.
fn names_in(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn listing(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "none".into();
    }
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
