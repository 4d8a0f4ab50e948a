// SPDX-License-Identifier: GPL-2.0-only

//! An RPC that was accepted is answered once.
//!
//! Expected: use of moved value: `pending`

include!("frame.in");

driver! {
    fn submit<'rpc>(
        self: Pin<&Self>,
        _cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        let (pending, submitted) = rpc.accept()?;

        pending.in_place(0);
        pending.fail(EIO);
        Ok(submitted)
    }
}
