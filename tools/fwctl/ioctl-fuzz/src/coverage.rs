// SPDX-License-Identifier: MIT OR Apache-2.0

//! What of the kernel's code has been seen.

use crate::sys::Kcov;
use anyhow::Result;
use std::collections::HashSet;

/// A step from one block of code to the next.
pub type Edge = u64;

/// Code of the kernel that calls ran through.
pub struct Coverage {
    kcov: Kcov,
    seen: HashSet<Edge>,
    blocks: HashSet<u64>,
}

impl Coverage {
    /// Nothing so far; [`None`] if the kernel does not say.
    pub fn new() -> Result<Option<Self>> {
        Ok(Kcov::new()?.map(|kcov| Coverage {
            kcov,
            seen: HashSet::new(),
            blocks: HashSet::new(),
        }))
    }

    /// Carries out `act`; returns what that returned, and where it led.
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

    /// Adds edges; returns those that are new.
    pub fn add(&mut self, edges: &HashSet<Edge>) -> HashSet<Edge> {
        let new = edges.difference(&self.seen).copied().collect();
        self.seen.extend(&new);
        new
    }

    /// How many edges were seen.
    pub fn edges(&self) -> usize {
        self.seen.len()
    }

    /// How many blocks were seen.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }
}
