//! GET of a collection.

use super::Call;
use crate::encode::Answer;
use crate::errors::Result;
use crate::request::options::ListOptions;
use crate::selector::Selection;
use crate::store::read::Query;

/// Answers the objects a list selects.
pub async fn run(call: &Call) -> Result<Answer> {
    let form = call.form(true)?;
    let options = ListOptions::read(call.query.as_deref(), false)?;
    let selection = Selection::read(&call.endpoint, &options.label_selector, &options.field_selector)?;
    let cache = call.cache();
    let query = Query { cache: &cache, namespace: &call.info.namespace, selection: &selection };
    let listing = call.server.store.list(&query, &options).await?;
    Ok(Answer::list(form, listing))
}
