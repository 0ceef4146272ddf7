//! Acting as somebody else, by header.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/filters/impersonation.go` `WithImpersonation`

use std::collections::BTreeMap;

use super::{Attributes, Authorizer, Decision, User, refusal};
use crate::errors::{self, Result};
use crate::request::RequestInfo;
use crate::request::info::percent_decode;

/// One thing to be impersonated: API group, resource, subresource, namespace, name.
struct Wanted {
    group: &'static str,
    resource: &'static str,
    subresource: String,
    namespace: String,
    name: String,
}

fn values(headers: &http::HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect()
}

fn extras(headers: &http::HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix("impersonate-extra-") else { continue };
        let key = percent_decode(key, false);
        extra.entry(key).or_default().extend(value.to_str().ok().map(str::to_owned));
    }
    extra
}

fn wanted(
    user: &str,
    uid: Option<&str>,
    groups: &[String],
    extra: &BTreeMap<String, Vec<String>>,
) -> Vec<Wanted> {
    let plain = |resource, name: &str| Wanted {
        group: "",
        resource,
        subresource: String::new(),
        namespace: String::new(),
        name: name.to_owned(),
    };
    let mut all = Vec::new();
    match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, name)) => {
            all.push(Wanted { namespace: namespace.to_owned(), ..plain("serviceaccounts", name) });
        }
        None => all.push(plain("users", user)),
    }
    all.extend(groups.iter().map(|g| plain("groups", g)));
    let authentication = "authentication.k8s.io";
    for (key, values) in extra {
        let of =
            |v: &String| Wanted { group: authentication, subresource: key.clone(), ..plain("userextras", v) };
        all.extend(values.iter().map(of));
    }
    all.extend(uid.map(|u| Wanted { group: authentication, ..plain("uids", u) }));
    all
}

/// What upstream says when the headers name no user: its own struct, printed.
fn nobody(uid: &str, groups: &[String], extra: &BTreeMap<String, Vec<String>>) -> String {
    let list = |values: &[String]| {
        let quoted: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
        format!("[]string{{{}}}", quoted.join(", "))
    };
    let groups = if groups.is_empty() { "[]string(nil)".to_owned() } else { list(groups) };
    let mut pairs = Vec::new();
    for (key, values) in extra {
        pairs.push(format!("{key:?}:{}", list(values)));
    }
    let extra = match pairs.as_slice() {
        [] => "map[string][]string(nil)".to_owned(),
        pairs => format!("map[string][]string{{{}}}", pairs.join(", ")),
    };
    format!(
        "requested &user.DefaultInfo{{Name:\"\", UID:{uid:?}, Groups:{groups}, Extra:{extra}}} without impersonating a user name"
    )
}

/// The user to act as, if the headers ask for one and the real user may.
pub async fn impersonate(
    headers: &http::HeaderMap,
    user: &User,
    authorizer: &dyn Authorizer,
) -> Result<Option<User>> {
    let name = headers.get("impersonate-user").and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut groups = values(headers, "impersonate-group");
    let uid = values(headers, "impersonate-uid").into_iter().next();
    let extra = extras(headers);
    if name.is_empty() {
        if groups.is_empty() && uid.is_none() && extra.is_empty() {
            return Ok(None);
        }
        return Err(errors::bad_request(nobody(uid.as_deref().unwrap_or(""), &groups, &extra)));
    }
    for want in wanted(name, uid.as_deref(), &groups, &extra) {
        let info = RequestInfo {
            is_resource: true,
            verb: "impersonate",
            group: want.group.into(),
            version: if want.group.is_empty() { "v1".into() } else { String::new() },
            namespace: want.namespace,
            resource: want.resource.into(),
            subresource: want.subresource,
            name: want.name,
            ..RequestInfo::default()
        };
        let attributes =
            Attributes { user, info: &info, name: &info.name, field_selector: "", label_selector: "" };
        if authorizer.authorize(&attributes).await != Decision::Allow {
            let resource = meta::GroupResource { group: info.group.clone(), resource: info.resource.clone() };
            return Err(errors::forbidden(&resource, &info.name, &refusal(&attributes)));
        }
    }
    if let Some((namespace, _)) = name.strip_prefix("system:serviceaccount:").and_then(|r| r.split_once(':'))
        && groups.is_empty()
    {
        groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
    }
    let acting = User { name: name.into(), uid: uid.unwrap_or_default(), groups, extra };
    let anonymous = acting.name == "system:anonymous";
    if anonymous {
        let unauthenticated = "system:unauthenticated".to_owned();
        let groups = [acting.groups.clone(), vec![unauthenticated]].concat();
        return Ok(Some(User { groups, ..acting }));
    }
    Ok(Some(acting.authenticated()))
}
