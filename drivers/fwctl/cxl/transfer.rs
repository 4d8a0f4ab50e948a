// SPDX-License-Identifier: GPL-2.0-only

//! Values that are larger than the mailbox.
//!
//! Get Feature takes an offset, so that any part of a value can be asked for. Set Feature has
//! transfers: the device collects the parts, and the value changes with the last one. What becomes
//! of a transfer that fails is decided in `cxl_core`, for the kernel's own users as well.
//!
//! A value takes up to 64 KiB, a part up to 2 seconds. So before each part, a function of the
//! caller decides whether to go on: it fails when the device is being unregistered or the program
//! was killed.

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

/// Bytes of every Set Feature command that are not data.
const HEAD: usize = size_of::<SetFeatureIn>();

/// Reads the part of a Feature that `input` asks for, at most `out` bytes of it.
///
/// Returns how many bytes of `out` are read; the device gives fewer where the Feature ends. If it
/// refuses any part, there is nothing. Fails with the error of `check` if that fails before a part.
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

/// Sets a Feature by `command`: `input`, and behind it the data.
///
/// Clobbers `command`. If it takes several parts, and one of them fails, the device drops the
/// others, at the latest before the next transfer. So it does if `check` fails before a part, whose
/// error this then fails with. Fails with [`EINVAL`] if there is no data or the mailbox has no room
/// for any.
pub(crate) fn set<M: Mailbox>(
    mailbox: &mut M,
    check: impl Fn() -> Result,
    input: &SetFeatureIn,
    command: &mut [u8],
) -> Result<(), Failure> {
    let room = mailbox
        .payload_size()
        .checked_sub(HEAD)
        .filter(|&room| room > 0)
        .ok_or(EINVAL)?;
    let total = command
        .len()
        .checked_sub(HEAD)
        .filter(|&total| total > 0)
        .ok_or(EINVAL)?;

    let mut sent = 0;
    while sent < total {
        let len = room.min(total - sent);
        let action = match (sent == 0, sent + len == total) {
            (true, true) => Transfer::Full,
            (true, false) => Transfer::Initiate,
            (false, false) => Transfer::Continue,
            (false, true) => Transfer::Finish,
        };

        // Each part has its head right before its data, where the last bytes of the part before
        // were.
        let part = &mut command[sent..sent + HEAD + len];
        if let Err(error) = check().and_then(|()| write_head(part, input, action, sent)) {
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

/// Writes the head for the data that lies `skip` bytes behind the first.
fn write_head(part: &mut [u8], input: &SetFeatureIn, action: Transfer, skip: usize) -> Result {
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

    /// The mailbox of a device with one Feature, that keeps a record of the commands.
    ///
    /// It, like all that is not a test itself, must not `assert!`: that would be a panic.
    struct Fake {
        payload_size: usize,
        value: KVec<u8>,
        collected: KVec<u8>,
        /// Of each command, bits 0 to 3 of the flags for a Set, the offset and the data's length.
        log: KVec<(u32, u16, usize)>,
        /// A command had a head or a length that no test asks for.
        is_confused: bool,
        /// Which command, counted from 0, gets no or another answer.
        fault: Option<(usize, fn() -> Failure)>,
    }

    fn refuse() -> Failure {
        Failure::Refused(ReturnCode(2))
    }

    fn lose() -> Failure {
        Failure::Undelivered(ETIMEDOUT)
    }

    /// Lets `count` parts pass, and no other.
    fn for_parts(count: usize) -> impl Fn() -> Result {
        let left = Cell::new(count);

        move || {
            left.set(left.get().checked_sub(1).ok_or(ENODEV)?);
            Ok(())
        }
    }

    /// Lets all parts pass.
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
                is_confused: false,
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
            self.is_confused |= self.record(ABORT, 0, 0).is_err();
        }

        fn get(&mut self, input: &GetFeatureIn, out: &mut [u8]) -> Result<usize, Failure> {
            let words = input.as_bytes();
            let offset = u16::from_le_bytes([words[16], words[17]]);
            let count = u16::from_le_bytes([words[18], words[19]]);

            self.is_confused |= words[..16] != [7; 16]
                || words[20] != 2
                || usize::from(count) != out.len()
                || out.len() > self.payload_size;
            self.record(0, offset, out.len())?;

            let value = self.value.get(usize::from(offset)..).unwrap_or(&[]);
            let len = value.len().min(out.len());
            out[..len].copy_from_slice(&value[..len]);
            Ok(len)
        }

        fn set(&mut self, input: &mut [u8]) -> Result<(), Failure> {
            let (head, data) = input.split_at_checked(32).ok_or(EINVAL)?;
            let flags = u32::from_le_bytes([head[16], head[17], head[18], head[19]]);

            self.is_confused |= input.len() > self.payload_size
                || head[..16] != [7; 16]
                || head[22] != 5
                || head[23..] != [0; 9];
            self.record(flags, u16::from_le_bytes([head[20], head[21]]), data.len())?;
            self.collected
                .extend_from_slice(data, GFP_KERNEL)
                .map_err(Error::from)?;
            Ok(())
        }
    }

    fn get_input(offset: u16, count: u16) -> Result<GetFeatureIn> {
        let mut words = [7; 21];
        words[16..18].copy_from_slice(&offset.to_le_bytes());
        words[18..20].copy_from_slice(&count.to_le_bytes());
        words[20] = 2;
        GetFeatureIn::read_from_bytes(&words).map_err(|_| EINVAL)
    }

    struct Get {
        payload_size: usize,
        len: usize,
        offset: u16,
        count: u16,
        expected: usize,
        commands: &'static [(u32, u16, usize)],
    }

    /// Does the driver read as the case says?
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
            && !fake.is_confused)
    }

    #[test]
    fn get_splits() -> Result {
        // One command, filled to the last byte, and one byte more.
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
        // Up to the last byte that a Feature can have.
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
        let mut words = [0; 32];
        words[..16].fill(7);
        words[20..22].copy_from_slice(&offset.to_le_bytes());
        words[22] = 5;
        SetFeatureIn::read_from_bytes(&words).map_err(|_| EINVAL)
    }

    struct Set<'a> {
        payload_size: usize,
        len: usize,
        offset: u16,
        fault: Option<(usize, fn() -> Failure)>,
        commands: &'a [(u32, u16, usize)],
    }

    /// Does the driver write as the case says?
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

        Ok(is_expected && *fake.log == *case.commands && !fake.is_confused)
    }

    // Actions as they go over the wire, with the bit that has the value saved.
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
        // Parts that are smaller than their heads.
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

    /// The rest, and what was begun, is up to `cxl_core`.
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

    /// The device is going, or the program was killed.
    #[test]
    fn set_gives_up_between_parts() -> Result {
        let input = set_input(0)?;

        for parts in 0..4 {
            let mut fake = Fake::new(48, 40)?;
            let mut command = [0; 32 + 40];
            let result = set(&mut fake, for_parts(parts), &input, &mut command);

            assert!(!fake.is_confused);
            match parts {
                // What is done is done.
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
    fn get_gives_up_between_parts() -> Result {
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
    fn mailbox_without_room() -> Result {
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
