// SPDX-License-Identifier: MIT OR Apache-2.0

//! The patterns that select tests by name.
//!
//! `matches` in `scripts/lib/checks.sh` is the same language for the tests that need no VM.  It is
//! written twice because those tests run before this program is built, or without building it.

/// Whether `pattern` selects `name`.  With `*` or `?` it is a glob over the whole name, else a
/// part of the name.
pub fn matches(pattern: &str, name: &str) -> bool {
    if pattern.contains(['*', '?']) {
        glob(pattern.as_bytes(), name.as_bytes())
    } else {
        name.contains(pattern)
    }
}

/// `*` matches any run of characters, `?` any single one.  Backtracks to the last `*` only, so it
/// needs neither recursion nor memory.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("core", "core/kunit", true),
            ("kunit", "core/kunit", true),
            ("cxl", "core/kunit", false),
            ("core/*", "core/kunit", true),
            ("*unit", "core/kunit", true),
            ("core/k?nit", "core/kunit", true),
            ("core/k?it", "core/kunit", false),
            ("core*x", "core/kunit", false),
            ("*", "", true),
            ("?", "", false),
            ("*a*b", "xaxbxb", true),
            ("*/*", "a/b/c", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        let many = "*a".repeat(50) + "b";
        assert!(!matches(&many, &"a".repeat(5000)));
    }
}
