//! Which resource a request is about.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What may not stand in a path segment as it is.
const SEGMENT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?');

/// Room for most paths, queries aside.
const PATH: usize = 160;

/// A resource in a version: what its URLs and objects are named by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    /// The group, empty for the core group.
    pub group: Cow<'static, str>,
    /// The version.
    pub version: Cow<'static, str>,
    /// The plural name, as in URLs.
    pub plural: Cow<'static, str>,
    /// The kind.
    pub kind: Cow<'static, str>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

/// Namespace and name of an object; the namespace is empty for what lives in none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Key {
    /// The namespace, or empty.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// Builds one from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

impl Resource {
    /// The resource of a typed kind.
    pub fn of<K>() -> Self
    where
        K: k8s_openapi::Resource,
        K::Scope: ScopeOf,
    {
        Self {
            group: Cow::Borrowed(K::GROUP),
            version: Cow::Borrowed(K::VERSION),
            plural: Cow::Borrowed(K::URL_PATH_SEGMENT),
            kind: Cow::Borrowed(K::KIND),
            namespaced: K::Scope::NAMESPACED,
        }
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The path of the collection: in one namespace, or everywhere when `namespace` is empty.
    pub fn collection(&self, namespace: &str) -> String {
        let mut path = String::with_capacity(PATH);
        path.push_str(if self.group.is_empty() { "/api" } else { "/apis/" });
        for part in [&*self.group, "/", &*self.version] {
            path.push_str(part);
        }
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            push_segment(&mut path, namespace);
        }
        path.push('/');
        path.push_str(&self.plural);
        path
    }

    /// The path of an object, or of one of its subresources when `subresource` is not empty.
    pub fn object(&self, key: &Key, subresource: &str) -> String {
        let mut path = self.collection(&key.namespace);
        path.push('/');
        push_segment(&mut path, &key.name);
        if !subresource.is_empty() {
            path.push('/');
            path.push_str(subresource);
        }
        path
    }
}

fn push_segment(path: &mut String, text: &str) {
    path.extend(utf8_percent_encode(text, SEGMENT));
}

/// Whether a `k8s-openapi` scope is namespaced.
pub trait ScopeOf {
    /// It is.
    const NAMESPACED: bool;
}

impl ScopeOf for k8s_openapi::NamespaceResourceScope {
    const NAMESPACED: bool = true;
}

impl ScopeOf for k8s_openapi::ClusterResourceScope {
    const NAMESPACED: bool = false;
}
