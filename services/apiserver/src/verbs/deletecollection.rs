//! DELETE of what a list selects.

use super::Call;
use super::delete::{Deletion, read_options, warn_of_orphans};
use crate::encode::Answer;
use crate::errors::Result;
use crate::request::options::ListOptions;
use crate::selector::Selection;
use crate::store::read::Query;

/// Deletes one object after the other, as single deletions; answers the list of what was selected.
pub async fn run(call: &Call) -> Result<Answer> {
    let form = call.form(true)?;
    let options = ListOptions::read(call.query.as_deref(), false)?;
    let selection = Selection::read(&call.endpoint, &options.label_selector, &options.field_selector)?;
    let delete = read_options(call)?;
    warn_of_orphans(call, &delete);
    let cache = call.cache();
    let query = Query { cache: &cache, namespace: &call.info.namespace, selection: &selection };
    let listing = call.server.store.list(&query, &options).await?;
    for entry in &listing.entries {
        let resource = &call.endpoint.resource;
        let (namespace, name) = (resource.namespace_of(&entry.key), resource.name_of(&entry.key));
        let single = call.for_object(namespace, name);
        match Deletion::new(&single, name, delete.clone()).run_to_end().await {
            Ok(_) => {}
            // somebody else was faster
            Err(error) if error.is(meta::Reason::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Answer::list(form, listing))
}
