//! The options of reads and writes, from query and body, with upstream's checks.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/apis/meta/internalversion/validation/validation.go` `ValidateListOptions`,
//! `k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go`

use meta::field;

use super::info::query_pairs;
use crate::errors::{self, Result};

/// How `resourceVersion` binds a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Match {
    /// Not said.
    #[default]
    Unset,
    /// Exactly that revision.
    Exact,
    /// That revision or a newer one.
    NotOlderThan,
}

/// Options of list, watch and deletecollection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Raw label selector.
    pub label_selector: String,
    /// Raw field selector.
    pub field_selector: String,
    /// Raw resource version.
    pub resource_version: String,
    /// How the resource version binds.
    pub version_match: Match,
    /// Page size, zero for none.
    pub limit: usize,
    /// Continue token.
    pub continue_token: String,
    /// Watch instead of list.
    pub watch: bool,
    /// The client takes bookmarks.
    pub bookmarks: bool,
    /// The watch's own timeout.
    pub timeout_seconds: Option<u64>,
    /// WatchList: initial state as events, then a marked bookmark.
    pub send_initial_events: Option<bool>,
}

fn boolean(text: &str) -> bool {
    !matches!(text, "false" | "0" | "f" | "F" | "FALSE" | "False")
}

fn number(text: &str) -> Result<i64> {
    text.parse::<i64>()
        .map_err(|_| errors::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
}

impl ListOptions {
    /// Reads and checks the query of a list (or watch, when `watch` says so or the query does).
    pub fn read(query: Option<&str>, watch: bool) -> Result<Self> {
        let mut o = Self { watch, ..Self::default() };
        let mut raw_match = String::new();
        for (key, value) in query_pairs(query) {
            match key.as_str() {
                "labelSelector" => o.label_selector = value,
                "fieldSelector" => o.field_selector = value,
                "resourceVersion" => o.resource_version = value,
                "resourceVersionMatch" => raw_match = value,
                "limit" if !value.is_empty() => o.limit = number(&value)?.max(0) as usize,
                "continue" => o.continue_token = value,
                "watch" => o.watch |= boolean(&value),
                "allowWatchBookmarks" => o.bookmarks = boolean(&value),
                "timeoutSeconds" if !value.is_empty() => {
                    o.timeout_seconds = Some(number(&value)?.max(0) as u64);
                }
                "sendInitialEvents" if !value.is_empty() => o.send_initial_events = Some(boolean(&value)),
                _ => {}
            }
        }
        let problems = o.check(&raw_match);
        if !problems.is_empty() {
            return Err(errors::invalid("meta.k8s.io", "ListOptions", "", &problems));
        }
        o.version_match = match raw_match.as_str() {
            "Exact" => Match::Exact,
            "NotOlderThan" => Match::NotOlderThan,
            _ => Match::Unset,
        };
        if o.watch && o.send_initial_events.is_none() && matches!(o.resource_version.as_str(), "" | "0") {
            // since WatchList such a watch is one with initial events
            o.send_initial_events = Some(true);
            o.version_match = Match::NotOlderThan;
        }
        Ok(o)
    }

    fn check(&self, raw_match: &str) -> Vec<field::Error> {
        let path = "resourceVersionMatch";
        let mut problems = Vec::new();
        if self.watch {
            if self.send_initial_events.is_some() && raw_match != "NotOlderThan" {
                let text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                problems.push(field::Error::forbidden(path, text));
            }
            if raw_match.is_empty() {
                return problems;
            }
            if self.send_initial_events.is_none() {
                let text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                problems.push(field::Error::forbidden(path, text));
            }
            if raw_match != "NotOlderThan" {
                problems.push(field::Error::not_supported(path, raw_match, &["NotOlderThan"]));
            }
            if !self.continue_token.is_empty() {
                let text = "resourceVersionMatch is forbidden when continue is provided";
                problems.push(field::Error::forbidden(path, text));
            }
            return problems;
        }
        if !raw_match.is_empty() {
            self.check_match(raw_match, &mut problems);
        }
        if self.send_initial_events.is_some() {
            let text = "sendInitialEvents is forbidden for list";
            problems.push(field::Error::forbidden("sendInitialEvents", text));
        }
        problems
    }

    fn check_match(&self, raw_match: &str, problems: &mut Vec<field::Error>) {
        let path = "resourceVersionMatch";
        if self.resource_version.is_empty() {
            let text = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            problems.push(field::Error::forbidden(path, text));
        }
        if !self.continue_token.is_empty() {
            let text = "resourceVersionMatch is forbidden when continue is provided";
            problems.push(field::Error::forbidden(path, text));
        }
        if raw_match != "Exact" && raw_match != "NotOlderThan" {
            problems.push(field::Error::not_supported(path, raw_match, &["Exact", "NotOlderThan", ""]));
        }
        if raw_match == "Exact" && self.resource_version == "0" {
            let text = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            problems.push(field::Error::forbidden(path, text));
        }
    }
}

/// Reads a resource version: empty is `None`. Upstream leaves what it says of a bad one without a reason.
pub fn parse_revision(text: &str) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse::<i64>().ok().filter(|n| *n >= 0);
    let why = || {
        format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        )
    };
    number.map(Some).ok_or_else(|| errors::unclassified(why()))
}

