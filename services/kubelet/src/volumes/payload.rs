//! What the files of a configMap, secret, downwardAPI or projected volume hold. Pure, but for the tokens handed in.
//!
//! # Upstream
//! `pkg/volume/{configmap,secret,downwardapi,projected}`

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Secret,
    ServiceAccountTokenProjection, Volume,
};

use crate::pod::facts::PodFacts;
use crate::quantity::Amounts;
use crate::runtime::env::{metadata_value, resource_value};
use crate::sources::Materials;

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub data: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
    /// Its owner, when one user is to read it.
    pub owner: Option<u32>,
}

/// Files by path below the volume.
pub type Payload = BTreeMap<String, File>;

/// Why there are no files.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// Audience and lifetime of a token.
pub fn token(source: &ServiceAccountTokenProjection) -> (String, i64) {
    (source.audience.clone().unwrap_or_default(), source.expiration_seconds.unwrap_or(3600))
}

/// What files are made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What it refers to.
    pub materials: &'a Materials,
    /// The node's allocatable resources.
    pub allocatable: &'a Amounts,
    /// Service account tokens by audience and lifetime.
    pub tokens: &'a BTreeMap<(String, i64), String>,
}

const DEFAULT_MODE: i32 = 0o644;

fn mode(own: Option<i32>, default: i32) -> u32 {
    (own.unwrap_or(default) & 0o777).unsigned_abs()
}

/// The files of a volume; `None` when the volume is of another kind.
///
/// # Errors
/// Something that is not optional is not there.
pub fn payload(f: &Facts<'_>, volume: &Volume) -> Result<Option<Payload>, Error> {
    if let Some(s) = &volume.config_map {
        let map = f.materials.config_maps.get(&s.name).map(AsRef::as_ref);
        let default = s.default_mode.unwrap_or(DEFAULT_MODE);
        return config_map(f, map, &s.name, s.items.as_deref(), s.optional == Some(true), default).map(Some);
    }
    if let Some(s) = &volume.secret {
        let name = s.secret_name.as_deref().unwrap_or_default();
        let found = f.materials.secrets.get(name).map(AsRef::as_ref);
        let default = s.default_mode.unwrap_or(DEFAULT_MODE);
        return secret(f, found, name, s.items.as_deref(), s.optional == Some(true), default).map(Some);
    }
    if let Some(s) = &volume.downward_api {
        let items = s.items.as_deref().unwrap_or_default();
        return downward(f, items, s.default_mode.unwrap_or(DEFAULT_MODE)).map(Some);
    }
    volume.projected.as_ref().map(|s| projected(f, s)).transpose()
}

fn pick(
    data: BTreeMap<&str, &[u8]>,
    items: Option<&[KeyToPath]>,
    optional: bool,
    default: i32,
    what: &str,
) -> Result<Payload, Error> {
    let file = |data: &[u8], mode| File { data: data.to_vec(), mode, owner: None };
    let Some(items) = items.filter(|i| !i.is_empty()) else {
        return Ok(data.into_iter().map(|(k, v)| (k.to_owned(), file(v, mode(None, default)))).collect());
    };
    let mut out = Payload::new();
    for item in items {
        match data.get(item.key.as_str()) {
            Some(value) => {
                out.insert(item.path.clone(), file(value, mode(item.mode, default)));
            }
            None if optional => {}
            None => {
                return Err(Error(format!(
                    "{what} references non-existent {} key: {}",
                    if what.starts_with("secret") { "secret" } else { "config" },
                    item.key
                )));
            }
        }
    }
    Ok(out)
}

