// SPDX-License-Identifier: MIT OR Apache-2.0

//! Components of the firmware: their update and readback, controlled by the register MCC. The
//! content moves by MCDA, in the register, or by MCDD, in a page of host memory.
//!
//! The page and a mailbox page are named by their DMA addresses, at which the device reads and
//! writes **whatever is there**: the firmware cannot know what belongs to whom. The command only
//! begins the access; the mailbox page tells how it ended.
//!
//! Layouts: `mcc_reg`, `mcda_reg` of mlx5_ifc.h; `tools_open_mcdd_reg` and
//! `tools_open_mcdd_descriptor` of mstflint. States are those of drivers/net/ethernet/mellanox/mlxfw.

use super::fields::{component as layout, Field};
use super::refusal::{Refusal, Status, Syndrome};
use std::time::{Duration, Instant};

/// Number of components.
pub const COMPONENTS: usize = 3;
/// Maximum length of a component, as MCQI says.
pub const MAX_LEN: usize = 16 << 20;
/// Length of the components of a new card.
const LENS: [usize; COMPONENTS] = [16 << 10, 4 << 10, 4 << 10];
/// Most bytes of an MCDA access, as MCQI says.
const MAX_MCDA: usize = 128;
/// Most bytes of an MCDD access: a page.
pub const MAX_MCDD: usize = 4096;
/// Length of the mailbox page's descriptor.
pub const DESCRIPTOR: usize = 0x24;
/// Offset of the status in it.
pub const STATUS_AT: usize = 0x20;
/// How long a handle is kept without an access.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time until the device begins an MCDD access, and time for it.
pub const STEP: Duration = Duration::from_millis(1);

/// Values of the status in the mailbox page.
pub mod done {
    /// In progress.
    pub const BUSY: u8 = 1;
    /// Done.
    pub const OK: u8 = 2;
    /// Failed, with an error code of MCC.
    pub const ERROR: u8 = 3;
}

/// Instructions of MCC.
mod instruction {
    pub const LOCK: u64 = 1;
    pub const RELEASE: u64 = 2;
    pub const UPDATE: u64 = 3;
    pub const VERIFY: u64 = 4;
    pub const ACTIVATE: u64 = 6;
    pub const READ: u64 = 7;
    pub const CANCEL: u64 = 8;
    pub const FORCE_RELEASE: u64 = 0xa;
}

/// Error codes of MCC.
mod error {
    pub const NONE: u8 = 0;
    pub const ERROR: u8 = 1;
    pub const BAD_FORMAT: u8 = 8;
}

/// States of MCC.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Locked,
    /// A component is being written.
    Download {
        index: usize,
        image: Vec<u8>,
        /// Number of bytes written, each from where the last one ended.
        written: usize,
    },
    /// A component is being read.
    Upload {
        index: usize,
    },
}

impl State {
    fn number(&self) -> u64 {
        match self {
            State::Idle => 0,
            State::Locked => 1,
            State::Download { .. } => 3,
            State::Upload { .. } => 7,
        }
    }
}

/// Direction of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the component to the host.
    Read,
    /// From the host to the component.
    Burn,
}

/// An access by MCDD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// What it does.
    pub direction: Direction,
    /// The register, which the mailbox page repeats.
    pub register: Vec<u8>,
    /// DMA address of the data.
    pub page: u64,
    /// DMA address of the mailbox page.
    pub mailbox: u64,
    /// Whether the mailbox page says that it has begun.
    pub has_begun: bool,
    handle: u32,
    offset: usize,
    /// Number of bytes.
    pub len: usize,
}

impl Access {
    /// Returns the descriptor for the mailbox page.
    pub fn descriptor(&self, result: Result<(), u8>) -> [u8; DESCRIPTOR] {
        let mut bytes = [0; DESCRIPTOR];
        bytes[..STATUS_AT].copy_from_slice(&self.register[..STATUS_AT]);
        let (status, error) = match result {
            _ if !self.has_begun => (done::BUSY, error::NONE),
            Ok(()) => (done::OK, error::NONE),
            Err(error) => (done::ERROR, error),
        };
        (bytes[STATUS_AT], bytes[STATUS_AT + 1]) = (status, error);
        bytes
    }
}

/// The error code if host memory cannot be accessed.
pub const DMA_FAILED: u8 = error::ERROR;

/// The components and the update in progress.
#[derive(Clone, Debug)]
pub struct Components {
    stored: [Vec<u8>; COMPONENTS],
    state: State,
    handle: u32,
    error: u8,
    used: Instant,
    /// Number of components that were replaced.
    pub burnt: u64,
}

