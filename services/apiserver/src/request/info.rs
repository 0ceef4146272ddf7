//! What a request asks for, read from its method, path and query.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go` `RequestInfoFactory.NewRequestInfo`

/// The facts about a request that authorization, admission and routing need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether it is about a resource; otherwise only `path` and `verb` say something.
    pub is_resource: bool,
    /// The path as sent, percent-decoded.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the lower-case HTTP
    /// method when it is not about a resource.
    pub verb: &'static str,
    /// The API group, empty for the core group.
    pub group: String,
    /// The API version.
    pub version: String,
    /// The namespace, empty for none or all.
    pub namespace: String,
    /// The plural name.
    pub resource: String,
    /// The subresource, empty for none.
    pub subresource: String,
    /// The object's name, empty for collections.
    pub name: String,
    /// Path segments after the subresource: what `proxy` passes on.
    pub rest: Vec<String>,
    /// Forced to watch by the legacy `/watch/` prefix.
    pub legacy_watch: bool,
    /// Whether the path ends with a slash.
    pub trailing_slash: bool,
}

fn method_verb(method: &http::Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

fn plain_verb(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        "CONNECT" => "connect",
        "TRACE" => "trace",
        _ => "",
    }
}

/// Decodes `%XX` in a path or query part; malformed escapes stay as they are.
pub fn percent_decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|b| matches!(b, b'%' | b'+')) {
        return text.to_owned(); // as nearly all are
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
        match bytes[i] {
            b'%' if i + 2 < bytes.len() => match (hex(bytes[i + 1]), hex(bytes[i + 2])) {
                (Some(h), Some(l)) => {
                    out.push(h << 4 | l);
                    i += 3;
                    continue;
                }
                _ => out.push(b'%'),
            },
            b'+' if plus_is_space => out.push(b' '),
            b => out.push(b),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The pairs of a query string, decoded.
pub fn query_pairs(query: Option<&str>) -> Vec<(String, String)> {
    let parts = query.unwrap_or("").split('&').filter(|p| !p.is_empty());
    parts
        .map(|part| {
            let (k, v) = part.split_once('=').unwrap_or((part, ""));
            (percent_decode(k, true), percent_decode(v, true))
        })
        .collect()
}

impl RequestInfo {
    /// Reads a request's method and URI.
    pub fn read(method: &http::Method, uri: &http::Uri) -> Self {
        let path = percent_decode(uri.path(), false);
        let plain = Self { path: path.clone(), verb: plain_verb(method), ..Self::default() };
        let mut info = Self { trailing_slash: path.len() > 1 && path.ends_with('/'), ..plain.clone() };
        let mut parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        let grouped = match parts.first() {
            Some(&"api") => false,
            Some(&"apis") => true,
            _ => return plain,
        };
        // `/api/v1` and `/apis/g/v` themselves are discovery
        if parts.len() < if grouped { 4 } else { 3 } {
            return plain;
        }
        if grouped {
            info.group = parts[1].to_owned();
        }
        info.version = parts[if grouped { 2 } else { 1 }].to_owned();
        parts.drain(..if grouped { 3 } else { 2 });
        info.is_resource = true;
        info.verb = method_verb(method);
        if parts[0] == "watch" {
            if parts.len() < 2 {
                return plain;
            }
            info.verb = "watch";
            info.legacy_watch = true;
            parts.remove(0);
        }
        info.take_resource(parts);
        info.refine_verb(uri);
        info
    }

    fn take_resource(&mut self, mut parts: Vec<&str>) {
        if parts[0] == "namespaces" && parts.len() > 1 {
            self.namespace = parts[1].to_owned();
            // `/namespaces/x/status` is about the namespace itself
            if parts.len() > 2 && parts[2] != "status" && parts[2] != "finalize" {
                parts.drain(..2);
            }
        }
        let mut parts = parts.into_iter().map(str::to_owned);
        self.resource = parts.next().unwrap_or_default();
        self.name = parts.next().unwrap_or_default();
        self.subresource = parts.next().unwrap_or_default();
        self.rest = parts.collect();
    }

    fn refine_verb(&mut self, uri: &http::Uri) {
        let plain_get = self.verb == "get" && self.subresource.is_empty();
        if !(self.name.is_empty() || plain_get) {
            return;
        }
        let query = query_pairs(uri.query());
        let value = |key: &str| query.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        let watch =
            value("watch").is_some_and(|v| !matches!(v, "false" | "0" | "f" | "F" | "FALSE" | "False"));
        if self.name.is_empty() && self.verb == "get" {
            self.verb = if watch { "watch" } else { "list" };
        } else if self.verb == "get" && watch {
            self.verb = "watch";
        }
        if self.name.is_empty() && self.verb == "delete" {
            self.verb = "deletecollection";
        }
    }

    /// The name a collection request is narrowed to by `fieldSelector=metadata.name=x`, which authorization
    /// and admission treat as the request's name.
    pub fn effective_name(&self, uri: &http::Uri) -> String {
        if !self.name.is_empty() || !matches!(self.verb, "list" | "watch" | "deletecollection") {
            return self.name.clone();
        }
        let query = query_pairs(uri.query());
        let selector =
            query.iter().find(|(k, _)| k == "fieldSelector").map(|(_, v)| v.as_str()).unwrap_or("");
        let named = selector.split(',').find_map(|term| {
            let value = term.trim().strip_prefix("metadata.name=")?;
            Some(value.strip_prefix('=').unwrap_or(value).to_owned())
        });
        named.filter(|n| !n.is_empty() && !n.contains('/')).unwrap_or_default()
    }

    /// Whether the request runs as long as the client likes: no timeout, no in-flight count.
    pub fn long_running(&self) -> bool {
        self.verb == "watch"
            || matches!(self.subresource.as_str(), "proxy" | "exec" | "attach" | "portforward" | "log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        // method, uri, verb, group, version, namespace, resource, name, subresource
        let table = [
            ("GET", "/api/v1/pods", "list", "", "v1", "", "pods", "", ""),
            ("GET", "/api/v1/pods?watch=1", "watch", "", "v1", "", "pods", "", ""),
            ("GET", "/api/v1/watch/namespaces/a/pods", "watch", "", "v1", "a", "pods", "", ""),
            ("GET", "/api/v1/namespaces/a/pods/b", "get", "", "v1", "a", "pods", "b", ""),
            ("GET", "/api/v1/namespaces/a", "get", "", "v1", "a", "namespaces", "a", ""),
            ("PUT", "/api/v1/namespaces/a/finalize", "update", "", "v1", "a", "namespaces", "a", "finalize"),
            ("GET", "/api/v1/namespaces", "list", "", "v1", "", "namespaces", "", ""),
            (
                "POST",
                "/apis/apps/v1/namespaces/a/deployments",
                "create",
                "apps",
                "v1",
                "a",
                "deployments",
                "",
                "",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/d/scale",
                "patch",
                "apps",
                "v1",
                "a",
                "deployments",
                "d",
                "scale",
            ),
            ("DELETE", "/api/v1/nodes", "deletecollection", "", "v1", "", "nodes", "", ""),
            ("DELETE", "/api/v1/nodes/n", "delete", "", "v1", "", "nodes", "n", ""),
        ];
        for (method, uri, verb, group, version, namespace, resource, name, subresource) in table {
            let info = RequestInfo::read(&method.parse().unwrap(), &uri.parse().unwrap());
            let got =
                (info.verb, &*info.group, &*info.version, &*info.namespace, &*info.resource, &*info.name);
            assert_eq!(got, (verb, group, version, namespace, resource, name), "{uri}");
            assert_eq!(info.subresource, subresource, "{uri}");
            assert!(info.is_resource, "{uri}");
        }
        for uri in ["/", "/api", "/api/v1", "/apis/apps/v1", "/version", "/healthz/etcd"] {
            let info = RequestInfo::read(&http::Method::GET, &uri.parse().unwrap());
            assert!(!info.is_resource && info.verb == "get", "{uri}");
        }
    }
}
