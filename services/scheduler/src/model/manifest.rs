//! A pod's JSON, borrowed: what differs from pod to pod is read, what pods of one template share stays text.
//!
//! A pod is seen several times in its life, and most of its text is that of its template. So a class is looked up by the
//! text it is made of ([`known`]); the text is read only when it is new.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Error;
use serde_json::value::RawValue;

use super::class::{AffinityTerm, Class, OwnerRef, Parts, Port, PortSpec, SpreadConstraint, WeightedTerm};
use super::image_hash;
use super::known::{self, Text};
use super::resources::{self, ContainerSpec, ContainerState, Demand, ResourceSpec};
use super::selector::{NodeSelector, WeightedNodeTerm};
use super::volumes::VolumeSpec;

/// A pod as it is written.
#[derive(Deserialize)]
pub(super) struct Manifest<'a> {
    #[serde(borrow)]
    pub(super) metadata: Meta<'a>,
    #[serde(borrow, default)]
    pub(super) spec: Spec<'a>,
    #[serde(borrow, default)]
    pub(super) status: Status<'a>,
}

/// Its metadata.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) uid: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) resource_version: Cow<'a, str>,
    #[serde(default)]
    pub(super) generation: i64,
    pub(super) deletion_timestamp: Option<IgnoredAny>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
    #[serde(borrow)]
    owner_references: Option<&'a RawValue>,
}

/// Its spec.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec<'a> {
    #[serde(borrow)]
    pub(super) node_name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) scheduler_name: Cow<'a, str>,
    pub(super) priority: i32,
    #[serde(borrow)]
    pub(super) preemption_policy: Cow<'a, str>,
    pub(super) scheduling_gates: Vec<Gate>,
    #[serde(borrow)]
    pub(super) volumes: Vec<VolumeSpec<'a>>,
    #[serde(borrow)]
    containers: Vec<Container<'a>>,
    #[serde(borrow)]
    init_containers: Vec<Container<'a>>,
    #[serde(borrow)]
    node_selector: Option<&'a RawValue>,
    #[serde(borrow)]
    affinity: Option<&'a RawValue>,
    #[serde(borrow)]
    tolerations: Option<&'a RawValue>,
    #[serde(borrow)]
    topology_spread_constraints: Option<&'a RawValue>,
    #[serde(borrow)]
    overhead: Option<&'a RawValue>,
    #[serde(borrow)]
    resources: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_claims: Option<&'a RawValue>,
}

/// What it waits for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Gate {
    pub(super) name: String,
}

/// A container. Its mounts name volumes, whose names may differ in each pod: so it is not one text.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    image: Cow<'a, str>,
    #[serde(borrow)]
    restart_policy: Cow<'a, str>,
    #[serde(borrow)]
    resources: Option<&'a RawValue>,
    #[serde(borrow)]
    ports: Option<&'a RawValue>,
}

/// Its status.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status<'a> {
    #[serde(borrow)]
    pub(super) nominated_node_name: Cow<'a, str>,
    pub(super) start_time: Option<Timestamp>,
    #[serde(borrow)]
    conditions: Vec<Condition<'a>>,
    #[serde(borrow)]
    container_statuses: Vec<State<'a>>,
    #[serde(borrow)]
    init_container_statuses: Vec<State<'a>>,
}

/// A condition.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) status: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) reason: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
}

/// What a container has, as the kubelet says.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct State<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    resources: Option<&'a RawValue>,
    #[serde(borrow)]
    allocated_resources: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Owner {
    api_version: String,
    kind: String,
    name: String,
    controller: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    node_affinity: NodeAffinity,
    pod_affinity: PodAffinity,
    pod_anti_affinity: PodAffinity,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelector>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Vec<WeightedNodeTerm>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Vec<AffinityTerm>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Vec<WeightedTerm>,
}

impl Status<'_> {
    /// The condition of a type.
    pub(super) fn condition(&self, kind: &str) -> Option<&Condition<'_>> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    fn resize_infeasible(&self) -> bool {
        self.condition("PodResizePending").is_some_and(|condition| condition.reason == "Infeasible")
    }

    /// The containers of which it says what they have.
    fn states(&self) -> impl Iterator<Item = &State<'_>> {
        let all = self.container_statuses.iter().chain(&self.init_container_statuses);
        all.filter(|state| state.resources.is_some())
    }
}

