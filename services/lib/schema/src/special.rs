//! Values with a canonical text: times, durations, quantities, bytes.
//!
//! Each function takes what a client wrote and gives what Go would write, or upstream's complaint.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;

fn parse_time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse"))
}

/// RFC 3339 to the second, in UTC.
pub(crate) fn time(text: &str) -> Result<String, String> {
    parse_time(text).map(|t| format_time(t.as_second()))
}

/// RFC 3339 to the microsecond, in UTC.
pub(crate) fn micro_time(text: &str) -> Result<String, String> {
    parse_time(text).map(|t| format_micro_time(t.as_second(), t.subsec_nanosecond()))
}

/// Seconds since 1970 as RFC 3339.
pub(crate) fn format_time(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The same with microseconds.
pub(crate) fn format_micro_time(seconds: i64, nanoseconds: i32) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let date = time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S").to_string();
    format!("{date}.{:06}Z", nanoseconds / 1000)
}

/// A canonical time taken apart into seconds and nanoseconds.
pub(crate) fn seconds(text: &str) -> (i64, i32) {
    text.parse::<Timestamp>().map_or((0, 0), |t| (t.as_second(), t.subsec_nanosecond())) // canonical by now
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
    meta::time::parse_duration(text).map(meta::time::format_duration).map_err(|e| e.to_string())
}

/// Nanoseconds of a canonical duration.
pub(crate) fn duration_nanoseconds(text: &str) -> i64 {
    meta::time::parse_duration(text).unwrap_or(0) // canonical by now
}

/// The text of a duration of nanoseconds.
pub(crate) fn format_duration(nanoseconds: i64) -> String {
    meta::time::format_duration(nanoseconds)
}

/// A quantity in its canonical form.
pub(crate) fn quantity(text: &str) -> Result<String, String> {
    text.parse::<meta::Quantity>().map(|q| q.to_string()).map_err(|e| e.to_string())
}
