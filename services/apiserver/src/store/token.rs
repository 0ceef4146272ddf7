//! Continue tokens, as upstream's: another server's token works here, and ours there.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/storage/continue.go`

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::errors::{self, Result};

#[derive(Serialize, Deserialize)]
struct Wire {
    v: String,
    #[serde(default)]
    rv: i64,
    start: String,
}

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continue {
    /// The full key to start from.
    pub start: String,
    /// The revision of the list; negative: whatever is current.
    pub revision: i64,
}

/// Encodes a token; `start` is a full key below `prefix`.
pub fn encode(start: &str, prefix: &str, revision: i64) -> String {
    // the slash at the end of the prefix belongs to the rest, except where upstream's store writes a token itself
    let prefix = if revision < 0 { prefix } else { prefix.trim_end_matches('/') };
    let start = start.strip_prefix(prefix).unwrap_or(start).to_owned();
    let wire = Wire { v: "meta.k8s.io/v1".into(), rv: revision, start };
    let json = serde_json::to_vec(&wire).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(json)
}

/// Decodes a token for a list below `prefix`.
pub fn decode(token: &str, prefix: &str) -> Result<Continue> {
    let invalid =
        |why: &str| errors::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let trimmed = token.trim_end_matches('=');
    let bytes = URL_SAFE_NO_PAD
        .decode(trimmed)
        .or_else(|_| STANDARD_NO_PAD.decode(trimmed))
        .map_err(|e| invalid(&illegal(&e)))?;
    let wire: Wire = serde_json::from_slice(&bytes).map_err(|e| invalid(&e.to_string()))?;
    if wire.v != "meta.k8s.io/v1" {
        return Err(invalid(&format!("server does not recognize this encoded version {:?}", wire.v)));
    }
    if wire.rv == 0 {
        return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
    }
    if wire.start.is_empty() {
        return Err(invalid("encoded start key empty (version meta.k8s.io/v1)"));
    }
    // a key with dots could climb out of the prefix
    if wire.start.split('/').any(|part| part == "..") {
        return Err(invalid(&format!("unable to decode: {:?}", wire.start)));
    }
    let start = format!("{prefix}{}", wire.start.trim_start_matches('/'));
    Ok(Continue { start, revision: wire.rv })
}

/// What Go's decoder says of a bad token.
fn illegal(error: &base64::DecodeError) -> String {
    use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
    let at = match error {
        InvalidByte(at, _) | InvalidLastSymbol(at, _) => *at,
        // a last group that is none begins there
        InvalidLength(length) => length - length % 4,
        InvalidPadding => 0,
    };
    format!("illegal base64 data at input byte {at}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let token = encode("/registry/pods/a/b\0", "/registry/pods/", 7);
        let back = decode(&token, "/registry/pods/").unwrap();
        assert_eq!(back, Continue { start: "/registry/pods/a/b\0".into(), revision: 7 });
        for bad in ["%%%", "e30", "eyJ2IjoieCIsInJ2IjoxLCJzdGFydCI6ImEifQ"] {
            assert_eq!(decode(bad, "/registry/pods/").unwrap_err().status().code, 400, "{bad}");
        }
    }
}