fn config_map(
    f: &Facts<'_>,
    map: Option<&ConfigMap>,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: bool,
    default: i32,
) -> Result<Payload, Error> {
    let Some(map) = map else {
        return if optional {
            Ok(Payload::new())
        } else {
            Err(Error(format!("configmap \"{name}\" not found")))
        };
    };
    tracing::trace!(pod = f.pod.name(), name, "Taking files of a ConfigMap");
    let text = map.data.iter().flatten().map(|(k, v)| (k.as_str(), v.as_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(k, v)| (k.as_str(), v.0.as_slice()));
    pick(text.chain(binary).collect(), items, optional, default, "configmap")
}

fn secret(
    f: &Facts<'_>,
    secret: Option<&Secret>,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: bool,
    default: i32,
) -> Result<Payload, Error> {
    let Some(secret) = secret else {
        return if optional {
            Ok(Payload::new())
        } else {
            Err(Error(format!("secret \"{name}\" not found")))
        };
    };
    tracing::trace!(pod = f.pod.name(), name, "Taking files of a Secret");
    let data = secret.data.iter().flatten().map(|(k, v)| (k.as_str(), v.0.as_slice()));
    pick(data.collect(), items, optional, default, "secret")
}

fn downward(f: &Facts<'_>, items: &[DownwardAPIVolumeFile], default: i32) -> Result<Payload, Error> {
    let mut out = Payload::new();
    let containers = f.pod.containers();
    for item in items {
        let data = if let Some(field) = &item.field_ref {
            metadata_value(f.pod, &field.field_path)
                .ok_or_else(|| Error(format!("unsupported fieldPath: {}", field.field_path)))?
        } else if let Some(r) = &item.resource_field_ref {
            let name = r.container_name.as_deref().unwrap_or_default();
            let found = containers.iter().find(|(_, c)| c.name == name);
            let (_, c) = found.ok_or_else(|| Error(format!("container {name} not found")))?;
            resource_value(c, r, f.allocatable).map_err(|e| Error(e.0))?
        } else {
            continue;
        };
        let file = File { data: data.into_bytes(), mode: mode(item.mode, default), owner: None };
        out.insert(item.path.clone(), file);
    }
    Ok(out)
}

fn projected(f: &Facts<'_>, source: &ProjectedVolumeSource) -> Result<Payload, Error> {
    let default = source.default_mode.unwrap_or(DEFAULT_MODE);
    let mut out = Payload::new();
    for part in source.sources.iter().flatten() {
        if let Some(s) = &part.config_map {
            let map = f.materials.config_maps.get(&s.name).map(AsRef::as_ref);
            out.extend(config_map(f, map, &s.name, s.items.as_deref(), s.optional == Some(true), default)?);
        }
        if let Some(s) = &part.secret {
            let found = f.materials.secrets.get(&s.name).map(AsRef::as_ref);
            out.extend(secret(f, found, &s.name, s.items.as_deref(), s.optional == Some(true), default)?);
        }
        if let Some(s) = &part.downward_api {
            out.extend(downward(f, s.items.as_deref().unwrap_or_default(), default)?);
        }
        if let Some(s) = &part.service_account_token {
            let token =
                f.tokens.get(&token(s)).ok_or_else(|| Error("service account token is not there".into()))?;
            // with a group the file is shared with it, else it is the one user's, else everyone's who looks
            let group = f.pod.facts().security_context.as_ref().and_then(|s| s.fs_group);
            let owner = single_user(f.pod);
            let mode = if group.is_some() || owner.is_some() { 0o600 } else { mode(None, default) };
            let data = token.clone().into_bytes();
            out.insert(s.path.clone(), File { data, mode, owner });
        }
        if part.cluster_trust_bundle.is_some() || part.pod_certificate.is_some() {
            return Err(Error(
                "clusterTrustBundle and podCertificate projections are not supported by this node".into(),
            ));
        }
    }
    Ok(out)
}

/// The one user all containers run as, if they do.
///
/// # Upstream
/// `pkg/volume/util/util.go` `FsUserFrom`
fn single_user(pod: &Pod) -> Option<u32> {
    let of_pod = pod.facts().security_context.as_ref().and_then(|s| s.run_as_user);
    let mut users = pod
        .containers()
        .into_iter()
        .map(|(_, c)| c.security_context.as_ref().and_then(|s| s.run_as_user).or(of_pod));
    let first = users.next()??;
    users.all(|u| u == Some(first)).then(|| u32::try_from(first).ok()).flatten() // uids fit
}
