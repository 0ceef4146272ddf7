//! Strings and floats exactly as Go's `encoding/json` writes them.

use std::fmt::Write;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends a quoted string, with `<`, `>`, `&` and the line separators escaped.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (i, &b) in bytes.iter().enumerate() {
        let plain = b >= 0x20 && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        if plain {
            continue;
        }
        if b == 0xe2 {
            // U+2028 and U+2029 are e2 80 a8 and e2 80 a9
            if let Some([0x80, last @ (0xa8 | 0xa9)]) = bytes.get(i + 1..i + 3) {
                out.extend_from_slice(&bytes[start..i]);
                out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                start = i + 3;
            }
            continue;
        }
        out.extend_from_slice(&bytes[start..i]);
        start = i + 1;
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(b >> 4)]);
                out.push(HEX[usize::from(b & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// Appends a float: plain digits between 1e-6 and 1e21, else with an exponent.
pub fn push_float(out: &mut Vec<u8>, f: f64) {
    let mut text = String::new();
    let magnitude = f.abs();
    // writing to a String cannot fail
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        write!(text, "{f:e}").unwrap_or_default();
        if let Some(at) = text.find('e').filter(|at| !text[at + 1..].starts_with('-')) {
            text.insert(at + 1, '+');
        }
    } else {
        write!(text, "{f}").unwrap_or_default();
    }
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_them() {
        let string = |s: &str| {
            let mut out = Vec::new();
            push_string(&mut out, s);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(string("a<b>&\"\\\n\u{1}\u{2028}é€"), r#""a\u003cb\u003e\u0026\"\\\n\u0001\u2028é€""#);
        let float = |f: f64| {
            let mut out = Vec::new();
            push_float(&mut out, f);
            String::from_utf8(out).unwrap()
        };
        let floats = [(1.0, "1"), (0.5, "0.5"), (1e21, "1e+21"), (1e-7, "1e-7"), (123456789.0, "123456789")];
        for (f, expected) in floats {
            assert_eq!(float(f), expected);
        }
    }
}
