// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parses the input of a command into a [`Request`] or a [`Refusal`].

use super::fields::{
    self, congestion, diagnostics, eq, hca_cap, input, mkey, pages, pd, register, teardown, uar,
    uctx, umem,
};
use super::opcodes::{self as op, Opcode};
use super::refusal::{Refusal, Status, Syndrome};

/// The header of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The opcode.
    pub opcode: u16,
    /// The user context.
    pub uid: u16,
    /// The opcode modifier.
    pub op_mod: u16,
}

impl Header {
    /// Returns the header of an input. Fields beyond its end are 0.
    pub fn of(bytes: &[u8]) -> Self {
        Header {
            opcode: input::OPCODE.get(bytes) as u16,
            uid: input::UID.get(bytes) as u16,
            op_mod: input::OP_MOD.get(bytes) as u16,
        }
    }

    /// Returns the register that the input accesses.
    pub fn register(&self, bytes: &[u8]) -> Option<u16> {
        let accesses = matches!(self.opcode, op::ACCESS_REG | op::ACCESS_REGISTER_USER);
        accesses.then(|| register::ID.get(bytes) as u16)
    }
}

/// Direction of a register access (`op_mod`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `op_mod` 0.
    Write,
    /// `op_mod` 1.
    Read,
}

/// The pages that QUERY_PAGES asks about (`MLX5_BOOT_PAGES`, `MLX5_INIT_PAGES`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageNeed {
    /// Pages needed before INIT_HCA.
    Boot,
    /// Pages needed for INIT_HCA.
    Init,
    /// Pages needed at runtime.
    Regular,
}

/// Operations of MANAGE_PAGES (`enum mlx5_pages_op` in pagealloc.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOp {
    /// The driver cannot allocate pages.
    CannotGive,
    /// The driver gives pages.
    Give,
    /// The driver reclaims pages.
    Take,
}

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Request<'a> {
    QueryHcaCap {
        kind: u16,
        is_current: bool,
    },
    SetHcaCap {
        kind: u16,
        capability: &'a [u8],
    },
    QueryAdapter,
    InitHca,
    TeardownHca {
        profile: u16,
    },
    EnableHca,
    DisableHca,
    QueryPages(PageNeed),
    ManagePages {
        op: PageOp,
        count: u32,
        addresses: &'a [u8],
    },
    QueryIssi,
    SetIssi(u16),
    SetDriverVersion,
    CreateEq {
        input: &'a [u8],
    },
    DestroyEq(u8),
    QueryEq(u8),
    AllocUar,
    DeallocUar(u32),
    CreateUctx {
        caps: u32,
    },
    DestroyUctx(u16),
    CreateUmem {
        input: &'a [u8],
    },
    DestroyUmem(u32),
    AllocPd,
    DeallocPd(u32),
    CreateMkey {
        input: &'a [u8],
    },
    QueryMkey(u32),
    DestroyMkey(u32),
    AccessRegister {
        id: u16,
        access: Access,
        argument: u32,
        data: &'a [u8],
    },
    Nop,
    QuerySpecialContexts,
    QueryVportState,
    QueryNicVportContext,
    QueryVportCounter,
    QueryCongStatus {
        priority: u8,
        protocol: u8,
    },
    ModifyCongStatus {
        priority: u8,
        protocol: u8,
        is_enabled: bool,
        is_tagged: bool,
    },
    QueryWolRol,
    QueryVuid,
    SetDiagnosticParams {
        params: &'a [u8],
    },
    QueryDiagnosticParams,
    QueryDiagnosticCounters {
        samples: u16,
        first: u16,
    },
}

/// Minimum length of the input of a command.
fn min_len(opcode: u16) -> usize {
    match opcode {
        // The driver sends 12 bytes for these.
        op::ENABLE_HCA | op::DISABLE_HCA => 12,
        op::SET_HCA_CAP => hca_cap::CAPABILITY + hca_cap::LEN,
        op::CREATE_EQ => eq::PAS + 8,
        op::CREATE_UCTX => uctx::IN_LEN,
        op::CREATE_UMEM => umem::IN_LEN,
        op::CREATE_MKEY => mkey::IN_LEN,
        op::SET_DIAGNOSTIC_PARAMS => diagnostics::PARAMS + diagnostics::COUNTERS,
        _ => input::LEN,
    }
}

