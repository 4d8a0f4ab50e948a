// SPDX-License-Identifier: GPL-2.0-only

// The module of an example, to which a vtable refers.

struct ExampleModule;

impl kernel::Module for ExampleModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}

module! {
    type: ExampleModule,
    name: "example",
    authors: ["fwctl in Rust developers"],
    description: "An example that is compiled only",
    license: "GPL",
}