impl Manifest<'_> {
    /// The pod's class, and the one node it is made for.
    ///
    /// # Errors
    /// It is no pod.
    pub(super) fn class(&self) -> Result<(Arc<Class>, Option<String>), Error> {
        known::class(|text| self.write(text), || self.parts())
    }

    /// Writes the text the class is made of. Whatever [`Manifest::parts`] reads is in it.
    fn write(&self, text: &mut Text<'_>) {
        let Self { metadata, spec, status } = self;
        text.put(&metadata.namespace);
        let raw = [
            metadata.labels,
            metadata.owner_references,
            spec.node_selector,
            spec.affinity,
            spec.tolerations,
            spec.topology_spread_constraints,
            spec.overhead,
            spec.resources,
            spec.resource_claims,
        ];
        raw.into_iter().for_each(|raw| text.put_raw(raw));
        for containers in [&spec.containers, &spec.init_containers] {
            text.put_count(containers.len());
            for container in containers {
                text.put(&container.name);
                text.put(&container.image);
                text.put(&container.restart_policy);
                text.put_raw(container.resources);
                text.put_raw(container.ports);
            }
        }
        text.put_count(usize::from(status.resize_infeasible()));
        text.put_count(status.states().count());
        for state in status.states() {
            text.put(&state.name);
            text.put_raw(state.resources);
            text.put_raw(state.allocated_resources);
        }
        spec.volumes.iter().for_each(|volume| text.put_raw(volume.image));
    }

    /// Reads what the class is made of, and the one node the pod is made for.
    fn parts(&self) -> Result<(Parts, Option<String>), Error> {
        let Self { metadata, spec, .. } = self;
        let owners: Vec<Owner> = read(metadata.owner_references)?;
        let owner = owners.into_iter().find(|owner| owner.controller);
        let mut affinity: Affinity = read(spec.affinity)?;
        let spread: Vec<SpreadConstraint> = read(spec.topology_spread_constraints)?;
        // spreading looks at the whole affinity
        let only = if spread.is_empty() { affinity.node_affinity.take_only_node() } else { None };
        let containers = Container::read(&spec.containers)?;
        let init_containers = Container::read(&spec.init_containers)?;
        let claims: Vec<IgnoredAny> = read(spec.resource_claims)?;
        let parts = Parts {
            owner: owner.map(|o| OwnerRef { api_version: o.api_version, kind: o.kind, name: o.name }),
            images: images(&init_containers, &containers, &spec.volumes)?,
            containers: init_containers.len() + containers.len(),
            ports: ports(&init_containers, &containers),
            namespace: metadata.namespace.clone().into_owned(),
            labels: read(metadata.labels)?,
            demand: self.demand(&init_containers, &containers)?,
            node_selector: read(spec.node_selector)?,
            node_affinity: affinity.node_affinity.required,
            node_preferences: affinity.node_affinity.preferred,
            affinity: affinity.pod_affinity.required,
            preferred_affinity: affinity.pod_affinity.preferred,
            anti_affinity: affinity.pod_anti_affinity.required,
            preferred_anti_affinity: affinity.pod_anti_affinity.preferred,
            tolerations: read(spec.tolerations)?,
            spread,
            claims_devices: !claims.is_empty(),
        };
        Ok((parts, only))
    }

    fn demand(
        &self,
        init_containers: &[ContainerSpec],
        containers: &[ContainerSpec],
    ) -> Result<Demand, Error> {
        let states: Vec<ContainerState> = self.status.states().map(State::read).collect::<Result<_, _>>()?;
        let pod_level: ResourceSpec = read(self.spec.resources)?;
        Ok(Demand::of(&resources::Parts {
            containers,
            init_containers,
            states: &states,
            pod_level: &pod_level.requests,
            overhead: &read(self.spec.overhead)?,
            resize_infeasible: self.status.resize_infeasible(),
        }))
    }
}

/// Reads a part that may be absent.
fn read<T: DeserializeOwned + Default>(text: Option<&RawValue>) -> Result<T, Error> {
    text.map_or_else(|| Ok(T::default()), |text| serde_json::from_str(text.get()))
}

fn images(
    init_containers: &[ContainerSpec],
    containers: &[ContainerSpec],
    volumes: &[VolumeSpec<'_>],
) -> Result<Vec<u64>, Error> {
    let mut images: Vec<u64> =
        init_containers.iter().chain(containers).map(|container| image_hash(&container.image)).collect();
    for volume in volumes {
        images.extend(volume.image()?.map(|reference| image_hash(&reference)));
    }
    Ok(images)
}

fn ports(init_containers: &[ContainerSpec], containers: &[ContainerSpec]) -> Vec<Port> {
    let sidecars = init_containers.iter().filter(|container| container.restart_policy == "Always");
    let all = containers.iter().chain(sidecars);
    all.flat_map(|container| container.ports.iter().filter_map(PortSpec::port)).collect()
}

impl Container<'_> {
    fn read(all: &[Self]) -> Result<Vec<ContainerSpec>, Error> {
        let one = |container: &Self| {
            Ok(ContainerSpec {
                name: container.name.clone().into_owned(),
                image: container.image.clone().into_owned(),
                restart_policy: container.restart_policy.clone().into_owned(),
                resources: read(container.resources)?,
                ports: read(container.ports)?,
            })
        };
        all.iter().map(one).collect()
    }
}

impl State<'_> {
    fn read(&self) -> Result<ContainerState, Error> {
        Ok(ContainerState {
            name: self.name.clone().into_owned(),
            resources: read(self.resources)?,
            allocated_resources: read(self.allocated_resources)?,
        })
    }
}

impl NodeAffinity {
    /// Takes the node's name out when it is all that one term says about fields.
    fn take_only_node(&mut self) -> Option<String> {
        let [term] = self.required.as_mut()?.node_selector_terms.as_mut_slice() else { return None };
        let [field] = term.match_fields.as_mut_slice() else { return None };
        if !(field.key == "metadata.name" && field.operator == "In" && field.values.len() == 1) {
            return None;
        }
        let name = field.values.pop();
        term.match_fields.clear();
        if term.match_expressions.is_empty() {
            self.required = None;
        }
        name
    }
}
