// SPDX-License-Identifier: GPL-2.0-only

//! A call has no guard to give away, and a device of the class is none.
//!
//! Expected: mismatched types

include!("frame.in");

driver! {
    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        let guard: Registration = cx.device();

        drop(guard);
        rpc.in_place(0)
    }
}
