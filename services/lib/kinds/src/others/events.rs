//! Events in their two groups: the core form is stored, the newer one only renames.
//!
//! # Upstream
//! `pkg/apis/events/v1/conversion.go`

use schema::{Object, Value};

/// Fields by their names in the core group and in events.k8s.io.
const NAMES: [(&str, &str); 8] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
    ("series", "series"),
];

/// The served version alone does not tell the groups apart; the object's `apiVersion` and the wanted one do.
pub(crate) fn convert(from: &str, to: &str, object: &mut Object) -> Result<(), String> {
    let newer = |v: &str| v.starts_with("events.k8s.io/");
    let current = if from.contains('/') { newer(from) } else { newer(object.api_version()) };
    let wanted = if to.contains('/') { newer(to) } else { !current };
    if current == wanted {
        return Ok(());
    }
    let old = std::mem::take(object.root_mut());
    for (key, value) in old {
        let renamed = NAMES.iter().find(|(core, new)| key == if wanted { *core } else { *new });
        let name = renamed.map(|(core, new)| if wanted { *new } else { *core });
        match name {
            Some(name) => object.root_mut().push(name, value),
            None => object.root_mut().push(key, value),
        }
    }
    let version = if wanted { "events.k8s.io/v1" } else { "v1" };
    object.root_mut().insert("apiVersion", Value::from(version));
    Ok(())
}
