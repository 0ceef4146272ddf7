//! GET of one object.

use super::Call;
use crate::encode::Answer;
use crate::errors::Result;
use crate::request::options::ListOptions;

/// Answers the object the path names.
pub async fn run(call: &Call) -> Result<Answer> {
    let form = call.form(false)?;
    let options = ListOptions::read(call.query.as_deref(), false)?;
    let cache = call.cache();
    let entry = call.server.store.get(&cache, &call.key(), &options.resource_version).await?;
    let entry = entry.ok_or_else(|| call.missing())?;
    Ok(Answer::entry(form, http::StatusCode::OK, entry))
}
