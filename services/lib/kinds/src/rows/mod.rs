//! The rows of `kubectl get`: one function a kind, as many cells as the kind has columns.
//!
//! # Upstream
//! `pkg/printers/internalversion/printers.go`

mod columns;
mod core;
mod network;
mod others;
mod pods;
mod policy;
mod workloads;

use schema::{Map, Value};

use crate::tree::{map, map_at, maps, text};
use crate::{Cell, RowCondition};

pub(crate) use columns::*;
pub(crate) use core::*;
pub(crate) use network::*;
pub(crate) use others::*;
pub(crate) use pods::*;
pub(crate) use policy::*;
pub(crate) use workloads::*;

/// What a row function gives.
pub(crate) type Row = (Vec<Cell>, Option<RowCondition>);

fn cells<const N: usize>(cells: [Cell; N]) -> Row {
    (cells.into(), None)
}

/// Text at a path.
fn at<'a>(root: &'a Map, path: &[&str]) -> &'a str {
    let Some((last, parents)) = path.split_last() else { return "" };
    map_at(root, parents).map_or("", |m| text(m, last))
}

fn number(root: &Map, path: &[&str]) -> i64 {
    number_or(root, path).unwrap_or(0)
}

fn number_or(root: &Map, path: &[&str]) -> Option<i64> {
    let (last, parents) = path.split_last()?;
    map_at(root, parents)?.get(last)?.as_int()
}

fn boolean_or(root: &Map, path: &[&str]) -> Option<bool> {
    let (last, parents) = path.split_last()?;
    map_at(root, parents)?.get(last)?.as_bool()
}

fn items<'a>(root: &'a Map, path: &[&str]) -> &'a [Value] {
    let Some((last, parents)) = path.split_last() else { return &[] };
    map_at(root, parents).map_or(&[], |m| crate::tree::list(m, last))
}

fn structs<'a>(root: &'a Map, path: &[&str]) -> impl Iterator<Item = &'a Map> {
    items(root, path).iter().filter_map(Value::as_map)
}

fn string(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

/// The text, or what stands for an empty one.
fn or(text: &str, empty: &str) -> Cell {
    string(if text.is_empty() { empty } else { text })
}

fn name(root: &Map) -> Cell {
    string(at(root, &["metadata", "name"]))
}

fn age(root: &Map) -> Cell {
    since(root, &["metadata", "creationTimestamp"])
}

fn since(root: &Map, path: &[&str]) -> Cell {
    Cell::Age(meta::time::parse(at(root, path)))
}

fn deleted(root: &Map) -> bool {
    !at(root, &["metadata", "deletionTimestamp"]).is_empty()
}

/// Names and images of the containers of a pod spec.
fn containers(spec: Option<&Map>) -> [Cell; 2] {
    let all: Vec<&Map> = spec.map(|s| maps(s, "containers").collect()).unwrap_or_default();
    let join = |key: &str| all.iter().map(|c| text(c, key)).collect::<Vec<_>>().join(",");
    [string(join("name")), string(join("image"))]
}

/// Labels as `a=1,b=2`; `<none>` for none.
fn labels(map: Option<&Map>) -> Cell {
    let mut pairs: Vec<String> = map
        .into_iter()
        .flat_map(|m| m.iter())
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("")))
        .collect();
    pairs.sort_unstable();
    or(&pairs.join(","), "<none>")
}

/// A `LabelSelector` in its string form; nil and empty are `<none>`.
fn selector(owner: Option<&Map>, key: &str) -> Cell {
    or(&selector_text(owner.and_then(|o| map(o, key))), "<none>")
}

fn selector_text(selector: Option<&Map>) -> String {
    let Some(selector) = selector else { return String::new() };
    match meta::LabelSelector::from_json(&crate::tree::json(&Value::Map(selector.clone()))) {
        Ok(s) => s.to_string(),
        Err(_) => "<error>".to_owned(),
    }
}

/// The first three, and how many more there are.
fn three<'a>(all: impl Iterator<Item = String> + 'a) -> String {
    let all: Vec<String> = all.collect();
    match all.len() {
        0 => "<unset>".to_owned(),
        n if n > 3 => format!("{} + {} more...", all[..3].join(","), n - 3),
        _ => all.join(","),
    }
}
