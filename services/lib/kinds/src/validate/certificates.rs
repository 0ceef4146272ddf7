//! CertificateSigningRequest.
//!
//! # Upstream
//! `pkg/apis/certificates/validation/validation.go`, `pkg/apis/core/validation/names.go`

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::{content, field};
use schema::{Map, Object, Value};

use super::{Errors, shown};
use crate::Context;
use crate::tree::{int, list, map, maps, same, text, texts};

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
/// Conditions that are true or not there; they stay once they are.
const DECISIONS: [&str; 3] = ["Approved", "Denied", "Failed"];
const SHORTEST_SECONDS: i64 = 600;
const CONDITIONS: &str = "status.conditions";

/// A new request.
pub(crate) fn signing_request(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Map::new();
    let spec = map(object.root(), "spec").unwrap_or(&empty);
    // what is no base64 has no block either, and is refused as that
    let pem = STANDARD.decode(text(spec, "request")).unwrap_or_default();
    if !first_block(&pem, "CERTIFICATE REQUEST") {
        let detail = "PEM block type must be CERTIFICATE REQUEST";
        errors.push(field::Error::invalid("spec.request", shown(spec.get("request")), detail));
    }
    if list(spec, "usages").is_empty() {
        errors.push(field::Error::required("spec.usages", ""));
    }
    for (i, usage) in texts(spec, "usages").enumerate() {
        if !USAGES.contains(&usage) {
            errors.push(field::Error::not_supported(format!("spec.usages[{i}]"), usage, &USAGES));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for (i, usage) in texts(spec, "usages").enumerate() {
        if !seen.insert(usage) {
            errors.push(field::Error::duplicate(format!("spec.usages[{i}]"), usage));
        }
    }
    signer(&mut errors, text(spec, "signerName"));
    if let Some(seconds) = int(spec, "expirationSeconds").filter(|s| *s < SHORTEST_SECONDS) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(field::Error::invalid("spec.expirationSeconds", seconds, detail));
    }
    conditions(&mut errors, object);
    certificate(&mut errors, object);
    errors
}

/// Whether a text's first PEM block is of a kind.
fn first_block(pem: &[u8], kind: &str) -> bool {
    let text = String::from_utf8_lossy(pem);
    let Some(start) = text.find("-----BEGIN ") else { return false };
    let block = &text[start..];
    block.starts_with(&format!("-----BEGIN {kind}-----")) && block.contains(&format!("-----END {kind}-----"))
}

fn signer(errors: &mut Errors, name: &str) {
    let at = "spec.signerName";
    if name.is_empty() {
        errors.push(field::Error::required(at, ""));
        return;
    }
    let legacy = "the legacy signerName is not allowed via this API version";
    if name == "kubernetes.io/legacy-unknown" {
        errors.push(field::Error::invalid_str(at, name, legacy));
        return;
    }
    let Some((domain, path)) = name.split_once('/').filter(|(_, path)| !path.contains('/')) else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(field::Error::invalid_str(at, name, detail));
        return;
    };
    let bad = |segment: &str, label: &str, found: Vec<String>| {
        let of =
            |m: String| field::Error::invalid_str(at, segment, format!("validating label {label:?}: {m}"));
        found.into_iter().map(of).collect::<Vec<_>>()
    };
    let labels: Vec<&str> = domain.split('.').collect();
    let wrong = labels.iter().map(|l| (*l, content::dns1123_label(l))).find(|(_, found)| !found.is_empty());
    errors.extend(wrong.map(|(label, found)| bad(domain, label, found)).unwrap_or_default());
    if labels.len() < 2 {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(field::Error::invalid_str(at, domain, detail));
    }
    let parts = path.split('.').map(|l| (l, content::dns1123_subdomain(l)));
    let wrong = parts.into_iter().find(|(_, found)| !found.is_empty());
    errors.extend(wrong.map(|(label, found)| bad(path, label, found)).unwrap_or_default());
}

