//! A container's mounts.
//!
//! # Upstream
//! `pkg/kubelet/kubelet_pods.go` `makeMounts`

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cri::v1;
use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use super::{Place, Places, subpath};
use crate::pod::facts::PodFacts;
use crate::runtime::expand::expand;
use crate::settings::Settings;

/// What mounts are made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Settings.
    pub settings: &'a Settings,
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// Its pod's volumes.
    pub places: &'a Places,
    /// Its variables.
    pub env: &'a [(String, String)],
    /// The pod's hosts file, when it gets one.
    pub hosts: Option<&'a Path>,
    /// Its user namespace: mounts are seen through it.
    pub users: Option<&'a v1::UserNamespace>,
}

/// The mounts, in order; what a part of a volume needs on the node is made.
///
/// # Errors
/// The text upstream shows with `CreateContainerConfigError`.
pub fn mounts(f: &Facts<'_>) -> Result<Vec<v1::Mount>, String> {
    let mut out = Vec::new();
    for (i, mount) in f.container.volume_mounts.iter().flatten().enumerate() {
        out.push(one(f, mount, i)?);
    }
    let own_hosts = f.container.volume_mounts.iter().flatten().any(|m| m.mount_path == "/etc/hosts");
    if let Some(hosts) = f.hosts.filter(|_| !own_hosts) {
        out.push(v1::Mount {
            container_path: "/etc/hosts".into(),
            host_path: hosts.to_string_lossy().into_owned(),
            ..v1::Mount::default()
        });
    }
    if let Some(path) = f.container.termination_message_path.as_ref().filter(|p| !p.is_empty()) {
        out.push(last_words(f, path).map_err(|e| format!("making the termination message file: {e}"))?);
    }
    if let Some(users) = f.users {
        for mount in &mut out {
            (mount.uid_mappings, mount.gid_mappings) = (users.uids.clone(), users.gids.clone());
        }
    }
    Ok(out)
}

/// The volumes a container sees as devices.
///
/// # Errors
/// As for [`mounts`].
pub fn devices(f: &Facts<'_>) -> Result<Vec<v1::Device>, String> {
    let mut out = Vec::new();
    for device in f.container.volume_devices.iter().flatten() {
        match f.places.get(&device.name) {
            Some(Place::Device(path, read_only)) => out.push(v1::Device {
                container_path: device.device_path.clone(),
                host_path: path.to_string_lossy().into_owned(),
                permissions: if *read_only { "r" } else { "mrw" }.into(),
            }),
            Some(_) => {
                return Err(format!(
                    "volume {} has volumeMode Filesystem, but is specified in volumeDevices",
                    device.name
                ));
            }
            None => {
                return Err(format!(
                    "cannot find volume \"{}\" to pass into container \"{}\"",
                    device.name, f.container.name
                ));
            }
        }
    }
    Ok(out)
}

fn last_words(f: &Facts<'_>, path: &str) -> std::io::Result<v1::Mount> {
    let dir = f.settings.pod_dir(f.pod.uid()).join("containers").join(&f.container.name);
    fs::create_dir_all(&dir)?;
    // a fresh file for each run, so that an earlier run's words are not taken for this one's
    let file = dir.join(&uuid::Uuid::new_v4().simple().to_string()[..8]);
    fs::write(&file, b"")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666))?;
    Ok(v1::Mount {
        container_path: path.to_owned(),
        host_path: file.to_string_lossy().into_owned(),
        ..v1::Mount::default()
    })
}

fn one(f: &Facts<'_>, mount: &VolumeMount, index: usize) -> Result<v1::Mount, String> {
    let place = f.places.get(&mount.name).ok_or_else(|| {
        format!("cannot find volume \"{}\" to mount into container \"{}\"", mount.name, f.container.name)
    })?;
    let part = part(f, mount)?;
    let read_only = mount.read_only.unwrap_or(false);
    let mut out = v1::Mount {
        container_path: mount.mount_path.clone(),
        readonly: read_only,
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => v1::MountPropagation::PropagationHostToContainer,
            Some("Bidirectional") => v1::MountPropagation::PropagationBidirectional,
            _ => v1::MountPropagation::PropagationPrivate,
        } as i32,
        recursive_read_only: read_only && mount.recursive_read_only.as_deref() == Some("Enabled"),
        ..v1::Mount::default()
    };
    if !out.container_path.starts_with('/') {
        out.container_path = format!("/{}", out.container_path);
    }
    match place {
        Place::Image(spec) => {
            out.image = Some(spec.clone());
            out.image_sub_path = part.unwrap_or_default();
            out.readonly = true;
        }
        Place::Device(..) => {
            return Err(format!(
                "volume {} has volumeMode Block, but is specified in volumeMounts",
                mount.name
            ));
        }
        Place::Path(path) => {
            let path = match part {
                None => path.clone(),
                Some(part) => {
                    let uid = f.pod.uid();
                    let dir = f.settings.pod_dir(uid).join("volume-subpaths").join(&mount.name);
                    let target = dir.join(&f.container.name).join(index.to_string());
                    subpath::bind(path, &part, &target).map_err(|e| {
                        tracing::warn!(
                            pod = f.pod.full_name(),
                            error = &e as &dyn std::error::Error,
                            "Preparing a subPath"
                        );
                        format!(
                            "failed to prepare subPath for volumeMount \"{}\" of container \"{}\"",
                            mount.name, f.container.name
                        )
                    })?
                }
            };
            out.host_path = path.to_string_lossy().into_owned();
        }
    }
    Ok(out)
}

fn part(f: &Facts<'_>, mount: &VolumeMount) -> Result<Option<String>, String> {
    if let Some(part) = mount.sub_path.as_ref().filter(|p| !p.is_empty()) {
        return Ok(Some(part.clone()));
    }
    let Some(expression) = mount.sub_path_expr.as_ref().filter(|p| !p.is_empty()) else { return Ok(None) };
    let missing = std::cell::Cell::new(false);
    let lookup = |name: &str| {
        let found = f.env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        missing.set(missing.get() || found.is_none());
        found
    };
    let part = expand(expression, lookup);
    if missing.get() {
        return Err(format!("missing value for variable in subPathExpr \"{expression}\""));
    }
    let path = Path::new(&part);
    if path.is_absolute() {
        return Err(format!("error SubPath `{part}` must not be an absolute path"));
    }
    if path.components().any(|c| c.as_os_str() == "..") {
        return Err(format!("unable to provision SubPath `{part}`: must not contain '..'"));
    }
    Ok(Some(part))
}
