// SPDX-License-Identifier: GPL-2.0-only

//! A reply in place is sent as it is: the driver cannot touch it any more.
//!
//! Expected: borrow of moved value: `rpc`

include!("frame.in");

driver! {
    fn fw_rpc<'rpc>(
        self: Pin<&Self>,
        _cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        mut rpc: Rpc<'rpc>,
    ) -> Result<Response<'rpc>> {
        let response = rpc.in_place(0)?;

        rpc.request_mut().fill(0);
        Ok(response)
    }
}
