//! Leaving out who owns which field, before an object is read.
//!
//! No loop reads `managedFields`, yet they are half of many objects and the costliest part to decode: a tree of maps per
//! object.

use std::borrow::Cow;

/// The key with the beginning of its value, as API servers write it. Inside a string its quotes would be escaped, so it
/// is always a key.
const KEY: &[u8] = b"\"managedFields\":[";

/// An object's JSON without `managedFields`. What is not written as API servers do is left as it is.
pub(crate) fn without_managed_fields(json: &[u8]) -> Cow<'_, [u8]> {
    let Some(start) = find(json) else { return Cow::Borrowed(json) };
    let Some(length) = array(&json[start + KEY.len() - 1..]) else { return Cow::Borrowed(json) };
    let (mut from, mut to) = (start, start + KEY.len() - 1 + length);
    // with one of the commas around it
    if json.get(to) == Some(&b',') {
        to += 1;
    } else if from > 0 && json[from - 1] == b',' {
        from -= 1;
    }
    let mut rest = Vec::with_capacity(json.len() - (to - from));
    rest.extend_from_slice(&json[..from]);
    rest.extend_from_slice(&json[to..]);
    Cow::Owned(rest)
}

fn find(json: &[u8]) -> Option<usize> {
    memchr::memmem::find(json, KEY)
}

/// The length of the array a text begins with.
fn array(json: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth -= 1; // the first byte opens, so something is open until the end
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'"' => at += string(&json[at + 1..])?,
            _ => {}
        }
        at += 1;
    }
    None
}

/// How far a string's closing quote is from the byte before its first.
fn string(json: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        match memchr::memchr2(b'"', b'\\', &json[from..])? {
            at if json[from + at] == b'"' => return Some(from + at + 1),
            at => from += at + 2, // a backslash and what it escapes
        }
        if from > json.len() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_goes() {
        for (json, expected) in [
            (r#"{"metadata":{"name":"a"}}"#, r#"{"metadata":{"name":"a"}}"#),
            (
                r#"{"metadata":{"name":"a","managedFields":[{"f:x":{"k:{\"p\":[]}":{}}}]},"spec":1}"#,
                r#"{"metadata":{"name":"a"},"spec":1}"#,
            ),
            (r#"{"metadata":{"managedFields":[],"name":"a"}}"#, r#"{"metadata":{"name":"a"}}"#),
            (r#"{"metadata":{"managedFields":["]\"]"]}}"#, r#"{"metadata":{}}"#),
            // in a string it is no key
            (
                r#"{"metadata":{"annotations":{"last":"{\"managedFields\":[1]}"}}}"#,
                r#"{"metadata":{"annotations":{"last":"{\"managedFields\":[1]}"}}}"#,
            ),
            // cut off: left for the decoder to complain about
            (r#"{"metadata":{"managedFields":[{"a":"b\"#, r#"{"metadata":{"managedFields":[{"a":"b\"#),
        ] {
            let bare = without_managed_fields(json.as_bytes());
            assert_eq!(String::from_utf8_lossy(&bare), expected);
        }
    }
}
