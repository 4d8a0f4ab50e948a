// SPDX-License-Identifier: GPL-2.0-only

//! A request that was answered at once cannot be accepted as well.
//!
//! Expected: use of moved value: `rpc`

include!("frame.in");

driver! {
    fn submit<'rpc>(
        self: Pin<&Self>,
        _cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        let submitted = rpc.in_place(0)?;

        drop(rpc.accept());
        Ok(submitted)
    }
}
