//! Volumes of kinds that no longer work.
//!
//! # Upstream
//! `pkg/api/pod/warnings.go` `warningsForPodSpecAndMeta`

use super::pod::Template;
use super::{Warnings, claim};
use crate::tree::{map, map_at, maps};

/// A pod's volumes.
pub(super) fn volumes(warnings: &mut Warnings, Template { at, spec, .. }: Template<'_>) {
    for (i, volume) in maps(spec, "volumes").enumerate() {
        for (source, _) in volume.iter() {
            if let Some((field, since)) = deprecated(source) {
                warnings.push(format!("{at}spec.volumes[{i}].{field}: {since}"));
            }
        }
        let template = map(volume, "ephemeral").and_then(|e| map_at(e, &["volumeClaimTemplate", "spec"]));
        if let Some(spec) = template {
            let path = format_args!("{at}spec.volumes[{i}].ephemeral.volumeClaimTemplate.spec");
            claim::spec(warnings, path, spec);
        }
    }
}

/// A source that does not work any more: how its path spells it, and since when.
pub(super) fn deprecated(source: &str) -> Option<(&'static str, &'static str)> {
    Some(match source {
        "photonPersistentDisk" => ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        "gitRepo" => ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
        "scaleIO" => ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        "flocker" => ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
        "storageos" => ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
        "quobyte" => ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
        "glusterfs" => ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        "cephfs" => ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        "rbd" => ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
        _ => return None,
    })
}
