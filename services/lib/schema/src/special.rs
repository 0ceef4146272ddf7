//! Values with a canonical text: times, durations, quantities, bytes.
//!
//! Each function takes what a client wrote and gives what Go would write, or upstream's complaint.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

fn parse_time(text: &str) -> Result<Timestamp, String> {
    meta::time::parse(text).ok_or_else(|| {
        let complaint = format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\"");
        match unparsed(text) {
            Some((rest, element)) => format!("{complaint}: cannot parse {rest:?} as {element:?}"),
            None => format!("{complaint}: value out of range"),
        }
    })
}

/// Where Go's parser gives up, and on which element of the layout; `None` when all of them are there.
fn unparsed(text: &str) -> Option<(&str, &'static str)> {
    const LAYOUT: [(&str, usize); 11] = [
        ("2006", 4),
        ("-", 0),
        ("01", 2),
        ("-", 0),
        ("02", 2),
        ("T", 0),
        ("15", 2),
        (":", 0),
        ("04", 2),
        (":", 0),
        ("05", 2),
    ];
    let mut rest = text;
    for (element, digits) in LAYOUT {
        let length = if digits == 0 { element.len() } else { digits };
        let head = rest.get(..length).unwrap_or("");
        let fits = if digits == 0 {
            head == element
        } else {
            !head.is_empty() && head.bytes().all(|b| b.is_ascii_digit())
        };
        if !fits {
            return Some((rest, element));
        }
        rest = &rest[length..];
    }
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    let zone = rest == "Z" || (rest.len() == 6 && rest.starts_with(['+', '-']));
    (!zone).then_some((rest, "Z07:00"))
}

/// RFC 3339 to the second, in UTC.
pub(crate) fn time(text: &str) -> Result<String, String> {
    parse_time(text).map(meta::time::rfc3339)
}

/// RFC 3339 to the microsecond, in UTC.
pub(crate) fn micro_time(text: &str) -> Result<String, String> {
    parse_time(text).map(meta::time::rfc3339_micro)
}

/// A time from its protobuf parts; what no calendar holds becomes the last moment one does.
pub(crate) fn timestamp(seconds: i64, nanoseconds: i32) -> Timestamp {
    Timestamp::new(seconds, nanoseconds).unwrap_or(Timestamp::MAX)
}

/// A canonical time taken apart into seconds and nanoseconds.
pub(crate) fn seconds(text: &str) -> (i64, i32) {
    meta::time::parse(text).map_or((0, 0), |t| (t.as_second(), t.subsec_nanosecond())) // canonical by now
}

/// Base64 as Go's `[]byte` has it.
pub(crate) fn check_base64(text: &str) -> Result<(), String> {
    // Go's decoder skips line ends
    let clean = text.bytes().any(|b| b == b'\n' || b == b'\r').then(|| text.replace(['\n', '\r'], ""));
    let checked = STANDARD.decode(clean.as_deref().unwrap_or(text)).map(drop);
    checked.map_err(|e| match e {
        base64::DecodeError::InvalidByte(at, _) => format!("illegal base64 data at input byte {at}"),
        _ => format!("illegal base64 data at input byte {}", text.len().saturating_sub(text.len() % 4)),
    })
}

/// Go's duration, canonical.
pub(crate) fn duration(text: &str) -> Result<String, String> {
    let nanoseconds = meta::time::parse_duration(text);
    nanoseconds.map(meta::time::duration).ok_or_else(|| format!("time: invalid duration {text:?}"))
}

/// Nanoseconds of a canonical duration.
pub(crate) fn duration_nanoseconds(text: &str) -> i64 {
    meta::time::parse_duration(text).unwrap_or(0) // canonical by now
}

/// A quantity in its canonical form.
pub(crate) fn quantity(text: &str) -> Result<String, String> {
    meta::quantity::Quantity::parse(text).map(|q| q.to_string()).map_err(|e| e.to_string())
}
