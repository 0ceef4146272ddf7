//! What somebody wants to do, as authorizers see it.

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The user's name.
    pub name: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
}

/// What somebody wants to do.
///
/// # Upstream
/// `k8s.io/apiserver/pkg/authorization/authorizer/interfaces.go` `Attributes`
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Who.
    pub subject: Subject<'a>,
    /// The request verb; for paths the lower-case HTTP method.
    pub verb: &'a str,
    /// The namespace, empty at cluster scope.
    pub namespace: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The plural name; empty for a path.
    pub resource: &'a str,
    /// The subresource, mostly empty.
    pub subresource: &'a str,
    /// The object's name; empty for collections.
    pub name: &'a str,
    /// The path of a request that is about no resource, else empty.
    pub path: &'a str,
    /// Equality requirements of the field selector.
    pub fields: &'a [(&'a str, &'a str)],
}

impl Attributes<'_> {
    /// Whether it is about a resource, not a path.
    pub fn is_resource(&self) -> bool {
        self.path.is_empty()
    }
}

/// `system:serviceaccount:namespace:name` taken apart.
pub fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}
