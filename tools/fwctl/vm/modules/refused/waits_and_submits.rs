// SPDX-License-Identifier: GPL-2.0-only

//! A driver answers RPCs in one of the two ways.
//!
//! Expected: evaluation of `fwctl::UnregisteredDevice::<Uctx>::new

include!("frame.in");

driver! {
    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        _cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        rpc.in_place(0)
    }

    fn submit<'rpc>(
        self: Pin<&Self>,
        _cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        rpc.in_place(0)
    }
}
