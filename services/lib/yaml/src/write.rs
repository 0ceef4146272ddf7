//! From values to text: block style, strings quoted as JSON wherever a plain scalar would read otherwise.

use std::fmt::Write;

use serde_json::Value;

use crate::resolve;

/// Writes one document, ending in a newline.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(m) if !m.is_empty() => block(&mut out, value, 0),
        Value::Array(l) if !l.is_empty() => block(&mut out, value, 0),
        other => {
            out.push_str(&inline(other));
            out.push('\n');
        }
    }
    out
}

fn block(out: &mut String, value: &Value, indent: usize) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| {
            out.push_str(&pad);
            entry(out, &text(k), v, indent);
        }),
        Value::Array(list) => list.iter().for_each(|item| {
            out.push_str(&pad);
            out.push_str("- ");
            let mut nested = String::new();
            match item {
                Value::Object(m) if !m.is_empty() => block(&mut nested, item, indent + 2),
                Value::Array(l) if !l.is_empty() => block(&mut nested, item, indent + 2),
                other => nested = format!("{pad}  {}\n", inline(other)),
            }
            out.push_str(&nested[indent + 2..]);
        }),
        other => out.push_str(&inline(other)),
    }
}

fn entry(out: &mut String, key: &str, value: &Value, indent: usize) {
    match value {
        Value::Object(m) if !m.is_empty() => {
            out.push_str(key);
            out.push_str(":\n");
            block(out, value, indent + 2);
        }
        Value::Array(l) if !l.is_empty() => {
            out.push_str(key);
            out.push_str(":\n");
            block(out, value, indent);
        }
        other => {
            // writing to a String cannot fail
            writeln!(out, "{key}: {}", inline(other)).unwrap_or_default();
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Object(_) => "{}".into(),
        Value::Array(_) => "[]".into(),
        Value::String(s) => text(s),
        other => other.to_string(),
    }
}

fn text(s: &str) -> String {
    let plain = !s.is_empty()
        && s.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ' ' | ':' | '@' | '='))
        && s.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && !s.ends_with([' ', ':'])
        && !s.contains(": ")
        && !is_date(s)
        && resolve(s) == Value::String(s.to_owned());
    if plain { s.to_owned() } else { Value::String(s.to_owned()).to_string() }
}

/// Whether other readers take it for a date, as YAML 1.1 has them: it is written as Go writes it, quoted.
fn is_date(s: &str) -> bool {
    let head = s.as_bytes().get(..10);
    head.is_some_and(|head| {
        head.iter().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { *b == b'-' } else { b.is_ascii_digit() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_reads_back() {
        let value = json!({
            "apiVersion": "v1", "empty": {}, "none": [], "yes": "yes", "n": 1, "port": "6443", "multi": "a\nb",
            "list": [{"a": 1, "b": [1, 2]}, "x", [true, null]], "url": "https://127.0.0.1:6443", "k: v": "# no"
        });
        assert_eq!(crate::parse(&to_string(&value)), Ok(value));
    }
}
