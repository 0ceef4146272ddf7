//! The wire format: varints, tags, lengths.

use super::ProtoError;

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const FIXED32: u8 = 5;

pub(crate) fn push_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(crate) fn push_tag(out: &mut Vec<u8>, number: u32, wire: u8) {
    push_varint(out, u64::from(number) << 3 | u64::from(wire));
}

pub(crate) fn push_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    push_tag(out, number, BYTES);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn push_int(out: &mut Vec<u8>, number: u32, n: i64) {
    push_tag(out, number, VARINT);
    push_varint(out, n as u64);
}

/// Appends a message whose length is not known yet: written behind one byte for its length, and moved when that takes
/// more.
pub(crate) fn push_message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    push_tag(out, number, BYTES);
    let start = out.len();
    out.push(0);
    write(out);
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
        return;
    }
    let more = (length.ilog2() / 7) as usize;
    let end = out.len();
    out.resize(end + more, 0);
    out.copy_within(start + 1..end, start + 1 + more);
    let mut rest = length;
    for byte in &mut out[start..start + more] {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    out[start + more] = rest as u8;
}

/// One field as it stands on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Item<'a> {
    pub(crate) fn wire(&self) -> u8 {
        match self {
            Item::Varint(_) => VARINT,
            Item::Fixed64(_) => FIXED64,
            Item::Bytes(_) => BYTES,
            Item::Fixed32 => FIXED32,
        }
    }

    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Item::Bytes(b) => Some(b),
            _ => None,
        }
    }

    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Item::Varint(n) => Some(*n as i64),
            _ => None,
        }
    }
}

/// Reads fields one after another.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Result<u64, ProtoError> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let (&b, rest) = self.0.split_first().ok_or(ProtoError::Eof)?;
            self.0 = rest;
            n |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(n);
            }
        }
        Err(ProtoError::Value("integer overflow".into()))
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], ProtoError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(ProtoError::Eof)?;
        self.0 = rest;
        Ok(head)
    }

    /// The next field's number and content.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Item<'a>)>, ProtoError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| ProtoError::Value("illegal tag".into()))?;
        let item = match (tag & 7) as u8 {
            VARINT => Item::Varint(self.varint()?),
            FIXED64 => {
                let bytes = self.take(8)?;
                Item::Fixed64(bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
            }
            BYTES => {
                let length = usize::try_from(self.varint()?).map_err(|_| ProtoError::Eof)?;
                Item::Bytes(self.take(length)?)
            }
            FIXED32 => {
                self.take(4)?;
                Item::Fixed32
            }
            other => return Err(ProtoError::Value(format!("illegal wireType {other}"))),
        };
        Ok(Some((number, item)))
    }
}
