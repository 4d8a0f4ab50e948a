// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands that only read.
//!
//! Scopes do not tell them apart: scopes are cumulative, so debug-read-only also admits every
//! configuration command, such as `MODIFY_CONG_STATUS`.

/// A query command: its opcode, and the bit of the request that makes it clear the counters it
/// returns.
struct Query(u16, Option<usize>);

/// The query commands that `mlx5_ifc.h` and `mlx5_ifc_fpga.h` of Linux 7.3 describe, in ascending
/// order. The vendor has more commands called query; without a layout there is no saying whether a
/// request for them resets something.
#[rustfmt::skip]
const QUERIES: &[Query] = &[
    Query(0x100, None), // QUERY_HCA_CAP
    Query(0x101, None), // QUERY_ADAPTER
    Query(0x107, None), // QUERY_PAGES
    Query(0x10a, None), // QUERY_ISSI
    Query(0x10e, None), // QUERY_OTHER_HCA_CAP
    Query(0x111, None), // QUERY_SF_PARTITION
    Query(0x117, None), // QUERY_VHCA_MIGRATION_STATE
    Query(0x201, None), // QUERY_MKEY
    Query(0x203, None), // QUERY_SPECIAL_CONTEXTS
    Query(0x303, None), // QUERY_EQ
    Query(0x402, None), // QUERY_CQ
    Query(0x50b, None), // QUERY_QP
    Query(0x702, None), // QUERY_SRQ
    Query(0x707, None), // QUERY_XRC_SRQ
    Query(0x713, None), // QUERY_DCT
    Query(0x719, None), // QUERY_XRQ
    Query(0x732, None), // QUERY_DELEGATED_VHCA
    Query(0x740, None), // QUERY_ESW_FUNCTIONS
    Query(0x750, None), // QUERY_VPORT_STATE
    Query(0x752, None), // QUERY_ESW_VPORT_CONTEXT
    Query(0x754, None), // QUERY_NIC_VPORT_CONTEXT
    Query(0x760, None), // QUERY_ROCE_ADDRESS
    Query(0x762, None), // QUERY_HCA_VPORT_CONTEXT
    Query(0x764, None), // QUERY_HCA_VPORT_GID
    Query(0x765, None), // QUERY_HCA_VPORT_PKEY
    Query(0x76f, None), // QUERY_VNIC_ENV
    Query(0x770, Some(0xc0)), // QUERY_VPORT_COUNTER
    Query(0x773, Some(0xc0)), // QUERY_Q_COUNTER
    Query(0x784, None), // QUERY_SCHEDULING_ELEMENT
    Query(0x80b, None), // QUERY_MAD_DEMUX
    Query(0x822, None), // QUERY_CONG_STATUS
    Query(0x824, None), // QUERY_CONG_PARAMS
    Query(0x826, Some(0x40)), // QUERY_CONG_STATISTICS
    Query(0x82a, None), // QUERY_L2_TABLE_ENTRY
    Query(0x831, None), // QUERY_WOL_ROL
    Query(0x842, None), // QUERY_LAG
    Query(0x903, None), // QUERY_TIR
    Query(0x907, None), // QUERY_SQ
    Query(0x90b, None), // QUERY_RQ
    Query(0x90f, None), // QUERY_RMP
    Query(0x915, None), // QUERY_TIS
    Query(0x919, None), // QUERY_RQT
    Query(0x932, None), // QUERY_FLOW_TABLE
    Query(0x935, None), // QUERY_FLOW_GROUP
    Query(0x937, None), // QUERY_FLOW_TABLE_ENTRY
    Query(0x93b, Some(0xc0)), // QUERY_FLOW_COUNTER
    Query(0x93f, None), // QUERY_PACKET_REFORMAT_CONTEXT
    Query(0x942, None), // QUERY_MODIFY_HEADER_CONTEXT
    Query(0x962, None), // FPGA_QUERY_QP
    Query(0x964, Some(0x40)), // FPGA_QUERY_QP_COUNTERS
    Query(0xb22, None), // QUERY_VUID
];

/// Why a request is not one that only reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAQuery {
    /// Its opcode is not in the list.
    #[error("opcode {0:#x} is not one of the query commands, which change nothing")]
    Opcode(u16),
    /// It asks for counters to be reset.
    #[error("the request clears the counters that it reads")]
    Clears,
}

/// Checks that a request is a query command, which changes nothing.
///
/// # Errors
///
/// [`NotAQuery`] if it is another command, is too short to tell, or clears counters.
pub fn check_query(request: &[u8]) -> Result<(), NotAQuery> {
    let opcode = request
        .first_chunk()
        .map_or(0, |&opcode| u16::from_be_bytes(opcode));
    let index = QUERIES
        .binary_search_by_key(&opcode, |query| query.0)
        .map_err(|_| NotAQuery::Opcode(opcode))?;
    let is_set = |bit: usize| {
        request
            .get(bit / 8)
            .is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0)
    };
    if QUERIES[index].1.is_some_and(is_set) {
        return Err(NotAQuery::Clears);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mlx5::commands;

    fn request(opcode: u16) -> Vec<u8> {
        let mut request = vec![0; 32];
        request[..2].copy_from_slice(&opcode.to_be_bytes());
        request
    }

    #[test]
    fn the_list_is_sorted_and_has_every_described_command() {
        assert!(QUERIES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for command in commands() {
            assert_eq!(check_query(&command.request()), Ok(()), "{command:?}");
        }
    }

    #[test]
    fn clear_bits_are_where_the_layouts_have_them() {
        for command in commands() {
            let query = QUERIES.iter().find(|query| query.0 == command.input.id);
            let clear = command.input.field("clear").map(|field| field.bit);
            assert_eq!(query.unwrap().1, clear, "{}", command.input.name);
            if clear.is_some() {
                let mut request = command.request();
                command.input.set(&mut request, "clear", 1).unwrap();
                assert_eq!(check_query(&request), Err(NotAQuery::Clears));
            }
        }
    }

    // Commands that the driver admits in scope debug-read-only and that are no queries:
    // SET_HCA_CAP, DELEGATE_VHCA_MANAGEMENT, ACCESS_REG, NOP, SET_DIAGNOSTIC_PARAMS,
    // MODIFY_CONG_STATUS, ACCESS_REGISTER_USER, POSTPONE_CONNECTED_QP_TIMEOUT.
    #[test]
    fn other_commands_are_no_queries() {
        for opcode in [0x109, 0x731, 0x805, 0x80d, 0x820, 0x823, 0xb0c, 0xb2e, 0] {
            assert_eq!(
                check_query(&request(opcode)),
                Err(NotAQuery::Opcode(opcode))
            );
        }
        for short in [&[][..], &[1]] {
            assert_eq!(check_query(short), Err(NotAQuery::Opcode(0)));
        }
    }
}
