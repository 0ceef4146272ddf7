//! A whole object: the tree with the accessors every kind shares.

use crate::{Map, Value};

/// A whole API object as a tree, in one version. `apiVersion` and `kind` are fields of the tree.
///
/// Accessors give empty strings and zero for what is absent, as Go's zero values do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object {
    root: Map,
}

impl Object {
    /// Wraps a tree.
    pub fn new(root: Map) -> Self {
        Self { root }
    }

    /// The tree.
    pub fn root(&self) -> &Map {
        &self.root
    }

    /// The tree, to change.
    pub fn root_mut(&mut self) -> &mut Map {
        &mut self.root
    }

    /// Gives the tree back.
    pub fn into_root(self) -> Map {
        self.root
    }

    /// The value at a path of field names.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        self.root.get(first)?.at(rest)
    }

    /// The value at a path of field names, to change.
    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        let (first, rest) = path.split_first()?;
        self.root.get_mut(first)?.at_mut(rest)
    }

    /// The string at a path, empty when absent.
    pub fn str_at(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or("")
    }

    /// The integer at a path.
    pub fn int_at(&self, path: &[&str]) -> Option<i64> {
        self.at(path).and_then(Value::as_int)
    }

    /// The list at a path, empty when absent.
    pub fn list_at(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_list).unwrap_or(&[])
    }

    /// The map at a path.
    pub fn map_at(&self, path: &[&str]) -> Option<&Map> {
        self.at(path).and_then(Value::as_map)
    }

    /// Sets the value at a path, making the maps on the way.
    pub fn set(&mut self, path: &[&'static str], value: impl Into<Value>) {
        let Some((last, parents)) = path.split_last() else { return };
        let map = parents.iter().fold(&mut self.root, |map, key| map.map_mut(*key));
        map.insert(*last, value);
    }

    /// Takes the value at a path out.
    pub fn remove(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        if parents.is_empty() {
            return self.root.remove(last);
        }
        self.at_mut(parents)?.as_map_mut()?.remove(last)
    }

    /// `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.str_at(&["apiVersion"])
    }

    /// `kind`.
    pub fn kind(&self) -> &str {
        self.str_at(&["kind"])
    }

    /// `metadata`, an empty map when absent.
    pub fn metadata(&self) -> &Map {
        static EMPTY: Map = Map::new();
        self.root.get("metadata").and_then(Value::as_map).unwrap_or(&EMPTY)
    }

    /// `metadata`, made when absent.
    pub fn metadata_mut(&mut self) -> &mut Map {
        self.root.map_mut("metadata")
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.str_at(&["metadata", "name"])
    }

    /// `metadata.generateName`.
    pub fn generate_name(&self) -> &str {
        self.str_at(&["metadata", "generateName"])
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> &str {
        self.str_at(&["metadata", "namespace"])
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.str_at(&["metadata", "uid"])
    }

    /// `metadata.resourceVersion`.
    pub fn resource_version(&self) -> &str {
        self.str_at(&["metadata", "resourceVersion"])
    }

    /// `metadata.generation`, zero when absent.
    pub fn generation(&self) -> i64 {
        self.int_at(&["metadata", "generation"]).unwrap_or(0)
    }

    /// `metadata.deletionTimestamp` in its JSON form.
    pub fn deletion_timestamp(&self) -> Option<&str> {
        self.at(&["metadata", "deletionTimestamp"]).and_then(Value::as_str)
    }

    /// `metadata.finalizers`.
    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        self.list_at(&["metadata", "finalizers"]).iter().filter_map(Value::as_str)
    }

    /// One label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.at(&["metadata", "labels"])?.as_map()?.get(key)?.as_str()
    }

    /// One annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.at(&["metadata", "annotations"])?.as_map()?.get(key)?.as_str()
    }
}
