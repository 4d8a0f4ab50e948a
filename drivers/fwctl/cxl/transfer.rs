// SPDX-License-Identifier: GPL-2.0-only

//! Transfers of values that are larger than the mailbox.
//!
//! Get Feature takes an offset, so a value can be read in parts. Set Feature has transfers: the
//! device collects the parts, and the value changes with the last one. `cxl_core` handles transfers
//! that fail, also for in-kernel users.
//!
//! A value has up to 64 KiB, and a part can take 2 seconds. The caller passes a function that runs
//! before each part and ends the transfer by failing, so that neither unregistration nor the end of
//! a killed program waits for the whole value.

use kernel::prelude::*;

use crate::{
    memdev::{
        Failure,
        Mailbox, //
    },
    wire::{
        GetFeatureIn,
        SetFeatureIn,
        Transfer, //
    },
};

/// Size of the header of a Set Feature command.
const HEADER: usize = size_of::<SetFeatureIn>();

/// Reads the part of a Feature that `input` requests, at most `out.len()` bytes.
///
/// Returns the number of bytes read into `out`, which is smaller if the Feature ends there. Fails
/// as a whole if the device refuses any part, and with the error of `check` if that fails before
/// one.
pub(crate) fn get<M: Mailbox>(
    mailbox: &mut M,
    check: impl Fn() -> Result,
    input: &GetFeatureIn,
    out: &mut [u8],
) -> Result<usize, Failure> {
    let payload_size = mailbox.payload_size();
    let mut done = 0;

    for part in out.chunks_mut(payload_size.max(1)) {
        check()?;
        let len = mailbox.get(&input.part(done, part.len())?, part)?;

        done += len;
        if len < part.len() {
            break;
        }
    }
    Ok(done)
}

/// Sets a Feature by `command`, which is `input` followed by the data. Overwrites `command`.
///
/// If one of several parts fails, the device discards the others, at the latest before the next
/// transfer. The same happens if `check` fails before a part, and its error is returned. Fails with
/// [`EINVAL`] if there is no data, or if the mailbox is too small for any.
pub(crate) fn set<M: Mailbox>(
    mailbox: &mut M,
    check: impl Fn() -> Result,
    input: &SetFeatureIn,
    command: &mut [u8],
) -> Result<(), Failure> {
    let capacity = mailbox
        .payload_size()
        .checked_sub(HEADER)
        .filter(|&capacity| capacity > 0)
        .ok_or(EINVAL)?;
    let total = command
        .len()
        .checked_sub(HEADER)
        .filter(|&total| total > 0)
        .ok_or(EINVAL)?;

    let mut sent = 0;
    while sent < total {
        let len = capacity.min(total - sent);
        let action = match (sent == 0, sent + len == total) {
            (true, true) => Transfer::Full,
            (true, false) => Transfer::Initiate,
            (false, false) => Transfer::Continue,
            (false, true) => Transfer::Finish,
        };

        // The header of each part must be right before its data. It overwrites the end of the
        // previous part.
        let part = &mut command[sent..sent + HEADER + len];
        if let Err(error) = check().and_then(|()| write_header(part, input, action, sent)) {
            if sent > 0 {
                mailbox.abort();
            }
            return Err(error.into());
        }

        mailbox.set(part)?;
        sent += len;
    }
    Ok(())
}

/// Writes the header of the part whose data starts at the byte numbered `skip`.
fn write_header(part: &mut [u8], input: &SetFeatureIn, action: Transfer, skip: usize) -> Result {
    input
        .part(action, skip)?
        .write_to_prefix(part)
        .map_err(|_| EINVAL)
}

#[kunit_tests(cxl_fwctl_transfer)]
mod tests {
    use core::cell::Cell;

    use super::*;
    use crate::wire::ReturnCode;

    /// A mailbox of a device with one Feature, which records the commands.
    ///
    /// Outside of test functions, a failed `assert!` is a panic: do not use it here.
    struct Fake {
        payload_size: usize,
        value: KVec<u8>,
        collected: KVec<u8>,
        /// For each command: bits 0 to 3 of the flags of a Set, the offset and the data's length.
        log: KVec<(u32, u16, usize)>,
        /// Whether a command had a header or a length that no test expects.
        is_unexpected: bool,
        /// The command, counted from 0, that fails, and its failure.
        fault: Option<(usize, fn() -> Failure)>,
    }

