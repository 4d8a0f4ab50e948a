// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exports the Rust symbols of the crate fwctl to the drivers that use it.
 *
 * The Makefile generates the list from the object file.  The declared type
 * does not matter: an export is an address.
 */
#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_NS_GPL(sym, "FWCTL")

#include "exports_generated.h"
