//! A storage resource with what the cache needs of it.

use std::sync::Arc;

use kinds::StorageResource;
use schema::Object;

use crate::codec::{DecodeError, Type};
use crate::store::entry::{Entry, Malformed};

/// One key prefix, stored in one version.
pub struct Resource {
    /// The facts and hooks.
    pub kind: StorageResource,
    /// `/registry/pods/`
    pub prefix: Arc<str>,
    /// The field label objects are indexed by, empty for none.
    pub index_label: &'static str,
    /// How long objects live.
    pub ttl_seconds: Option<u64>,
    /// The storage version's schema.
    pub schema: Type,
    index_path: &'static [&'static str],
}

/// Stored bytes that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// They cannot be decoded.
    #[error("cannot decode the stored object: {0}")]
    Decode(#[from] DecodeError),
    /// They cannot be converted.
    #[error("cannot convert the stored object: {0}")]
    Convert(String),
    /// They lack metadata.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// What this build writes ends with this line: a fingerprint of the schema in blanks, which every JSON reader
/// skips. Bytes that carry it are normal already.
fn mark() -> &'static [u8] {
    static MARK: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    MARK.get_or_init(|| {
        let print = crate::codec::fingerprint();
        let bits = (0..16).map(|i| if print >> i & 1 == 1 { b'\t' } else { b' ' });
        bits.chain([b'\n']).collect()
    })
}

impl Resource {
    /// `None` when the schema does not know the storage version.
    pub fn new(kind: StorageResource) -> Option<Self> {
        Type::of(&kind.storage).map(|schema| Self::with_schema(kind, schema))
    }

    /// One whose storage version's schema came at run time.
    pub fn with_schema(kind: StorageResource, schema: Type) -> Self {
        let prefix = format!("/registry/{}/", kind.key_prefix.trim_matches('/'));
        let pods = kind.resource.group.is_empty() && kind.storage.kind == "Pod";
        let events = kind.storage.kind == "Event";
        Self {
            prefix: prefix.into(),
            index_label: if pods { "spec.nodeName" } else { "" },
            index_path: if pods { &["spec", "nodeName"] } else { &[] },
            ttl_seconds: events.then_some(3600),
            schema,
            kind,
        }
    }

    /// The key of an object.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.kind.namespaced {
            return [&self.prefix, namespace, "/", name].concat();
        }
        [&self.prefix, name].concat()
    }

    /// The prefix of the keys of a namespace, empty for all.
    pub fn list_prefix(&self, namespace: &str) -> String {
        if self.kind.namespaced && !namespace.is_empty() {
            return format!("{}{namespace}/", self.prefix);
        }
        self.prefix.to_string()
    }

    /// The namespace in a key, empty for cluster scope.
    pub fn namespace_of<'a>(&self, key: &'a str) -> &'a str {
        if !self.kind.namespaced {
            return "";
        }
        key.strip_prefix(&*self.prefix).and_then(|rest| rest.split_once('/')).map_or("", |(ns, _)| ns)
    }

    /// The name in a key.
    pub fn name_of<'a>(&self, key: &'a str) -> &'a str {
        let rest = key.strip_prefix(&*self.prefix).unwrap_or(key);
        if self.kind.namespaced { rest.split_once('/').map_or(rest, |(_, name)| name) } else { rest }
    }

    /// Takes in stored bytes: as they are when this build wrote them, else decoded, converted and defaulted.
    ///
    /// # Errors
    /// The bytes cannot be made an object of the storage version.
    pub fn take_in(&self, key: &str, value: &[u8], revision: i64) -> Result<Entry, Unreadable> {
        if value.ends_with(mark()) {
            return Ok(Entry::new(key.into(), value, revision, true, self.index_path)?);
        }
        let object = self.normalise(value)?;
        let normal = self.schema.encode_json(&object);
        Ok(Entry::new(key.into(), &normal, revision, false, self.index_path)?)
    }

    fn normalise(&self, value: &[u8]) -> Result<Object, Unreadable> {
        let stored = crate::codec::stored_type(value)?;
        let other = if stored == self.kind.storage { Some(self.schema.clone()) } else { Type::of(&stored) };
        let schema = other.ok_or_else(|| DecodeError::Unknown(stored.kind.clone()))?;
        let mut object = schema.decode_stored(value)?;
        self.kind.hooks.default_versioned(&stored.version, &mut object);
        if stored != self.kind.storage {
            let converted =
                super::endpoint::convert(&*self.kind.hooks, &stored, &self.kind.storage, &mut object);
            converted.map_err(Unreadable::Convert)?;
        }
        let metadata = object.metadata_mut();
        metadata.remove("resourceVersion");
        Ok(object)
    }

    /// The bytes to store.
    pub fn encode(&self, object: &Object) -> Vec<u8> {
        let version = object.resource_version();
        let mut bytes = if version.is_empty() {
            self.schema.encode_json(object)
        } else {
            let mut bare = object.clone();
            bare.metadata_mut().remove("resourceVersion");
            self.schema.encode_json(&bare)
        };
        bytes.extend_from_slice(mark());
        bytes
    }

    /// The object of an entry.
    ///
    /// # Errors
    /// Never for what `take_in` made, but the decoder's word is passed on.
    pub fn decode(&self, entry: &Entry) -> Result<Object, DecodeError> {
        self.schema.decode_normal(&entry.bytes)
    }
}
