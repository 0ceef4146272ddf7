//! Answers: from stored bytes to the form a client asked for.

pub mod frames;
pub mod list;
pub mod object;
pub mod table;
mod zipped;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use schema::Object;
use web::Body;

use crate::codec::Type;
use crate::errors::{self, Result};
use crate::request::accept::{Form, Media, Shape};
use crate::store::entry::Entry;
use crate::store::read::Listing;
use crate::verbs::Call;

/// What a verb answers.
pub enum Answer {
    /// A stored object.
    Entry(Form, StatusCode, Arc<Entry>),
    /// An object of the storage version that is not stored.
    StoredTree(Form, StatusCode, Object),
    /// An object of a type of its own (scale, review).
    Typed(Form, StatusCode, Object, Type),
    /// A list.
    List(Form, Listing),
    /// A success without an object.
    Success(Form, meta::Status),
    /// A stream or anything else that is ready.
    Ready(Response<Body>),
}

impl Answer {
    /// A stored object.
    pub fn entry(form: Form, code: StatusCode, entry: Arc<Entry>) -> Self {
        Answer::Entry(form, code, entry)
    }

    /// An object of the storage version that is not stored.
    pub fn stored_tree(form: Form, code: StatusCode, object: Object) -> Self {
        Answer::StoredTree(form, code, object)
    }

    /// A list.
    pub fn list(form: Form, listing: Listing) -> Self {
        Answer::List(form, listing)
    }
}

/// Encodes an answer.
pub fn respond(call: &Call, answer: Answer) -> Result<Response<Body>> {
    match answer {
        Answer::Entry(form, code, entry) => {
            let bytes = match form.shape {
                Shape::Table => table::of_entries(call, form, &[entry], None)?,
                _ => object::of_entry(&call.endpoint, &entry, form)?,
            };
            Ok(send(call, form, code, bytes))
        }
        Answer::StoredTree(form, code, mut object) => {
            if form.shape == Shape::Table {
                let entry = Arc::new(tree_entry(call, &object)?);
                let bytes = table::of_entries(call, form, &[entry], None)?;
                return Ok(send(call, form, code, bytes));
            }
            call.endpoint.to_served(&mut object)?;
            let bytes = object::of_tree(&call.endpoint.schema, &object, form)?;
            Ok(send(call, form, code, bytes))
        }
        Answer::Typed(form, code, object, schema) => {
            let bytes = object::of_tree(&schema, &object, form)?;
            Ok(send(call, form, code, bytes))
        }
        Answer::List(form, listing) => list::respond(call, form, &listing),
        Answer::Success(form, status) => {
            let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::OK);
            let bytes = object::of_status(&status, form.media);
            Ok(send(call, Form { shape: Shape::Plain, ..form }, code, bytes))
        }
        Answer::Ready(response) => Ok(response),
    }
}

fn tree_entry(call: &Call, object: &Object) -> Result<Entry> {
    let resource = &call.endpoint.resource;
    let key = resource.key(&call.info.namespace, object.name());
    resource.take_in(&key, &resource.encode(object), 0).map_err(errors::internal)
}

/// A response of whole bytes, compressed when large and the client takes it.
pub fn send(call: &Call, form: Form, code: StatusCode, bytes: Bytes) -> Response<Body> {
    let bytes = if form.pretty && form.media == Media::Json { object::indent(&bytes) } else { bytes };
    let mut response = crate::http::response::compressed(call.header("accept-encoding"), bytes);
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media.content_type()));
    response
}