impl Default for Components {
    fn default() -> Self {
        let image = |index: usize| {
            (0..LENS[index] as u32 / 4)
                .flat_map(|word| (word << 4 | index as u32).to_be_bytes())
                .collect()
        };
        Components {
            stored: std::array::from_fn(image),
            state: State::Idle,
            handle: 0,
            error: error::NONE,
            used: Instant::now(),
            burnt: 0,
        }
    }
}

impl Components {
    /// Ends the update in progress.
    pub fn reset(&mut self) {
        self.state = State::Idle;
        self.error = error::NONE;
    }

    /// Reads MCC.
    pub fn read_mcc(&self, body: &mut [u8]) {
        let size = match &self.state {
            State::Download { image, .. } => image.len(),
            State::Upload { index } => self.stored[*index].len(),
            _ => 0,
        };
        let progress = match &self.state {
            State::Download { image, written, .. } => 100 * written / image.len(),
            _ => 0,
        };
        let handle = match self.state {
            State::Idle => 0,
            _ => self.handle,
        };
        body[..0x20].fill(0);
        for (field, value) in [
            (layout::HANDLE, u64::from(handle)),
            (layout::PROGRESS, progress as u64),
            (layout::ERROR_CODE, self.error.into()),
            (layout::STATE, self.state.number()),
            (layout::COMPONENT_SIZE, size as u64),
        ] {
            field.set(body, value);
        }
    }

