//! Lists: the stored bytes one after the other.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use web::Body;

use super::{object, table, zipped};
use crate::codec;
use crate::errors::Result;
use crate::registry::Endpoint;
use crate::request::accept::{Form, Media, Shape};
use crate::store::entry::Entry;
use crate::store::read::Listing;
use crate::verbs::Call;

/// Larger lists are sent while they are written, in pieces of this size.
const PIECE: usize = 128 << 10;

/// Encodes a list.
pub fn respond(call: &Call, form: Form, listing: &Listing) -> Result<Response<Body>> {
    if form.shape == Shape::Table {
        let bytes = table::of_entries(call, form, &listing.entries, Some(listing))?;
        return Ok(super::send(call, form, StatusCode::OK, bytes));
    }
    let zipped = crate::http::response::takes_gzip(call.header("accept-encoding"));
    let size: usize = listing.entries.iter().map(|e| e.bytes.len()).sum();
    let plain =
        form.media == Media::Json && form.shape == Shape::Plain && call.endpoint.native && !form.pretty;
    if plain && !zipped && size > PIECE {
        return Ok(stream(call, listing));
    }
    let pieces = listing.whole && call.endpoint.native && form.shape == Shape::Plain && !form.pretty;
    if pieces && zipped && size > PIECE && form.media != Media::Yaml {
        return Ok(zipped::respond(call, form.media, listing));
    }
    let bytes = match form.media {
        Media::Protobuf => protobuf(&call.endpoint, listing, form)?,
        _ => json(&call.endpoint, listing, form)?,
    };
    let bytes = if form.media == Media::Yaml { object::yaml_of(&bytes)? } else { bytes };
    Ok(super::send(call, form, StatusCode::OK, bytes))
}

fn head(kind: &str, api_version: &str, listing: &Listing) -> Vec<u8> {
    let mut out = format!(
        "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{{\"resourceVersion\":\"{}\"",
        listing.revision
    );
    if !listing.next.is_empty() {
        out.push_str(&format!(",\"continue\":\"{}\"", listing.next));
    }
    if let Some(n) = listing.remaining {
        out.push_str(&format!(",\"remainingItemCount\":{n}"));
    }
    out.push_str("},\"items\":[");
    out.into_bytes()
}

/// The beginning of a list of plain objects.
pub(super) fn json_head(endpoint: &Endpoint, listing: &Listing) -> Vec<u8> {
    let (kind, version) = names(endpoint, Form::JSON);
    head(&kind, &version, listing)
}

/// Writes one item in the storage version.
pub(super) fn native_item(endpoint: &Endpoint, entry: &Entry, out: &mut Vec<u8>) {
    if endpoint.schema.is_built_in() {
        out.push(b'{');
        out.extend_from_slice(&entry.bytes[entry.body_at as usize..]);
    } else {
        out.extend_from_slice(&entry.bytes);
    }
}

fn names(endpoint: &Endpoint, form: Form) -> (String, String) {
    if form.shape == Shape::Partial {
        let version = if form.beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" };
        return ("PartialObjectMetadataList".into(), version.into());
    }
    (format!("{}List", endpoint.face.gvk.kind), endpoint.api_version())
}

/// Writes one item: built-in kinds without their type, custom ones with it.
fn item(endpoint: &Endpoint, entry: &Entry, form: Form, out: &mut Vec<u8>) -> Result<()> {
    if form.shape == Shape::Partial {
        out.extend_from_slice(&object::partial_json(entry, form.beta));
        return Ok(());
    }
    if endpoint.native {
        native_item(endpoint, entry, out);
        return Ok(());
    }
    if !endpoint.schema.is_built_in() {
        out.extend_from_slice(&object::json(endpoint, entry)?);
        return Ok(());
    }
    out.push(b'{');
    let mut served = object::served(endpoint, entry)?;
    served.remove(&["kind"]);
    served.remove(&["apiVersion"]);
    let json = endpoint.schema.encode_json(&served);
    out.extend_from_slice(&json[1..]);
    Ok(())
}

fn json(endpoint: &Endpoint, listing: &Listing, form: Form) -> Result<Bytes> {
    let (kind, version) = names(endpoint, form);
    let size: usize = listing.entries.iter().map(|e| e.bytes.len() + 2).sum();
    let mut out = head(&kind, &version, listing);
    out.reserve(size + 4);
    for (i, entry) in listing.entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        item(endpoint, entry, form, &mut out)?;
    }
    out.extend_from_slice(b"]}");
    Ok(Bytes::from(out))
}

fn stream(call: &Call, listing: &Listing) -> Response<Body> {
    let (sender, body) = web::channel(4);
    let start = json_head(&call.endpoint, listing);
    let entries: Vec<Arc<Entry>> = listing.entries.clone();
    let endpoint = call.endpoint.clone();
    tokio::spawn(async move {
        let mut piece = Vec::with_capacity(PIECE + (16 << 10));
        piece.extend_from_slice(&start);
        for (i, entry) in entries.iter().enumerate() {
            if i > 0 {
                piece.push(b',');
            }
            native_item(&endpoint, entry, &mut piece);
            if piece.len() >= PIECE {
                let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE + (16 << 10)));
                if sender.send(full.into()).await.is_err() {
                    return;
                }
            }
        }
        piece.extend_from_slice(b"]}");
        if sender.send(piece.into()).await.is_err() {
            tracing::debug!("a client went away in the middle of a list");
        }
    });
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The list's metadata with the field it stands in.
pub(super) fn protobuf_meta(listing: &Listing) -> Vec<u8> {
    let mut meta = Vec::new();
    codec::wire::string(&mut meta, 1, "");
    codec::wire::string(&mut meta, 2, &listing.revision.to_string());
    codec::wire::string(&mut meta, 3, &listing.next);
    if let Some(n) = listing.remaining {
        codec::wire::varint_field(&mut meta, 4, n as u64);
    }
    let mut field = Vec::new();
    codec::wire::bytes(&mut field, 1, &meta);
    field
}

fn protobuf(endpoint: &Endpoint, listing: &Listing, form: Form) -> Result<Bytes> {
    let (kind, version) = names(endpoint, form);
    let mut raw = protobuf_meta(listing);
    for entry in &listing.entries {
        let one = match form.shape {
            Shape::Partial => object::partial_protobuf(entry)?,
            _ => object::protobuf(endpoint, entry)?,
        };
        codec::wire::bytes(&mut raw, 2, &one);
    }
    Ok(codec::envelope(&version, &kind, &raw))
}
