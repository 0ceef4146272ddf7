//! Pods.

use std::sync::Arc;

use jiff::Timestamp;
use serde::de::Error as _;
use serde_json::Error;

use super::class::Class;
use super::manifest::{self, Manifest};
use super::volumes::{Disk, VolumeSpec, VolumeUse};

/// What is kept of a pod.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pod {
    /// The namespace is the class's.
    pub(crate) name: String,
    /// The uid.
    pub(crate) uid: Arc<str>,
    /// The revision this was read at.
    pub(crate) revision: String,
    /// `metadata.generation`.
    pub(crate) generation: i64,
    /// What it shares with its like.
    pub(crate) class: Arc<Class>,
    /// Where it runs; empty when nowhere yet.
    pub(crate) node: String,
    /// Where room is being made for it.
    pub(crate) nominated: String,
    /// Who places it.
    pub(crate) scheduler: String,
    /// The priority.
    pub(crate) priority: i32,
    /// Whether it may displace others.
    pub(crate) preempts: bool,
    /// Whether it is going.
    pub(crate) deleting: bool,
    /// When it was started, or asked for.
    pub(crate) started: Option<Timestamp>,
    /// The one node it is made for, if its affinity names it: a DaemonSet's pods then share a class.
    pub(crate) only: Option<String>,
    /// What it waits for before it may be placed.
    pub(crate) gates: Vec<String>,
    /// Claims it uses.
    pub(crate) volumes: Vec<VolumeUse>,
    /// Disks that cannot be shared.
    pub(crate) disks: Vec<Disk>,
    /// Its `PodScheduled` condition.
    pub(crate) scheduled: Option<Condition>,
    /// Whether it goes because a scheduler wants its room.
    pub(crate) preempted: bool,
}

/// A condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// `True`, `False`.
    pub(crate) status: String,
    /// A word.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
}

impl Pod {
    /// Makes what is kept of a pod's JSON.
    ///
    /// # Errors
    /// It is no pod.
    pub(crate) fn project(bytes: &[u8]) -> Result<Self, Error> {
        // as a whole: each of the many short texts by itself takes several times as long
        let text = std::str::from_utf8(bytes).map_err(Error::custom)?;
        let manifest: Manifest<'_> = serde_json::from_str(text)?;
        let (class, only) = manifest.class()?;
        let Manifest { metadata, spec, status } = manifest;
        let name = metadata.name.into_owned();
        let claim = |volume: &VolumeSpec<'_>| volume.claim(&name).transpose();
        let disk = |volume: &VolumeSpec<'_>| volume.disk().transpose();
        let preempted = status
            .condition("DisruptionTarget")
            .is_some_and(|c| c.status == "True" && c.reason == "PreemptionByScheduler");
        Ok(Self {
            volumes: spec.volumes.iter().filter_map(claim).collect::<Result<_, _>>()?,
            disks: spec.volumes.iter().filter_map(disk).collect::<Result<_, _>>()?,
            gates: spec.scheduling_gates.into_iter().map(|gate| gate.name).collect(),
            uid: metadata.uid.into(),
            generation: metadata.generation,
            revision: metadata.resource_version.into_owned(),
            deleting: metadata.deletion_timestamp.is_some(),
            node: spec.node_name.into_owned(),
            scheduler: spec.scheduler_name.into_owned(),
            priority: spec.priority,
            preempts: spec.preemption_policy != "Never",
            started: status.start_time,
            scheduled: status.condition("PodScheduled").map(Condition::of),
            nominated: status.nominated_node_name.into_owned(),
            only,
            preempted,
            name,
            class,
        })
    }

    /// The namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.class.namespace
    }

    /// Namespace and name.
    pub(crate) fn key(&self) -> client::Key {
        client::Key::new(self.class.namespace.clone(), self.name.clone())
    }
}

