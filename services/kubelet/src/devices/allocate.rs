//! Giving devices to containers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use cri::plugin::device;
use cri::v1;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::state::{Holder, Need, Taken, choose};
use super::{Devices, Endpoint};
use crate::pod::facts::{PodFacts, Role, limit};

/// Upstream's time for a plugin's preparations.
const PREPARE: Duration = Duration::from_secs(30);

/// What a container's devices bring into it.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Given {
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Device nodes.
    pub devices: Vec<v1::Device>,
    /// Mounts.
    pub mounts: Vec<v1::Mount>,
    /// Annotations for the runtime.
    pub annotations: BTreeMap<String, String>,
    /// Devices the runtime knows by name.
    pub named: Vec<v1::CdiDevice>,
}

impl Devices {
    /// Gives a pod's containers what they ask for; those that have it keep it.
    ///
    /// # Errors
    /// There is not enough, or a plugin refuses; upstream's words.
    pub async fn allocate(&self, pod: &Pod) -> Result<(), String> {
        let wants = |c: &Container| {
            let limits = c.resources.iter().flat_map(|r| r.limits.iter().flat_map(|l| l.keys()));
            limits.filter(|name| name.contains('/')).cloned().collect::<Vec<_>>()
        };
        let containers = pod.containers();
        if containers.iter().all(|(_, c)| wants(c).is_empty()) {
            return Ok(());
        }
        let _one = self.allocating.lock().await;
        // what an init container has had its successors may have
        let mut reusable: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (role, c) in containers.iter().filter(|(role, _)| *role != Role::Ephemeral) {
            for resource in wants(c) {
                let count = usize::try_from(limit(c, &resource)).unwrap_or(0); // amounts are not negative
                let holder = (pod.uid().to_owned(), c.name.clone(), resource.clone());
                let reuse = reusable.entry(resource.clone()).or_default();
                self.one(&holder, count, reuse).await?;
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let has = state.taken.get(&holder).map(|t| t.devices.clone()).unwrap_or_default();
                if *role == Role::Init {
                    reuse.extend(has);
                } else {
                    reuse.retain(|d| !has.contains(d));
                }
            }
        }
        Ok(())
    }

    async fn one(&self, holder: &Holder, count: usize, reusable: &BTreeSet<String>) -> Result<(), String> {
        let resource = &holder.2;
        let need = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.need(holder, count, reusable)?
        };
        let Need::Some { kept, available } = need else { return Ok(()) };
        let endpoint = self.endpoint(resource).ok_or_else(|| format!("unknown Device Plugin {resource}"))?;
        let preferred = if kept.len() < count && endpoint.options.get_preferred_allocation_available {
            preferred(&endpoint, &kept, &available, count).await?
        } else {
            Vec::new()
        };
        let devices = choose(count, &kept, &preferred, &available);
        let question = device::AllocateRequest {
            container_requests: vec![device::ContainerAllocateRequest {
                devices_ids: devices.iter().cloned().collect(),
            }],
        };
        let method = "/v1beta1.DevicePlugin/Allocate";
        let answer: device::AllocateResponse =
            endpoint.call(method, question).await.map_err(|e| crate::chain(&e))?;
        let response = answer.container_responses.into_iter().next();
        let response = response.ok_or_else(|| "no containers return in allocation response".to_owned())?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken.insert(holder.clone(), Taken { devices, response });
        self.remember(&state);
        Ok(())
    }

    /// What a container's devices bring into it; plugins that want to prepare them do so.
    ///
    /// # Errors
    /// A plugin's preparations fail.
    pub async fn given(&self, pod: &Pod, container: &Container) -> Result<Given, String> {
        let taken: Vec<(String, Taken)> = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.of(pod.uid(), &container.name).map(|(r, t)| (r.to_owned(), t.clone())).collect()
        };
        for (resource, has) in &taken {
            let endpoint = self.endpoint(resource).filter(|e| e.options.pre_start_required);
            if let Some(endpoint) = endpoint {
                let devices_ids = has.devices.iter().cloned().collect();
                let question = device::PreStartContainerRequest { devices_ids };
                let method = "/v1beta1.DevicePlugin/PreStartContainer";
                let call = endpoint.call::<_, device::PreStartContainerResponse>(method, question);
                let answer = tokio::time::timeout(PREPARE, call).await;
                let answer = answer.map_err(|_| "context deadline exceeded".to_owned());
                answer
                    .and_then(|a| a.map(drop).map_err(|e| crate::chain(&e)))
                    .map_err(|e| format!("device plugin PreStartContainer rpc failed with err: {e}"))?;
            }
        }
        Ok(merge(taken.into_iter().map(|(_, t)| t.response)))
    }
}

async fn preferred(
    endpoint: &Endpoint,
    kept: &BTreeSet<String>,
    available: &BTreeSet<String>,
    count: usize,
) -> Result<Vec<String>, String> {
    let question = device::PreferredAllocationRequest {
        container_requests: vec![device::ContainerPreferredAllocationRequest {
            available_device_i_ds: available.union(kept).cloned().collect(),
            must_include_device_i_ds: kept.iter().cloned().collect(),
            allocation_size: i32::try_from(count).unwrap_or(i32::MAX),
        }],
    };
    let method = "/v1beta1.DevicePlugin/GetPreferredAllocation";
    let answer: device::PreferredAllocationResponse = endpoint.call(method, question).await.map_err(|e| {
        format!("device plugin GetPreferredAllocation rpc failed with err: {}", crate::chain(&e))
    })?;
    Ok(answer.container_responses.into_iter().next().map(|r| r.device_i_ds).unwrap_or_default())
}

/// Several plugins' answers together; the first one that names a variable, path or annotation has it.
fn merge(responses: impl Iterator<Item = device::ContainerAllocateResponse>) -> Given {
    let mut out = Given::default();
    for response in responses {
        let mut envs: Vec<_> = response.envs.into_iter().collect();
        envs.sort();
        for (name, value) in envs {
            if !out.env.iter().any(|(n, _)| *n == name) {
                out.env.push((name, value));
            }
        }
        for d in response.devices {
            if !out.devices.iter().any(|o| o.container_path == d.container_path) {
                out.devices.push(v1::Device {
                    container_path: d.container_path,
                    host_path: d.host_path,
                    permissions: d.permissions,
                });
            }
        }
        for m in response.mounts {
            if !out.mounts.iter().any(|o| o.container_path == m.container_path) {
                out.mounts.push(v1::Mount {
                    container_path: m.container_path,
                    host_path: m.host_path,
                    readonly: m.read_only,
                    ..v1::Mount::default()
                });
            }
        }
        for (key, value) in response.annotations {
            out.annotations.entry(key).or_insert(value);
        }
        for c in response.cdi_devices {
            if !out.named.iter().any(|o| o.name == c.name) {
                out.named.push(v1::CdiDevice { name: c.name });
            }
        }
    }
    out
}