    fn refuse() -> Failure {
        Failure::Refused(ReturnCode(2))
    }

    fn lose() -> Failure {
        Failure::Undelivered(ETIMEDOUT)
    }

    /// Returns a check that allows `count` parts.
    fn for_parts(count: usize) -> impl Fn() -> Result {
        let left = Cell::new(count);

        move || {
            left.set(left.get().checked_sub(1).ok_or(ENODEV)?);
            Ok(())
        }
    }

    /// Allows all parts.
    fn always() -> Result {
        Ok(())
    }

    impl Fake {
        fn new(payload_size: usize, len: usize) -> Result<Self> {
            let mut value = KVec::new();
            for i in 0..len {
                value.push(i as u8 ^ (i >> 8) as u8, GFP_KERNEL)?;
            }
            Ok(Self {
                payload_size,
                value,
                collected: KVec::new(),
                log: KVec::new(),
                is_unexpected: false,
                fault: None,
            })
        }

        fn record(&mut self, flags: u32, offset: u16, len: usize) -> Result<(), Failure> {
            let index = self.log.len();

            self.log
                .push((flags, offset, len), GFP_KERNEL)
                .map_err(Error::from)?;
            match self.fault {
                Some((at, failure)) if at == index => Err(failure()),
                _ => Ok(()),
            }
        }
    }

    impl Mailbox for Fake {
        fn payload_size(&self) -> usize {
            self.payload_size
        }

        fn abort(&mut self) {
            self.is_unexpected |= self.record(ABORT, 0, 0).is_err();
        }

        fn get(&mut self, input: &GetFeatureIn, out: &mut [u8]) -> Result<usize, Failure> {
            let bytes = input.as_bytes();
            let offset = u16::from_le_bytes([bytes[16], bytes[17]]);
            let count = u16::from_le_bytes([bytes[18], bytes[19]]);

            self.is_unexpected |= bytes[..16] != [7; 16]
                || bytes[20] != 2
                || usize::from(count) != out.len()
                || out.len() > self.payload_size;
            self.record(0, offset, out.len())?;

            let value = self.value.get(usize::from(offset)..).unwrap_or(&[]);
            let len = value.len().min(out.len());
            out[..len].copy_from_slice(&value[..len]);
            Ok(len)
        }

        fn set(&mut self, input: &mut [u8]) -> Result<(), Failure> {
            let (header, data) = input.split_at_checked(32).ok_or(EINVAL)?;
            let flags = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);

