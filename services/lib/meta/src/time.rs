//! Times and durations as they stand in objects.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/apis/meta/v1/{time,micro_time,duration}.go`, Go's `time.ParseDuration`,
//! `k8s.io/apimachinery/pkg/util/duration`

use jiff::Timestamp;
use jiff::tz::Offset;

/// Reads RFC 3339, with or without a fraction or offset.
pub fn parse(text: &str) -> Option<Timestamp> {
    // jiff reads more than RFC 3339 (a blank for the T, no seconds)
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[10] != b'T' || bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    text.parse().ok()
}

/// `metav1.Time`: seconds, UTC.
pub fn rfc3339(time: Timestamp) -> String {
    let t = Offset::UTC.to_datetime(time);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

/// `metav1.MicroTime`: six digits, UTC.
pub fn rfc3339_micro(time: Timestamp) -> String {
    let t = Offset::UTC.to_datetime(time);
    let micros = t.subsec_nanosecond() / 1000;
    let seconds = rfc3339(time);
    format!("{}.{micros:06}Z", seconds.trim_end_matches('Z'))
}

/// A Go duration in nanoseconds (`1h2m3.5s`, `-1.5h`, `100ms`, `0`).
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (digits, after) = rest.split_at(number);
        let unit_len = after.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let (unit, next) = after.split_at(unit_len);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        if !whole.is_empty() {
            total = total.checked_add(whole.parse::<i128>().ok()?.checked_mul(scale)?)?;
        }
        if !fraction.is_empty() {
            let digits = &fraction[..fraction.len().min(18)];
            let power = 10i128.pow(digits.len() as u32);
            total += digits.parse::<i128>().ok()? * scale / power;
        }
        rest = next;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// A Go duration's own spelling: `1h0m0s`, `1.5s`, `100ms`, `0s`.
pub fn duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    let fraction = |value: u64, unit: u64| {
        let text = format!("{}.{:0width$}", value / unit, value % unit, width = unit.ilog10() as usize);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match n {
        0 => "0s".to_owned(),
        n if n < 1_000 => format!("{sign}{n}ns"),
        n if n < 1_000_000 => format!("{sign}{}µs", fraction(n, 1_000)),
        n if n < 1_000_000_000 => format!("{sign}{}ms", fraction(n, 1_000_000)),
        n => {
            let (minutes, rest) = (n / 60_000_000_000, n % 60_000_000_000);
            let seconds = fraction(rest, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, m) => format!("{sign}{m}m{seconds}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
            }
        }
    }
}

/// The age people read in tables: `5m`, `2d3h`, `<invalid>` for the future.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |a: i64, ua: &str, b: i64, ub: &str| {
        if b == 0 { format!("{a}{ua}") } else { format!("{a}{ua}{b}{ub}") }
    };
    match seconds {
        s if s < -1 => "<invalid>".to_owned(),
        s if s < 0 => "0s".to_owned(),
        s if s < 120 => format!("{s}s"),
        s if minutes < 10 => two(minutes, "m", s % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{days}d"),
        _ if hours < 24 * 365 * 8 => two(hours / 24 / 365, "y", (hours / 24) % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let t = parse("2026-01-02T03:04:05.123456789+01:00").unwrap();
        assert_eq!(rfc3339(t), "2026-01-02T02:04:05Z");
        assert_eq!(rfc3339_micro(t), "2026-01-02T02:04:05.123456Z");
        assert!(parse("2026-01-02").is_none() && parse("2026-01-02 03:04:05Z").is_none());
    }

    #[test]
    fn durations() {
        for (text, printed) in [
            ("1h", "1h0m0s"),
            ("90s", "1m30s"),
            ("1.5s", "1.5s"),
            ("100ms", "100ms"),
            ("1500us", "1.5ms"),
            ("0", "0s"),
            ("-1.5h", "-1h30m0s"),
            ("1ns", "1ns"),
            ("1h2m3.004s", "1h2m3.004s"),
        ] {
            assert_eq!(duration(parse_duration(text).unwrap()), printed, "{text}");
        }
        for bad in ["", "1", "s", "1d", "1h-", "."] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn ages() {
        for (s, text) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (86_400, "24h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (70_000_000, "2y80d"),
        ] {
            assert_eq!(human_duration(s), text, "{s}");
        }
    }
}
