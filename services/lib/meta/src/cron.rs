//! Cron schedules as `robfig/cron` reads them.
//!
//! # Upstream
//! `github.com/robfig/cron/v3` `ParseStandard`

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A schedule in a time zone.
pub struct Schedule {
    fields: Fields,
    zone: TimeZone,
}

enum Fields {
    Cron([u64; 5], bool),
    Every(i64),
}

impl Schedule {
    /// Reads five fields, a macro or `@every`.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, String> {
        let (text, zone) = match text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
            Some(rest) => {
                let (name, rest) = rest.split_once(' ').ok_or("no schedule after the time zone")?;
                (rest.trim(), TimeZone::get(name).map_err(|e| e.to_string())?)
            }
            None => (text.trim(), zone),
        };
        if let Some(every) = text.strip_prefix("@every ") {
            let nanos = crate::time::parse_duration(every)
                .ok_or_else(|| format!("failed to parse duration {text}"))?;
            return Ok(Self { fields: Fields::Every((nanos / 1_000_000_000).max(1)), zone });
        }
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            "" => return Err("empty spec string".to_owned()),
            other if other.starts_with('@') => return Err(format!("unrecognized descriptor: {other}")),
            other => other,
        };
        let parts: Vec<&str> = text.split_whitespace().collect();
        let &[minute, hour, day, month, weekday] = parts.as_slice() else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
        };
        let bits = [
            field(minute, 0, 59, &[])?,
            field(hour, 0, 23, &[])?,
            field(day, 1, 31, &[])?,
            field(month, 1, 12, &MONTHS)?,
            field(weekday, 0, 6, &DAYS)?,
        ];
        let star = |f: &str| f.starts_with('*') || f.starts_with('?');
        Ok(Self { fields: Fields::Cron(bits, star(day) || star(weekday)), zone })
    }

    /// The first time after another.
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.fields {
            Fields::Every(seconds) => Timestamp::from_second(time.as_second() + seconds).ok(),
            Fields::Cron(bits, both) => self.search(time, bits, *both),
        }
    }

    fn search(&self, time: Timestamp, bits: &[u64; 5], both: bool) -> Option<Timestamp> {
        let has = |i: usize, value: i8| bits[i] & (1 << value) != 0;
        let mut at = time.to_zoned(self.zone.clone()).datetime();
        at = at
            .with()
            .second(0)
            .subsec_nanosecond(0)
            .build()
            .ok()?
            .checked_add(Span::new().minutes(1))
            .ok()?;
        let limit = at.year().checked_add(5)?;
        while at.year() <= limit {
            if !has(3, at.month()) {
                at = at.date().first_of_month().checked_add(Span::new().months(1)).ok()?.at(0, 0, 0, 0);
                continue;
            }
            let (day, weekday) = (has(2, at.day()), has(4, at.weekday().to_sunday_zero_offset()));
            if !(if both { day && weekday } else { day || weekday }) {
                at = at.date().tomorrow().ok()?.at(0, 0, 0, 0);
                continue;
            }
            if !has(1, at.hour()) {
                at = at.with().minute(0).build().ok()?.checked_add(Span::new().hours(1)).ok()?;
                continue;
            }
            if !has(0, at.minute()) {
                at = at.checked_add(Span::new().minutes(1)).ok()?;
                continue;
            }
            let found = self.zone.to_timestamp(at).ok()?;
            if found > time {
                return Some(found);
            }
            at = at.checked_add(Span::new().minutes(1)).ok()?;
        }
        None
    }

    /// The last time after `from` up to `now`, and how many there were (counted to a little over a hundred).
    pub fn latest(&self, from: Timestamp, now: Timestamp) -> Option<(Timestamp, usize)> {
        let mut time = self.after(from).filter(|t| *t <= now)?;
        let mut count = 1;
        while let Some(next) = self.after(time).filter(|t| *t <= now) {
            time = next;
            count += 1;
            if count == 102 {
                // far behind: go on from shortly before now
                let near = Timestamp::from_second(now.as_second() - 86_400).ok()?;
                time = self.after(near).filter(|t| *t > time && *t <= now).unwrap_or(time);
            }
        }
        Some((time, count))
    }
}

