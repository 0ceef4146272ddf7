//! User namespaces: a range of the node's user numbers for each pod that wants to keep to itself.
//!
//! # Upstream
//! `pkg/kubelet/userns/userns_manager.go`

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cri::v1;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::pod::facts::PodFacts;
use crate::settings::Settings;

/// Numbers a pod gets, and the first that are given away: below are the node's own.
const LENGTH: u32 = 65_536;
const FILE: &str = "userns";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    host_id: u32,
    container_id: u32,
    length: u32,
}

/// As kept in the pod's directory, in upstream's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    #[serde(rename = "uidMappings")]
    uids: Vec<Mapping>,
    #[serde(rename = "gidMappings")]
    gids: Vec<Mapping>,
}

fn read(dir: &Path) -> io::Result<Option<Kept>> {
    match std::fs::read(dir.join(FILE)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The first range none of these begins. Pure.
fn free(taken: &HashSet<u32>, pods: u32) -> Option<u32> {
    (1..=pods).map(|i| i * LENGTH).find(|first| !taken.contains(first))
}

/// The pod's user namespace, chosen once and kept; `None` for a pod that runs with the node's users.
///
/// # Errors
/// The file cannot be read or written, or every range is taken.
pub fn of(settings: &Settings, pod: &Pod) -> io::Result<Option<v1::UserNamespace>> {
    if pod.facts().host_users != Some(false) {
        return Ok(None);
    }
    let dir = settings.pod_dir(pod.uid());
    if let Some(kept) = read(&dir)? {
        return Ok(Some(namespace(&kept)));
    }
    // two pods that choose at the same time must not choose the same
    static CHOOSING: Mutex<()> = Mutex::new(());
    let _choosing = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut taken = HashSet::new();
    for entry in std::fs::read_dir(settings.root_dir.join("pods"))? {
        let kept = read(&entry?.path())?;
        taken.extend(kept.iter().flat_map(|k| k.uids.iter().map(|m| m.host_id)));
    }
    let pods = u32::try_from(settings.max_pods).unwrap_or(110);
    let first = free(&taken, pods)
        .ok_or_else(|| io::Error::other("could not find an empty slot to allocate a user namespace"))?;
    let mapping = Mapping { host_id: first, container_id: 0, length: LENGTH };
    let kept = Kept { uids: vec![mapping], gids: vec![mapping] };
    let (new, path) = (dir.join(".userns.new"), dir.join(FILE));
    std::fs::write(&new, serde_json::to_vec(&kept)?)?;
    std::fs::File::open(&new)?.sync_all()?;
    std::fs::rename(&new, &path)?;
    std::fs::File::open(&dir)?.sync_all()?;
    Ok(Some(namespace(&kept)))
}

fn namespace(kept: &Kept) -> v1::UserNamespace {
    let mappings = |all: &[Mapping]| -> Vec<v1::IdMapping> {
        let one = |m: &Mapping| v1::IdMapping {
            host_id: m.host_id,
            container_id: m.container_id,
            length: m.length,
        };
        all.iter().map(one).collect()
    };
    v1::UserNamespace {
        mode: v1::NamespaceMode::Pod as i32,
        uids: mappings(&kept.uids),
        gids: mappings(&kept.gids),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ranges_are_kept_and_never_shared() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { root_dir: dir.path().into(), max_pods: 2, ..Settings::default() };
        let pod = |uid: &str, host: bool| -> Pod {
            std::fs::create_dir_all(settings.pod_dir(uid)).unwrap();
            let spec = json!({"containers": [], "hostUsers": host});
            serde_json::from_value(json!({"metadata": {"uid": uid}, "spec": spec})).unwrap()
        };
        let first = |uid: &str| of(&settings, &pod(uid, false)).map(|n| n.unwrap().uids[0].host_id);
        assert_eq!(
            (first("a").unwrap(), first("b").unwrap(), first("a").unwrap()),
            (LENGTH, 2 * LENGTH, LENGTH)
        );
        assert!(first("c").is_err());
        assert!(of(&settings, &pod("d", true)).unwrap().is_none());
        std::fs::remove_dir_all(settings.pod_dir("a")).unwrap();
        assert_eq!(first("c").unwrap(), LENGTH);
    }
}
