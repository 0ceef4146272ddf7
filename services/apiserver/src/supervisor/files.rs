//! Files the supervisor hands out, read when asked for: bootstrap may have renewed them.

use std::path::{Component, Path};

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;
use web::Body;

use crate::errors::{self, Result};
use crate::http::response;

/// A file's text.
pub(super) fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| errors::internal(format!("reading {}: {e}", path.display())))
}

/// A list of objects.
pub(super) fn objects(path: &Path) -> Result<Vec<Value>> {
    serde_json::from_str(&text(path)?).map_err(|e| errors::internal(format!("{}: {e}", path.display())))
}

/// A file below a folder.
pub(super) fn file_of(folder: &Path, name: &str) -> Result<Response<Body>> {
    let relative = Path::new(name);
    let plain = relative.components().all(|c| matches!(c, Component::Normal(_)));
    let content = if plain && !name.is_empty() {
        std::fs::read(folder.join(relative))
    } else {
        Err(std::io::ErrorKind::NotFound.into())
    };
    match content {
        Ok(bytes) => {
            let mut answer = Response::new(web::full(bytes));
            let kind = HeaderValue::from_static("application/octet-stream");
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
            Ok(answer)
        }
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory) =>
        {
            Ok(response::text(StatusCode::NOT_FOUND, "404 page not found\n"))
        }
        Err(error) => Err(errors::internal(format!("reading {name}: {error}"))),
    }
}