const MONTHS: [&str; 13] =
    ["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The values of one field: lists of ranges with steps.
fn field(text: &str, low: u32, high: u32, names: &[&str]) -> Result<u64, String> {
    let mut bits = 0u64;
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (range, step) = part.split_once('/').map_or((part, None), |(r, s)| (r, Some(s)));
        let single = !range.contains('-');
        let (from, mut to) = match range.split('-').collect::<Vec<_>>().as_slice() {
            ["*" | "?", ..] => (low, high),
            [one] => number(one, names).map(|n| (n, n))?,
            [from, to] => (number(from, names)?, number(to, names)?),
            _ => return Err(format!("too many hyphens: {part}")),
        };
        let step = match step {
            None => 1,
            Some(step) if step.contains('/') => return Err(format!("too many slashes: {part}")),
            Some(step) => {
                if single {
                    to = high;
                }
                number(step, &[])?
            }
        };
        if from < low {
            return Err(format!("beginning of range ({from}) below minimum ({low}): {part}"));
        }
        if to > high {
            return Err(format!("end of range ({to}) above maximum ({high}): {part}"));
        }
        if from > to {
            return Err(format!("beginning of range ({from}) beyond end of range ({to}): {part}"));
        }
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        if step == 0 {
            return Err(format!("step of range should be a positive number: {part}"));
        }
        (from..=to).step_by(step).for_each(|value| bits |= 1 << value);
    }
    Ok(bits)
}

fn number(text: &str, names: &[&str]) -> Result<u32, String> {
    let named = names.iter().position(|n| !n.is_empty() && *n == text.to_lowercase());
    if let Some(value) = named.and_then(|n| u32::try_from(n).ok()) {
        return Ok(value);
    }
    match text.parse::<i64>() {
        Ok(value) if value < 0 => Err(format!("negative number ({value}) not allowed: {text}")),
        Ok(value) => u32::try_from(value).map_err(|_| format!("failed to parse int from {text}")),
        Err(_) => {
            let quoted = crate::field::quote(text);
            Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {quoted}: invalid syntax"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_times() {
        let rows = [
            ("*/5 * * * *", "2026-01-01T00:01:30Z", "2026-01-01T00:05:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("30 4 1,15 * 5", "2026-01-02T05:00:00Z", "2026-01-09T04:30:00Z"),
            ("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
            ("0 12 * * mon-fri", "2026-01-03T00:00:00Z", "2026-01-05T12:00:00Z"),
        ];
        for (text, from, to) in rows {
            let schedule = Schedule::parse(text, TimeZone::UTC).unwrap();
            assert_eq!(schedule.after(from.parse().unwrap()), Some(to.parse().unwrap()), "{text}");
        }
        let wrong = [
            ("61 * * * *", "end of range (61) above maximum (59): 61"),
            ("* * * * 7", "end of range (7) above maximum (6): 7"),
            ("often", "expected exactly 5 fields, found 1: [often]"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("@sometimes", "unrecognized descriptor: @sometimes"),
        ];
        for (text, said) in wrong {
            assert_eq!(Schedule::parse(text, TimeZone::UTC).err().as_deref(), Some(said));
        }
    }

    #[test]
    fn two_days_of_minutes() {
        let schedule = Schedule::parse("* * * * *", TimeZone::UTC).unwrap();
        let mut time: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let end: Timestamp = "2026-01-03T00:00:00Z".parse().unwrap();
        let mut count = 0;
        while let Some(next) = schedule.after(time).filter(|t| *t <= end) {
            (time, count) = (next, count + 1);
        }
        assert_eq!(count, 2 * 24 * 60);
    }
}