/// Parses the input of a command that [`op::admit`] has accepted.
pub fn parse<'a>(opcode: &Opcode, bytes: &'a [u8]) -> Result<Request<'a>, Refusal> {
    if bytes.len() < min_len(opcode.number) {
        return Err(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT));
    }
    let op_mod = input::OP_MOD.get(bytes) as u16;
    let bad_op_mod = Refusal(Status::BAD_PARAM, Syndrome::BAD_OP_MOD);
    let other = Refusal(Status::BAD_PARAM, Syndrome::OTHER_FUNCTION);
    let own_function = |field: fields::Field| {
        if field.is_set(bytes) {
            Err(other)
        } else {
            Ok(())
        }
    };

    Ok(match opcode.number {
        op::QUERY_HCA_CAP => {
            own_function(hca_cap::OTHER_FUNCTION)?;
            Request::QueryHcaCap {
                kind: op_mod >> 1,
                is_current: op_mod & 1 != 0,
            }
        }
        op::SET_HCA_CAP => {
            own_function(hca_cap::OTHER_FUNCTION)?;
            // A user context may set capabilities of other functions but not of itself, and there
            // are no other functions.
            if !matches!(input::UID.get(bytes), 0 | 0xffff) {
                return Err(Refusal(Status::BAD_OP, Syndrome::NOT_FOR_USERS));
            }
            let capability = &bytes[hca_cap::CAPABILITY..][..hca_cap::LEN];
            Request::SetHcaCap {
                kind: op_mod >> 1,
                capability,
            }
        }
        op::QUERY_ADAPTER => Request::QueryAdapter,
        op::INIT_HCA => Request::InitHca,
        op::TEARDOWN_HCA => Request::TeardownHca {
            profile: teardown::PROFILE.get(bytes) as u16,
        },
        op::ENABLE_HCA => Request::EnableHca,
        op::DISABLE_HCA => Request::DisableHca,
        op::QUERY_PAGES => {
            own_function(pages::FUNCTION_ID)?;
            Request::QueryPages(match op_mod {
                1 => PageNeed::Boot,
                2 => PageNeed::Init,
                3 => PageNeed::Regular,
                _ => return Err(bad_op_mod),
            })
        }
        op::MANAGE_PAGES => {
            own_function(pages::FUNCTION_ID)?;
            let op = match op_mod {
                0 => PageOp::CannotGive,
                1 => PageOp::Give,
                2 => PageOp::Take,
                _ => return Err(bad_op_mod),
            };
            let count = pages::IN_ENTRIES.get(bytes) as u32;
            let given = &bytes[pages::PAS..];
            if op == PageOp::Give && given.len() as u64 / 8 < u64::from(count) {
                return Err(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT));
            }
            Request::ManagePages {
                op,
                count,
                addresses: given,
            }
        }
        op::QUERY_ISSI => Request::QueryIssi,
        op::SET_ISSI => Request::SetIssi(fields::issi::CURRENT.get(bytes) as u16),
        op::SET_DRIVER_VERSION => Request::SetDriverVersion,
        op::CREATE_EQ => Request::CreateEq { input: bytes },
        op::DESTROY_EQ => Request::DestroyEq(eq::NUMBER.get(bytes) as u8),
        op::QUERY_EQ => Request::QueryEq(eq::NUMBER.get(bytes) as u8),
        op::ALLOC_UAR => Request::AllocUar,
        op::DEALLOC_UAR => Request::DeallocUar(uar::NUMBER.get(bytes) as u32),
        op::CREATE_UCTX => Request::CreateUctx {
            caps: uctx::CAP.get(bytes) as u32,
        },
        op::DESTROY_UCTX => Request::DestroyUctx(uctx::UID.get(bytes) as u16),
        op::CREATE_UMEM => Request::CreateUmem { input: bytes },
        op::DESTROY_UMEM => Request::DestroyUmem(umem::ID.get(bytes) as u32),
        op::ALLOC_PD => Request::AllocPd,
        op::DEALLOC_PD => Request::DeallocPd(pd::PD.get(bytes) as u32),
        op::CREATE_MKEY => Request::CreateMkey { input: bytes },
        op::QUERY_MKEY => Request::QueryMkey(mkey::INDEX.get(bytes) as u32),
        op::DESTROY_MKEY => Request::DestroyMkey(mkey::INDEX.get(bytes) as u32),
        op::ACCESS_REG | op::ACCESS_REGISTER_USER => Request::AccessRegister {
            id: register::ID.get(bytes) as u16,
            access: match op_mod {
                0 => Access::Write,
                1 => Access::Read,
                _ => return Err(bad_op_mod),
            },
            argument: register::ARGUMENT.get(bytes) as u32,
            data: &bytes[register::DATA..],
        },
        op::NOP => Request::Nop,
        op::QUERY_SPECIAL_CONTEXTS => Request::QuerySpecialContexts,
        op::QUERY_VPORT_STATE | op::QUERY_NIC_VPORT_CONTEXT | op::QUERY_VPORT_COUNTER => {
            own_function(fields::vport::OTHER)?;
            match opcode.number {
                op::QUERY_VPORT_STATE => Request::QueryVportState,
                op::QUERY_VPORT_COUNTER => Request::QueryVportCounter,
                _ => Request::QueryNicVportContext,
            }
        }
        op::QUERY_CONG_STATUS | op::MODIFY_CONG_STATUS => {
            let priority = congestion::PRIORITY.get(bytes) as u8;
            let protocol = congestion::PROTOCOL.get(bytes) as u8;
            match opcode.number {
                op::QUERY_CONG_STATUS => Request::QueryCongStatus { priority, protocol },
                _ => Request::ModifyCongStatus {
                    priority,
                    protocol,
                    is_enabled: congestion::ENABLE.is_set(bytes),
                    is_tagged: congestion::TAG_ENABLE.is_set(bytes),
                },
            }
        }
        op::QUERY_WOL_ROL => Request::QueryWolRol,
        op::QUERY_VUID => Request::QueryVuid,
        op::SET_DIAGNOSTIC_PARAMS => Request::SetDiagnosticParams {
            params: &bytes[diagnostics::PARAMS..],
        },
        op::QUERY_DIAGNOSTIC_PARAMS => Request::QueryDiagnosticParams,
        op::QUERY_DIAGNOSTIC_COUNTERS => Request::QueryDiagnosticCounters {
            samples: diagnostics::ASK_SAMPLES.get(bytes) as u16,
            first: diagnostics::ASK_INDEX.get(bytes) as u16,
        },
        // In the table but not implemented.
        _ => return Err(Refusal(Status::BAD_OP, Syndrome::UNKNOWN_OPCODE)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: &[u8]) -> Result<Request<'_>, Refusal> {
        parse(op::find(Header::of(bytes).opcode).unwrap(), bytes)
    }

    #[test]
    fn golden_register_read() {
        // ACCESS_REG, uid 7, read, MGIR, argument 0, four bytes of data.
        let bytes = [
            0x08, 0x05, 0, 7, 0, 0, 0, 1, 0, 0, 0x90, 0x20, 0, 0, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd,
        ];
        let header = Header::of(&bytes);
        assert_eq!(
            header,
            Header {
                opcode: 0x805,
                uid: 7,
                op_mod: 1
            }
        );
        assert_eq!(header.register(&bytes), Some(0x9020));
        let data = &bytes[16..];
        assert_eq!(
            request(&bytes),
            Ok(Request::AccessRegister {
                id: 0x9020,
                access: Access::Read,
                argument: 0,
                data
            })
        );
    }

    #[test]
    fn golden_pages() {
        let mut bytes = vec![0x01, 0x08, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
        assert_eq!(
            request(&bytes),
            Err(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT))
        );
        bytes.extend([0; 16]);
        let Ok(Request::ManagePages {
            op: PageOp::Give,
            count: 2,
            addresses,
        }) = request(&bytes)
        else {
            panic!()
        };
        assert_eq!(addresses.len(), 16);
        bytes[12..16].copy_from_slice(&[0xff; 4]);
        assert!(request(&bytes).is_err());
    }

    #[test]
    fn golden_uctx() {
        let mut bytes = vec![0; 0x40];
        bytes[..2].copy_from_slice(&[0x0a, 0x04]);
        bytes[0x13] = 4;
        assert_eq!(request(&bytes), Ok(Request::CreateUctx { caps: 4 }));
        assert!(request(&bytes[..0x3f]).is_err());
        assert_eq!(
            request(&[0x0a, 0x06, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0]),
            Ok(Request::DestroyUctx(0x102))
        );
    }

    #[test]
    fn inputs_of_all_lengths_are_handled() {
        for opcode in op::OPCODES {
            let mut bytes = vec![0; 0x1200];
            bytes[..2].copy_from_slice(&opcode.number.to_be_bytes());
            for len in [0, 1, 7, 8, 11, 12, 15, 16, 0x3f, 0x110, 0x118, 0x1200] {
                let _ = parse(opcode, &bytes[..len]);
            }
            assert!(parse(opcode, &[]).is_err(), "{}", opcode.name);
            assert_ne!(
                parse(opcode, &bytes),
                Err(Refusal(Status::BAD_OP, Syndrome::UNKNOWN_OPCODE)),
                "{} is in the table but not implemented",
                opcode.name
            );
        }
    }

    #[test]
    fn other_functions_do_not_exist() {
        let mut bytes = vec![0; 0x1010];
        bytes[..2].copy_from_slice(&op::QUERY_HCA_CAP.to_be_bytes());
        bytes[8] = 0x80;
        assert_eq!(
            request(&bytes),
            Err(Refusal(Status::BAD_PARAM, Syndrome::OTHER_FUNCTION))
        );
        bytes[..2].copy_from_slice(&op::SET_HCA_CAP.to_be_bytes());
        assert_eq!(
            request(&bytes),
            Err(Refusal(Status::BAD_PARAM, Syndrome::OTHER_FUNCTION))
        );
        bytes[8] = 0;
        assert!(request(&bytes).is_ok());
        bytes[3] = 1;
        assert_eq!(
            request(&bytes),
            Err(Refusal(Status::BAD_OP, Syndrome::NOT_FOR_USERS))
        );
    }
}
