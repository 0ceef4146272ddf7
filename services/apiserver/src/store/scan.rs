//! Finding fields in compact JSON without building a tree: what lets stored bytes enter the cache unparsed.

use std::ops::Range;

/// The end of the value that starts at `at`; `None` when the text is broken.
pub fn skip_value(b: &[u8], at: usize) -> Option<usize> {
    match b.get(at)? {
        b'"' => skip_string(b, at),
        b'{' | b'[' => {
            let mut depth = 0usize;
            let mut i = at;
            while i < b.len() {
                match b[i] {
                    b'"' => {
                        i = skip_string(b, i)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(i + 1);
                        }
                    }
                    _ => {}
                }
                i += 1;
            }
            None
        }
        _ => {
            let end =
                b[at..].iter().position(|c| matches!(c, b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r'));
            Some(at + end.unwrap_or(b.len() - at))
        }
    }
}

/// A byte in each of a word's eight.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The top bit of each byte that is zero; bytes after the first such may be marked wrongly.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(eight(1)) & !word & eight(0x80)
}

fn skip_string(b: &[u8], at: usize) -> Option<usize> {
    let mut i = at + 1;
    loop {
        // most strings are short: eight bytes at once, without setting up a search
        while let Some(word) = b.get(i..).and_then(|rest| rest.first_chunk()) {
            let word = u64::from_le_bytes(*word);
            let found = zeros(word ^ eight(b'"')) | zeros(word ^ eight(b'\\'));
            if found != 0 {
                i += found.trailing_zeros() as usize / 8;
                break;
            }
            i += 8;
        }
        match b.get(i)? {
            b'"' => return Some(i + 1),
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
}

fn skip_space(b: &[u8], mut at: usize) -> usize {
    while matches!(b.get(at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
        at += 1;
    }
    at
}

/// The fields of the object that starts at a given offset, in order: key (raw, without quotes), offset of the
/// key's quote, range of the value.
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// One field found by [`Fields`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// The raw key.
    pub key: &'a [u8],
    /// Where its opening quote is.
    pub start: usize,
    /// Where its value is.
    pub value: Range<usize>,
}

/// A field whose value was not walked over yet.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The raw key.
    pub key: &'a [u8],
    /// Where its opening quote is.
    pub start: usize,
    /// Where its value begins.
    pub value: usize,
}

/// Walks the object at `at`; an empty walk when there is none.
pub fn fields(bytes: &[u8], at: usize) -> Fields<'_> {
    let at = skip_space(bytes, at);
    let at = if bytes.get(at) == Some(&b'{') { at + 1 } else { bytes.len() };
    Fields { bytes, at }
}

impl<'a> Fields<'a> {
    /// The next field's key. Its value is to be walked over with [`Self::pass`], or by somebody else who says with
    /// [`Self::resume`] where it ends.
    pub fn head(&mut self) -> Option<Head<'a>> {
        let b = self.bytes;
        let mut at = skip_space(b, self.at);
        if b.get(at) == Some(&b',') {
            at = skip_space(b, at + 1);
        }
        if b.get(at) != Some(&b'"') {
            return None;
        }
        let key_end = skip_string(b, at)?;
        let colon = skip_space(b, key_end);
        if b.get(colon) != Some(&b':') {
            return None;
        }
        Some(Head { key: &b[at + 1..key_end - 1], start: at, value: skip_space(b, colon + 1) })
    }

    /// Walks over a value; gives where it ends.
    pub fn pass(&mut self, head: Head<'_>) -> Option<usize> {
        self.at = skip_value(self.bytes, head.value)?;
        Some(self.at)
    }

    /// Goes on after a value that ends at `end`.
    pub fn resume(&mut self, end: usize) {
        self.at = end;
    }

    /// Where the object ends, when all its fields were walked over.
    pub fn end(&self) -> Option<usize> {
        let at = skip_space(self.bytes, self.at);
        (self.bytes.get(at) == Some(&b'}')).then_some(at + 1)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let head = self.head()?;
        let end = self.pass(head)?;
        Some(Field { key: head.key, start: head.start, value: head.value..end })
    }
}

/// The range of the value at a path of field names.
pub fn find(bytes: &[u8], path: &[&str]) -> Option<Range<usize>> {
    find_from(bytes, 0, path)
}

/// The same, the path beginning in the object at an offset. What the path leads through is not walked over.
pub fn find_from(bytes: &[u8], at: usize, path: &[&str]) -> Option<Range<usize>> {
    let Some((last, parents)) = path.split_last() else { return Some(at..bytes.len()) };
    let mut at = at;
    for name in parents {
        let mut walk = fields(bytes, at);
        at = loop {
            let head = walk.head()?;
            if head.key == name.as_bytes() {
                break head.value;
            }
            walk.pass(head)?;
        };
    }
    fields(bytes, at).find(|f| f.key == last.as_bytes()).map(|field| field.value)
}

/// The string at a path, unescaped; `None` when absent or not a string.
pub fn find_str<'a>(bytes: &'a [u8], path: &[&str]) -> Option<std::borrow::Cow<'a, str>> {
    let range = find(bytes, path)?;
    unquote(&bytes[range])
}

/// A JSON string's text.
pub fn unquote(raw: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') {
        return serde_json::from_slice::<String>(raw).ok().map(std::borrow::Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(std::borrow::Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks() {
        let text = br#"{"kind":"Pod","a":{"b":[1,{"x":"}\"]"}],"c":"d\\"},"n":-1.5e3,"t":true, "z" : null }"#;
        let keys: Vec<_> = fields(text, 0).map(|f| (f.key.to_vec(), text[f.value].to_vec())).collect();
        let show: Vec<_> = keys
            .iter()
            .map(|(k, v)| (std::str::from_utf8(k).unwrap(), std::str::from_utf8(v).unwrap()))
            .collect();
        let expected = [
            ("kind", r#""Pod""#),
            ("a", r#"{"b":[1,{"x":"}\"]"}],"c":"d\\"}"#),
            ("n", "-1.5e3"),
            ("t", "true"),
            ("z", "null"),
        ];
        assert_eq!(show, expected);
        assert_eq!(find_str(text, &["a", "c"]).unwrap(), "d\\");
        assert_eq!(find(text, &["a", "q"]), None);
        assert_eq!(fields(b"[]", 0).count(), 0);
    }
}
