// SPDX-License-Identifier: MIT OR Apache-2.0

//! The patterns that select tests by name, those in `scripts/tests` included: `scripts/test` and
//! `scripts/list` have them selected by `fwctl-vm select`.

/// Whether `pattern` selects `name`.  With `*` or `?` it is a glob over the whole name, else a
/// part of the name.
pub fn matches(pattern: &str, name: &str) -> bool {
    if pattern.contains(['*', '?']) {
        glob(pattern.as_bytes(), name.as_bytes())
    } else {
        name.contains(pattern)
    }
}

/// Whether one of `patterns` selects `name`.  Without patterns every name is selected.
pub fn any_matches(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name))
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
            ("core/[k]unit", "core/kunit", false),
            ("core/[k]uni?", "core/kunit", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        let many = "*a".repeat(50) + "b";
        assert!(!matches(&many, &"a".repeat(5000)));
    }

    #[test]
    fn one_of_several() {
        let patterns = ["style".to_string(), "core/*".to_string()];
        assert!(any_matches(&patterns, "style/words"));
        assert!(any_matches(&patterns, "core/kunit"));
        assert!(!any_matches(&patterns, "doc/machines"));
        assert!(any_matches(&[], "doc/machines"));
    }
}
