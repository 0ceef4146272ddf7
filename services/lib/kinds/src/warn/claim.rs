//! Volumes and claims to them.
//!
//! # Upstream
//! `pkg/api/persistentvolume/util.go`, `pkg/api/persistentvolumeclaim/util.go`

use std::fmt::Arguments;

use schema::{Map, Object};

use super::{Warnings, fraction, node, volume as sources};
use crate::tree::{map, map_at, maps, text};

const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const CLASS_ADVICE: &str = r#"deprecated since v1.8; use "storageClassName" attribute instead"#;
const OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
const OPTIONS_ADVICE: &str = r#"deprecated since v1.31; use "mountOptions" attribute instead"#;

fn annotation(warnings: &mut Warnings, object: &Object, key: &str, advice: &str) {
    if object.annotation(key).is_some() {
        warnings.push(format!("metadata.annotations[{key}]: {advice}"));
    }
}

/// A PersistentVolume.
pub(crate) fn volume(object: &Object, _: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    annotation(&mut warnings, object, CLASS, CLASS_ADVICE);
    annotation(&mut warnings, object, OPTIONS, OPTIONS_ADVICE);
    let Some(spec) = map(object.root(), "spec") else { return warnings };
    if text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
        let text = "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the \
                    recommended approach is to use dynamic provisioning.";
        warnings.push(text.to_owned());
    }
    let required = map_at(spec, &["nodeAffinity", "required"]).into_iter();
    for (i, term) in required.flat_map(|required| maps(required, "nodeSelectorTerms")).enumerate() {
        let path = format_args!("spec.nodeAffinity.required.nodeSelectorTerms[{i}]");
        node::requirements(&mut warnings, path, term);
    }
    // those that went long ago are told of in pods alone
    let told = |source: &str| !matches!(source, "flocker" | "quobyte");
    for (source, _) in spec.iter().filter(|(source, _)| told(source)) {
        if let Some((field, since)) = sources::deprecated(source) {
            warnings.push(format!("spec.{field}: {since}"));
        }
    }
    warnings
}

/// A PersistentVolumeClaim.
pub(crate) fn claim(object: &Object, _: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    annotation(&mut warnings, object, CLASS, CLASS_ADVICE);
    if let Some(claim) = map(object.root(), "spec") {
        spec(&mut warnings, format_args!("spec"), claim);
    }
    warnings
}

/// What a claim asks for.
pub(super) fn spec(warnings: &mut Warnings, at: Arguments<'_>, spec: &Map) {
    let Some(resources) = map(spec, "resources") else { return };
    for side in ["requests", "limits"] {
        if let Some(amounts) = map(resources, side) {
            fraction(warnings, format_args!("{at}.resources.{side}[storage]"), text(amounts, "storage"));
        }
    }
}