impl Condition {
    fn of(written: &manifest::Condition<'_>) -> Self {
        Self {
            status: written.status.clone().into_owned(),
            reason: written.reason.clone().into_owned(),
            message: written.message.clone().into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::Pod;

    fn pod(change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = json!({
            "metadata": {"name": "p", "namespace": "d", "uid": "u", "labels": {"app": "a"}},
            "spec": {
                "containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "token-1"}]}],
                "volumes": [{"name": "token-1", "projected": {}}],
            },
            "status": {"containerStatuses": [{"name": "c", "restartCount": 0}]},
        });
        change(&mut pod);
        Pod::project(pod.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn pods_of_one_template_share_a_class() {
        let first = pod(|_| {});
        let requests = json!({"requests": {"cpu": "1"}});
        let shared: &[(&str, Value)] = &[
            ("/metadata/name", json!("q")),
            ("/metadata/uid", json!("v")),
            ("/metadata/managedFields", json!([{"manager": "m"}])),
            ("/spec/nodeName", json!("n")),
            ("/spec/priority", json!(7)),
            ("/spec/volumes/0/name", json!("token-2")),
            ("/spec/containers/0/volumeMounts/0/name", json!("token-2")),
            ("/status/conditions", json!([{"type": "PodScheduled", "status": "True"}])),
            ("/status/containerStatuses/0/restartCount", json!(3)),
        ];
        let other: &[(&str, Value)] = &[
            ("/metadata/namespace", json!("e")),
            ("/metadata/labels/app", json!("b")),
            ("/metadata/ownerReferences", json!([{"kind": "Job", "name": "j", "controller": true}])),
            ("/spec/nodeSelector", json!({"a": "b"})),
            ("/spec/tolerations", json!([{"operator": "Exists"}])),
            ("/spec/overhead", json!({"cpu": "1"})),
            ("/spec/resources", requests.clone()),
            ("/spec/resourceClaims", json!([{"name": "r"}])),
            ("/spec/topologySpreadConstraints", json!([{"topologyKey": "k"}])),
            ("/spec/containers/0/image", json!("j")),
            ("/spec/containers/0/resources", requests.clone()),
            ("/spec/containers/0/ports", json!([{"hostPort": 80}])),
            ("/spec/initContainers", json!([{"name": "i", "image": "i"}])),
            ("/spec/volumes/0/image", json!({"reference": "r"})),
            ("/status/containerStatuses/0/resources", requests),
        ];
        let cases = shared.iter().map(|case| (case, true)).chain(other.iter().map(|case| (case, false)));
        for ((path, value), is_shared) in cases {
            for _ in 0..2 {
                let changed = pod(|pod| {
                    let (parent, field) = path.rsplit_once('/').unwrap();
                    pod.pointer_mut(parent).unwrap()[field] = value.clone();
                });
                assert_eq!(Arc::ptr_eq(&first.class, &changed.class), is_shared, "{path}");
            }
        }
    }

    #[test]
    fn pods_for_one_node_each_share_a_class() {
        let daemon = |node: &str| {
            let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
            let required = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
            let affinity = json!({"requiredDuringSchedulingIgnoredDuringExecution": required});
            pod(|pod| pod["spec"]["affinity"] = json!({"nodeAffinity": affinity}))
        };
        let (one, two, again) = (daemon("n1"), daemon("n2"), daemon("n1"));
        assert!(Arc::ptr_eq(&one.class, &two.class) && Arc::ptr_eq(&one.class, &again.class));
        let only = [one, two, again].map(|pod| pod.only.unwrap_or_default());
        assert_eq!(only, ["n1", "n2", "n1"]);
    }

    fn demand(spec: &str) -> (i64, i64, i64, i64) {
        let json = format!(r#"{{"metadata":{{"name":"p","namespace":"d","uid":"u"}},"spec":{spec}}}"#);
        let pod = Pod::project(json.as_bytes()).unwrap();
        let d = &pod.class.demand;
        (d.requests.cpu, d.requests.memory, d.nonzero_cpu, d.score_cpu)
    }

    #[test]
    fn demands() {
        const CPU: fn(&str) -> String = |cpu| format!(r#""resources":{{"requests":{{"cpu":"{cpu}"}}}}"#);
        let container = |cpu: &str| format!(r#"{{"name":"c","image":"i",{}}}"#, CPU(cpu));
        let sidecar =
            |cpu: &str| format!(r#"{{"name":"s","image":"i","restartPolicy":"Always",{}}}"#, CPU(cpu));
        for (spec, expected) in [
            (r#"{"containers":[{"name":"c","image":"i"}]}"#.to_owned(), (0, 0, 100, 100)),
            (format!(r#"{{"containers":[{0},{0}]}}"#, container("250m")), (500, 0, 500, 500)),
            (format!(r#"{{"containers":[{}],"initContainers":[{}]}}"#, container("1"), container("3")), (3000, 0, 3000, 3000)),
            (
                format!(r#"{{"containers":[{}],"initContainers":[{},{}]}}"#, container("1"), sidecar("1"), container("2")),
                (3000, 0, 3000, 3000),
            ),
            (
                format!(r#"{{"containers":[{}],"overhead":{{"cpu":"100m"}}}}"#, container("1")),
                (1100, 0, 1100, 1100),
            ),
            (
                r#"{"containers":[{"name":"c","image":"i"}],"resources":{"requests":{"cpu":"2","memory":"1Ki"}}}"#.to_owned(),
                (2000, 1024, 2000, 100),
            ),
        ] {
            assert_eq!(demand(&spec), expected, "{spec}");
        }
    }
}
