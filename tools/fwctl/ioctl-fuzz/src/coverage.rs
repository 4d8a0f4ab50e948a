// SPDX-License-Identifier: MIT OR Apache-2.0

//! Coverage of the kernel.

use crate::sys::Kcov;
use anyhow::Result;
use std::collections::HashSet;

/// An edge between two basic blocks of the kernel.
pub type Edge = u64;

/// The blocks and edges that have been reached.
pub struct Coverage {
    kcov: Kcov,
    seen: HashSet<Edge>,
    blocks: HashSet<u64>,
}

impl Coverage {
    /// Returns empty coverage, or [`None`] if the kernel has no KCOV.
    pub fn new() -> Result<Option<Self>> {
        Ok(Kcov::new()?.map(|kcov| Coverage {
            kcov,
            seen: HashSet::new(),
            blocks: HashSet::new(),
        }))
    }

    /// Runs `act` and returns its result and the edges it reached.
    pub fn watch<T>(&mut self, act: impl FnOnce() -> T) -> Result<(T, HashSet<Edge>)> {
        self.kcov.start()?;
        let result = act();
        let mut edges = HashSet::new();
        let mut from = 0;
        for block in self.kcov.stop()? {
            self.blocks.insert(block);
            edges.insert(block ^ u64::rotate_left(from, 24));
            from = block;
        }
        Ok((result, edges))
    }

    /// Adds edges and returns the new ones.
    pub fn add(&mut self, edges: &HashSet<Edge>) -> HashSet<Edge> {
        let new = edges.difference(&self.seen).copied().collect();
        self.seen.extend(&new);
        new
    }

    /// Number of edges reached.
    pub fn edges(&self) -> usize {
        self.seen.len()
    }

    /// Number of blocks reached.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }
}
