//! One object as the cache holds it: normalised bytes and the few facts reads need.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::derived::Derived;
use super::scan;

/// A full storage key: `/registry/pods/default/a`.
pub type Key = Arc<str>;

/// One object in its storage version, ready to be sent.
///
/// The bytes are compact JSON with TypeMeta first and `metadata.resourceVersion` filled in. Everything else here
/// is an offset into them, so a cached object costs its JSON and little more.
#[derive(Debug)]
pub struct Entry {
    /// Where it is stored.
    pub key: Key,
    /// The object.
    pub bytes: Bytes,
    /// The revision that wrote it.
    pub revision: i64,
    /// Where the fields after TypeMeta begin (at a quote).
    pub body_at: u32,
    /// Where the digits of the resource version begin.
    version_at: u32,
    /// Where the value of `metadata.labels` begins; zero when there is none.
    labels_at: u32,
    /// Whether the stored form is what this build writes: a write that changes nothing may be left out.
    pub current: bool,
    /// The value of the resource's index field.
    pub index: Option<Box<str>>,
    /// The protobuf message of the storage version.
    pub protobuf: Derived,
}

/// Bytes that are no normalised object.
#[derive(Debug, thiserror::Error)]
#[error("not a normalised object: {0}")]
pub struct Malformed(&'static str);

struct Layout<'a> {
    body_at: usize,
    labels_at: usize,
    /// Where the version goes: before the first field that follows it in Go's order.
    version_at: usize,
    /// Whether a field precedes the version inside `metadata`.
    leading: bool,
    /// Whether a field follows it.
    trailing: bool,
    /// The value of the index field.
    index: Option<Cow<'a, str>>,
}

/// Walks over an object once, and not further than it must. Metadata comes before whatever is indexed, as in Go.
fn layout<'a>(value: &'a [u8], index_path: &[&str]) -> Result<Layout<'a>, Malformed> {
    let mut body_at = 0;
    let mut walk = scan::fields(value, 0);
    while let Some(head) = walk.head() {
        if body_at == 0 && !matches!(head.key, b"kind" | b"apiVersion") {
            body_at = head.start;
        }
        if head.key == b"metadata" {
            let (mut found, end) = metadata_layout(value, head.value)?;
            walk.resume(end);
            found.body_at = body_at;
            found.index = index_path.split_first().and_then(|(first, rest)| index(value, walk, first, rest));
            return Ok(found);
        }
        if walk.pass(head).is_none() {
            break;
        }
    }
    Err(Malformed("no metadata"))
}

/// The string at `first` and `rest` among the fields that are left.
fn index<'a>(
    value: &'a [u8],
    mut walk: scan::Fields<'a>,
    first: &str,
    rest: &[&str],
) -> Option<Cow<'a, str>> {
    loop {
        let head = walk.head()?;
        if head.key == first.as_bytes() {
            return scan::unquote(&value[scan::find_from(value, head.value, rest)?]);
        }
        walk.pass(head)?;
    }
}

/// The layout as far as metadata says it, and where metadata ends.
fn metadata_layout(value: &[u8], metadata_at: usize) -> Result<(Layout<'_>, usize), Malformed> {
    if value.get(metadata_at) != Some(&b'{') {
        return Err(Malformed("metadata is no object"));
    }
    let mut leading = false;
    let mut slot: Option<usize> = None;
    let mut labels_at = 0;
    let mut walk = scan::fields(value, metadata_at);
    for field in walk.by_ref() {
        match field.key {
            b"name" | b"generateName" | b"namespace" | b"selfLink" | b"uid" if slot.is_none() => {
                leading = true
            }
            b"resourceVersion" => return Err(Malformed("a resource version is stored")),
            key => {
                slot.get_or_insert(field.start);
                if key == b"labels" {
                    labels_at = field.value.start;
                }
            }
        }
    }
    let end = walk.end().ok_or(Malformed("metadata does not end"))?;
    let version_at = slot.unwrap_or(end - 1);
    let layout = Layout { body_at: 0, labels_at, version_at, leading, trailing: slot.is_some(), index: None };
    Ok((layout, end))
}

