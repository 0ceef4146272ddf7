//! Applying one file, or taking it back.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::{Client, DeleteOptions, Key, ListParams, Patch, PatchParams, Propagation, Resource};
use meta::Reason;
use reconcile::{Event, Involved, Level, Recorder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::manifest::{self, Gvk, ManifestError};
use super::{owner, scan};
use crate::discovery;

const COMPONENT: &str = "deploy";
const KINDS: &str = "addon.k3s.cattle.io/gvks";
/// Kinds whose objects are made anew when a change is refused, as upstream's reconcilers do.
const REPLACED: [&str; 4] = ["DaemonSet", "Deployment", "Job", "Secret"];

/// Why a file is not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeployError {
    #[error("{}", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{what}")]
    Request { what: String, source: client::Error },
    #[error("no matches for kind {kind:?} in version {version:?}")]
    NoKind { kind: String, version: String },
    #[error("{0}: an object needs a name")]
    NoName(Gvk),
}

fn asking(what: impl Into<String>) -> impl FnOnce(client::Error) -> DeployError {
    let what = what.into();
    move |source| DeployError::Request { what, source }
}

#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
    annotations: HashMap<String, String>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct Spec {
    checksum: String,
}

/// As much of an Addon as is looked at.
#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct Addon {
    metadata: Meta,
    spec: Spec,
}

#[derive(Deserialize)]
struct Item {
    metadata: Meta,
}

/// Applies files with an Addon for each.
pub(crate) struct Deployer {
    client: Client,
    recorder: Recorder,
    /// Kinds the server is known to have.
    known: HashMap<Gvk, Resource>,
}

fn addons() -> Resource {
    Resource {
        group: "k3s.cattle.io".into(),
        version: "v1".into(),
        plural: "addons".into(),
        kind: "Addon".into(),
        namespaced: true,
    }
}

impl Deployer {
    pub(crate) fn new(client: Client, recorder: Recorder) -> Self {
        Self { client, recorder, known: HashMap::new() }
    }

    /// Applies a file; one whose checksum is the Addon's only when forced.
    pub(crate) async fn deploy(&mut self, path: &Path, force: bool) -> Result<(), DeployError> {
        let name = scan::addon_name(path);
        let addon = self.addon(&name, path).await?;
        let content = std::fs::read(path).map_err(|source| {
            self.warn(&addon, "ReadManifestFailed", &format!("Read manifest at {path:?} failed: {source}"));
            DeployError::File { path: path.to_owned(), source }
        })?;
        let checksum = manifest::checksum(&content);
        if !force && checksum == addon.spec.checksum {
            return Ok(());
        }
        let objects = manifest::objects(&String::from_utf8_lossy(&content)).inspect_err(|error| {
            self.warn(&addon, "ParseManifestFailed", &format!("Parse manifest at {path:?} failed: {error}"));
        })?;
        self.tell(&addon, Level::Normal, "ApplyingManifest", format!("Applying manifest at {path:?}"));
        let kinds = manifest::kinds(&objects);
        if let Err(error) = self.apply(&name, &addon, objects, &kinds).await {
            let text = chain(&error);
            self.warn(
                &addon,
                "ApplyManifestFailed",
                &format!("Applying manifest at {path:?} failed: {text}"),
            );
            return Err(error);
        }
        tracing::info!(path = %path.display(), addon = name, "Applied manifest");
        self.tell(&addon, Level::Normal, "AppliedManifest", format!("Applied manifest at {path:?}"));
        let change = json!({
            "metadata": {"annotations": {KINDS: manifest::to_annotation(&kinds)}},
            "spec": {"source": path.display().to_string(), "checksum": checksum},
        });
        self.patch(&addons(), &addon_key(&name), &Patch::Merge(change)).await
    }

    /// Deletes what a disabled file made, the Addon and, where it may, the file.
    pub(crate) async fn remove(&mut self, path: &Path, file: bool) -> Result<(), DeployError> {
        let name = scan::addon_name(path);
        let addon = self.find(&name).await?.unwrap_or_default();
        let mut kinds = manifest::from_annotation(annotation(&addon));
        match std::fs::read_to_string(path) {
            Ok(text) => match manifest::objects(&text) {
                Ok(objects) => kinds.extend(manifest::kinds(&objects)),
                Err(error) => self.warn(
                    &addon,
                    "ParseManifestFailed",
                    &format!("Parse manifest at {path:?} failed: {error}"),
                ),
            },
            Err(error) => {
                self.warn(
                    &addon,
                    "ReadManifestFailed",
                    &format!("Read manifest at {path:?} failed: {error}"),
                );
            }
        }
        self.prune(&name, &kinds, &HashSet::new()).await?;
        if file {
            std::fs::remove_file(path)
                .map_err(|source| DeployError::File { path: path.to_owned(), source })?;
        }
        if addon.metadata.uid.is_empty() {
            return Ok(());
        }
        self.tell(&addon, Level::Normal, "DeletingManifest", format!("Deleting manifest at {path:?}"));
        tracing::info!(path = %path.display(), addon = name, "Deleted manifest");
        self.delete(&addons(), &addon_key(&name)).await
    }

    async fn apply(
        &mut self,
        name: &str,
        addon: &Addon,
        objects: Vec<Value>,
        kinds: &BTreeSet<Gvk>,
    ) -> Result<(), DeployError> {
        let mut applied = HashSet::new();
        for object in objects {
            let (resource, key) = self.one(name, object).await?;
            applied.insert((resource.kind.to_string(), resource.group.to_string(), key));
        }
        let mut before = manifest::from_annotation(annotation(addon));
        before.extend(kinds.iter().cloned());
        self.prune(name, &before, &applied).await
    }

