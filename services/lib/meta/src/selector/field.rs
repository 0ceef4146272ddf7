//! Field selectors: `status.phase=Running,spec.nodeName!=`.

use std::fmt;

use super::SelectorError;

/// One condition on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field label.
    pub field: String,
    /// The value compared with.
    pub value: String,
    /// `=` or, when false, `!=`.
    pub equal: bool,
}

/// All terms must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    /// The terms, sorted as written.
    pub terms: Vec<FieldTerm>,
}

impl FieldSelector {
    /// Reads the string form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            let (field, equal, value) = split_term(part).ok_or_else(|| {
                SelectorError(format!("invalid selector: '{text}'; can't understand '{part}'"))
            })?;
            terms.push(FieldTerm { field: field.to_owned(), value: unescape(value)?, equal });
        }
        Ok(Self { terms })
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether an object's fields, given as a lookup, match.
    pub fn matches(&self, field: impl Fn(&str) -> String) -> bool {
        self.terms.iter().all(|t| (field(&t.field) == t.value) == t.equal)
    }

    /// The one value a field must have, if the selector demands one.
    pub fn required_value(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, t) in self.terms.iter().enumerate() {
            let value = t.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{}{}{value}", t.field, if t.equal { "=" } else { "!=" })?;
        }
        Ok(())
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut slash) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if slash => slash = false,
            '\\' => slash = true,
            ',' => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at =
        term.char_indices().find(|(i, _)| term[*i..].starts_with('=') || term[*i..].starts_with("!="))?.0;
    let (field, rest) = term.split_at(at);
    if let Some(value) = rest.strip_prefix("!=") {
        return Some((field, false, value));
    }
    let value = rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?;
    Some((field, true, value))
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let bad = |s: &str| SelectorError(format!("invalid field selector: invalid escape sequence: {s}"));
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(bad(&format!("\\{c}"))),
                None => return Err(bad("\\")),
            },
            ',' | '=' => {
                // Go prints the rune as a number
                let text = format!("invalid field selector: unescaped character in value: {}", c as u32);
                return Err(SelectorError(text));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        for (text, expected) in [
            ("", Ok("")),
            ("b=1,a!=2", Ok("a!=2,b=1")),
            ("a==x\\,y", Ok("a=x\\,y")),
            ("a", Err("invalid selector: 'a'; can't understand 'a'")),
            ("a=b=c", Err("invalid field selector: unescaped character in value: 61")),
            ("a=\\x", Err("invalid field selector: invalid escape sequence: \\x")),
        ] {
            let got = FieldSelector::parse(text).map(|s| s.to_string()).map_err(|e| e.0);
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }
}
