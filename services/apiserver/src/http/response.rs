//! Responses: compression, errors, plain text.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use web::Body;

use crate::encode::object::of_status;
use crate::errors::Error;
use crate::request::accept::{self, Media, Offer};

/// Smaller bodies are not worth compressing.
const GZIP_FROM: usize = 128 << 10;

/// Whether an `Accept-Encoding` header takes gzip.
pub fn takes_gzip(accept: &str) -> bool {
    accept.split(',').any(|part| part.split(';').next().is_some_and(|c| c.trim() == "gzip"))
}

/// A body, compressed when large and the client takes it.
pub fn compressed(accept_encoding: &str, bytes: Bytes) -> Response<Body> {
    if bytes.len() <= GZIP_FROM || !takes_gzip(accept_encoding) {
        return Response::new(web::full(bytes));
    }
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 8), flate2::Compression::new(1));
    let zipped = std::io::Write::write_all(&mut encoder, &bytes).and_then(|()| encoder.finish());
    let Ok(zipped) = zipped else { return Response::new(web::full(bytes)) };
    let mut response = Response::new(web::full(zipped));
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// An error as its `Status`, in the form the client takes (JSON when it takes none of ours).
pub fn of_error(error: &Error, accept_header: &str) -> Response<Body> {
    let offer = Offer { protobuf: true, table: false, partial: false, list: false };
    let media = accept::negotiate(accept_header, offer, false).map_or(Media::Json, |f| f.media);
    let status = error.status();
    let mut response = Response::new(web::full(of_status(status, media)));
    *response.status_mut() = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    let retry = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
    if retry > 0 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry));
    }
    response
}

/// A refusal by who asks, which browsers are told not to take for anything else.
pub fn of_refusal(error: &Error, accept_header: &str) -> Response<Body> {
    let mut response = of_error(error, accept_header);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Plain text.
pub fn text(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(web::full(body.into()));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// JSON.
pub fn json(body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(web::full(body.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The `Warning` headers for a list of warnings: deduplicated, at most 4 KiB together.
///
/// # Upstream
/// `k8s.io/apiserver/pkg/endpoints/filters/warning.go`
pub fn add_warnings(headers: &mut http::HeaderMap, warnings: &[String]) {
    let mut total = 0;
    let mut sent: Vec<&str> = Vec::new();
    for text in warnings {
        if sent.contains(&text.as_str()) {
            continue;
        }
        sent.push(text);
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let quoted = clean.replace('\\', "\\\\").replace('"', "\\\"");
        total += quoted.len();
        if total > 4096 {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            headers.append(header::WARNING, value);
        }
    }
}