    async fn one(&mut self, addon: &str, mut object: Value) -> Result<(Resource, Key), DeployError> {
        let kind = Gvk::of(&object);
        let resource = self.resource(&kind).await?.ok_or_else(|| DeployError::NoKind {
            kind: kind.kind.clone(),
            version: object["apiVersion"].as_str().unwrap_or_default().to_owned(),
        })?;
        owner::mark(&mut object, addon);
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text("namespace"), text("name"));
        if name.is_empty() {
            return Err(DeployError::NoName(kind));
        }
        let namespace = match (resource.namespaced, namespace.is_empty()) {
            (false, _) => String::new(),
            (true, true) => "default".to_owned(),
            (true, false) => namespace,
        };
        let key = Key::new(namespace, name);
        let patch = Patch::Apply { object, force: true };
        match self.patch(&resource, &key, &patch).await {
            Err(DeployError::Request { source, .. }) if is_replaced(&resource, &source) => {
                tracing::info!(kind = kind.kind, key = %key, "Making an object anew that cannot be changed");
                self.delete(&resource, &key).await?;
                self.patch(&resource, &key, &patch).await?;
            }
            other => other?,
        }
        Ok((resource, key))
    }

    /// Deletes the Addon's objects of these kinds that are not to be kept.
    async fn prune(
        &mut self,
        addon: &str,
        kinds: &BTreeSet<Gvk>,
        keep: &HashSet<(String, String, Key)>,
    ) -> Result<(), DeployError> {
        let selector = format!("{}={}", owner::HASH, owner::hash(addon));
        for kind in kinds {
            let Some(resource) = self.resource(kind).await? else { continue }; // such objects are gone with their kind
            let params = ListParams { label_selector: selector.clone(), ..ListParams::default() };
            let list = match self.client.list::<Item>(&resource, "", &params).await {
                // the kind went meanwhile, and its objects with it
                Err(error) if error.is_not_found() => {
                    self.known.remove(kind);
                    continue;
                }
                other => other.map_err(asking(format!("listing {}", resource.plural)))?,
            };
            for item in list.items {
                let key = Key::new(item.metadata.namespace, item.metadata.name);
                if !keep.contains(&(kind.kind.clone(), kind.group.clone(), key.clone())) {
                    tracing::info!(kind = kind.kind, key = %key, addon, "Deleting what the manifest no longer has");
                    self.delete(&resource, &key).await?;
                }
            }
        }
        Ok(())
    }

    /// The resource of a kind, if the server has it.
    async fn resource(&mut self, kind: &Gvk) -> Result<Option<Resource>, DeployError> {
        if let Some(known) = self.known.get(kind) {
            return Ok(Some(known.clone()));
        }
        let found = discovery::of_version(&self.client, &kind.group, &kind.version).await;
        for resource in found.map_err(asking("asking for the server's kinds"))? {
            let of = Gvk { kind: resource.kind.to_string(), ..kind.clone() };
            self.known.insert(of, resource);
        }
        Ok(self.known.get(kind).cloned())
    }

    async fn find(&self, name: &str) -> Result<Option<Addon>, DeployError> {
        match self.client.get::<Addon>(&addons(), &addon_key(name)).await {
            Ok(addon) => Ok(Some(addon)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(asking(format!("reading addon {name}"))(error)),
        }
    }

    /// The Addon, made if it is not there: events need one.
    async fn addon(&self, name: &str, path: &Path) -> Result<Addon, DeployError> {
        if let Some(found) = self.find(name).await? {
            return Ok(found);
        }
        let object = json!({
            "apiVersion": "k3s.cattle.io/v1", "kind": "Addon",
            "metadata": {"name": name, "namespace": owner::NAMESPACE},
            "spec": {"source": path.display().to_string()},
        });
        let made = self.client.create(&addons(), owner::NAMESPACE, &object, COMPONENT).await;
        made.map_err(asking(format!("creating addon {name}")))
    }

    async fn patch(&self, resource: &Resource, key: &Key, patch: &Patch) -> Result<(), DeployError> {
        let params = PatchParams { field_manager: COMPONENT, ..PatchParams::default() };
        let done = self.client.patch(resource, key, patch, &params).await;
        done.map(|_| ()).map_err(asking(format!("applying {} {key}", resource.kind)))
    }

    async fn delete(&self, resource: &Resource, key: &Key) -> Result<(), DeployError> {
        let options =
            DeleteOptions { propagation_policy: Some(Propagation::Background), ..DeleteOptions::default() };
        match self.client.delete(resource, key, &options).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(|_| ()).map_err(asking(format!("deleting {} {key}", resource.kind))),
        }
    }

    fn warn(&self, addon: &Addon, reason: &'static str, message: &str) {
        self.tell(addon, Level::Warning, reason, message.to_owned());
    }

    fn tell(&self, addon: &Addon, level: Level, reason: &'static str, message: String) {
        if addon.metadata.uid.is_empty() {
            return; // nothing the event could be about
        }
        let about = Involved {
            api_version: "k3s.cattle.io/v1".into(),
            kind: "Addon".into(),
            namespace: addon.metadata.namespace.clone(),
            name: addon.metadata.name.clone(),
            uid: addon.metadata.uid.clone(),
            resource_version: addon.metadata.resource_version.clone(),
        };
        self.recorder.record(COMPONENT, Event { about: Arc::new(about), level, reason, message });
    }
}

fn addon_key(name: &str) -> Key {
    Key::new(owner::NAMESPACE, name)
}

fn annotation(addon: &Addon) -> &str {
    addon.metadata.annotations.get(KINDS).map_or("", String::as_str)
}

fn is_replaced(resource: &Resource, error: &client::Error) -> bool {
    REPLACED.contains(&&*resource.kind) && error.is(Reason::Invalid)
}

/// An error with its causes, as a line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
