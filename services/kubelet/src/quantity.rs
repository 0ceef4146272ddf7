//! Resource amounts as the node needs them: whole units and thousandths, rounded up.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

const NANO: i128 = 1_000_000_000;

/// Billionths of the unit; `None` for what is no quantity (the API server lets none through).
fn nano(text: &str) -> Option<i128> {
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let digits: String = whole.trim_start_matches(['+', '-']).chars().chain(fraction.chars()).collect();
    let mantissa: i128 = digits.parse().ok()?; // a malformed number is no quantity
    let factor: i128 = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => NANO,
        "k" => NANO * 1_000,
        "M" => NANO * 1_000_000,
        "G" => NANO * NANO,
        "T" => NANO * NANO * 1_000,
        "P" => NANO * NANO * 1_000_000,
        "E" => NANO * NANO * NANO,
        "Ki" => NANO << 10,
        "Mi" => NANO << 20,
        "Gi" => NANO << 30,
        "Ti" => NANO << 40,
        "Pi" => NANO << 50,
        "Ei" => NANO << 60,
        exponent => {
            let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?; // as above
            let ten = 10i128.checked_pow(exponent.unsigned_abs())?;
            if exponent >= 0 { NANO.checked_mul(ten)? } else { NANO / ten }
        }
    };
    let scale = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?; // absurdly long fractions
    let value = mantissa.checked_mul(factor)?;
    let value = if value % scale == 0 { value / scale } else { value / scale + 1 };
    Some(if negative { -value } else { value })
}

fn up(value: i128, unit: i128) -> i64 {
    let rounded = value.div_euclid(unit) + i128::from(value.rem_euclid(unit) != 0);
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

/// Whole units, rounded up.
pub fn value(q: &Quantity) -> i64 {
    nano(&q.0).map_or(0, |n| up(n, NANO))
}

/// Thousandths, rounded up.
pub fn milli(q: &Quantity) -> i64 {
    nano(&q.0).map_or(0, |n| up(n, NANO / 1000))
}

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// The amount as the resource is counted: thousandths for `cpu`, whole units for all else.
pub fn counted(name: &str, q: &Quantity) -> i64 {
    if name == "cpu" { milli(q) } else { value(q) }
}

/// Whole units of a text such as `100Mi`.
pub fn parse(text: &str) -> Option<i64> {
    nano(text).map(|n| up(n, NANO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, whole, thousandths) in [
            ("100m", 1, 100),
            ("1", 1, 1000),
            ("1.5", 2, 1500),
            ("2Ki", 2048, 2_048_000),
            ("1e3", 1000, 1_000_000),
            ("0", 0, 0),
            ("128974848", 128_974_848, 128_974_848_000),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
        ] {
            let q = Quantity(text.to_owned());
            assert_eq!((value(&q), milli(&q)), (whole, thousandths), "{text}");
        }
    }
}