            self.is_unexpected |= input.len() > self.payload_size
                || header[..16] != [7; 16]
                || header[22] != 5
                || header[23..] != [0; 9];
            self.record(
                flags,
                u16::from_le_bytes([header[20], header[21]]),
                data.len(),
            )?;
            self.collected
                .extend_from_slice(data, GFP_KERNEL)
                .map_err(Error::from)?;
            Ok(())
        }
    }

    fn get_input(offset: u16, count: u16) -> Result<GetFeatureIn> {
        let mut bytes = [7; 21];
        bytes[16..18].copy_from_slice(&offset.to_le_bytes());
        bytes[18..20].copy_from_slice(&count.to_le_bytes());
        bytes[20] = 2;
        GetFeatureIn::read_from_bytes(&bytes).map_err(|_| EINVAL)
    }

    struct Get {
        payload_size: usize,
        len: usize,
        offset: u16,
        count: u16,
        expected: usize,
        commands: &'static [(u32, u16, usize)],
    }

    /// Returns whether the driver reads as the case expects.
    fn reads(case: Get) -> Result<bool> {
        let mut fake = Fake::new(case.payload_size, case.len)?;
        let mut out = KVec::new();
        out.resize(usize::from(case.count), 0xee, GFP_KERNEL)?;

        let input = get_input(case.offset, case.count)?;
        let done = get(&mut fake, always, &input, &mut out).map_err(|_| EIO)?;
        let expected = match case.expected {
            0 => &[],
            len => fake
                .value
                .get(usize::from(case.offset)..)
                .and_then(|value| value.get(..len))
                .ok_or(EINVAL)?,
        };

        Ok(done == case.expected
            && out[..done] == *expected
            && out[done..].iter().all(|&byte| byte == 0xee)
            && *fake.log == *case.commands
            && !fake.is_unexpected)
    }

    #[test]
    fn get_splits() -> Result {
        // Exactly one command, and one byte more.
        assert!(reads(Get {
            payload_size: 256,
            len: 1000,
            offset: 3,
            count: 256,
            expected: 256,
            commands: &[(0, 3, 256)],
        })?);
        assert!(reads(Get {
            payload_size: 256,
            len: 1000,
            offset: 3,
            count: 257,
            expected: 257,
            commands: &[(0, 3, 256), (0, 259, 1)],
        })?);
        // Up to the last byte of the address space.
        assert!(reads(Get {
            payload_size: 1 << 15,
            len: 1 << 16,
            offset: 1,
            count: u16::MAX,
            expected: usize::from(u16::MAX),
            commands: &[(0, 1, 1 << 15), (0, (1 << 15) + 1, (1 << 15) - 1)],
        })?);
        Ok(())
    }

    #[test]
    fn get_ends_with_the_feature() -> Result {
        assert!(reads(Get {
            payload_size: 256,
            len: 300,
            offset: 0,
            count: 1000,
            expected: 300,
            commands: &[(0, 0, 256), (0, 256, 256)],
        })?);
        assert!(reads(Get {
            payload_size: 256,
            len: 256,
            offset: 0,
            count: 1000,
            expected: 256,
            commands: &[(0, 0, 256), (0, 256, 256)],
        })?);
        assert!(reads(Get {
            payload_size: 256,
            len: 4,
            offset: 9,
            count: 2,
            expected: 0,
            commands: &[(0, 9, 2)],
        })?);
        Ok(())
    }

    #[test]
    fn get_fails_as_a_whole() -> Result {
        for at in 0..3 {
            let mut fake = Fake::new(16, 48)?;
            fake.fault = Some((at, refuse));
            assert!(matches!(
                get(&mut fake, always, &get_input(0, 48)?, &mut [0; 48]),
                Err(Failure::Refused(ReturnCode(2)))
            ));
            assert_eq!(fake.log.len(), at + 1);
        }
        Ok(())
    }

    fn set_input(offset: u16) -> Result<SetFeatureIn> {
        let mut bytes = [0; 32];
        bytes[..16].fill(7);
        bytes[20..22].copy_from_slice(&offset.to_le_bytes());
        bytes[22] = 5;
        SetFeatureIn::read_from_bytes(&bytes).map_err(|_| EINVAL)
    }

    struct Set<'a> {
        payload_size: usize,
        len: usize,
        offset: u16,
        fault: Option<(usize, fn() -> Failure)>,
        commands: &'a [(u32, u16, usize)],
    }

    /// Returns whether the driver writes as the case expects.
    fn writes(case: Set<'_>) -> Result<bool> {
        let mut fake = Fake::new(case.payload_size, case.len)?;
        fake.fault = case.fault;

        let input = set_input(case.offset)?;
        let mut command = KVec::new();
        command.extend_from_slice(input.as_bytes(), GFP_KERNEL)?;
        command.extend_from_slice(&fake.value, GFP_KERNEL)?;

        let result = set(&mut fake, always, &input, &mut command);
        let is_expected = match (case.fault, result) {
            (None, Ok(())) => *fake.collected == *fake.value,
            (Some((_, failure)), Err(result)) => {
                matches!(result, Failure::Refused(_)) == matches!(failure(), Failure::Refused(_))
            }
            _ => false,
        };

        Ok(is_expected && *fake.log == *case.commands && !fake.is_unexpected)
    }

    // Actions as encoded in the flags, with the flag that saves the value.
    const FULL: u32 = 8;
    const INITIATE: u32 = 8 | 1;
    const CONTINUE: u32 = 8 | 2;
    const FINISH: u32 = 8 | 3;
    const ABORT: u32 = 4;

    #[test]
    fn set_splits() -> Result {
        assert!(writes(Set {
            payload_size: 256,
            len: 224,
            offset: 9,
            fault: None,
            commands: &[(FULL, 9, 224)],
        })?);
        assert!(writes(Set {
            payload_size: 256,
            len: 225,
            offset: 9,
            fault: None,
            commands: &[(INITIATE, 9, 224), (FINISH, 233, 1)],
        })?);
        // Parts that are smaller than their headers.
        assert!(writes(Set {
            payload_size: 48,
            len: 50,
            offset: 0,
            fault: None,
            commands: &[
                (INITIATE, 0, 16),
                (CONTINUE, 16, 16),
                (CONTINUE, 32, 16),
                (FINISH, 48, 2),
            ],
        })?);
        assert!(writes(Set {
            payload_size: 32 + (1 << 15),
            len: 1 << 16,
            offset: 0,
            fault: None,
            commands: &[(INITIATE, 0, 1 << 15), (FINISH, 1 << 15, 1 << 15)],
        })?);
        Ok(())
    }

    /// `cxl_core` aborts the transfer.
    #[test]
    fn set_ends_with_the_part_that_fails() -> Result {
        const PARTS: [(u32, u16, usize); 3] =
            [(INITIATE, 6, 16), (CONTINUE, 22, 16), (FINISH, 38, 8)];

        for failure in [refuse as fn() -> Failure, lose] {
            for at in 0..PARTS.len() {
                assert!(writes(Set {
                    payload_size: 48,
                    len: 40,
                    offset: 6,
                    fault: Some((at, failure)),
                    commands: &PARTS[..at + 1],
                })?);
            }
        }
        Ok(())
    }

    /// As if the device were being unregistered, or the caller killed.
    #[test]
    fn set_stops_between_parts() -> Result {
        let input = set_input(0)?;

        for parts in 0..4 {
            let mut fake = Fake::new(48, 40)?;
            let mut command = [0; 32 + 40];
            let result = set(&mut fake, for_parts(parts), &input, &mut command);

            assert!(!fake.is_unexpected);
            match parts {
                // The transfer is complete.
                3 => assert!(result.is_ok()),
                _ => assert!(matches!(result, Err(Failure::Undelivered(error)) if error == ENODEV)),
            }
            match parts {
                0 => assert!(fake.log.is_empty()),
                1 => assert_eq!(*fake.log, [(INITIATE, 0, 16), (ABORT, 0, 0)]),
                2 => assert_eq!(
                    *fake.log,
                    [(INITIATE, 0, 16), (CONTINUE, 16, 16), (ABORT, 0, 0)]
                ),
                _ => assert_eq!(
                    *fake.log,
                    [(INITIATE, 0, 16), (CONTINUE, 16, 16), (FINISH, 32, 8)]
                ),
            }
        }
        Ok(())
    }

    #[test]
    fn get_stops_between_parts() -> Result {
        for parts in 0..4 {
            let mut fake = Fake::new(16, 48)?;
            let result = get(
                &mut fake,
                for_parts(parts),
                &get_input(0, 48)?,
                &mut [0; 48],
            );

            assert_eq!(fake.log.len(), parts);
            match parts {
                3 => assert!(matches!(result, Ok(48))),
                _ => assert!(matches!(result, Err(Failure::Undelivered(error)) if error == ENODEV)),
            }
        }
        Ok(())
    }

    #[test]
    fn mailbox_too_small_for_data() -> Result {
        for payload_size in [0, 1, 31, 32] {
            let mut fake = Fake::new(payload_size, 4)?;
            let input = SetFeatureIn::read_from_bytes(&[7; 32]).map_err(|_| EINVAL)?;
            assert!(matches!(
                set(&mut fake, always, &input, &mut [0; 36]),
                Err(Failure::Undelivered(error)) if error == EINVAL
            ));
            assert!(fake.log.is_empty());
        }
        Ok(())
    }
}
