// SPDX-License-Identifier: GPL-2.0-only

//! Attributes of devices: files in the directories of devices in sysfs.
//!
//! An [`Attribute`] shows text, and a [`WritableAttribute`] takes some. They are put into statics:
//! a [`File`] for each, a [`FileList`], a [`Group`] of files with or without a subdirectory, and
//! [`Groups`], which a class gives to its devices.
//!
//! C headers: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h),
//! [`include/linux/device.h`](srctree/include/linux/device.h)

use core::marker::PhantomData;

use kernel::{
    bindings,
    container_of,
    device,
    page::PAGE_SIZE,
    prelude::*,
    str::Formatter, //
};

/// A type of devices that can have attributes.
///
/// # Safety
///
/// [`AttributeDevice::from_device`] must be sound to call for the `struct device` of every `Self`.
pub unsafe trait AttributeDevice {
    /// Returns the `Self` whose `struct device` this is.
    ///
    /// # Safety
    ///
    /// `device` must be that of a `Self`.
    unsafe fn from_device(device: &device::Device) -> &Self;
}

// SAFETY: The function returns its argument.
unsafe impl AttributeDevice for device::Device {
    unsafe fn from_device(device: &device::Device) -> &Self {
        device
    }
}

/// What an attribute of a device shows.
pub trait Attribute: Sync + 'static {
    /// The type of the devices.
    type Device: AttributeDevice;

    /// Writes the value of `device` to `text`, with a newline at the end.
    ///
    /// The device is registered, and its removal from sysfs waits until this returns: do not take a
    /// lock that is held while a device is removed. May sleep. The text must be shorter than a
    /// page.
    fn show(&self, device: &Self::Device, text: &mut Formatter<'_>) -> Result;
}

/// An [`Attribute`] that can be written.
pub trait WritableAttribute: Attribute {
    /// Takes a new value, which user space wrote, without a newline at its end.
    ///
    /// The context is the one of [`Attribute::show`], and the current task is the writer.
    fn store(&self, device: &Self::Device, text: &[u8]) -> Result;
}

/// A file in sysfs that shows an attribute.
///
/// # Invariants
///
/// The functions of `raw` are `show` and `store` for `A`, or null.
///
/// # Examples
///
/// ```
/// use kernel::{
///     device::Device,
///     fmt::Write as _,
///     prelude::*,
///     str::Formatter,
///     sysfs::{
///         Attribute,
///         File,
///         FileList,
///         Group,
///         Groups, //
///     }, //
/// };
///
/// /// The number of something.
/// struct Count(u32);
///
/// impl Attribute for Count {
///     type Device = Device;
///
///     fn show(&self, _device: &Device, text: &mut Formatter<'_>) -> Result {
///         Ok(writeln!(text, "{}", self.0)?)
///     }
/// }
///
/// // `wheels` and `seats`, in a subdirectory `counts`.
/// static WHEELS: File<Count> = File::read_only(c"wheels", Count(4));
/// static SEATS: File<Count> = File::read_only(c"seats", Count(5));
/// static FILES: FileList<Device, 2> = FileList::new([WHEELS.entry(), SEATS.entry()]);
/// static GROUP: Group<Device> = Group::named(c"counts", &FILES);
/// static GROUPS: Groups<Device, 1> = Groups::new([&GROUP]);
///
/// assert!(!GROUPS.as_raw().is_null());
/// ```
#[repr(C)]
pub struct File<A: Attribute> {
    raw: bindings::device_attribute,
    attribute: A,
}

// SAFETY: The C side does not write to a `struct device_attribute` with static lifetime. The
// attribute is `Sync`.
unsafe impl<A: Attribute> Sync for File<A> {}

impl<A: Attribute> File<A> {
    /// Returns a file that everybody can read.
    pub const fn read_only(name: &'static CStr, attribute: A) -> Self {
        let mut raw: bindings::device_attribute = pin_init::zeroed();

        raw.attr.name = kernel::str::as_char_ptr_in_const_context(name);
        raw.attr.mode = 0o444;
        raw.__bindgen_anon_1.show_const = Some(show::<A>);
        // INVARIANT: The function to read is the one of `A`, and there is none to write.
        Self { raw, attribute }
    }

