// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the counters of all devices share.

use serde_json::{json, Map, Value};
use std::collections::BTreeMap;

/// Counts of events by their kind, such as an opcode or a status.
pub type Counts<K> = BTreeMap<K, u64>;

/// Increments the counter of a key.
pub fn count<K: Ord>(counts: &mut Counts<K>, key: K) {
    *counts.entry(key).or_default() += 1;
}

/// Returns the sum of all counters.
pub fn total<K>(counts: &Counts<K>) -> u64 {
    counts.values().sum()
}

/// Returns the counters with names for keys.
pub fn named<K>(counts: &Counts<K>, name: impl Fn(&K) -> String) -> Value {
    let named: Map<_, _> = counts
        .iter()
        .map(|(key, count)| (name(key), json!(count)))
        .collect();
    named.into()
}

/// Returns the members of an object with those of another.
pub fn merged(counters: Value, more: Value) -> Value {
    match (counters, more) {
        (Value::Object(mut counters), Value::Object(more)) => {
            counters.extend(more);
            counters.into()
        }
        (counters, _) => counters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_name() {
        let mut counts = Counts::default();
        for key in [7, 1, 7] {
            count(&mut counts, key);
        }
        assert_eq!(total(&counts), 3);
        assert_eq!(
            named(&counts, |key| format!("{key:#x}")),
            json!({"0x1": 1, "0x7": 2})
        );
    }

    #[test]
    fn later_members_replace_earlier_ones() {
        let all = merged(json!({"a": 1, "b": 2}), json!({"b": 3, "c": 4}));
        assert_eq!(all, json!({"a": 1, "b": 3, "c": 4}));
    }
}
