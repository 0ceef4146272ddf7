//! Which resources the cluster serves, for the two controllers that act on all of them.

use client::{Client, Resource};
use reconcile::Permit;
use serde::Deserialize;

/// A resource that can be listed and deleted.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) resource: Resource,
}

impl Found {
    /// `deployments.apps`, as messages name it.
    pub(crate) fn dotted(&self) -> String {
        format!("{}.{}", self.resource.plural, self.resource.group)
    }
}

/// What discovery found, and which groups it could not ask.
#[derive(Debug, Default)]
pub(crate) struct Discovered {
    pub(crate) resources: Vec<Found>,
    pub(crate) errors: Vec<String>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    preferred_version: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    group_version: String,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    kind: String,
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

/// A permit for every resource there is.
pub(crate) fn everything(verbs: &'static str) -> Permit {
    let resource = Resource {
        group: "*".into(),
        version: "*".into(),
        plural: "*".into(),
        kind: "*".into(),
        namespaced: true,
    };
    Permit { resource, subresource: "", verbs }
}

/// Everything that can be listed, watched and deleted, in each group's preferred version.
pub(crate) async fn all(client: &Client, verbs: &[&str]) -> Result<Discovered, client::Error> {
    let groups: Groups = serde_json::from_slice(&client.get_raw("/apis").await?)?;
    let mut versions = vec![String::from("v1")];
    versions.extend(groups.groups.into_iter().map(|g| g.preferred_version.group_version));
    let mut found = Discovered::default();
    for version in versions {
        let path = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
        let answer = client.get_raw(path).await;
        let list: Resources = match answer.and_then(|b| Ok(serde_json::from_slice(&b)?)) {
            Ok(list) => list,
            Err(error) => {
                found.errors.push(format!("{version}: {error}"));
                continue;
            }
        };
        let (group, number) = version.split_once('/').unwrap_or(("", &version));
        for entry in list.resources {
            let usable = verbs.iter().all(|v| entry.verbs.iter().any(|known| known == v));
            if usable && !entry.name.contains('/') {
                found.resources.push(Found {
                    resource: Resource {
                        group: group.to_owned().into(),
                        version: number.to_owned().into(),
                        plural: entry.name.into(),
                        kind: entry.kind.into(),
                        namespaced: entry.namespaced,
                    },
                });
            }
        }
    }
    Ok(found)
}

/// The resources of one version of a group; none where the server does not have it.
pub(crate) async fn of_version(
    client: &Client,
    group: &str,
    version: &str,
) -> Result<Vec<Resource>, client::Error> {
    let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let list: Resources = match client.get_raw(path).await {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let whole = list.resources.into_iter().filter(|entry| !entry.name.contains('/'));
    let resource = |entry: Entry| Resource {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        plural: entry.name.into(),
        kind: entry.kind.into(),
        namespaced: entry.namespaced,
    };
    Ok(whole.map(resource).collect())
}

/// What lives in namespaces.
pub(crate) async fn namespaced(client: &Client) -> Result<Discovered, client::Error> {
    let mut found = all(client, &["list", "delete"]).await?;
    found.resources.retain(|f| f.resource.namespaced);
    Ok(found)
}
