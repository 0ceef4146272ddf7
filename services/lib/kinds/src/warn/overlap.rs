//! Files of one volume that would be written one over another.
//!
//! # Upstream
//! `pkg/api/pod/warnings.go` `warningsForOverlappingVirtualPaths`

use std::fmt::{self, Display};

use meta::field::quote;
use schema::Map;

use super::Warnings;
use crate::tree::{map, maps, text};

/// A file, and what it is made of where a volume has more than one source.
#[derive(Clone, Copy)]
struct File<'a> {
    path: &'a str,
    source: Option<(&'static str, Option<&'a str>)>,
}

impl<'a> File<'a> {
    fn new(path: &'a str, source: Option<(&'static str, Option<&'a str>)>) -> Self {
        Self { path: path.trim_end_matches('/'), source }
    }

    /// Whether both are the same file, or one is a directory on the way to the other.
    fn overlaps(&self, other: &File<'_>) -> bool {
        let is_within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let named = !self.path.is_empty() && !other.path.is_empty();
        named && (is_within(self.path, other.path) || is_within(other.path, self.path))
    }
}

impl Display for File<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = quote(self.path);
        match self.source {
            None => write!(f, "{path}"),
            Some((kind, None)) => write!(f, "{path} ({kind})"),
            Some((kind, Some(name))) => write!(f, "{path} ({kind} {})", quote(name)),
        }
    }
}

/// A pod's volumes.
pub(super) fn overlaps(warnings: &mut Warnings, spec: &Map) {
    for volume in maps(spec, "volumes") {
        let name = text(volume, "name");
        if let Some(source) = map(volume, "configMap") {
            let kind = ("ConfigMap", Some(text(source, "name")));
            among(warnings, name, kind, items(source, None));
        }
        if let Some(source) = map(volume, "secret") {
            let kind = ("Secret", Some(text(source, "secretName")));
            among(warnings, name, kind, items(source, None));
        }
        if let Some(source) = map(volume, "downwardAPI") {
            among(warnings, name, ("DownwardAPI", None), items(source, None));
        }
        if let Some(source) = map(volume, "projected") {
            projected(warnings, name, source);
        }
    }
}

type Kind<'a> = (&'static str, Option<&'a str>);

fn items<'a>(owner: &'a Map, source: Option<Kind<'a>>) -> impl Iterator<Item = File<'a>> + Clone {
    maps(owner, "items").map(move |item| File::new(text(item, "path"), source))
}

/// Each file against those before it.
fn among<'a>(
    warnings: &mut Warnings,
    volume: &str,
    kind: Kind<'_>,
    files: impl Iterator<Item = File<'a>> + Clone,
) {
    for (i, file) in files.clone().enumerate() {
        against(warnings, volume, kind, file, files.clone().take(i));
    }
}

fn against<'a>(
    warnings: &mut Warnings,
    volume: &str,
    (kind, of): Kind<'_>,
    file: File<'_>,
    before: impl Iterator<Item = File<'a>>,
) {
    for other in before.filter(|other| file.overlaps(other)) {
        let of = of.map_or(String::new(), |name| [" ", &quote(name)].concat());
        let volume = quote(volume);
        warnings.push(format!("volume {volume} ({kind}{of}): overlapping paths: {file} with {other}"));
    }
}

fn projected(warnings: &mut Warnings, volume: &str, owner: &Map) {
    let mut count = 0;
    for source in maps(owner, "sources") {
        if source.is_empty() {
            warnings.push(format!("volume {} (Projected) has no sources provided", quote(volume)));
        }
        for file in files(source) {
            let before = maps(owner, "sources").flat_map(files).take(count);
            against(warnings, volume, ("Projected", None), file, before);
            count += 1;
        }
    }
}

/// The files of one source of a projected volume.
fn files(source: &Map) -> impl Iterator<Item = File<'_>> {
    let listed = |key: &str, kind: &'static str| {
        let owner = map(source, key);
        let name = owner.map(|owner| text(owner, "name")).filter(|_| kind != "DownwardAPI");
        owner.into_iter().flat_map(move |owner| items(owner, Some((kind, name))))
    };
    let token = map(source, "serviceAccountToken");
    let token = token.map(|token| File::new(text(token, "path"), Some(("ServiceAccountToken", None))));
    let bundle = map(source, "clusterTrustBundle").map(|bundle| {
        let name = if bundle.contains_key("name") { "name" } else { "signerName" };
        let kind = ("ClusterTrustBundle", Some(text(bundle, name)));
        File::new(text(bundle, "path"), Some(kind))
    });
    listed("configMap", "ConfigMap")
        .chain(listed("secret", "Secret"))
        .chain(listed("downwardAPI", "DownwardAPI"))
        .chain(token)
        .chain(bundle)
        .chain(certificate(source))
}

fn certificate(source: &Map) -> impl Iterator<Item = File<'_>> {
    const PATHS: [(&str, &str); 3] = [
        ("certificateChainPath", "PodCertificate chain"),
        ("keyPath", "PodCertificate key"),
        ("credentialBundlePath", "PodCertificate credential bundle"),
    ];
    let owner = map(source, "podCertificate").into_iter();
    owner.flat_map(|owner| {
        let paths = PATHS.into_iter().map(|(key, kind)| (text(owner, key), kind));
        paths.filter(|(path, _)| !path.is_empty()).map(|(path, kind)| File::new(path, Some((kind, None))))
    })
}
