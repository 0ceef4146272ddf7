//! Who has which device, across restarts of the kubelet.
//!
//! # Upstream
//! `pkg/kubelet/cm/devicemanager/checkpoint`

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cri::plugin::device::ContainerAllocateResponse;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::state::{Resource, State, Taken};

const FILE: &str = "kubelet_internal_checkpoint";
/// Devices near to no memory node are under this number.
const NOWHERE: i64 = -1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Checkpoint {
    data: Data,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    pod_device_entries: Option<Vec<Entry>>,
    registered_devices: BTreeMap<String, Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(rename = "PodUID")]
    pod: String,
    #[serde(rename = "ContainerName")]
    container: String,
    #[serde(rename = "ResourceName")]
    resource: String,
    #[serde(rename = "DeviceIDs")]
    devices: BTreeMap<i64, Vec<String>>,
    #[serde(rename = "AllocResp")]
    response: String,
}

/// What was remembered; nothing where nothing was.
pub(super) fn read(folder: &Path) -> io::Result<State> {
    let bytes = match std::fs::read(folder.join(FILE)) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        Err(e) => return Err(e),
    };
    let Checkpoint { data } = serde_json::from_slice(&bytes)?;
    let mut state = State::default();
    for entry in data.pod_device_entries.into_iter().flatten() {
        let bytes = STANDARD.decode(&entry.response).map_err(io::Error::other)?;
        let response = ContainerAllocateResponse::decode(&*bytes).map_err(io::Error::other)?;
        let devices: BTreeSet<String> = entry.devices.into_values().flatten().collect();
        state.taken.insert((entry.pod, entry.container, entry.resource), Taken { devices, response });
    }
    // their plugins have to come back before there is any of them
    let names = data.registered_devices.into_keys();
    state.resources = names.map(|name| (name, Resource::default())).collect();
    Ok(state)
}

pub(super) fn write(folder: &Path, state: &State) -> io::Result<()> {
    let entry = |((pod, container, resource), taken): (&super::state::Holder, &Taken)| {
        let known = state.resources.get(resource);
        let mut devices: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for id in &taken.devices {
            let nodes = known.and_then(|r| r.devices.get(id)).map(|d| d.nodes.clone()).unwrap_or_default();
            let nodes = if nodes.is_empty() { vec![NOWHERE] } else { nodes };
            nodes.into_iter().for_each(|node| devices.entry(node).or_default().push(id.clone()));
        }
        let response = STANDARD.encode(taken.response.encode_to_vec());
        Entry {
            pod: pod.clone(),
            container: container.clone(),
            resource: resource.clone(),
            devices,
            response,
        }
    };
    let healthy =
        |r: &Resource| r.devices.iter().filter(|(_, d)| d.healthy).map(|(id, _)| id.clone()).collect();
    let data = Data {
        pod_device_entries: Some(state.taken.iter().map(entry).collect()),
        registered_devices: state.resources.iter().map(|(name, r)| (name.clone(), healthy(r))).collect(),
    };
    let partial = folder.join(format!(".{FILE}"));
    std::fs::write(&partial, serde_json::to_vec(&Checkpoint { data })?)?;
    std::fs::rename(partial, folder.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_is_read_and_ours_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"Data":{"PodDeviceEntries":[{"PodUID":"u","ContainerName":"c","ResourceName":"example.com/x",
            "DeviceIDs":{"-1":["d1"],"0":["d2"]},"AllocResp":"CgYKAUESAWI="}],
            "RegisteredDevices":{"example.com/x":["d1","d2"]}},"Checksum":42}"#;
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let state = read(folder.path()).unwrap();
        let holder = ("u".to_owned(), "c".to_owned(), "example.com/x".to_owned());
        assert_eq!(state.taken[&holder].devices.len(), 2);
        assert_eq!(state.taken[&holder].response.envs["A"], "b");
        assert!(state.resources["example.com/x"].devices.is_empty());
        write(folder.path(), &state).unwrap();
        assert_eq!(read(folder.path()).unwrap().taken, state.taken);
    }
}
