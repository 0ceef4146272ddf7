//! Reading pods: only what is kept is decoded, and shared at once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PodResourceClaim, ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use serde::{Deserialize, Deserializer};

use super::{
    Affinity, Conditions, Container, ContainerStatus, Deletion, Ephemeral, Moment, NamedSecret, Pod, PodSpec,
    Terminated, Volume,
};
use crate::share::{Pool, owners, word};
use crate::{Pairs, Part};

static SPECS: Pool<Part<PodSpec>> = Pool::new();
static VOLUMES: Pool<Part<Vec<Volume>>> = Pool::new();
static FINALIZERS: Pool<Part<Vec<String>>> = Pool::new();
static STATUSES: Pool<Part<Vec<ContainerStatus>>> = Pool::new();

/// What Go writes for an empty list may be null.
pub(super) fn or_default<'de, T, D>(decoder: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(decoder)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    metadata: Option<Meta<'a>>,
    #[serde(borrow)]
    spec: Option<Spec<'a>>,
    #[serde(borrow)]
    status: Option<Status<'a>>,
}

/// Text that is looked at before it is kept.
type Text<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
    #[serde(borrow)]
    resource_version: Text<'a>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
}

/// [`PodSpec`] with what is each pod's own.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    node_name: Text<'a>,
    #[serde(borrow)]
    hostname: Text<'a>,
    volumes: Option<Vec<WireVolume>>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    tolerations: Option<Vec<Toleration>>,
    affinity: Option<Affinity>,
    image_pull_secrets: Option<Vec<NamedSecret>>,
    overhead: Option<BTreeMap<String, Quantity>>,
    active_deadline_seconds: Option<i64>,
    priority_class_name: Option<String>,
    resources: Option<ResourceRequirements>,
    resource_claims: Option<Vec<PodResourceClaim>>,
    subdomain: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireVolume {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    persistent_volume_claim: Option<ClaimSource>,
    ephemeral: Option<Box<Ephemeral>>,
    secret: Option<SecretSource>,
    projected: Option<ProjectedSource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimSource {
    #[serde(default, deserialize_with = "or_default")]
    claim_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretSource {
    secret_name: Option<String>,
}

#[derive(Deserialize)]
struct ProjectedSource {
    sources: Option<Vec<Projection>>,
}

#[derive(Deserialize)]
struct Projection {
    secret: Option<NamedSecret>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(borrow)]
    phase: Text<'a>,
    #[serde(rename = "podIP", borrow)]
    pod_ip: Text<'a>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
    start_time: Option<Time>,
    #[serde(borrow)]
    conditions: Option<Vec<WireCondition<'a>>>,
    container_statuses: Option<Vec<WireStatus>>,
    init_container_statuses: Option<Vec<WireStatus>>,
    resource_claim_statuses: Option<Vec<ClaimStatus>>,
}

#[derive(Deserialize)]
struct PodIp {
    #[serde(default, deserialize_with = "or_default")]
    ip: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCondition<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    last_transition_time: Option<Time>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStatus {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    restart_count: i32,
    resources: Option<ResourceRequirements>,
    state: Option<WireState>,
}

#[derive(Deserialize)]
struct WireState {
    terminated: Option<WireTerminated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTerminated {
    #[serde(default, deserialize_with = "or_default")]
    exit_code: i32,
    finished_at: Option<Time>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimStatus {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    resource_claim_name: Option<String>,
}

/// A pod from its JSON form.
pub(super) fn read(bytes: &[u8]) -> Result<Pod, serde_json::Error> {
    let Wire { metadata, spec, status } = serde_json::from_slice(bytes)?;
    let (meta, mut spec, status) =
        (metadata.unwrap_or_default(), spec.unwrap_or_default(), status.unwrap_or_default());
    let node_name = word(text(&spec.node_name));
    if !node_name.is_empty() {
        spec.affinity = None; // an unbound daemon pod's says which node it is made for
    }
    let volumes = spec.volumes.take().unwrap_or_default().into_iter().filter_map(volume);
    Ok(Pod {
        name: text(&meta.name).into(),
        namespace: word(text(&meta.namespace)),
        uid: text(&meta.uid).into(),
        revision: text(&meta.resource_version).parse().unwrap_or(0),
        created: moment(meta.creation_timestamp),
        deletion: match (meta.deletion_timestamp, meta.deletion_grace_period_seconds) {
            (None, _) => Deletion::No,
            (Some(_), Some(0)) => Deletion::AtOnce,
            (Some(_), _) => Deletion::Begun,
        },
        labels: pairs(meta.labels),
        annotations: pairs(meta.annotations),
        owners: owners(meta.owner_references.unwrap_or_default()),
        finalizers: FINALIZERS.share(list(meta.finalizers)),
        volumes: VOLUMES.share(list(Some(volumes.collect()))),
        node_name,
        hostname: text(&spec.hostname).into(),
        spec: SPECS.share(Part(spec.into())),
        phase: word(text(&status.phase)),
        ips: ips(status.pod_ips.unwrap_or_default(), text(&status.pod_ip)),
        start_time: moment(status.start_time),
        conditions: conditions(&status.conditions.unwrap_or_default()),
        container_statuses: statuses(status.container_statuses),
        init_container_statuses: statuses(status.init_container_statuses),
        resource_claim_statuses: status
            .resource_claim_statuses
            .unwrap_or_default()
            .iter()
            .map(claim)
            .collect(),
    })
}

fn text<'a>(text: &'a Text<'_>) -> &'a str {
    text.as_deref().unwrap_or_default()
}

fn moment(time: Option<Time>) -> Moment {
    time.map_or_else(Moment::default, |time| Moment(time.0.as_second()))
}

/// A list without the room it was read into: that is for four elements at the least.
fn list<T>(list: Option<Vec<T>>) -> Part<Vec<T>> {
    let mut list = list.unwrap_or_default();
    list.shrink_to_fit();
    Part(list)
}

fn pairs(map: Option<BTreeMap<String, String>>) -> Arc<Pairs> {
    Pairs::shared(map.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str())))
}

impl From<Spec<'_>> for PodSpec {
    fn from(spec: Spec<'_>) -> Self {
        Self {
            containers: list(spec.containers).0,
            init_containers: list(spec.init_containers).0,
            tolerations: list(spec.tolerations).0,
            affinity: spec.affinity.filter(|affinity| affinity.node_affinity.is_some()),
            image_pull_secrets: list(spec.image_pull_secrets).0,
            overhead: spec.overhead,
            active_deadline_seconds: spec.active_deadline_seconds,
            priority_class_name: spec.priority_class_name,
            resources: spec.resources,
            resource_claims: list(spec.resource_claims).0,
            subdomain: spec.subdomain,
        }
    }
}

/// A volume, unless it is made from nothing, from the node, or from what no loop looks at.
fn volume(wire: WireVolume) -> Option<Volume> {
    let sources = wire.projected.into_iter().flat_map(|p| p.sources.into_iter().flatten());
    let projected = sources.filter_map(|source| Some(source.secret?.name));
    let secrets: Vec<_> = wire.secret.and_then(|s| s.secret_name).into_iter().chain(projected).collect();
    let claim = wire.persistent_volume_claim.map(|claim| claim.claim_name);
    let kept = claim.is_some() || wire.ephemeral.is_some() || !secrets.is_empty();
    kept.then_some(Volume { name: wire.name, claim, ephemeral: wire.ephemeral, secrets })
}

/// All addresses, and the one that is there when the list is not.
fn ips(list: Vec<PodIp>, first: &str) -> Box<[Box<str>]> {
    let mut ips: Vec<Box<str>> = list.into_iter().map(|ip| ip.ip.into()).collect();
    if !ips.iter().any(|ip| **ip == *first) {
        ips.push(first.into());
    }
    ips.retain(|ip| !ip.is_empty());
    ips.into()
}

fn conditions(wire: &[WireCondition<'_>]) -> Conditions {
    Conditions {
        states: Pairs::shared(wire.iter().map(|c| (text(&c.kind), text(&c.status)))),
        since: wire.iter().map(|c| moment(c.last_transition_time.clone())).collect(),
    }
}

fn statuses(wire: Option<Vec<WireStatus>>) -> Arc<Part<Vec<ContainerStatus>>> {
    let status = |wire: WireStatus| ContainerStatus {
        name: wire.name,
        restart_count: wire.restart_count,
        resources: wire.resources,
        terminated: wire
            .state
            .and_then(|state| state.terminated)
            .map(|end| Terminated { exit_code: end.exit_code, finished_at: moment(end.finished_at) }),
    };
    STATUSES.share(list(wire.map(|wire| wire.into_iter().map(status).collect())))
}

fn claim(status: &ClaimStatus) -> (crate::Word, Option<crate::Word>) {
    (word(&status.name), status.resource_claim_name.as_deref().map(word))
}