fn of_kind<'a>(object: &'a Object, kind: &str) -> Vec<&'a Value> {
    let all = object.list_at(&["status", "conditions"]).iter();
    all.filter(|c| c.at(&["type"]).and_then(Value::as_str) == Some(kind)).collect()
}

fn conditions(errors: &mut Errors, object: &Object) {
    let Some(status) = map(object.root(), "status") else { return };
    let mut seen: Vec<&str> = Vec::new();
    for (i, condition) in maps(status, "conditions").enumerate() {
        let (kind, value) = (text(condition, "type"), text(condition, "status"));
        let at = |key: &str| format!("{CONDITIONS}[{i}].{key}");
        if kind.is_empty() {
            errors.push(field::Error::required(at("type"), ""));
        }
        let allowed: &[&str] =
            if DECISIONS.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        match value {
            "" => errors.push(field::Error::required(at("status"), "")),
            value if !allowed.contains(&value) => {
                errors.push(field::Error::not_supported(at("status"), value, allowed));
            }
            _ => {}
        }
        let other = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if seen.contains(&other) && !other.is_empty() {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(field::Error::invalid_str(CONDITIONS, kind, detail));
        }
        if seen.contains(&kind) {
            errors.push(field::Error::duplicate(at("type"), kind));
        }
        seen.push(kind);
    }
}

fn certificate(errors: &mut Errors, object: &Object) {
    let encoded = object.str_at(&["status", "certificate"]);
    if encoded.is_empty() {
        return;
    }
    // what is no base64 has no block either, and is refused as that
    let pem = STANDARD.decode(encoded).unwrap_or_default();
    let text = String::from_utf8_lossy(&pem);
    let other = text.split("-----BEGIN ").skip(1).filter_map(|part| part.split_once("-----"));
    let mut kinds = other.map(|(kind, _)| kind);
    let detail = match kinds.clone().find(|kind| *kind != "CERTIFICATE") {
        Some(kind) => format!("only CERTIFICATE PEM blocks are allowed, found {kind:?}"),
        None if kinds.next().is_none() => "must contain at least one CERTIFICATE PEM block".to_owned(),
        None => return,
    };
    errors.push(field::Error::invalid_str("status.certificate", "<certificate data>", detail));
}

/// A changed request: decisions stay, and each endpoint sets only its own part.
pub(crate) fn signing_request_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = signing_request(cx, object);
    let before = |kind: &str| of_kind(old, kind);
    if DECISIONS[..2].iter().copied().all(|kind| !before(kind).is_empty()) {
        errors.retain(|e| !e.to_string().contains("mutually exclusive"));
    }
    if same(object.at(&["status", "certificate"]), old.at(&["status", "certificate"])) {
        errors.retain(|e| e.path != "status.certificate");
    }
    for kind in DECISIONS {
        if of_kind(object, kind).len() < before(kind).len() {
            let detail = format!("updates may not remove a condition of type {kind:?}");
            errors.push(field::Error::forbidden(CONDITIONS, detail));
        }
    }
    if cx.subresource != "approval" {
        for kind in DECISIONS[..2].iter().copied() {
            let (new, had) = (of_kind(object, kind), before(kind));
            if new.len() > had.len() {
                let detail = format!("updates may not add a condition of type {kind:?}");
                errors.push(field::Error::forbidden(CONDITIONS, detail));
            } else if new.len() == had.len() && new != had {
                let detail = format!("updates may not modify a condition of type {kind:?}");
                errors.push(field::Error::forbidden(CONDITIONS, detail));
            }
        }
    }
    if !same(object.at(&["status", "certificate"]), old.at(&["status", "certificate"])) {
        let at = "status.certificate";
        if cx.subresource != "status" {
            errors.push(field::Error::forbidden(at, "updates may not set certificate content"));
        } else if !old.str_at(&["status", "certificate"]).is_empty() {
            let detail = "updates may not modify existing certificate content";
            errors.push(field::Error::forbidden(at, detail));
        }
    }
    errors
}
