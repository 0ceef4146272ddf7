//! What a list or watch selects: labels, fields, or one object.

use std::borrow::Cow;

use crate::errors::{self, Result};
use crate::registry::{Endpoint, Resource};
use crate::store::entry::Entry;

/// One term of a field selector.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    label: String,
    value: String,
    equal: bool,
}

/// A label and a field selector together.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    labels: Option<meta::LabelSelector>,
    fields: Vec<Term>,
}

/// Splits a field selector at unescaped commas and unescapes its values.
///
/// # Upstream
/// `k8s.io/apimachinery/pkg/fields/selector.go` `ParseSelector`
fn parse_fields(text: &str) -> std::result::Result<Vec<Term>, String> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    let bytes = text.as_bytes();
    let mut parts = Vec::new();
    for (i, b) in bytes.iter().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    for part in parts.into_iter().filter(|p| !p.is_empty()) {
        let at = part
            .find(['=', '!'])
            .ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
        let (label, rest) = part.split_at(at);
        let (value, equal) = if let Some(value) = rest.strip_prefix("!=") {
            (value, false)
        } else if let Some(value) = rest.strip_prefix("==") {
            (value, true)
        } else if let Some(value) = rest.strip_prefix('=') {
            (value, true)
        } else {
            return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
        };
        terms.push(Term { label: label.to_owned(), value: unescape(value), equal });
    }
    Ok(terms)
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// What upstream says of a field label it does not know: each group in its own words.
fn unknown(endpoint: &Endpoint, plain: bool, label: &str) -> String {
    let gvk = &endpoint.face.gvk;
    let only_metadata = plain || gvk.kind.starts_with("PersistentVolume");
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        _ if only_metadata => {
            format!("{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }
        ("batch", "Job") => format!("field label {label:?} not supported for Job"),
        ("resource.k8s.io", kind) => {
            format!("field label not supported for {}, Kind={kind}: {label}", gvk.group_version())
        }
        _ => format!("field label not supported: {label}"),
    }
}

impl Selection {
    /// Reads both selectors for an endpoint.
    pub fn read(endpoint: &Endpoint, labels: &str, fields: &str) -> Result<Self> {
        let labels = match labels {
            "" => None,
            text => Some(meta::LabelSelector::parse(text).map_err(|e| errors::bad_request(e.to_string()))?),
        };
        let mut fields = parse_fields(fields).map_err(errors::bad_request)?;
        let known = endpoint.resource.kind.hooks.field_labels();
        for term in &mut fields {
            if term.label == "spec.host" && endpoint.is("", "pods") {
                "spec.nodeName".clone_into(&mut term.label);
            }
            if term.label == "metadata.name"
                || term.label == "metadata.namespace"
                || known.contains(&&*term.label)
            {
                continue;
            }
            return Err(errors::bad_request(unknown(endpoint, known.is_empty(), &term.label)));
        }
        Ok(Self { labels, fields })
    }

    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Narrows it to one name, which a name in the selector must equal.
    pub fn only_name(&mut self, name: &str) -> Result<()> {
        if self.fields.iter().any(|t| t.label == "metadata.name" && (t.value != name || !t.equal)) {
            let text = "both a name and a field selector were provided";
            return Err(errors::bad_request(format!("{text}, and they disagree: {name:?}")));
        }
        self.fields.retain(|t| t.label != "metadata.name");
        self.fields.push(Term { label: "metadata.name".into(), value: name.to_owned(), equal: true });
        Ok(())
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.labels.is_none() && self.fields.is_empty()
    }

    /// The value of the index field, when it is fixed.
    pub fn index_value(&self, resource: &Resource) -> Option<&str> {
        let label = resource.index_label;
        // objects without the field are not in the index
        let term = self.fields.iter().find(|t| t.equal && !label.is_empty() && t.label == label)?;
        (!term.value.is_empty()).then_some(term.value.as_str())
    }

    /// The key of the only object it can select, if it names one.
    pub fn object_key(&self, resource: &Resource, namespace: &str) -> Option<String> {
        let fixed =
            |label: &str| self.fields.iter().find(|t| t.equal && t.label == label).map(|t| t.value.as_str());
        let name = fixed("metadata.name").filter(|n| !n.is_empty())?;
        let namespace =
            if namespace.is_empty() { fixed("metadata.namespace").unwrap_or("") } else { namespace };
        if resource.kind.namespaced && namespace.is_empty() {
            return None;
        }
        Some(resource.key(namespace, name))
    }

    /// Whether an object is selected.
    pub fn matches(&self, resource: &Resource, entry: &Entry) -> bool {
        let fields = self.fields.iter().all(|term| {
            let value = field(resource, entry, &term.label);
            (value == term.value) == term.equal
        });
        fields && self.labels.as_ref().is_none_or(|l| l.matches(|key| entry.label(key)))
    }
}

/// The value of a field label, empty when absent.
fn field<'a>(resource: &Resource, entry: &'a Entry, label: &str) -> Cow<'a, str> {
    match label {
        "metadata.name" => return Cow::Borrowed(resource.name_of(&entry.key)),
        "metadata.namespace" => return Cow::Borrowed(resource.namespace_of(&entry.key)),
        _ if label == resource.index_label => return Cow::Borrowed(entry.index.as_deref().unwrap_or("")),
        _ => {}
    }
    // most labels are paths of string fields: found without a tree
    let path: Vec<&str> = label.split('.').collect();
    if let Some(value) = entry.str_at(&path) {
        return value;
    }
    let Ok(object) = resource.decode(entry) else { return Cow::Borrowed("") };
    let value = resource.kind.hooks.field(&object, label);
    Cow::Owned(value.map(Cow::into_owned).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let term = |l: &str, v: &str, equal| Term { label: l.into(), value: v.into(), equal };
        let table = [
            ("a=b", vec![term("a", "b", true)]),
            ("a==b,c!=d", vec![term("a", "b", true), term("c", "d", false)]),
            (r"a=b\,c", vec![term("a", "b,c", true)]),
            ("spec.nodeName=", vec![term("spec.nodeName", "", true)]),
            ("", vec![]),
        ];
        for (text, expected) in table {
            assert_eq!(parse_fields(text).unwrap(), expected, "{text}");
        }
        assert!(parse_fields("a").is_err());
    }
}
