// SPDX-License-Identifier: GPL-2.0-only

//! A call proves that the host is bound, and may be the last before it is not: it cannot register.
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
        let host = cx.host();

        core::mem::forget(fwctl::register::<Self>(host, host.as_ref(), ())?);
        rpc.in_place(0)
    }
}
