//! Who has which device, for monitors: upstream's `PodResourcesLister`.
//!
//! # Upstream
//! `pkg/kubelet/apis/podresources/server_v1.go`

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use cri::plugin::resources::{
    AllocatableResourcesRequest, AllocatableResourcesResponse, ContainerDevices, ContainerResources,
    GetPodResourcesRequest, GetPodResourcesResponse, ListPodResourcesRequest, ListPodResourcesResponse,
    NumaNode, PodResources, TopologyInfo,
};
use cri::{Answer, Code, Refusal};
use k8s_openapi::api::core::v1::Pod;

use crate::Kubelet;
use crate::devices::state::{Device, State};
use crate::pod::facts::{PodFacts, Role};

pub(super) async fn answer(kubelet: Arc<Kubelet>, path: String, question: bytes::Bytes) -> Answer {
    match path.as_str() {
        "/v1.PodResourcesLister/List" => {
            cri::answer(question, |_: ListPodResourcesRequest| async move {
                let pods = kubelet.workers.holding();
                let pod_resources = pods.iter().map(|p| of(&kubelet, p)).collect();
                Ok(ListPodResourcesResponse { pod_resources })
            })
            .await
        }
        "/v1.PodResourcesLister/GetAllocatableResources" => {
            cri::answer(question, |_: AllocatableResourcesRequest| async move {
                Ok(AllocatableResourcesResponse { devices: all(&kubelet), ..Default::default() })
            })
            .await
        }
        "/v1.PodResourcesLister/Get" => {
            cri::answer(question, |q: GetPodResourcesRequest| async move {
                let pods = kubelet.workers.holding();
                let found = pods.iter().find(|p| p.namespace() == q.pod_namespace && p.name() == q.pod_name);
                let message = format!("pod {} in namespace {} not found", q.pod_name, q.pod_namespace);
                let pod = found.ok_or(Refusal::unknown(message))?;
                Ok(GetPodResourcesResponse { pod_resources: Some(of(&kubelet, pod)) })
            })
            .await
        }
        other => Err(Refusal { code: Code::UNIMPLEMENTED, message: format!("unknown method {other}") }),
    }
}

/// Devices near to the same memory nodes together, as upstream groups them.
fn grouped<'a>(
    resource: &str,
    ids: impl Iterator<Item = &'a String>,
    known: Option<&BTreeMap<String, Device>>,
) -> Vec<ContainerDevices> {
    let mut groups: BTreeMap<Vec<i64>, Vec<String>> = BTreeMap::new();
    for id in ids {
        let nodes = known.and_then(|k| k.get(id)).map(|d| d.nodes.clone()).unwrap_or_default();
        groups.entry(nodes).or_default().push(id.clone());
    }
    let one = |(nodes, device_ids): (Vec<i64>, Vec<String>)| ContainerDevices {
        resource_name: resource.to_owned(),
        device_ids,
        topology: (!nodes.is_empty())
            .then(|| TopologyInfo { nodes: nodes.into_iter().map(|id| NumaNode { id }).collect() }),
    };
    groups.into_iter().map(one).collect()
}

fn of(kubelet: &Kubelet, pod: &Pod) -> PodResources {
    let state = kubelet.devices.state.lock().unwrap_or_else(PoisonError::into_inner);
    let containers = pod.containers();
    let told = containers.iter().filter(|(r, _)| matches!(r, Role::App | Role::Sidecar));
    let one = |name: &str| ContainerResources {
        name: name.to_owned(),
        devices: devices(&state, pod.uid(), name),
        ..Default::default()
    };
    PodResources {
        name: pod.name().to_owned(),
        namespace: pod.namespace().to_owned(),
        containers: told.map(|(_, c)| one(&c.name)).collect(),
    }
}

fn devices(state: &State, uid: &str, container: &str) -> Vec<ContainerDevices> {
    let own = state.of(uid, container);
    let one = |(resource, taken): (&str, &super::state::Taken)| {
        grouped(resource, taken.devices.iter(), state.resources.get(resource).map(|r| &r.devices))
    };
    own.flat_map(one).collect()
}

fn all(kubelet: &Kubelet) -> Vec<ContainerDevices> {
    let state = kubelet.devices.state.lock().unwrap_or_else(PoisonError::into_inner);
    let one = |(name, r): (&String, &super::state::Resource)| {
        grouped(name, r.devices.iter().filter(|(_, d)| d.healthy).map(|(id, _)| id), Some(&r.devices))
    };
    state.resources.iter().flat_map(one).collect()
}
