//! The FlowSchemas and priority levels every cluster starts with.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap/default.go`,
//! `pkg/registry/flowcontrol/rest/storage_flowcontrol.go`, `…/ensurer/strategy.go`

use std::sync::Arc;

use schema::Object;
use serde_json::{Value, json};

use super::{GROUP, LEVELS, SCHEMAS};
use crate::errors::{self, Result};
use crate::request::accept::Media;
use crate::server::Server;
use crate::start::{edit, ensure_as};

/// Who owns the fields of these objects.
const MANAGER: &str = "api-priority-and-fairness-config-producer-v1";
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// What no server can be without: put back whatever an administrator says.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// name, shares, lendable percent, queues and hand size
type Level = (&'static str, i32, i32, Option<(i32, i32)>);

const LIMITED: [Level; 7] = [
    ("catch-all", 5, 0, None),
    ("system", 30, 33, Some((64, 6))),
    ("node-high", 40, 25, Some((64, 6))),
    ("leader-election", 10, 0, Some((16, 4))),
    ("workload-high", 40, 50, Some((128, 6))),
    ("workload-low", 100, 90, Some((128, 6))),
    ("global-default", 20, 50, Some((128, 6))),
];
const QUEUE_LENGTH: i32 = 50;

fn object(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}}, "spec": spec})
}

fn levels() -> Vec<Value> {
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let limited = LIMITED.into_iter().map(|(name, shares, lendable, queuing)| {
        let response = match queuing {
            None => json!({"type": "Reject"}),
            Some((queues, hand)) => json!({
                "type": "Queue",
                "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": QUEUE_LENGTH},
            }),
        };
        let limits = json!({
            "nominalConcurrencyShares": shares,
            "lendablePercent": lendable,
            "limitResponse": response,
        });
        object(name, json!({"type": "Limited", "limited": limits}))
    });
    std::iter::once(object("exempt", exempt)).chain(limited).collect()
}

fn groups(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect()
}

fn users(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "User", "user": {"name": name}})).collect()
}

fn system_accounts() -> Vec<Value> {
    vec![json!({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "kube-system"}})]
}

fn resources(verbs: &[&str], group: &str, resources: &[&str], cluster: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]});
    if cluster {
        rule["clusterScope"] = true.into();
    }
    rule
}

fn paths(verbs: &[&str], urls: &[&str]) -> Value {
    json!({"verbs": verbs, "nonResourceURLs": urls})
}

/// The rule about everything its subjects ask.
fn everything(subjects: Vec<Value>) -> Value {
    json!({
        "subjects": subjects,
        "resourceRules": [resources(&["*"], "*", &["*"], true)],
        "nonResourceRules": [paths(&["*"], &["*"])],
    })
}

fn schema(name: &str, level: &str, precedence: i32, distinguisher: &str, rule: Value) -> Value {
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [rule],
    });
    if !distinguisher.is_empty() {
        spec["distinguisherMethod"] = json!({"type": distinguisher});
    }
    object(name, spec)
}

fn schemas() -> Vec<Value> {
    let (user, namespace) = ("ByUser", "ByNamespace");
    let leases = "coordination.k8s.io";
    let anybody = || groups(&["system:unauthenticated", "system:authenticated"]);
    let nodes = || groups(&["system:nodes"]);
    let (manager, scheduler) = ("system:kube-controller-manager", "system:kube-scheduler");
    let probes = json!({
        "subjects": anybody(),
        "nonResourceRules": [paths(&["get"], &["/healthz", "/readyz", "/livez"])],
    });
    let electors = [users(&[manager, scheduler]), system_accounts()].concat();
    let election = json!({
        "subjects": electors,
        "resourceRules": [resources(&["get", "create", "update"], leases, &["leases"], false)],
    });
    let beat = json!({
        "subjects": nodes(),
        "resourceRules": [
            resources(&["*"], "", &["nodes", "nodes/status"], true),
            resources(&["*"], leases, &["leases"], false),
        ],
    });
    let accounts = groups(&["system:serviceaccounts"]);
    vec![
        schema("exempt", "exempt", 1, "", everything(groups(&["system:masters"]))),
        schema("catch-all", "catch-all", 10_000, user, everything(anybody())),
        schema("system-nodes", "system", 500, user, everything(nodes())),
        schema("system-node-high", "node-high", 400, user, beat),
        schema("probes", "exempt", 2, "", probes),
        schema("system-leader-election", "leader-election", 100, user, election),
        schema("kube-controller-manager", "workload-high", 800, namespace, everything(users(&[manager]))),
        schema("kube-scheduler", "workload-high", 800, namespace, everything(users(&[scheduler]))),
        schema(
            "kube-system-service-accounts",
            "workload-high",
            900,
            namespace,
            everything(system_accounts()),
        ),
        schema("service-accounts", "workload-low", 9000, user, everything(accounts)),
        schema("global-default", "global-default", 9900, user, everything(anybody())),
    ]
}

/// Creates what is missing and brings what changed back, as far as it is ours to say.
pub(crate) async fn ensure_all(server: Arc<Server>) -> Result<()> {
    for (plural, objects) in [(LEVELS, levels()), (SCHEMAS, schemas())] {
        for wanted in objects {
            if !ensure_as(&server, GROUP, plural, &wanted, MANAGER).await? {
                restore(&server, plural, &wanted).await?;
            }
        }
    }
    Ok(())
}

/// Whether the object's specification is ours: by its annotation, or because nobody ever changed it.
fn ours(stored: &Object, plural: &str) -> bool {
    // the shares of the exempt level are the administrator's
    if MANDATORY.contains(&stored.name()) && !(plural == LEVELS && stored.name() == "exempt") {
        return true;
    }
    match stored.annotation(AUTO_UPDATE) {
        Some(value) => value == "true",
        None => stored.generation() == 1,
    }
}

async fn restore(server: &Arc<Server>, plural: &str, wanted: &Value) -> Result<()> {
    let name = wanted["metadata"]["name"].as_str().unwrap_or("");
    let Some(stored) = server.peek(GROUP, plural, "", name)? else { return Ok(()) };
    if !ours(&stored, plural) {
        return Ok(());
    }
    let endpoint = server.endpoint(GROUP, plural)?;
    let decoded = endpoint.schema.decode(Media::Json, wanted.to_string().as_bytes());
    let mut wanted = decoded.map_err(errors::internal)?.object;
    endpoint.stamp(&mut wanted);
    endpoint.default(&mut wanted);
    let Some(spec) = wanted.at(&["spec"]).cloned() else { return Ok(()) };
    if stored.at(&["spec"]) == Some(&spec) {
        return Ok(());
    }
    edit(server, (GROUP, plural), ("", name), "", move |object| object.set(&["spec"], spec.clone())).await
}
