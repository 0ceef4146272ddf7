//! Frames of a watch stream.

use bytes::Bytes;

use super::{object, table};
use crate::codec;
use crate::errors::{self, Result};
use crate::request::accept::{Form, Media, Shape};
use crate::store::event::{Change, Event, frame};
use crate::verbs::Call;

/// Writes the frames of one watch.
pub struct Frames<'a> {
    call: &'a Call,
    form: Form,
    /// A table's columns are in its first frame only.
    columns_sent: bool,
}

impl<'a> Frames<'a> {
    /// The frames of a form.
    pub fn new(call: &'a Call, form: Form) -> Self {
        Self { call, form, columns_sent: false }
    }

    /// The stream's content type.
    pub fn content_type(form: Form) -> &'static str {
        match form.media {
            Media::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            _ => "application/json",
        }
    }

    /// One change.
    pub fn event(&mut self, event: &Event, change: Change) -> Result<Bytes> {
        let form = self.form;
        let native = form.shape == Shape::Plain && self.call.endpoint.native;
        if native && form.media == Media::Json {
            return Ok(event.json_frame(change));
        }
        if !native || form.media != Media::Protobuf || change != event.change() {
            return self.object(change, &event.shown(change));
        }
        if let Some(kept) = event.protobuf_frame.get() {
            return Ok(kept.clone());
        }
        let made = self.object(change, &event.object)?;
        Ok(event.protobuf_frame.get_or_init(|| made).clone())
    }

    /// One object of the initial state, or of a change that no other watcher shares.
    pub fn object(
        &mut self,
        change: Change,
        entry: &std::sync::Arc<crate::store::entry::Entry>,
    ) -> Result<Bytes> {
        let form = self.form;
        if form.shape == Shape::Table {
            let first = !std::mem::replace(&mut self.columns_sent, true);
            let bytes = table::one(self.call, form, entry, first)?;
            return Ok(self.wrap(change.name(), &bytes));
        }
        let form = Form { media: if form.media == Media::Yaml { Media::Json } else { form.media }, ..form };
        let bytes = object::of_entry(&self.call.endpoint, entry, form)?;
        if form.media == Media::Json {
            return Ok(frame(change, &bytes));
        }
        Ok(self.wrap(change.name(), &bytes))
    }

    /// A bookmark, marked when it ends the initial state.
    pub fn bookmark(&mut self, revision: i64, marked: bool) -> Result<Bytes> {
        let endpoint = &self.call.endpoint;
        let object = object::bookmark(endpoint, revision, marked);
        let form = self.form;
        let bytes = match form.shape {
            Shape::Table => {
                let first = !std::mem::replace(&mut self.columns_sent, true);
                table::bookmark(self.call, form, &object, first)?
            }
            Shape::Partial if form.media == Media::Protobuf => {
                let json = endpoint.schema.encode_json(&object);
                let range = crate::store::scan::find(&json, &["metadata"]).unwrap_or(0..0);
                let raw = codec::partial_protobuf(&json[range]).map_err(errors::internal)?;
                let version = if form.beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" };
                codec::envelope(version, "PartialObjectMetadata", &raw)
            }
            _ => {
                let media = if form.media == Media::Yaml { Media::Json } else { form.media };
                object::of_tree(&endpoint.schema, &object, Form { media, ..form })?
            }
        };
        Ok(self.wrap("BOOKMARK", &bytes))
    }

    /// The error that ends a stream.
    pub fn error(&self, error: &errors::Error) -> Bytes {
        let media = if self.form.media == Media::Protobuf { Media::Protobuf } else { Media::Json };
        self.wrap("ERROR", &object::of_status(error.status(), media))
    }

    fn wrap(&self, kind: &str, bytes: &[u8]) -> Bytes {
        if self.form.media != Media::Protobuf {
            let mut out = Vec::with_capacity(bytes.len() + 40);
            out.extend_from_slice(b"{\"type\":\"");
            out.extend_from_slice(kind.as_bytes());
            out.extend_from_slice(b"\",\"object\":");
            out.extend_from_slice(bytes.trim_ascii_end());
            out.extend_from_slice(b"}\n");
            return Bytes::from(out);
        }
        let mut raw = Vec::with_capacity(bytes.len() + 8);
        codec::wire::bytes(&mut raw, 1, bytes);
        let mut event = Vec::with_capacity(raw.len() + 24);
        codec::wire::string(&mut event, 1, kind);
        codec::wire::bytes(&mut event, 2, &raw);
        let mut out = Vec::with_capacity(event.len() + 4);
        out.extend_from_slice(&(event.len() as u32).to_be_bytes());
        out.extend_from_slice(&event);
        Bytes::from(out)
    }
}
