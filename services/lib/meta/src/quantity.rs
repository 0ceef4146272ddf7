//! Resource amounts: `100m`, `1Gi`, `12e6`, with Go's canonical form.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/api/resource/quantity.go`

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// How a quantity is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `12e6`.
    DecimalExponent,
    /// `12Mi`.
    BinarySi,
    /// `12M`.
    DecimalSi,
}

/// Why a text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The whole has the wrong shape.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number is malformed.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// An exact amount: `value × 10^scale`. Equality is of amounts, not of spellings.
#[derive(Debug, Clone)]
pub struct Quantity {
    value: i128,
    scale: i32,
    format: Format,
    /// The spelling it was read from, when upstream takes it as canonical.
    text: Option<Box<str>>,
}

/// The parts of a text: value digits, fraction digits, suffix.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

const MAX_DIGITS: i32 = 18;

impl Quantity {
    /// Zero.
    pub const fn zero() -> Self {
        Self { value: 0, scale: 0, format: Format::DecimalSi, text: None }
    }

    /// `value` whole units.
    pub const fn new(value: i64, format: Format) -> Self {
        Self { value: value as i128, scale: 0, format, text: None }
    }

    /// `value` thousandths.
    pub const fn milli(value: i64, format: Format) -> Self {
        Self { value: value as i128, scale: -3, format, text: None }
    }

    /// Reads a quantity; surrounding blanks are no part of it and an error.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Err(ParseError::Format);
        }
        let parts = split(text)?;
        let (base, exponent, format) = suffix(parts.suffix).ok_or(ParseError::Suffix)?;
        if base == 10 { decimal(text, &parts, exponent, format) } else { binary(text, &parts, exponent) }
    }

    /// The format it will be written in, as far as the amount allows.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.value == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.value.signum() as i32
    }

    /// The amount in units of `10^scale`, rounded away from zero, and whether that was exact; saturates.
    pub fn scaled(&self, scale: i32) -> (i128, bool) {
        rescale(self.value, self.scale - scale)
    }

    /// Whole units, rounded away from zero, at most what 64 bits hold.
    pub fn value(&self) -> i64 {
        clamp(self.scaled(0).0)
    }

    /// Thousandths, rounded away from zero, at most what 64 bits hold.
    pub fn milli_value(&self) -> i64 {
        clamp(self.scaled(-3).0)
    }

    /// Whole units if the amount is whole and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self.scaled(0) {
            (v, true) => i64::try_from(v).ok(),
            _ => None,
        }
    }

    /// The nearest floating-point number.
    pub fn as_f64(&self) -> f64 {
        self.value as f64 * 10f64.powi(self.scale)
    }

    /// Rounds up to a multiple of `10^scale`, away from zero; says whether nothing was lost.
    pub fn round_up(&mut self, scale: i32) -> bool {
        if self.scale >= scale {
            return true;
        }
        let (value, exact) = self.scaled(scale);
        (self.value, self.scale, self.text) = (value, scale, None);
        exact
    }

    /// Adds `other`; zero takes the other's format.
    pub fn add(&mut self, other: &Quantity) {
        self.combine(other, 1);
    }

    /// Subtracts `other`; zero takes the other's format.
    pub fn sub(&mut self, other: &Quantity) {
        self.combine(other, -1);
    }

    /// The negated amount.
    pub fn neg(&mut self) {
        self.value = -self.value;
        self.text = None;
    }

    fn combine(&mut self, other: &Quantity, sign: i128) {
        if self.is_zero() {
            self.format = other.format;
        }
        self.text = None;
        if other.value == 0 {
            return;
        }
        if self.value == 0 {
            (self.value, self.scale) = (other.value * sign, other.scale);
            return;
        }
        let scale = self.scale.min(other.scale);
        let a = rescale(self.value, self.scale - scale).0;
        let b = rescale(other.value, other.scale - scale).0;
        (self.value, self.scale) = (a.saturating_add(b.saturating_mul(sign)), scale);
    }

    /// The number and suffix in canonical form.
    fn canonical(&self) -> (i128, String) {
        if self.value == 0 {
            return (0, String::new());
        }
        let mut format = self.format;
        if format == Format::BinarySi {
            let (whole, exact) = self.scaled(0);
            if exact && !(-1024 < whole && whole < 1024) {
                let (number, times) = factors(whole, 1024);
                let suffix =
                    ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].get(times as usize).copied().unwrap_or("");
                return (number, suffix.to_owned());
            }
            format = Format::DecimalSi;
        }
        let (mut number, times) = factors(self.value, 10);
        let mut exponent = self.scale + times;
        match exponent.rem_euclid(3) {
            1 => (number, exponent) = (number.saturating_mul(10), exponent - 1),
            2 => (number, exponent) = (number.saturating_mul(100), exponent - 2),
            _ => {}
        }
        let suffix = match (format, exponent) {
            (_, 0) => String::new(),
            (Format::DecimalExponent, e) => format!("e{e}"),
            (_, e) => decimal_suffix(e).to_owned(),
        };
        (number, suffix)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        let (number, suffix) = self.canonical();
        write!(f, "{number}{suffix}")
    }
}

