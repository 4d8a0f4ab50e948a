// SPDX-License-Identifier: GPL-2.0-only

// The definitions that the example in driver-rust.rst leaves to the driver.

use kernel::{
    auxiliary,
    device::{
        Bound,
        Core,
        DeviceContext, //
    },
    prelude::*, //
};

struct MyDriver;

struct Model {
    max_len: usize,
}

static MODEL: Model = Model { max_len: 64 };

kernel::auxiliary_device_table!(
    ID_TABLE,
    <MyDriver as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(c"my_driver", c"device"), &MODEL)]
);

struct Request {
    len: usize,
}

impl Request {
    fn parse(bytes: &[u8]) -> Result<Self> {
        Ok(Self { len: bytes.len() })
    }

    fn needed_scope(&self) -> RpcScope {
        RpcScope::Configuration
    }
}

struct Firmware<'bound> {
    host: &'bound auxiliary::Device<Bound>,
    model: &'static Model,
}

impl<'bound> Firmware<'bound> {
    fn new(
        host: &'bound auxiliary::Device<Bound>,
        model: &'static Model,
    ) -> impl PinInit<Self, Error> + 'bound {
        Ok(Self { host, model })
    }

    fn send(&self, request: &Request, reply: &mut [u8]) -> Result<usize> {
        if request.len > self.model.max_len {
            return Err(EINVAL);
        }
        dev_dbg!(self.host, "{} bytes\n", reply.len());
        Ok(request.len)
    }
}
