//! The envelope around protobuf objects.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/runtime/serializer/protobuf/protobuf.go`

use bytes::Bytes;

use super::{DecodeError, wire};

const MAGIC: &[u8] = b"k8s\0";

/// What an envelope holds.
#[derive(Debug, Clone, Copy)]
pub struct Unknown<'a> {
    /// The object's apiVersion.
    pub api_version: &'a str,
    /// The object's kind.
    pub kind: &'a str,
    /// The object.
    pub raw: &'a [u8],
}

/// What follows an object in its envelope: no content encoding, no content type.
pub const ENVELOPE_TAIL: &[u8] = &[3 << 3 | 2, 0, 4 << 3 | 2, 0];

/// What precedes an object of `length` bytes in its envelope.
pub fn envelope_head(api_version: &str, kind: &str, length: usize) -> Vec<u8> {
    let mut type_meta = Vec::with_capacity(api_version.len() + kind.len() + 8);
    wire::string(&mut type_meta, 1, api_version);
    wire::string(&mut type_meta, 2, kind);
    let mut out = Vec::with_capacity(type_meta.len() + 24);
    out.extend_from_slice(MAGIC);
    wire::bytes(&mut out, 1, &type_meta);
    wire::varint(&mut out, 2 << 3 | 2);
    wire::varint(&mut out, length as u64);
    out
}

/// Puts an object into its envelope.
pub fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Bytes {
    let mut out = envelope_head(api_version, kind, raw.len());
    out.reserve_exact(raw.len() + ENVELOPE_TAIL.len());
    out.extend_from_slice(raw);
    out.extend_from_slice(ENVELOPE_TAIL);
    Bytes::from(out)
}

/// Opens an envelope.
///
/// # Errors
/// It is none, or broken.
pub fn open(bytes: &[u8]) -> Result<Unknown<'_>, DecodeError> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| {
        DecodeError::new(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        )
    })?;
    let mut unknown = Unknown { api_version: "", kind: "", raw: &[] };
    while let Some((number, value)) = wire::read_field(&mut rest) {
        match number {
            1 => {
                let mut fields = value;
                while let Some((number, value)) = wire::read_field(&mut fields) {
                    let text = std::str::from_utf8(value).map_err(DecodeError::new)?;
                    match number {
                        1 => unknown.api_version = text,
                        2 => unknown.kind = text,
                        _ => {}
                    }
                }
            }
            2 => unknown.raw = value,
            _ => {}
        }
    }
    if !rest.is_empty() {
        return Err(DecodeError::new("proto: unexpected end of the envelope"));
    }
    Ok(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let closed = envelope("apps/v1", "Deployment", b"raw");
        let opened = open(&closed).unwrap();
        assert_eq!((opened.api_version, opened.kind, opened.raw), ("apps/v1", "Deployment", &b"raw"[..]));
        assert!(open(b"{}").is_err());
    }
}
