//! What names, labels and keys may contain, with upstream's texts. Each check gives the problems found.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/util/validation/validation.go`, `pkg/api/validate/content`

const LABEL_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const KEY_FMT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const KEY_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
alphanumeric character";

/// The text for a value that does not match a pattern.
pub fn regex_error(message: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{pattern}')");
    }
    let list: Vec<String> = examples.iter().map(|e| format!("'{e}'")).collect();
    format!("{message} (e.g. {}, regex used for validation is '{pattern}')", list.join(",  or "))
}

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

fn inner(part: &str, first: fn(u8) -> bool, middle: fn(u8) -> bool, last: fn(u8) -> bool) -> bool {
    let bytes = part.as_bytes();
    match bytes {
        [] => false,
        [.., end] => first(bytes[0]) && last(*end) && bytes.iter().all(|b| middle(*b)),
    }
}

fn lower(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn lower_dash(b: u8) -> bool {
    lower(b) || b == b'-'
}

fn is_label(part: &str) -> bool {
    inner(part, lower, lower_dash, lower)
}

fn is_subdomain(name: &str) -> bool {
    name.split('.').all(is_label)
}

fn is_key(name: &str) -> bool {
    inner(
        name,
        |b| b.is_ascii_alphanumeric(),
        |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b),
        |b| b.is_ascii_alphanumeric(),
    )
}

/// `my-name`: at most 63, no dots.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 63 {
        problems.push(too_long(63));
    }
    if !is_label(value) {
        problems.push(if is_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                 and end with an alphanumeric character",
                LABEL_FMT,
                &["my-name", "123-abc"],
            )
        });
    }
    problems
}

/// `example.com`: at most 253.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push(too_long(253));
    }
    if !is_subdomain(value) {
        problems.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            SUBDOMAIN_FMT,
            &["example.com"],
        ));
    }
    problems
}

/// `_tcp.example.com`: a subdomain whose parts may have underscores.
pub fn dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push(too_long(253));
    }
    let good = |part: &str| {
        let part = part.strip_prefix('_').unwrap_or(part);
        inner(part, lower, |b| lower_dash(b) || b == b'_', lower)
    };
    if !value.split('.').all(good) {
        problems.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and \
             must start and end with an alphanumeric character",
            "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        ));
    }
    problems
}

/// `*.example.com`.
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push(too_long(253));
    }
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        problems.push(regex_error(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist \
             of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!("\\*\\.{SUBDOMAIN_FMT}"),
            &["*.example.com"],
        ));
    }
    problems
}

/// `my-name`, starting with a letter.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 63 {
        problems.push(too_long(63));
    }
    if !inner(value, |b| b.is_ascii_lowercase(), lower_dash, lower) {
        problems.push(regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    problems
}

/// A label key (also annotation keys in lower case, finalizers, resource names): `example.com/MyName`.
pub fn qualified_name(value: &str) -> Vec<String> {
    let pattern =
        |what: &str| regex_error(&format!("{what}{KEY_TEXT}"), KEY_FMT, &["MyName", "my.name", "123-abc"]);
    let mut problems = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, rest)) if rest.contains('/') => {
            let text = pattern("a valid label key ");
            return vec![format!(
                "{text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some(("", name)) => {
            problems.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            // upstream's label keys count bytes where its other names count characters
            let bad = dns1123_subdomain(prefix).into_iter();
            problems.extend(bad.map(|m| format!("prefix part {}", m.replace("253 characters", "253 bytes"))));
            name
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        problems.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_key(name) {
        problems.push(pattern("name part "));
    }
    problems
}

/// A label's value: empty or up to 63.
pub fn label_value(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 63 {
        problems.push("must be no more than 63 bytes".to_owned());
    }
    if !value.is_empty() && !is_key(value) {
        problems.push(regex_error(
            &format!(
                "a valid label must be an empty string or consist of {}",
                &KEY_TEXT["must consist of ".len()..]
            ),
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    problems
}

/// A name that is one segment of a URL path.
pub fn path_segment(name: &str, prefix: bool) -> Vec<String> {
    if !prefix && (name == "." || name == "..") {
        return vec![format!("may not be '{name}'")];
    }
    let bad = ["/", "%"].into_iter().filter(|c| name.contains(c));
    bad.map(|c| format!("may not contain '{c}'")).collect()
}

/// `MY_NAME`.
pub fn c_identifier(value: &str) -> Vec<String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if inner(value, |b| b.is_ascii_alphabetic() || b == b'_', word, word) {
        return Vec::new();
    }
    vec![regex_error(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric \
         characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// A port number.
pub fn port_number(port: i64) -> Vec<String> {
    in_range(port, 1, 65535)
}

/// A number between bounds.
pub fn in_range(value: i64, low: i64, high: i64) -> Vec<String> {
    if (low..=high).contains(&value) {
        Vec::new()
    } else {
        vec![format!("must be between {low} and {high}, inclusive")]
    }
}

/// A user or group id.
pub fn numeric_id(id: i64) -> Vec<String> {
    in_range(id, 0, i64::from(i32::MAX))
}

/// A port's name, as IANA service names.
pub fn port_name(port: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |bad: bool, text: &str| {
        if bad {
            problems.push(text.to_owned());
        }
    };
    check(port.len() > 15, "must be no more than 15 characters");
    check(
        port.is_empty() || !port.bytes().all(lower_dash),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    check(!port.bytes().any(|b| b.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    check(port.contains("--"), "must not contain consecutive hyphens");
    check(port.starts_with('-') || port.ends_with('-'), "must not begin or end with a hyphen");
    problems
}

/// `25%`.
pub fn percent(value: &str) -> Vec<String> {
    let good =
        value.strip_suffix('%').is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    if good {
        return Vec::new();
    }
    let text = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![regex_error(text, "[0-9]+%", &["1%", "93%"])]
}

/// An HTTP header's name.
pub fn http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    let text = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![regex_error(text, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// An environment variable's name: any printable ASCII but `=`.
pub fn env_var_name(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.is_empty() {
        problems.push("environment variable name must be non-empty".to_owned());
    }
    if value.chars().any(|c| !(' '..='~').contains(&c) || c == '=') {
        problems.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='".into(),
        );
    }
    problems
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push(too_long(253));
    }
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        let text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        problems.push(regex_error(text, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    match value {
        "." => problems.push("must not be '.'".to_owned()),
        ".." => problems.push("must not be '..'".to_owned()),
        v if v.starts_with("..") => problems.push("must not start with '..'".to_owned()),
        _ => {}
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_upstreams() {
        assert_eq!(
            dns1123_label("-a"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
              end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(qualified_name("a/b/c").len(), 1);
        assert_eq!(qualified_name("/"), [
            "prefix part must be non-empty".to_owned(),
            "name part must be non-empty".to_owned(),
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
             alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
             '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
                .to_owned(),
        ]);
        assert!(qualified_name("example.com/My_Name").is_empty() && label_value("").is_empty());
    }
}
