//! Which form of an answer a client wants.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/handlers/negotiation/negotiate.go`

use crate::errors::{self, Result};

/// The protobuf media type.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// What `406` and `415` list.
pub const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];

/// How an answer is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Media {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

impl Media {
    /// Its name on the wire.
    pub fn content_type(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Yaml => "application/yaml",
            Media::Protobuf => PROTOBUF,
        }
    }
}

/// What the object is turned into before it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// The object itself.
    Plain,
    /// A `Table` of `meta.k8s.io`.
    Table,
    /// Only type and metadata (of one object or of a list's items).
    Partial,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// Encoding.
    pub media: Media,
    /// Transformation.
    pub shape: Shape,
    /// `meta.k8s.io/v1beta1` was asked for instead of `v1`.
    pub beta: bool,
    /// Indented JSON.
    pub pretty: bool,
}

impl Form {
    /// Compact JSON of the object itself.
    pub const JSON: Form = Form { media: Media::Json, shape: Shape::Plain, beta: false, pretty: false };
}

/// One clause of an `Accept` header.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause<'a> {
    /// `application/json`, `*/*`, …
    pub media: &'a str,
    /// Parameters besides `q`.
    pub params: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl<'a> Clause<'a> {
    /// The parameter `key`.
    pub fn param(&self, key: &str) -> &'a str {
        self.params.iter().find(|(k, _)| *k == key).map_or("", |(_, v)| v)
    }
}

/// The clauses of an `Accept` header, best first.
pub fn clauses(header: &str) -> Vec<Clause<'_>> {
    let mut found: Vec<Clause<'_>> = header
        .split(',')
        .filter_map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let media = parts.next().filter(|m| !m.is_empty())?;
            let mut quality = 1.0;
            let mut params = Vec::new();
            for part in parts {
                let (k, v) = part.split_once('=').unwrap_or((part, ""));
                let v = v.trim_matches('"');
                if k == "q" { quality = v.parse().unwrap_or(1.0) } else { params.push((k, v)) }
            }
            Some(Clause { media, params, quality })
        })
        .collect();
    // stable: clauses of one quality keep their order
    found.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    found
}

fn media_of(clause: &str, protobuf: bool) -> Option<Media> {
    match clause {
        "*/*" | "application/*" | "application/json" => Some(Media::Json),
        "application/yaml" => Some(Media::Yaml),
        PROTOBUF if protobuf => Some(Media::Protobuf),
        _ => None,
    }
}

/// Which shapes an endpoint offers.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Protobuf is possible (not for custom resources).
    pub protobuf: bool,
    /// `as=Table` is possible.
    pub table: bool,
    /// `as=PartialObjectMetadata` is possible.
    pub partial: bool,
    /// The answer is a list (`as=PartialObjectMetadataList`).
    pub list: bool,
}

fn shape_of(clause: &Clause<'_>, offer: Offer) -> Option<(Shape, bool)> {
    let wanted = clause.param("as");
    if wanted.is_empty() {
        return Some((Shape::Plain, false));
    }
    if clause.param("g") != "meta.k8s.io" {
        return None;
    }
    let beta = match clause.param("v") {
        "v1" => false,
        "v1beta1" => true,
        _ => return None,
    };
    match wanted {
        "Table" if offer.table => Some((Shape::Table, beta)),
        "PartialObjectMetadata" if offer.partial && !offer.list => Some((Shape::Partial, beta)),
        "PartialObjectMetadataList" if offer.partial && offer.list => Some((Shape::Partial, beta)),
        _ => None,
    }
}

/// Picks the form for an `Accept` header among what the endpoint offers.
pub fn negotiate(header: &str, offer: Offer, pretty: bool) -> Result<Form> {
    if header.trim().is_empty() {
        return Ok(Form { pretty, ..Form::JSON });
    }
    for clause in clauses(header) {
        let (Some(media), Some((shape, beta))) =
            (media_of(clause.media, offer.protobuf), shape_of(&clause, offer))
        else {
            continue;
        };
        let pretty = pretty || clause.param("pretty") == "1";
        return Ok(Form { media, shape, beta, pretty });
    }
    Err(errors::not_acceptable(&MEDIA_TYPES))
}

/// Whether an `Accept` header names a media type of ours, whatever it wants made of the object.
pub fn names_ours(header: &str) -> bool {
    header.trim().is_empty() || clauses(header).iter().any(|clause| media_of(clause.media, true).is_some())
}

/// Whether a user agent is a person's: they get indented JSON.
pub fn pretty_agent(agent: &str) -> bool {
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|a| agent.starts_with(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offer = Offer { protobuf: true, table: true, partial: true, list: true };

    #[test]
    fn forms() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(kubectl, ALL, false).unwrap().shape, Shape::Table);
        let review = Offer { table: false, ..ALL };
        assert_eq!(negotiate(kubectl, review, false).unwrap(), Form::JSON);
        let only_table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(negotiate(only_table, review, false).unwrap_err().status().code, 406);
        let go = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(negotiate(go, ALL, false).unwrap().media, Media::Protobuf);
        assert_eq!(negotiate(go, Offer { protobuf: false, ..ALL }, false).unwrap().media, Media::Json);
        assert_eq!(negotiate("text/html", ALL, false).unwrap_err().status().code, 406);
        assert_eq!(negotiate("", ALL, true).unwrap(), Form { pretty: true, ..Form::JSON });
        let partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        let form = negotiate(partial, ALL, false).unwrap();
        assert_eq!((form.media, form.shape), (Media::Protobuf, Shape::Partial));
    }
}
