//! Strings and floats exactly as Go's `encoding/json` writes them.

use std::fmt::Write;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A byte in each of a word's eight.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The top bit of the first byte of a word that is not written as it is, or that more must be known of; of bytes
/// after that one nothing is said.
const fn marks(word: u64) -> u64 {
    // below: the top bit where a byte is zero, and perhaps where it follows such a one
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(eight(1)) & !word & eight(0x80)
    }
    let control = word.wrapping_sub(eight(0x20)) & !word & eight(0x80);
    let quote_or_and = zeros((word | eight(b'"' ^ b'&')) ^ eight(b'"' | b'&'));
    let less_or_greater = zeros((word | eight(b'<' ^ b'>')) ^ eight(b'<' | b'>'));
    control | quote_or_and | less_or_greater | zeros(word ^ eight(b'\\')) | (word & eight(0x80))
}

/// How many bytes at the beginning are written as they are, at least.
fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks();
    for (i, word) in words.iter().enumerate() {
        let marked = marks(u64::from_le_bytes(*word));
        if marked != 0 {
            return i * 8 + marked.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |b: &u8| (0x20..0x80).contains(b) && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&');
    words.len() * 8 + rest.iter().position(|b| !is_plain(b)).unwrap_or(rest.len())
}

/// Appends a quoted string, with `<`, `>`, `&` and the line separators escaped.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let (mut start, mut i) = (0, plain(bytes));
    while let Some(&b) = bytes.get(i) {
        let escaped = escape(b, &bytes[i + 1..]);
        if let Some((escape, length)) = escaped {
            out.extend_from_slice(&bytes[start..i]);
            match escape {
                Escape::Short(short) => out.extend_from_slice(&[b'\\', short]),
                Escape::Text(text) => out.extend_from_slice(text),
                Escape::Hex => {
                    out.extend_from_slice(b"\\u00");
                    out.extend_from_slice(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
                }
            }
            start = i + length;
        }
        i += escaped.map_or(1, |(_, length)| length);
        i += plain(&bytes[i..]);
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// How a character is escaped.
#[derive(Clone, Copy)]
enum Escape {
    /// By a backslash and this.
    Short(u8),
    /// By this.
    Text(&'static [u8]),
    /// By its number.
    Hex,
}

/// The escape of the character that begins with a byte, and the character's length; `None` when it needs none.
fn escape(byte: u8, rest: &[u8]) -> Option<(Escape, usize)> {
    let escape = match byte {
        // U+2028 and U+2029 are e2 80 a8 and e2 80 a9
        0xe2 => match rest {
            [0x80, 0xa8, ..] => return Some((Escape::Text(b"\\u2028"), 3)),
            [0x80, 0xa9, ..] => return Some((Escape::Text(b"\\u2029"), 3)),
            _ => return None,
        },
        b'"' | b'\\' => Escape::Short(byte),
        b'\n' => Escape::Short(b'n'),
        b'\r' => Escape::Short(b'r'),
        b'\t' => Escape::Short(b't'),
        0x08 => Escape::Short(b'b'),
        0x0c => Escape::Short(b'f'),
        b'<' | b'>' | b'&' | ..0x20 => Escape::Hex,
        _ => return None,
    };
    Some((escape, 1))
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
        let spread = string(&"0123456789é<abcdefgh&ijklmnop\"qrstuvw\u{2029}>\\xyz\u{7f}\u{1f}".repeat(3));
        let expected = r#"0123456789é\u003cabcdefgh\u0026ijklmnop\"qrstuvw\u2029\u003e\\xyz#\u001f"#;
        assert_eq!(spread, format!("\"{}\"", expected.replace('#', "\u{7f}").repeat(3)));
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
