//! Label selectors: the query parameter and the `LabelSelector` object.

use std::collections::BTreeSet;
use std::fmt;

use super::{SelectorError, parse};
use crate::content;

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equals,
    /// `==`
    DoubleEquals,
    /// `!=`
    NotEquals,
    /// `in`
    In,
    /// `notin`
    NotIn,
    /// The key alone.
    Exists,
    /// `!key`
    DoesNotExist,
    /// `>`
    GreaterThan,
    /// `<`
    LessThan,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// The comparison.
    pub operator: Operator,
    /// What it is compared with.
    pub values: BTreeSet<String>,
}

/// All requirements must hold; `nothing` matches no object at all (a nil `LabelSelector`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Requirement {
    /// Checks the parts as upstream's `NewRequirement` does.
    pub fn new(key: &str, operator: Operator, values: BTreeSet<String>) -> Result<Self, SelectorError> {
        let mut problems = Vec::new();
        let bad = content::qualified_name(key);
        if !bad.is_empty() {
            problems.push(format!("key: Invalid value: {key:?}: {}", bad.join("; ")));
        }
        let list: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
        let list = format!("[{}]", list.join(","));
        let mut values_bad = |text: &str| problems.push(format!("values: Invalid value: {list}: {text}"));
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                values_bad("for 'in', 'notin' operators, values set can't be empty");
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                values_bad("exact-match compatibility requires one single value");
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                values_bad("values set must be empty for exists and does not exist");
            }
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    values_bad("for 'Gt', 'Lt' operators, exactly one value is required");
                }
                for (i, v) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                    let text = "for 'Gt', 'Lt' operators, the value must be an integer";
                    problems.push(format!("values[{i}]: Invalid value: {v:?}: {text}"));
                }
            }
            _ => {}
        }
        for (i, v) in values.iter().enumerate() {
            let bad = content::label_value(v);
            if !bad.is_empty() {
                problems.push(format!("values[{i}][{key}]: Invalid value: {v:?}: {}", bad.join("; ")));
            }
        }
        match problems.as_slice() {
            [] => Ok(Self { key: key.to_owned(), operator, values }),
            [one] => Err(SelectorError(one.clone())),
            many => Err(SelectorError(format!("[{}]", many.join(", ")))),
        }
    }

    /// Whether a label set, given as a lookup, fulfils it.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let value = label(&self.key);
        match (self.operator, value) {
            (Operator::In | Operator::Equals | Operator::DoubleEquals, v) => {
                v.is_some_and(|v| self.values.contains(v))
            }
            (Operator::NotIn | Operator::NotEquals, v) => v.is_none_or(|v| !self.values.contains(v)),
            (Operator::Exists, v) => v.is_some(),
            (Operator::DoesNotExist, v) => v.is_none(),
            (Operator::GreaterThan | Operator::LessThan, v) => {
                let number = v.and_then(|v| v.parse::<i64>().ok());
                let limit = self.values.first().and_then(|v| v.parse::<i64>().ok());
                match (number, limit) {
                    (Some(n), Some(l)) if self.operator == Operator::GreaterThan => n > l,
                    (Some(n), Some(l)) => n < l,
                    _ => false,
                }
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let key = &self.key;
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

impl LabelSelector {
    /// Matches every object.
    pub const fn everything() -> Self {
        Self { requirements: Vec::new(), nothing: false }
    }

    /// Matches no object.
    pub const fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Reads the string form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Ok(Self::from_requirements(parse::requirements(text)?))
    }

    /// All of these.
    pub fn from_requirements(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// Exactly these labels, unchecked.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let equals = |(k, v): (&str, &str)| Requirement {
            key: k.to_owned(),
            operator: Operator::Equals,
            values: BTreeSet::from([v.to_owned()]),
        };
        Self::from_requirements(labels.into_iter().map(equals).collect())
    }

    /// Reads a `LabelSelector` object given as JSON; null matches nothing, empty matches everything.
    pub fn from_json(selector: &serde_json::Value) -> Result<Self, SelectorError> {
        if selector.is_null() {
            return Ok(Self::nothing());
        }
        let labels = selector["matchLabels"].as_object().into_iter().flatten();
        let mut requirements = Vec::new();
        for (k, v) in labels {
            let value = BTreeSet::from([v.as_str().unwrap_or_default().to_owned()]);
            requirements.push(Requirement::new(k, Operator::Equals, value)?);
        }
        for e in selector["matchExpressions"].as_array().into_iter().flatten() {
            let values =
                e["values"].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned));
            let name = e["operator"].as_str().unwrap_or_default();
            requirements.push(Requirement::new(
                e["key"].as_str().unwrap_or_default(),
                expression_operator(name)?,
                values.collect(),
            )?);
        }
        Ok(Self::from_requirements(requirements))
    }

    /// The requirements, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether a label set, given as a lookup, matches.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(&label))
    }

    /// The one value a label must have, if the selector demands one.
    pub fn required_value(&self, key: &str) -> Option<&str> {
        let r = self.requirements.iter().find(|r| r.key == key)?;
        let exact = matches!(r.operator, Operator::Equals | Operator::DoubleEquals | Operator::In);
        if exact && r.values.len() == 1 { r.values.first().map(String::as_str) } else { None }
    }
}

/// An operator of `matchExpressions`.
fn expression_operator(name: &str) -> Result<Operator, SelectorError> {
    match name {
        "In" => Ok(Operator::In),
        "NotIn" => Ok(Operator::NotIn),
        "Exists" => Ok(Operator::Exists),
        "DoesNotExist" => Ok(Operator::DoesNotExist),
        _ => Err(SelectorError(format!("{name:?} is not a valid label selector operator"))),
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            write!(f, "{}{r}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        for (text, expected) in [
            ("", Ok("")),
            ("a=b", Ok("a=b")),
            ("x in (c,b), !y , z", Ok("x in (b,c),!y,z")),
            ("b!=1,a==2", Ok("a==2,b!=1")),
            ("n>3", Ok("n>3")),
            ("a=", Ok("a=")),
            ("a in ()", Ok("a in ()")),
            ("a in", Err("unable to parse requirement: found '' expected: '('")),
            ("a,,b", Err("found ',', expected: identifier after ','")),
            ("=b", Err("found '=', expected: !, identifier, or 'end of string'")),
            ("a b", Err("unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt")),
            ("a=b c", Err("found 'c', expected: ',' or 'end of string'")),
        ] {
            let got = LabelSelector::parse(text).map(|s| s.to_string()).map_err(|e| e.0);
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn matching() {
        let labels =
            |k: &str| [("app", "web"), ("n", "5")].into_iter().find(|(a, _)| *a == k).map(|(_, v)| v);
        for (text, expected) in [
            ("app=web", true),
            ("app!=web", false),
            ("tier!=x", true),
            ("app in (a,web)", true),
            ("app notin (web)", false),
            ("!tier", true),
            ("tier", false),
            ("n>4", true),
            ("n<5", false),
            ("app>1", false),
            ("", true),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(labels), expected, "{text}");
        }
        assert!(!LabelSelector::nothing().matches(labels));
    }
}
