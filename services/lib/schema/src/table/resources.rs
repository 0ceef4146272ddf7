//! Reads `resources.txt` (upstream's) and `own-resources.txt` (k3s's): what discovery says of every built-in resource.

use std::sync::LazyLock;

use meta::GroupVersionKind;

static RESOURCES: &str = concat!(include_str!("resources.txt"), include_str!("own-resources.txt"));

/// A verb's name as discovery lists it.
pub type Verb = &'static str;

/// What discovery says of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The group it is served in, empty for the core group.
    pub group: &'static str,
    /// The version it is served in.
    pub version: &'static str,
    /// The plural name.
    pub plural: &'static str,
    /// The kind of its objects.
    pub kind: GroupVersionKind,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// The singular name.
    pub singular: &'static str,
    /// Short names.
    pub short_names: Vec<&'static str>,
    /// Categories (`all`).
    pub categories: Vec<&'static str>,
    /// Verbs.
    pub verbs: Vec<Verb>,
    /// The storage version's hash, empty for what is not stored.
    pub storage_hash: &'static str,
    /// Subresources.
    pub subresources: Vec<SubFacts>,
}

/// What discovery says of a subresource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubFacts {
    /// Its name (`status`).
    pub name: &'static str,
    /// The kind of its objects.
    pub kind: GroupVersionKind,
    /// Verbs.
    pub verbs: Vec<Verb>,
}

static FACTS: LazyLock<Vec<Facts>> = LazyLock::new(parse);

/// Every built-in resource in every version, in discovery's order, alpha and beta included.
pub fn resources() -> &'static [Facts] {
    &FACTS
}

/// Groups and their versions in discovery's order, the core group first.
pub fn groups() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for facts in resources() {
        match groups.iter_mut().find(|(g, _)| *g == facts.group) {
            Some((_, versions)) if versions.contains(&facts.version) => {}
            Some((_, versions)) => versions.push(facts.version),
            None => groups.push((facts.group, vec![facts.version])),
        }
    }
    groups
}

impl Facts {
    /// Whether the version is on without being asked for: neither alpha nor beta.
    pub fn on_by_default(&self) -> bool {
        !self.version.contains("alpha") && !self.version.contains("beta")
    }
}

fn parse() -> Vec<Facts> {
    let (mut group, mut version) = ("", "");
    let mut all: Vec<Facts> = Vec::new();
    for line in RESOURCES.lines() {
        let indent = line.len() - line.trim_start().len();
        let mut words = line.trim_start().split(' ').map(|w| if w == "-" { "" } else { w });
        let mut next = || words.next().unwrap_or_default();
        match indent {
            0 => (group, version) = (next(), next()),
            1 => all.push(Facts {
                group,
                version,
                plural: next(),
                kind: kind(next(), group, version),
                namespaced: next() == "Namespaced",
                singular: next(),
                short_names: list(next()),
                categories: list(next()),
                verbs: list(next()),
                storage_hash: next(),
                subresources: Vec::new(),
            }),
            _ => {
                let sub = SubFacts { name: next(), kind: kind(next(), group, version), verbs: list(next()) };
                if let Some(facts) = all.last_mut() {
                    facts.subresources.push(sub);
                }
            }
        }
    }
    all
}

fn list(text: &'static str) -> Vec<&'static str> {
    text.split(',').filter(|w| !w.is_empty()).collect()
}

fn kind(text: &str, group: &str, version: &str) -> GroupVersionKind {
    let mut parts = text.rsplitn(3, '/');
    let name = parts.next().unwrap_or_default();
    match (parts.next(), parts.next()) {
        (Some(v), Some(g)) => GroupVersionKind::new(g, v, name),
        _ => GroupVersionKind::new(group, version, name),
    }
}
