// SPDX-License-Identifier: GPL-2.0-only

//! A request is answered once.
//!
//! Expected: use of moved value: `rpc`

include!("frame.in");

driver! {
    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        _cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        let first = rpc.in_place(0)?;

        drop(rpc.in_place(0));
        Ok(first)
    }
}
