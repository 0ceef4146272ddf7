//! `$(VAR)` references. Pure.
//!
//! # Upstream
//! `third_party/forked/golang/expansion/expand.go`

/// Replaces `$(NAME)` by what `lookup` gives, leaves unknown names as they stand, and turns `$$` into `$`.
pub fn expand<'a>(input: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if let Some(after) = tail.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = tail.strip_prefix('(').and_then(|t| t.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
            rest = tail;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn references() {
        let lookup = |name: &str| (name == "A").then_some("1");
        for (input, expected) in [
            ("$(A)-$(B)", "1-$(B)"),
            ("$$(A)", "$(A)"),
            ("$A $( $(A", "$A $( $(A"),
            ("$$$(A)", "$1"),
            ("end$", "end$"),
        ] {
            assert_eq!(super::expand(input, lookup), expected, "{input}");
        }
    }
}
