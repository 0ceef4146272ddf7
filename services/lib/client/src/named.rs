//! What every object says of itself, read from its first bytes.
//!
//! API servers write the metadata before the rest and, of the metadata, the names first: a few hundred bytes tell which
//! object it is, of thousands that are for the kind's projection to read. An object written in another order is read as
//! far as it has to be.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use crate::Key;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Named {
    name: Option<String>,
    namespace: Option<String>,
    /// `metadata.resourceVersion`.
    pub(crate) revision: String,
    is_complete: bool,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Metadata,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum MetaField {
    Name,
    Namespace,
    ResourceVersion,
    #[serde(other)]
    Other,
}

struct Object<'a>(&'a mut Named);
struct Meta<'a>(&'a mut Named);

impl Named {
    /// Reads an object's names.
    ///
    /// # Errors
    /// It has no metadata, or is no JSON before its end.
    pub(crate) fn read(object: &[u8]) -> Result<Self, serde_json::Error> {
        let mut named = Self::default();
        let read = Object(&mut named).deserialize(&mut serde_json::Deserializer::from_slice(object));
        // whoever stops in the middle of an object is told that it has no end
        if named.is_complete { Ok(named) } else { read.map(|()| named) }
    }

    /// Namespace and name.
    pub(crate) fn key(self) -> Key {
        Key { namespace: self.namespace.unwrap_or_default(), name: self.name.unwrap_or_default() }
    }
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of the API")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key()? {
            match field {
                Field::Metadata => {
                    map.next_value_seed(Meta(self.0))?;
                    self.0.is_complete = true;
                    return Ok(());
                }
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Err(serde::de::Error::missing_field("metadata"))
    }
}

impl<'de> DeserializeSeed<'de> for Meta<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Meta<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object's metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let named = self.0;
        while let Some(field) = map.next_key()? {
            match field {
                MetaField::Name => named.name = Some(map.next_value()?),
                MetaField::Namespace => named.namespace = Some(map.next_value()?),
                MetaField::ResourceVersion => named.revision = map.next_value()?,
                MetaField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
            // what lives in no namespace is read to the end of its metadata
            if named.name.is_some() && named.namespace.is_some() && !named.revision.is_empty() {
                named.is_complete = true;
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Named;
    use crate::Key;

    #[test]
    fn names() {
        for (json, key, revision) in [
            (r#"{"metadata":{"name":"a","namespace":"b","resourceVersion":"7"}}"#, ("b", "a"), "7"),
            (
                r#"{"spec":{"x":[{}]},"metadata":{"labels":{"name":"x"},"resourceVersion":"7","name":"a"}}"#,
                ("", "a"),
                "7",
            ),
            (r#"{"metadata":{"name":"a","uid":"u"},"spec":{"metadata":{"name":"c"}}}"#, ("", "a"), ""),
            (r#"{"metadata":{"resourceVersion":"9"}}"#, ("", ""), "9"),
            (
                r#"{"metadata":{"na\u006de":"a\n","namespace":"b","resourceVersion":"7","x":1},"y":2}"#,
                ("b", "a\n"),
                "7",
            ),
        ] {
            let named = Named::read(json.as_bytes()).unwrap();
            assert_eq!(named.revision, revision, "{json}");
            assert_eq!(named.key(), Key::new(key.0, key.1), "{json}");
        }
        for bad in
            ["", "{}", "[]", r#"{"metadata":7}"#, r#"{"metadata":{"name":7}}"#, r#"{"metadata":{"name":"a""#]
        {
            assert!(Named::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
