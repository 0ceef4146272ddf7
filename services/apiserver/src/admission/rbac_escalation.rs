//! Nobody grants by a role or a binding what they have not themselves.
//!
//! # Upstream
//! `pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased/storage.go`,
//! `pkg/registry/rbac/validation/rule.go` `ConfirmNoEscalation`
//!
//! # Differs
//! Upstream does this in the storage of the four kinds, after admission; nothing a client sees tells them apart.

use std::sync::PoisonError;

use auth::Subject;
use auth::rbac::{PolicyRule, RoleRef, compact, covers};
use schema::{Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Result};

const GROUP: &str = "rbac.authorization.k8s.io";

/// The check.
pub struct RbacEscalation;

impl Admission for RbacEscalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        matches!(request.operation, Operation::Create | Operation::Update)
            && !request.user.in_group("system:masters")
            && ["roles", "clusterroles", "rolebindings", "clusterrolebindings"]
                .iter()
                .any(|plural| request.is(GROUP, plural))
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some(object) = object else { return Ok(()) };
            if object.kind().ends_with("Binding") {
                binding(request, object).await
            } else {
                role(request, object).await
            }
        })
    }
}

/// The rules a role object carries.
fn rules_of(object: &Object) -> Vec<PolicyRule> {
    let texts = |rule: &Value, key: &str| -> Vec<String> {
        let list = rule.at(&[key]).and_then(Value::as_list).unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let rules = object.list_at(&["rules"]).iter();
    rules
        .map(|rule| PolicyRule {
            verbs: texts(rule, "verbs"),
            api_groups: texts(rule, "apiGroups"),
            resources: texts(rule, "resources"),
            resource_names: texts(rule, "resourceNames"),
            non_resource_urls: texts(rule, "nonResourceURLs"),
        })
        .collect()
}

async fn role(request: &Request<'_>, role: &Object) -> Result<()> {
    if request.may("escalate", request.name_of(role)).await {
        return Ok(());
    }
    let same = |path: &[&str]| request.old.is_some_and(|old| old.at(path) == role.at(path));
    if same(&["rules"]) && same(&["aggregationRule"]) {
        return Ok(());
    }
    if role.at(&["aggregationRule"]).is_some_and(|rule| !rule.is_null()) && !same(&["aggregationRule"]) {
        let all = |urls: bool| PolicyRule {
            verbs: vec!["*".into()],
            api_groups: if urls { Vec::new() } else { vec!["*".into()] },
            resources: if urls { Vec::new() } else { vec!["*".into()] },
            non_resource_urls: if urls { vec!["*".into()] } else { Vec::new() },
            ..PolicyRule::default()
        };
        if confirm(request, &[all(false), all(true)]).is_err() {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return Err(errors::forbidden(&request.resource(), role.name(), why));
        }
    }
    confirm(request, &rules_of(role)).map_err(|why| errors::forbidden(&request.resource(), role.name(), &why))
}

async fn binding(request: &Request<'_>, binding: &Object) -> Result<()> {
    let same = |path: &[&str]| request.old.is_some_and(|old| old.at(path) == binding.at(path));
    if same(&["subjects"]) && same(&["roleRef"]) {
        return Ok(());
    }
    let text = |key: &str| binding.str_at(&["roleRef", key]).to_owned();
    let reference = RoleRef { api_group: text("apiGroup"), kind: text("kind"), name: text("name") };
    let plural = if reference.kind == "ClusterRole" { "clusterroles" } else { "roles" };
    if request.may_on(GROUP, plural, "bind", &reference.name).await {
        return Ok(());
    }
    let wanted = {
        let policy = request.server.policy.read().unwrap_or_else(PoisonError::into_inner);
        policy.referenced(&reference, request.namespace).map(<[PolicyRule]>::to_vec)
    };
    let resource = meta::GroupResource { group: GROUP.into(), resource: plural.trim_end_matches('s').into() };
    let wanted = wanted.map_err(|_| errors::not_found(&resource, &reference.name))?;
    confirm(request, &wanted).map_err(|why| errors::forbidden(&request.resource(), binding.name(), &why))
}

/// Whether the user holds all of these rules; if not, upstream's sentence.
fn confirm(request: &Request<'_>, wanted: &[PolicyRule]) -> std::result::Result<(), String> {
    let policy = request.server.policy.read().unwrap_or_else(PoisonError::into_inner);
    let user = request.user;
    let who = Subject { name: &user.name, groups: &user.groups };
    let (held, problems) = policy.rules_for(who, request.namespace);
    let missing = covers(&held, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|group| format!("{group:?}")).collect();
    let mut why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        compact(&missing).join("\n")
    );
    match problems.as_slice() {
        [] => {}
        [one] => why.push_str(&format!("; resolution errors: [{one}]")),
        many => why.push_str(&format!("; resolution errors: [{}]", many.join(", "))),
    }
    Err(why)
}