    /// Writes MCC: executes an instruction.
    pub fn write_mcc(&mut self, body: &mut [u8]) -> Result<(), Refusal> {
        self.expire();
        let which = layout::INSTRUCTION.get(body);
        let index = layout::COMPONENT_INDEX.get(body) as usize;
        let size = layout::COMPONENT_SIZE.get(body) as usize;
        let bad_state = Refusal(Status::BAD_SYS_STATE, Syndrome::NOT_NEXT);
        let bad_index = Refusal(Status::BAD_PARAM, Syndrome::BAD_INDEX);
        match which {
            instruction::LOCK => {
                if self.state != State::Idle {
                    return Err(Refusal(Status::BAD_SYS_STATE, Syndrome::IN_USE));
                }
                self.handle = self.handle % 0xff_ffff + 1;
                self.state = State::Locked;
                self.error = error::NONE;
            }
            instruction::FORCE_RELEASE => self.reset(),
            _ => {
                self.check_handle(body, layout::HANDLE)?;
                match (which, &mut self.state) {
                    (instruction::RELEASE, _) => self.reset(),
                    (instruction::CANCEL, _) => self.state = State::Locked,
                    (instruction::UPDATE, State::Locked) => {
                        if index >= COMPONENTS {
                            return Err(bad_index);
                        }
                        if size == 0 || size % 4 != 0 || size > MAX_LEN {
                            return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_SIZE));
                        }
                        self.error = error::NONE;
                        self.state = State::Download {
                            index,
                            image: vec![0; size],
                            written: 0,
                        };
                    }
                    (
                        instruction::VERIFY,
                        State::Download {
                            index,
                            image,
                            written,
                        },
                    ) => {
                        // A real card checks a signature.
                        if *written < image.len() {
                            self.error = error::BAD_FORMAT;
                        } else {
                            self.stored[*index] = std::mem::take(image);
                            self.burnt += 1;
                        }
                        self.state = State::Locked;
                    }
                    (instruction::ACTIVATE, State::Locked) => {}
                    (instruction::READ, State::Locked) => {
                        if index >= COMPONENTS {
                            return Err(bad_index);
                        }
                        self.state = State::Upload { index };
                    }
                    _ => return Err(bad_state),
                }
            }
        }
        self.used = Instant::now();
        self.read_mcc(body);
        Ok(())
    }

    /// Reads or writes MCDA. The answer to a read has the data.
    pub fn mcda(&mut self, direction: Direction, body: &mut [u8]) -> Result<(), Refusal> {
        self.begin(direction, body, layout::MCDA_HANDLE)?;
        let offset = layout::OFFSET.get(body) as usize;
        let len = layout::SIZE.get(body) as usize;
        let bad_size = Refusal(Status::BAD_PARAM, Syndrome::BAD_SIZE);
        if len > MAX_MCDA {
            return Err(bad_size);
        }
        let data = body.get_mut(layout::MCDA_DATA..).unwrap_or_default();
        let data = data
            .get_mut(..len)
            .ok_or(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT))?;
        let moved = match direction {
            Direction::Burn => self.burn(offset, data),
            Direction::Read => self
                .read(offset, len)
                .map(|bytes| data.copy_from_slice(bytes)),
        };
        moved.map_err(|_| bad_size)
    }

    /// Begins an access by MCDD.
    pub fn mcdd(&mut self, direction: Direction, body: &[u8]) -> Result<Access, Refusal> {
        self.begin(direction, body, layout::MCDA_HANDLE)?;
        let len = layout::SIZE.get(body) as usize;
        if len == 0 || len > MAX_MCDD || len % 4 != 0 {
            return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_SIZE));
        }
        Ok(Access {
            direction,
            register: body[..STATUS_AT].to_vec(),
            page: layout::DATA_PAGE.get(body),
            mailbox: layout::MAILBOX_PAGE.get(body),
            has_begun: false,
            handle: self.handle,
            offset: layout::OFFSET.get(body) as usize,
            len,
        })
    }

    /// Ends an access that burns `bytes`. The error is a code of MCC.
    pub fn burn_page(&mut self, access: &Access, bytes: &[u8]) -> Result<(), u8> {
        match self.state {
            State::Download { .. } if access.handle == self.handle => {
                self.burn(access.offset, bytes)
            }
            // The update was cancelled meanwhile.
            _ => Err(error::ERROR),
        }
    }

    /// Ends an access that reads: returns its bytes.
    pub fn read_page(&self, access: &Access) -> Result<&[u8], u8> {
        match self.state {
            State::Upload { .. } if access.handle == self.handle => {
                self.read(access.offset, access.len)
            }
            _ => Err(error::ERROR),
        }
    }

    fn begin(&mut self, direction: Direction, body: &[u8], handle: Field) -> Result<(), Refusal> {
        self.expire();
        self.check_handle(body, handle)?;
        match (direction, &self.state) {
            (Direction::Burn, State::Download { .. }) => {}
            (Direction::Read, State::Upload { .. }) => {}
            _ => return Err(Refusal(Status::BAD_SYS_STATE, Syndrome::NOT_NEXT)),
        }
        self.used = Instant::now();
        Ok(())
    }

    fn check_handle(&self, body: &[u8], field: Field) -> Result<(), Refusal> {
        if self.state == State::Idle || field.get(body) != u64::from(self.handle) {
            return Err(Refusal(Status::BAD_RES, Syndrome::NOT_ALIVE));
        }
        Ok(())
    }

    fn expire(&mut self) {
        if self.used.elapsed() > PATIENCE {
            self.reset();
        }
    }

    fn burn(&mut self, offset: usize, bytes: &[u8]) -> Result<(), u8> {
        let State::Download { image, written, .. } = &mut self.state else {
            return Err(error::ERROR);
        };
        let end = offset.checked_add(bytes.len()).ok_or(error::ERROR)?;
        let place = image.get_mut(offset..end).ok_or(error::ERROR)?;
        place.copy_from_slice(bytes);
        // A page can be written again; one that is left out is missed by VERIFY.
        if offset <= *written {
            *written = end.max(*written);
        }
        Ok(())
    }

    fn read(&self, offset: usize, len: usize) -> Result<&[u8], u8> {
        let State::Upload { index } = self.state else {
            return Err(error::ERROR);
        };
        let end = offset.checked_add(len).ok_or(error::ERROR)?;
        self.stored[index].get(offset..end).ok_or(error::ERROR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of MCC by hand: instruction 3, index 6, handle 9, error 0xe, state 0xf, size 0x10.
    fn mcc(components: &mut Components, which: u8, index: u8, size: u32) -> Result<[u8; 32], u32> {
        let mut body = [0; 32];
        (body[3], body[7]) = (which, index);
        body[9..12].copy_from_slice(&components.handle.to_be_bytes()[1..]);
        body[0x10..0x14].copy_from_slice(&size.to_be_bytes());
        let written = components.write_mcc(&mut body);
        written.map(|()| body).map_err(|refusal| refusal.1 .0)
    }

    fn mcda(handle: u8, offset: u32, data: &[u8]) -> Vec<u8> {
        let mut body = vec![0; 16];
        body[3] = handle;
        body[4..8].copy_from_slice(&offset.to_be_bytes());
        body[11] = data.len() as u8;
        body.extend(data);
        body
    }

    #[test]
    fn update_and_readback() {
        let mut components = Components::default();
        assert_eq!(mcc(&mut components, 3, 0, 256), Err(Syndrome::NOT_ALIVE.0));
        let locked = mcc(&mut components, 1, 0, 0).unwrap();
        assert_eq!((locked[0x0b], locked[0x0f]), (1, 1));
        assert_eq!(mcc(&mut components, 1, 0, 0), Err(Syndrome::IN_USE.0));
        let ready = mcc(&mut components, 3, 1, 256).unwrap();
        assert_eq!((ready[0x0f], &ready[0x10..0x14]), (3, &[0, 0, 1, 0][..]));
        for part in 0..2 {
            let mut body = mcda(1, part * 128, &[part as u8 + 7; 128]);
            components.mcda(Direction::Burn, &mut body).unwrap();
        }
        let mut beyond = mcda(1, 256, &[1; 4]);
        assert!(components.mcda(Direction::Burn, &mut beyond).is_err());
        let verified = mcc(&mut components, 4, 0, 0).unwrap();
        assert_eq!((verified[0x0e], verified[0x0f]), (0, 1));
        mcc(&mut components, 6, 0, 0).unwrap();
        let reading = mcc(&mut components, 7, 1, 0).unwrap();
        assert_eq!(
            (reading[0x0f], &reading[0x10..0x14]),
            (7, &[0, 0, 1, 0][..])
        );
        let mut body = mcda(1, 124, &[0; 8]);
        components.mcda(Direction::Read, &mut body).unwrap();
        assert_eq!(body[16..], [7, 7, 7, 7, 8, 8, 8, 8]);
        mcc(&mut components, 2, 0, 0).unwrap();
        assert_eq!(
            (components.state.clone(), components.burnt),
            (State::Idle, 1)
        );
    }

    #[test]
    fn an_incomplete_component_is_not_stored() {
        let mut components = Components::default();
        mcc(&mut components, 1, 0, 0).unwrap();
        mcc(&mut components, 3, 0, 256).unwrap();
        let mut second = mcda(1, 128, &[1; 128]);
        components.mcda(Direction::Burn, &mut second).unwrap();
        let verified = mcc(&mut components, 4, 0, 0).unwrap();
        assert_eq!((verified[0x0e], verified[0x0f]), (8, 1));
        assert_eq!(components.stored[0].len(), LENS[0]);
        // Not in this state, not this component, not this size.
        assert!(mcc(&mut components, 4, 0, 0).is_err());
        assert!(mcc(&mut components, 3, 3, 256).is_err());
        assert!(mcc(&mut components, 3, 0, 6).is_err());
        assert!(mcc(&mut components, 3, 0, u32::MAX).is_err());
        assert!(mcc(&mut components, 0x7f, 0, 0).is_err());
    }

    #[test]
    fn golden_mcdd() {
        let mut components = Components::default();
        mcc(&mut components, 1, 0, 0).unwrap();
        mcc(&mut components, 3, 0, 8192).unwrap();
        let mut body = [0; 32];
        body[3] = 1;
        body[6] = 0x10; // offset 4096
        body[0x0a] = 0x10; // 4096 bytes
        body[0x10..0x18].copy_from_slice(&[0, 0, 0, 1, 2, 3, 0x40, 0]);
        body[0x18..0x20].copy_from_slice(&[0, 0, 0, 1, 2, 3, 0x50, 0]);
        let mut access = components.mcdd(Direction::Burn, &body).unwrap();
        assert_eq!(
            (access.page, access.mailbox),
            (0x1_0203_4000, 0x1_0203_5000)
        );
        assert_eq!((access.offset, access.len), (4096, 4096));
        assert_eq!(access.descriptor(Ok(()))[32..], [1, 0, 0, 0]);
        access.has_begun = true;
        assert_eq!(access.descriptor(Ok(()))[..32], body);
        assert_eq!(access.descriptor(Ok(()))[32..], [2, 0, 0, 0]);
        assert_eq!(access.descriptor(Err(7))[32..], [3, 7, 0, 0]);
        components.burn_page(&access, &[3; 4096]).unwrap();
        assert!(components.read_page(&access).is_err());
        assert!(components.mcdd(Direction::Read, &body).is_err());
        body[0x0b] = 4;
        assert!(components.mcdd(Direction::Burn, &body).is_err());
        body[3] = 2;
        assert!(components.mcdd(Direction::Burn, &body).is_err());
        components.reset();
        assert!(components.burn_page(&access, &[3; 4096]).is_err());
    }

    #[test]
    fn a_handle_that_is_forgotten_expires() {
        let mut components = Components::default();
        mcc(&mut components, 1, 0, 0).unwrap();
        if let Some(long_ago) = Instant::now().checked_sub(2 * PATIENCE) {
            components.used = long_ago;
            assert_eq!(mcc(&mut components, 1, 0, 0).unwrap()[0x0b], 2);
        }
        // Force release needs no handle.
        let mut body = [0; 32];
        body[3] = 0xa;
        components.write_mcc(&mut body).unwrap();
        assert_eq!(components.state, State::Idle);
    }
}
