// SPDX-License-Identifier: GPL-2.0-only
/* The trace events, and the functions by which Rust emits them; see trace.rs. */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "trace.h"
