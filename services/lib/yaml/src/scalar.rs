//! What a plain scalar means.
//!
//! # Upstream
//! `go.yaml.in/yaml/v2` `resolve.go`: YAML 1.1 booleans, octal and binary integers, underscores in numbers.

use serde_json::Value;

/// The value of a plain (unquoted) scalar.
pub fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
            return true.into();
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            return false.into();
        }
        _ => {}
    }
    let starts_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    if !starts_number {
        return text.into();
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits)).unwrap_or_else(|| text.into())
}

fn integer(text: &str) -> Option<Value> {
    let (negative, body) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, radix) = match body.get(..2) {
        Some("0x" | "0X") => (&body[2..], 16),
        Some("0b" | "0B") => (&body[2..], 2),
        Some("0o" | "0O") => (&body[2..], 8),
        _ if body.len() > 1 && body.starts_with('0') => (&body[1..], 8),
        _ => (body, 10),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?; // not a number in this radix: maybe a float
    let number = if negative { -magnitude } else { magnitude };
    i64::try_from(number).map(Value::from).ok().or_else(|| u64::try_from(number).map(Value::from).ok())
}

fn float(text: &str) -> Option<Value> {
    let plausible = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !plausible || !text.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number) // else it is a string
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_read_as_go_reads_them() {
        let cases = [
            ("yes", Value::from(true)),
            ("off", false.into()),
            ("~", Value::Null),
            ("0644", 420.into()),
            ("0o17", 15.into()),
            ("0x1F", 31.into()),
            ("1_000", 1000.into()),
            ("-3", (-3).into()),
            ("1.5", 1.5.into()),
            ("1e3", 1000.0.into()),
            ("1.2.3", "1.2.3".into()),
            ("10.42.0.0/16", "10.42.0.0/16".into()),
            ("0899", 899.0.into()),
            ("v1", "v1".into()),
            ("18446744073709551615", u64::MAX.into()),
        ];
        for (text, expected) in cases {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }
}
