//! One object in every form.

use bytes::Bytes;
use schema::{Object, Value};

use crate::codec::{self, Type};
use crate::errors::{self, Result};
use crate::registry::Endpoint;
use crate::request::accept::{Form, Media, Shape};
use crate::store::entry::Entry;
use crate::store::scan;

/// A stored object in a form (any but a table).
pub fn of_entry(endpoint: &Endpoint, entry: &Entry, form: Form) -> Result<Bytes> {
    match (form.shape, form.media) {
        (Shape::Plain, Media::Json) if endpoint.native => Ok(entry.bytes.clone()),
        (Shape::Plain, Media::Protobuf) => {
            let raw = protobuf(endpoint, entry)?;
            Ok(codec::envelope(&endpoint.api_version(), &endpoint.face.gvk.kind, &raw))
        }
        (Shape::Plain, _) => of_tree(&endpoint.schema, &served(endpoint, entry)?, form),
        (Shape::Partial, Media::Json) => Ok(partial_json(entry, form.beta)),
        (Shape::Partial, Media::Protobuf) => {
            let raw = partial_protobuf(entry)?;
            Ok(codec::envelope(partial_version(form.beta), "PartialObjectMetadata", &raw))
        }
        (Shape::Partial, Media::Yaml) => yaml_of(&partial_json(entry, form.beta)),
        (Shape::Table, _) => Err(errors::internal("a table is not made of one object's bytes")),
    }
}

/// A stored object as a tree of the served version.
pub fn served(endpoint: &Endpoint, entry: &Entry) -> Result<Object> {
    let mut object = endpoint.resource.decode(entry).map_err(errors::internal)?;
    endpoint.to_served(&mut object)?;
    Ok(object)
}

/// A stored object's JSON in the served version.
pub fn json(endpoint: &Endpoint, entry: &Entry) -> Result<Bytes> {
    if endpoint.native {
        return Ok(entry.bytes.clone());
    }
    Ok(Bytes::from(endpoint.schema.encode_json(&served(endpoint, entry)?)))
}

/// A stored object's protobuf in the served version, without envelope.
pub fn protobuf(endpoint: &Endpoint, entry: &Entry) -> Result<Bytes> {
    let make = || make_protobuf(endpoint, entry);
    if endpoint.native { entry.protobuf.get_or(make) } else { make() }
}

/// The same for what is kept in another form: this one is not kept as well.
pub fn protobuf_once(endpoint: &Endpoint, entry: &Entry) -> Result<Bytes> {
    match entry.protobuf.get() {
        Some(kept) if endpoint.native => Ok(kept),
        _ => make_protobuf(endpoint, entry),
    }
}

fn make_protobuf(endpoint: &Endpoint, entry: &Entry) -> Result<Bytes> {
    if endpoint.native
        && let Some(direct) = endpoint.schema.protobuf_of_normal(&entry.bytes)
    {
        return Ok(Bytes::from(direct));
    }
    Ok(Bytes::from(endpoint.schema.encode_protobuf(&served(endpoint, entry)?)))
}

/// An object of any type in a form.
pub fn of_tree(schema: &Type, object: &Object, form: Form) -> Result<Bytes> {
    let partial = form.shape == Shape::Partial;
    match form.media {
        Media::Json | Media::Yaml => {
            let json = Bytes::from(if partial {
                partial_of(&schema.encode_json(object), form.beta)
            } else {
                schema.encode_json(object)
            });
            if form.media == Media::Yaml { yaml_of(&json) } else { Ok(json) }
        }
        Media::Protobuf => {
            let raw = schema.encode_protobuf(object);
            Ok(codec::envelope(object.api_version(), object.kind(), &raw))
        }
    }
}

fn partial_version(beta: bool) -> &'static str {
    if beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" }
}

/// A `PartialObjectMetadata` straight from the stored bytes.
pub fn partial_json(entry: &Entry, beta: bool) -> Bytes {
    Bytes::from(partial_of(&entry.bytes, beta))
}

fn partial_of(json: &[u8], beta: bool) -> Vec<u8> {
    let metadata = scan::find(json, &["metadata"]).map_or(&b"{}"[..], |range| &json[range]);
    let mut out = Vec::with_capacity(metadata.len() + 90);
    out.extend_from_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"");
    out.extend_from_slice(partial_version(beta).as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
    out.extend_from_slice(metadata);
    out.push(b'}');
    out
}

/// The same in protobuf, without envelope.
pub fn partial_protobuf(entry: &Entry) -> Result<Bytes> {
    let range = scan::find(&entry.bytes, &["metadata"]).unwrap_or(0..0);
    codec::partial_protobuf(&entry.bytes[range]).map(Bytes::from).map_err(errors::internal)
}

/// A `Status` on the wire.
pub fn of_status(status: &meta::Status, media: Media) -> Bytes {
    let json = serde_json::to_vec(status).unwrap_or_default();
    match media {
        Media::Json => Bytes::from(json),
        Media::Yaml => yaml_of(&json).unwrap_or_default(),
        Media::Protobuf => codec::status_protobuf(&json).map_or_else(|_| Bytes::from(json), Bytes::from),
    }
}

/// JSON as YAML.
pub fn yaml_of(json: &[u8]) -> Result<Bytes> {
    let value: serde_json::Value = serde_json::from_slice(json).map_err(errors::internal)?;
    Ok(Bytes::from(yaml::to_string(&value)))
}

/// JSON indented by two spaces.
pub fn indent(json: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', depth * 2));
    };
    for (i, &b) in json.iter().enumerate() {
        if quoted {
            out.push(b);
            quoted = escaped || b != b'"';
            escaped = b == b'\\' && !escaped;
            continue;
        }
        let empty = matches!(json.get(i + 1), Some(b'}' | b']'));
        match b {
            b'"' => {
                quoted = true;
                out.push(b);
            }
            b'{' | b'[' => {
                out.push(b);
                depth += 1;
                if !empty {
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if !matches!(json.get(i.wrapping_sub(1)), Some(b'{' | b'[')) {
                    line(&mut out, depth);
                }
                out.push(b);
            }
            b',' => {
                out.push(b);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b' ' | b'\n' | b'\t' | b'\r' => {}
            _ => out.push(b),
        }
    }
    Bytes::from(out)
}

/// An object that carries nothing but a resource version: a bookmark.
pub fn bookmark(endpoint: &Endpoint, revision: i64, marked: bool) -> Object {
    let mut object = Object::default();
    endpoint.stamp(&mut object);
    object.set(&["metadata", "resourceVersion"], revision.to_string());
    if marked {
        object.set(&["metadata", "annotations", "k8s.io/initial-events-end"], Value::from("true"));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents() {
        let text = indent(br#"{"a":{},"b":[1,"x:{\"y"],"c":[]}"#);
        let expected = "{\n  \"a\": {},\n  \"b\": [\n    1,\n    \"x:{\\\"y\"\n  ],\n  \"c\": []\n}";
        assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
    }
}