impl FromStr for Quantity {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.sign() != other.sign() || self.value == 0 {
            return self.sign().cmp(&other.sign());
        }
        if self.scale == other.scale {
            return self.value.cmp(&other.value);
        }
        // equal sign, both non-zero: the larger exponent of the leading digit decides, else a common scale fits
        let magnitude = |q: &Quantity| q.value.unsigned_abs().ilog10() as i32 + q.scale;
        let (a, b) = (magnitude(self), magnitude(other));
        if a != b {
            return if self.value > 0 { a.cmp(&b) } else { b.cmp(&a) };
        }
        let scale = self.scale.min(other.scale);
        rescale(self.value, self.scale - scale).0.cmp(&rescale(other.value, other.scale - scale).0)
    }
}

fn clamp(v: i128) -> i64 {
    i64::try_from(v).unwrap_or(if v < 0 { i64::MIN } else { i64::MAX })
}

/// `value × 10^by`, rounded away from zero, and whether that was exact; saturates.
fn rescale(value: i128, by: i32) -> (i128, bool) {
    if value == 0 || by == 0 {
        return (value, true);
    }
    let power = 10i128.checked_pow(by.unsigned_abs());
    match (power, by > 0) {
        (Some(p), true) => {
            let fallback = if value < 0 { i128::MIN } else { i128::MAX };
            value.checked_mul(p).map_or((fallback, false), |v| (v, true))
        }
        (None, true) => (if value < 0 { i128::MIN } else { i128::MAX }, false),
        (Some(p), false) => {
            let exact = value % p == 0;
            (value / p + if exact { 0 } else { value.signum() }, exact)
        }
        (None, false) => (value.signum(), false),
    }
}

fn factors(mut value: i128, base: i128) -> (i128, i32) {
    let mut times = 0;
    while value != 0 && value % base == 0 {
        value /= base;
        times += 1;
    }
    (value, times)
}

fn decimal_suffix(exponent: i32) -> &'static str {
    match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => "", // upstream writes none either
    }
}

fn suffix(text: &str) -> Option<(u8, i32, Format)> {
    let decimal = |e| Some((10, e, Format::DecimalSi));
    let binary = |e| Some((2, e, Format::BinarySi));
    match text {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let digits = text.strip_prefix(['e', 'E'])?;
            let exponent: i64 = digits.parse().ok()?;
            Some((10, i32::try_from(exponent).ok()?, Format::DecimalExponent))
        }
    }
}

fn split(text: &str) -> Result<Parts<'_>, ParseError> {
    let (negative, rest) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let rest = rest.trim_start_matches('0');
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, mut rest) = rest.split_at(digits(rest));
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        (fraction, rest) = after.split_at(digits(after));
    }
    let letters = rest.bytes().take_while(|b| b"eEinumkKMGTP".contains(b)).count();
    let tail = &rest[letters..];
    let tail = tail.strip_prefix(['-', '+']).unwrap_or(tail);
    if digits(tail) != tail.len() {
        return Err(ParseError::Format);
    }
    Ok(Parts { negative, whole, fraction, suffix: rest })
}

/// The digits as a number; digits beyond what can matter are folded into one (amounts are rounded up).
fn mantissa(parts: &Parts<'_>) -> Result<i128, ParseError> {
    let digits = format!("{}{}", parts.whole, parts.fraction);
    if digits.is_empty() {
        // only zeros before the suffix, or nothing at all
        return Ok(0);
    }
    let value: i128 = digits.parse().map_err(|_| ParseError::Numeric)?;
    Ok(if parts.negative { -value } else { value })
}