/// What happens to unknown and duplicate fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validation {
    /// Dropped silently.
    Ignore,
    /// Dropped with a warning each.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

/// Options of create, update and patch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Run everything, persist nothing.
    pub dry_run: bool,
    /// Who owns the fields written; never empty.
    pub field_manager: String,
    /// What happens to unknown fields.
    pub validation: Validation,
    /// Apply takes fields from other owners.
    pub force: Option<bool>,
}

/// The manager's name when none is given: the user agent up to its first slash.
///
/// # Upstream
/// `k8s.io/apiserver/pkg/endpoints/handlers/create.go` `managerOrUserAgent`
pub fn manager_from_agent(agent: &str) -> String {
    let head = agent.split('/').next().unwrap_or("");
    let name: String = head.chars().filter(|c| !c.is_control()).take(128).collect();
    if name.is_empty() { "unknown".into() } else { name }
}

/// What is said of dry runs that are none: all that was asked for, as a list.
///
/// # Upstream
/// `k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go` `ValidateDryRun`
fn dry_run_problem(asked: &[String]) -> field::Error {
    let asked = serde_json::Value::from(asked).to_string();
    field::Error::new(field::ErrorKind::NotSupported, "dryRun", asked, "supported values: \"All\"")
}

impl WriteOptions {
    /// Reads and checks the query of a write. `kind` names the options in errors (`CreateOptions`, …); with
    /// `apply` the manager must be given and `force` is allowed.
    pub fn read(query: Option<&str>, kind: &str, agent: &str, apply: Option<bool>) -> Result<Self> {
        let mut o = Self::default();
        let mut problems = Vec::new();
        for (key, value) in query_pairs(query) {
            match key.as_str() {
                "dryRun" if value == "All" => o.dry_run = true,
                "dryRun" if value.is_empty() => {}
                "dryRun" => {
                    problems.push(dry_run_problem(&[value]));
                }
                "fieldManager" => o.field_manager = value,
                "force" if !value.is_empty() => o.force = Some(boolean(&value)),
                "fieldValidation" => match value.as_str() {
                    "" => {}
                    "Ignore" => o.validation = Validation::Ignore,
                    "Warn" => o.validation = Validation::Warn,
                    "Strict" => o.validation = Validation::Strict,
                    other => problems.push(field::Error::not_supported(
                        "fieldValidation",
                        other,
                        &["", "Ignore", "Strict", "Warn"],
                    )),
                },
                _ => {}
            }
        }
        check_manager(&o.field_manager, &mut problems);
        match apply {
            Some(true) if o.field_manager.is_empty() => {
                problems.push(field::Error::required("fieldManager", "is required for apply patch"));
            }
            Some(false) if o.force.is_some() => {
                problems.push(field::Error::forbidden("force", "may not be specified for non-apply patch"));
            }
            _ => {}
        }
        if !problems.is_empty() {
            return Err(errors::invalid("meta.k8s.io", kind, "", &problems));
        }
        if o.field_manager.is_empty() {
            o.field_manager = manager_from_agent(agent);
        }
        Ok(o)
    }
}

fn check_manager(name: &str, problems: &mut Vec<field::Error>) {
    if name.len() > 128 {
        let detail = "may not be more than 128 bytes";
        problems.push(field::Error::new(field::ErrorKind::TooLong, "fieldManager", "", detail));
    }
    if let Some((i, c)) = name.char_indices().find(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {i})", c as u32);
        problems.push(field::Error::invalid_str("fieldManager", name, detail));
    }
}

/// How dependents of a deleted object are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They lose their owner reference.
    Orphan,
    /// They are collected afterwards.
    Background,
    /// They are deleted first.
    Foreground,
}

