// SPDX-License-Identifier: GPL-2.0-only

//! Only an answer or `accept()` lets a driver return success.
//!
//! Expected: cannot initialize a tuple struct which contains private fields

include!("frame.in");

driver! {
    fn submit<'rpc>(
        self: Pin<&Self>,
        _cx: Context<'_, '_, Self>,
        _scope: RpcScope,
        _rpc: Submission<'rpc>,
    ) -> Result<Submitted<'rpc>> {
        Ok(Submitted(core::marker::PhantomData))
    }
}
