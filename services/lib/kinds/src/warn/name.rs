//! Names that mean more than the name of an object.
//!
//! # Upstream
//! `pkg/registry/*/*/strategy.go`, `pkg/apis/admissionregistration/validation/static_suffix.go`

use meta::content;
use schema::Object;

use super::Warnings;

/// A name that becomes a pod's host name.
pub(super) fn hostname(warnings: &mut Warnings, object: &Object, used_in: &str) {
    let problems = content::dns1123_label(object.name());
    if !problems.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in {used_in}, which can result in surprising behavior; a DNS label is \
             recommended: [{}]",
            problems.join(" ")
        ));
    }
}

/// A name kept for what is configured by files.
pub(crate) fn reserved(object: &Object, _: Option<&Object>) -> Warnings {
    let text = "metadata.name: names ending with \".static.k8s.io\" are reserved for static manifest-based \
                configurations and cannot be managed via the API";
    let reserved = object.name().ends_with(".static.k8s.io");
    reserved.then(|| text.to_owned()).into_iter().collect()
}
