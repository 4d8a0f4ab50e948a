// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command as its users run it, on machines made of files: what it prints is compared whole.

mod cxl;
mod export;
mod find;
mod generate;
mod machine;
mod mlx5;
mod pds;
mod raw;
mod snapshot;
mod timeout;
mod watch;