impl Entry {
    /// Takes in normalised bytes as stored (without a resource version) at a revision.
    pub fn new(
        key: Key,
        value: &[u8],
        revision: i64,
        current: bool,
        index_path: &[&str],
    ) -> Result<Self, Malformed> {
        let value = value.trim_ascii_end();
        let layout = layout(value, index_path)?;
        let at = layout.version_at;
        let mut bytes = Vec::with_capacity(value.len() + 40);
        bytes.extend_from_slice(&value[..at]);
        if layout.leading && !layout.trailing {
            bytes.push(b',');
        }
        bytes.extend_from_slice(b"\"resourceVersion\":\"");
        let version_at = bytes.len();
        bytes.extend_from_slice(revision.to_string().as_bytes());
        bytes.push(b'"');
        if layout.trailing {
            bytes.push(b',');
        }
        let added = bytes.len() - at;
        bytes.extend_from_slice(&value[at..]);
        let shift = |offset: usize| if offset > at { offset + added } else { offset };
        Ok(Self {
            key,
            revision,
            body_at: shift(layout.body_at) as u32,
            version_at: version_at as u32,
            labels_at: shift(layout.labels_at) as u32,
            current,
            index: layout.index.map(|value| Box::from(&*value)),
            bytes: Bytes::from(bytes),
            protobuf: Derived::default(),
        })
    }

    /// The object without `kind` and `apiVersion`: an item of a built-in kind's list, after its opening brace.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(self.body_at as usize..)
    }

    /// The same object at another revision: what a deletion shows.
    pub fn at_revision(&self, revision: i64) -> Self {
        let digits = self.revision.to_string().len();
        let at = self.version_at as usize;
        let mut bytes = Vec::with_capacity(self.bytes.len() + 4);
        bytes.extend_from_slice(&self.bytes[..at]);
        bytes.extend_from_slice(revision.to_string().as_bytes());
        bytes.extend_from_slice(&self.bytes[at + digits..]);
        let added = bytes.len() as i64 - self.bytes.len() as i64;
        let shift = |offset: u32| {
            if offset as usize > at { (i64::from(offset) + added) as u32 } else { offset }
        };
        Self {
            key: self.key.clone(),
            revision,
            body_at: shift(self.body_at),
            version_at: self.version_at,
            labels_at: shift(self.labels_at),
            current: self.current,
            index: self.index.clone(),
            bytes: Bytes::from(bytes),
            protobuf: Derived::default(),
        }
    }

    /// The object's labels as raw JSON pairs.
    pub fn labels(&self) -> scan::Fields<'_> {
        // an offset at the end walks nothing
        let at = if self.labels_at == 0 { self.bytes.len() } else { self.labels_at as usize };
        scan::fields(&self.bytes, at)
    }

    /// One label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        // neither keys nor values of labels have characters that JSON escapes
        let field = self.labels().find(|f| f.key == key.as_bytes())?;
        std::str::from_utf8(self.bytes[field.value].strip_prefix(b"\"")?.strip_suffix(b"\"")?).ok()
    }

    /// The string at a path.
    pub fn str_at(&self, path: &[&str]) -> Option<std::borrow::Cow<'_, str>> {
        scan::find_str(&self.bytes, path)
    }

    /// What it costs, roughly.
    pub fn cost(&self) -> usize {
        self.bytes.len() + 160
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_spliced_in_go_order() {
        // stored, shown at revision 42
        let table = [
            (
                r#"{"kind":"A","apiVersion":"v1","metadata":{"name":"a","uid":"u","creationTimestamp":"t","labels":{"x":"y"}},"spec":{"n":"m"}}"#,
                r#"{"kind":"A","apiVersion":"v1","metadata":{"name":"a","uid":"u","resourceVersion":"42","creationTimestamp":"t","labels":{"x":"y"}},"spec":{"n":"m"}}"#,
            ),
            (
                r#"{"kind":"A","apiVersion":"v1","metadata":{"name":"a"}}"#,
                r#"{"kind":"A","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"42"}}"#,
            ),
            (
                r#"{"kind":"A","apiVersion":"v1","metadata":{}}"#,
                r#"{"kind":"A","apiVersion":"v1","metadata":{"resourceVersion":"42"}}"#,
            ),
        ];
        for (stored, shown) in table {
            let entry = Entry::new("k".into(), stored.as_bytes(), 42, true, &["spec", "n"]).unwrap();
            assert_eq!(std::str::from_utf8(&entry.bytes).unwrap(), shown);
            assert!(entry.body().starts_with(b"\"metadata\""));
            let later = entry.at_revision(1000);
            assert_eq!(std::str::from_utf8(&later.bytes).unwrap(), shown.replace("42", "1000"));
            assert_eq!(later.label("x"), entry.label("x"));
        }
        let entry = Entry::new("k".into(), table[0].0.as_bytes(), 42, true, &["spec", "n"]).unwrap();
        assert_eq!((entry.label("x"), entry.index.as_deref()), (Some("y"), Some("m")));
        assert!(Entry::new("k".into(), b"{\"kind\":\"A\"}", 1, true, &[]).is_err());
    }
}