fn decimal(text: &str, parts: &Parts<'_>, exponent: i32, format: Format) -> Result<Quantity, ParseError> {
    let value = mantissa(parts)?;
    let whole = if parts.whole.is_empty() { "0" } else { parts.whole };
    let digits = (whole.len() + parts.fraction.len()) as i32;
    let scale = exponent.saturating_sub(parts.fraction.len() as i32);
    let mut quantity = Quantity { value, scale, format, text: None };
    let small = digits <= MAX_DIGITS && scale >= -9;
    if small {
        let zeros = parts.fraction.len() >= 3 && parts.fraction.ends_with("000")
            || parts.fraction.len() < 3 && format!("{whole}{}", parts.fraction).ends_with("000");
        if text == "0" || scale % 3 == 0 && !zeros && !whole.starts_with('0') {
            quantity.text = Some(text.into());
        }
    } else {
        quantity.round_up(-9);
    }
    Ok(quantity)
}

fn binary(text: &str, parts: &Parts<'_>, exponent: i32) -> Result<Quantity, ParseError> {
    let value = mantissa(parts)?;
    let whole = if parts.whole.is_empty() { "0" } else { parts.whole };
    let factor = 1i128 << exponent;
    let product = value.checked_mul(factor).ok_or(ParseError::Numeric)?;
    let mut quantity = Quantity {
        value: product,
        scale: -(parts.fraction.len() as i32),
        format: Format::BinarySi,
        text: None,
    };
    let precision = 15 - whole.len() as i32 - (exponent * 3 / 10) - 1;
    if parts.fraction.is_empty() && precision >= 0 {
        if value & 7 != 0 {
            quantity.text = Some(text.into());
        }
        return Ok(quantity);
    }
    quantity.round_up(-9);
    let limit = Quantity::new(i64::MAX, Format::DecimalSi);
    let mut size = quantity.clone();
    size.value = size.value.abs();
    if size > limit {
        quantity.value = if quantity.value < 0 { -limit.value } else { limit.value };
        quantity.scale = 0;
        size = limit;
    }
    if size.value != 0 && size < Quantity::new(1, Format::DecimalSi) {
        quantity.format = Format::DecimalSi;
    }
    Ok(quantity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_is_gos() {
        // printed by upstream's ParseQuantity(x).String()
        let cases = [
            ("0", "0"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1.5", "1500m"),
            ("1.500", "1.500"),
            ("0.5", "500m"),
            ("1024", "1024"),
            ("1000", "1k"),
            ("1024Ki", "1Mi"),
            ("1025Ki", "1025Ki"),
            ("0.5Gi", "512Mi"),
            ("0.5Ki", "512"),
            ("1.5Mi", "1536Ki"),
            ("12e6", "12e6"),
            ("1e3", "1e3"),
            ("100e3", "100e3"),
            ("1E", "1E"),
            ("-1", "-1"),
            ("-1.5", "-1500m"),
            ("1000000", "1M"),
            ("1u", "1u"),
            ("0.1n", "1n"),
            ("2048Ki", "2Mi"),
            ("8Gi", "8Gi"),
            ("16384Mi", "16Gi"),
            ("100Ei", "9223372036854775807"),
            ("0.0001Ki", "102400u"),
            ("00100", "00100"),
            ("+5", "+5"),
            ("1.", "1."),
            ("010m", "010m"),
        ];
        for (text, expected) in cases {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn bad_texts() {
        for (text, error) in [
            ("", ParseError::Format),
            ("1 ", ParseError::Format),
            ("1Kb", ParseError::Format),
            ("1mi", ParseError::Suffix),
            ("1ee", ParseError::Suffix),
            ("a", ParseError::Format),
        ] {
            assert_eq!(Quantity::parse(text).unwrap_err(), error, "{text:?}");
        }
    }

    #[test]
    fn arithmetic() {
        let q = |t: &str| Quantity::parse(t).unwrap();
        let mut a = q("1500m");
        a.add(&q("1Gi"));
        assert_eq!(a.to_string(), "1073741825500m");
        a.sub(&q("1Gi"));
        assert_eq!(a, q("1.5"));
        assert_eq!((a.value(), a.milli_value()), (2, 1500));
        assert_eq!((q("-1.5").value(), q("1n").milli_value()), (-2, 1));
        assert!(q("1e100") > q("1Ei") && q("-1e100") < q("0") && q("1Ki") == q("1024"));
        let mut fine = q("1.0005");
        assert!(!fine.round_up(-3));
        assert_eq!(fine.to_string(), "1001m");
    }
}
