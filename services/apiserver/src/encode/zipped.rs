//! Large lists for clients that take gzip, put together of the pieces kept of their resource.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{HeaderValue, Response, header};
use web::{Body, BodySender};

use super::{list, object};
use crate::codec::wire;
use crate::errors::Result;
use crate::registry::Endpoint;
use crate::request::accept::Media;
use crate::store::cache::ResourceCache;
use crate::store::entry::Entry;
use crate::store::pieces::{Compressor, Form, Gzip, Piece, runs};
use crate::store::read::Listing;
use crate::verbs::Call;

/// A list is sent in parts of about this size.
const PART: usize = 64 << 10;

/// Answers with a list of everything there is, plain objects in the storage version.
pub(super) fn respond(call: &Call, media: Media, listing: &Listing) -> Response<Body> {
    let (sender, body) = web::channel(4);
    let form = if media == Media::Protobuf { Form::Protobuf } else { Form::Json };
    let job = Job {
        endpoint: call.endpoint.clone(),
        cache: call.cache(),
        entries: listing.entries.clone(),
        head: match form {
            Form::Json => list::json_head(&call.endpoint, listing),
            Form::Protobuf => list::protobuf_meta(listing),
        },
        form,
    };
    tokio::spawn(async move {
        let done = match form {
            Form::Json => job.json(&sender).await,
            Form::Protobuf => job.protobuf(&sender).await,
        };
        match done {
            Ok(Ok(())) => {}
            Ok(Err(Gone)) => tracing::debug!("a client went away in the middle of a list"),
            // the answer has begun: all that can be done is to cut it
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot encode a list");
                if sender.abort(Box::new(error)).await.is_err() {
                    tracing::debug!("a client went away before the end of its list");
                }
            }
        }
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

struct Job {
    endpoint: Arc<Endpoint>,
    cache: Arc<ResourceCache>,
    entries: Vec<Arc<Entry>>,
    head: Vec<u8>,
    form: Form,
}

/// The client went away.
struct Gone;

type Sent = std::result::Result<(), Gone>;

impl Job {
    async fn json(&self, sender: &BodySender) -> Result<Sent> {
        let (mut gzip, mut made) = (Gzip::default(), Made::default());
        gzip.plain(&self.head);
        for (i, run) in runs(&self.entries).enumerate() {
            if i > 0 {
                gzip.plain(b",");
            }
            let piece = self.piece(run, &mut made)?;
            gzip.piece(&piece);
            if let Err(gone) = send(&mut gzip, PART, sender).await {
                return Ok(Err(gone));
            }
        }
        self.cache.pieces.sweep(self.form, &self.entries, &made.firsts);
        gzip.plain(b"]}");
        gzip.finish();
        Ok(send(&mut gzip, 0, sender).await)
    }

    /// The envelope says how long the list is: all pieces come first.
    async fn protobuf(&self, sender: &BodySender) -> Result<Sent> {
        let (mut gzip, mut made) = (Gzip::default(), Made::default());
        let mut pieces = Vec::new();
        for run in runs(&self.entries) {
            pieces.push(self.piece(run, &mut made)?);
            tokio::task::consume_budget().await;
        }
        self.cache.pieces.sweep(self.form, &self.entries, &made.firsts);
        let length = self.head.len() + pieces.iter().map(|piece| piece.bytes).sum::<usize>();
        let kind = format!("{}List", self.endpoint.face.gvk.kind);
        let mut head = crate::codec::envelope_head(&self.endpoint.api_version(), &kind, length);
        head.extend_from_slice(&self.head);
        gzip.plain(&head);
        for piece in &pieces {
            gzip.piece(piece);
            if let Err(gone) = send(&mut gzip, PART, sender).await {
                return Ok(Err(gone));
            }
        }
        gzip.plain(crate::codec::ENVELOPE_TAIL);
        gzip.finish();
        Ok(send(&mut gzip, 0, sender).await)
    }

    fn piece(&self, run: &[Arc<Entry>], made: &mut Made) -> Result<Arc<Piece>> {
        made.firsts.extend(run.first().map(|entry| entry.key.clone()));
        self.cache.pieces.of(self.form, run, &mut made.compressor, |out| -> Result<()> {
            for (i, entry) in run.iter().enumerate() {
                match self.form {
                    Form::Json => {
                        if i > 0 {
                            out.push(b',');
                        }
                        list::native_item(&self.endpoint, entry, out);
                    }
                    Form::Protobuf => wire::bytes(out, 2, &object::protobuf_once(&self.endpoint, entry)?),
                }
            }
            Ok(())
        })
    }
}

#[derive(Default)]
struct Made {
    compressor: Compressor,
    firsts: BTreeSet<crate::store::entry::Key>,
}

async fn send(gzip: &mut Gzip, from: usize, sender: &BodySender) -> Sent {
    if gzip.out.len() < from {
        return Ok(());
    }
    let part =
        std::mem::replace(&mut gzip.out, Vec::with_capacity(if from == 0 { 0 } else { PART + (16 << 10) }));
    sender.send(part.into()).await.map_err(|_| Gone)
}
