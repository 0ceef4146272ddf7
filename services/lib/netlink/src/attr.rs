//! Netlink attributes: written into a growing buffer, read from a slice.

/// The type bit that marks an attribute made of attributes.
const NESTED: u16 = 0x8000;

/// Starts an attribute made of attributes; [`close`] ends it.
pub(crate) fn open(buffer: &mut Vec<u8>, kind: u16) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&0u16.to_ne_bytes());
    buffer.extend_from_slice(&(kind | NESTED).to_ne_bytes());
    start
}

/// Ends what [`open`] started.
pub(crate) fn close(buffer: &mut [u8], start: usize) {
    // an attribute's length has 16 bits; callers split lists well before that
    let length = (buffer.len() - start) as u16;
    buffer[start..start + 2].copy_from_slice(&length.to_ne_bytes());
}

/// Writes one attribute, padded.
pub(crate) fn put(buffer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    buffer.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(value);
    buffer.resize(buffer.len().next_multiple_of(4), 0);
}

/// Writes a number as nftables wants it: big endian.
pub(crate) fn put_u32(buffer: &mut Vec<u8>, kind: u16, value: u32) {
    put(buffer, kind, &value.to_be_bytes());
}

/// Writes a text with its closing zero.
pub(crate) fn put_text(buffer: &mut Vec<u8>, kind: u16, text: &str) {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    put(buffer, kind, &bytes);
}

/// The attributes in a slice, as (type without flags, value). A broken tail ends the iteration.
pub(crate) fn each(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of a type.
pub(crate) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    each(bytes).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

/// A text without its closing zero.
pub(crate) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut buffer = Vec::new();
        put_u32(&mut buffer, 7, 0x0102_0304);
        let list = open(&mut buffer, 3);
        put_text(&mut buffer, 1, "ab");
        close(&mut buffer, list);
        assert_eq!(find(&buffer, 7), Some(&[1, 2, 3, 4][..]));
        let inner = find(&buffer, 3).expect("nested");
        assert_eq!(text(find(inner, 1).expect("text")), "ab");
        assert_eq!(find(&buffer[..6], 7), None);
    }
}