    /// Returns a file that everybody can read, and root can write.
    pub const fn writable(name: &'static CStr, attribute: A) -> Self
    where
        A: WritableAttribute,
    {
        let mut file = Self::read_only(name, attribute);

        file.raw.attr.mode = 0o644;
        // INVARIANT: The function is the one of `A`.
        file.raw.__bindgen_anon_2.store_const = Some(store::<A>);
        file
    }

    /// Returns an entry of a [`FileList`].
    pub const fn entry(&'static self) -> Entry<A::Device> {
        Entry {
            attribute: &raw const self.raw.attr,
            _device: PhantomData,
        }
    }
}

/// A pointer to a [`File`] of devices of type `D`, for a [`FileList`].
pub struct Entry<D> {
    attribute: *const bindings::attribute,
    _device: PhantomData<fn(&D)>,
}

/// Files of devices of type `D`.
///
/// # Invariants
///
/// The pointers are to the attributes of files with static lifetime, for devices of type `D`.
/// `null` is null.
#[repr(C)]
pub struct FileList<D, const N: usize> {
    attributes: [*const bindings::attribute; N],
    null: *const bindings::attribute,
    _device: PhantomData<fn(&D)>,
}

// SAFETY: The pointers are to files, which are `Sync`.
unsafe impl<D, const N: usize> Sync for FileList<D, N> {}

impl<D, const N: usize> FileList<D, N> {
    /// Returns a list of files.
    pub const fn new(files: [Entry<D>; N]) -> Self {
        let mut attributes = [core::ptr::null(); N];
        let mut n = 0;

        while n < N {
            attributes[n] = files[n].attribute;
            n += 1;
        }
        // INVARIANT: Only `File::entry()` makes an `Entry`, from a static file.
        Self {
            attributes,
            null: core::ptr::null(),
            _device: PhantomData,
        }
    }
}

/// A group of files of devices of type `D`.
///
/// # Invariants
///
/// `raw` refers to a [`FileList`] of such devices, and has no functions.
#[repr(transparent)]
pub struct Group<D> {
    raw: bindings::attribute_group,
    _device: PhantomData<fn(&D)>,
}

// SAFETY: The C side takes a `const struct attribute_group`. The list is `Sync`.
unsafe impl<D> Sync for Group<D> {}

impl<D> Group<D> {
    /// Returns a group of files in the device's own directory.
    pub const fn new<const N: usize>(files: &'static FileList<D, N>) -> Self {
        let mut raw: bindings::attribute_group = pin_init::zeroed();

        raw.__bindgen_anon_2.attrs_const = (&raw const *files).cast();
        // INVARIANT: The array starts at the start of the list, and ends with a null pointer.
        Self {
            raw,
            _device: PhantomData,
        }
    }

    /// Returns a group of files in a subdirectory.
    pub const fn named<const N: usize>(
        name: &'static CStr,
        files: &'static FileList<D, N>,
    ) -> Self {
        let mut group = Self::new(files);

        group.raw.name = kernel::str::as_char_ptr_in_const_context(name);
        group
    }
}

/// Groups of files of devices of type `D`.
///
/// # Invariants
///
/// The pointers are to groups with static lifetime of such devices. `null` is null.
#[repr(C)]
pub struct Groups<D, const N: usize> {
    groups: [*const bindings::attribute_group; N],
    null: *const bindings::attribute_group,
    _device: PhantomData<fn(&D)>,
}

// SAFETY: The pointers are to groups, which are `Sync`.
unsafe impl<D, const N: usize> Sync for Groups<D, N> {}

impl<D, const N: usize> Groups<D, N> {
    /// Returns a list of groups.
    pub const fn new(groups: [&'static Group<D>; N]) -> Self {
        let mut pointers = [core::ptr::null(); N];
        let mut n = 0;

        while n < N {
            pointers[n] = &raw const groups[n].raw;
            n += 1;
        }
        // INVARIANT: The references are to groups with static lifetime.
        Self {
            groups: pointers,
            null: core::ptr::null(),
            _device: PhantomData,
        }
    }

    /// Returns the array of pointers that ends with a null pointer, for `class::dev_groups` and the
    /// like. All devices that get these groups must be of type `D`.
    pub const fn as_raw(&'static self) -> *const *const bindings::attribute_group {
        (&raw const *self).cast()
    }
}

/// Shows an attribute.
///
/// # Safety
///
/// `device` must be that of an `A::Device` which is registered until this returns, `attribute` part
/// of a [`File<A>`] with static lifetime, and `text` valid for writes of a page with initialised
/// bytes.
unsafe extern "C" fn show<A: Attribute>(
    device: *mut bindings::device,
    attribute: *const bindings::device_attribute,
    text: *mut c_char,
) -> isize {
    // SAFETY: The caller promises that `attribute` is part of a static `File<A>`.
    let file = unsafe { &*container_of!(attribute, File<A>, raw) };
    // SAFETY: The caller promises that the device is valid until this returns, and an `A::Device`.
    let device = unsafe { A::Device::from_device(device::Device::from_raw(device)) };
    // sysfs takes less than a page.
    //
    // SAFETY: The caller promises that the page is valid for writes, and has initialised bytes.
    let space = unsafe { core::slice::from_raw_parts_mut(text.cast::<u8>(), PAGE_SIZE - 1) };
    let mut text = Formatter::new(space);

    match file.attribute.show(device, &mut text) {
        // CAST: A formatter that has not failed has written at most this many bytes.
        Ok(()) => text.bytes_written().min(PAGE_SIZE - 1) as isize,
        // CAST: An `isize` holds any errno.
        Err(error) => error.to_errno() as isize,
    }
}

/// Stores what user space has written to an attribute.
///
/// # Safety
///
/// `device` must be that of an `A::Device` which is registered until this returns, `attribute` part
/// of a [`File<A>`] with static lifetime, and `text` valid for reads of `len` bytes.
unsafe extern "C" fn store<A: WritableAttribute>(
    device: *mut bindings::device,
    attribute: *const bindings::device_attribute,
    text: *const c_char,
    len: usize,
) -> isize {
    // SAFETY: The caller promises that `attribute` is part of a static `File<A>`.
    let file = unsafe { &*container_of!(attribute, File<A>, raw) };
    // SAFETY: The caller promises that the device is valid until this returns, and an `A::Device`.
    let device = unsafe { A::Device::from_device(device::Device::from_raw(device)) };
    // SAFETY: The caller promises that the bytes are valid for reads.
    let text = unsafe { core::slice::from_raw_parts(text.cast::<u8>(), len) };
    let text = text.strip_suffix(b"\n").unwrap_or(text);

    match file.attribute.store(device, text) {
        // CAST: sysfs passes at most a page.
        Ok(()) => len as isize,
        // CAST: An `isize` holds any errno.
        Err(error) => error.to_errno() as isize,
    }
}