/// Options of delete and deletecollection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Run everything, persist nothing.
    pub dry_run: bool,
    /// Seconds to end gracefully.
    pub grace: Option<i64>,
    /// The uid the object must have.
    pub uid: Option<String>,
    /// The resource version the object must have.
    pub resource_version: Option<String>,
    /// What becomes of dependents.
    pub propagation: Option<Propagation>,
    /// The old form of `propagation`.
    pub orphan_dependents: Option<bool>,
}

impl DeleteOptions {
    /// Reads them from the query.
    pub fn from_query(query: Option<&str>) -> Result<Self> {
        let mut body = serde_json::Map::new();
        for (key, value) in query_pairs(query) {
            let value: serde_json::Value = match key.as_str() {
                "gracePeriodSeconds" => number(&value)?.into(),
                "orphanDependents" => boolean(&value).into(),
                "propagationPolicy" => value.into(),
                "dryRun" if value.is_empty() => continue,
                "dryRun" => vec![value].into(),
                _ => continue,
            };
            body.insert(key, value);
        }
        Self::from_json(&body)
    }

    /// Reads them from a decoded body.
    pub fn from_json(body: &serde_json::Map<String, serde_json::Value>) -> Result<Self> {
        let mut o =
            Self { grace: body.get("gracePeriodSeconds").and_then(|v| v.as_i64()), ..Self::default() };
        let mut problems = Vec::new();
        let asked = body.get("dryRun").and_then(|v| v.as_array()).into_iter().flatten();
        let asked: Vec<String> = asked.map(|v| v.as_str().unwrap_or("").to_owned()).collect();
        o.dry_run = asked.iter().any(|value| value == "All");
        if asked.iter().any(|value| value != "All") {
            problems.push(dry_run_problem(&asked));
        }
        if let Some(preconditions) = body.get("preconditions").and_then(|v| v.as_object()) {
            let text = |key: &str| preconditions.get(key).and_then(|v| v.as_str()).map(str::to_owned);
            o.uid = text("uid");
            o.resource_version = text("resourceVersion");
        }
        o.orphan_dependents = body.get("orphanDependents").and_then(|v| v.as_bool());
        match body.get("propagationPolicy").and_then(|v| v.as_str()) {
            None => {}
            Some("Orphan") => o.propagation = Some(Propagation::Orphan),
            Some("Background") => o.propagation = Some(Propagation::Background),
            Some("Foreground") => o.propagation = Some(Propagation::Foreground),
            Some(other) => problems.push(field::Error::not_supported(
                "propagationPolicy",
                other,
                &["Foreground", "Background", "Orphan", "nil"],
            )),
        }
        if o.propagation.is_some() && o.orphan_dependents.is_some() {
            let text = "orphanDependents and deletionPropagation cannot be both set";
            problems.push(field::Error::invalid(
                "propagationPolicy",
                body["propagationPolicy"].clone(),
                text,
            ));
        }
        if !problems.is_empty() {
            return Err(errors::invalid("meta.k8s.io", "DeleteOptions", "", &problems));
        }
        // negative asks for the shortest graceful deletion there is
        o.grace = o.grace.map(|g| if g < 0 { 1 } else { g });
        Ok(o)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_options() {
        let refused = [
            ("resourceVersionMatch=Exact", false),
            ("resourceVersionMatch=Exact&resourceVersion=0", false),
            ("resourceVersionMatch=Sometimes&resourceVersion=1", false),
            ("resourceVersionMatch=Exact&resourceVersion=1&continue=x", false),
            ("sendInitialEvents=true", false),
            ("sendInitialEvents=true", true),
            ("resourceVersionMatch=NotOlderThan", true),
        ];
        for (query, watch) in refused {
            let error = ListOptions::read(Some(query), watch).unwrap_err();
            assert_eq!(error.status().code, 422, "{query}");
        }
        let o = ListOptions::read(Some("watch=1&allowWatchBookmarks=true"), false).unwrap();
        assert_eq!(o.send_initial_events, Some(true));
        let o = ListOptions::read(Some("resourceVersion=7&limit=5"), false).unwrap();
        assert_eq!((o.limit, o.version_match), (5, Match::Unset));
    }

    #[test]
    fn managers() {
        for (agent, manager) in [("kubectl/v1.36 (linux)", "kubectl"), ("", "unknown"), ("curl", "curl")] {
            assert_eq!(manager_from_agent(agent), manager);
        }
        let missing = WriteOptions::read(None, "PatchOptions", "x", Some(true)).unwrap_err();
        assert_eq!(missing.status().code, 422);
    }
}
