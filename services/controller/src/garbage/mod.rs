//! The garbage collector: objects whose owners are gone go too.
//!
//! The graph holds the metadata of every object of every resource that can be deleted; [`graph::Graph::decide`] is the
//! pure part. The runtime of `reconcile` works with typed kinds; here kinds appear and vanish, so the watching is own.
//!
//! # Upstream
//! `pkg/controller/garbagecollector`

mod graph;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::{
    Client, DeleteOptions, Key, ListParams, Patch, PatchParams, Preconditions, Resource, WatchEvent, Watcher,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use reconcile::Queue;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::discovery;
use graph::{Action, Decision, Graph, Item, Node, Uid};

const DISCOVER: Duration = Duration::from_secs(30);
const CONCURRENT: usize = 16;
/// Resources whose objects never own or are owned.
const IGNORED: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];

struct Collector {
    client: Client,
    graph: Mutex<Graph>,
    queue: Queue,
    /// Resources by apiVersion and kind, for owners that are not in the graph.
    kinds: Mutex<HashMap<(String, String), Resource>>,
    unlisted: Mutex<HashSet<Resource>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs for ever.
pub(crate) async fn run(client: Client) {
    let collector = Arc::new(Collector {
        client,
        graph: Mutex::default(),
        queue: Queue::default(),
        kinds: Mutex::default(),
        unlisted: Mutex::default(),
    });
    let follow = follow_all(Arc::clone(&collector));
    let work = work(Arc::clone(&collector));
    tokio::join!(follow, work);
}

/// Follows every resource there is, and stops following what vanishes.
async fn follow_all(collector: Arc<Collector>) {
    let mut tasks: HashMap<Resource, JoinHandle<()>> = HashMap::new();
    loop {
        match discovery::all(&collector.client, &["list", "watch", "delete"]).await {
            Ok(found) => {
                let resources: HashSet<Resource> = found
                    .resources
                    .into_iter()
                    .map(|f| f.resource)
                    .filter(|r| !IGNORED.contains(&(&*r.group, &*r.plural)))
                    .collect();
                // a group that could not be asked is still there
                if found.errors.is_empty() {
                    tasks.retain(|resource, task| {
                        let keep = resources.contains(resource);
                        if !keep {
                            task.abort();
                            lock(&collector.unlisted).remove(resource);
                            collector.forget(resource);
                        }
                        keep
                    });
                }
                for resource in resources {
                    let id = (resource.api_version(), resource.kind.to_string());
                    lock(&collector.kinds).insert(id, resource.clone());
                    tasks.entry(resource.clone()).or_insert_with(|| {
                        lock(&collector.unlisted).insert(resource.clone());
                        tokio::spawn(follow(Arc::clone(&collector), resource))
                    });
                }
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "Discovery failed"),
        }
        tokio::time::sleep(DISCOVER).await;
    }
}

async fn follow(collector: Arc<Collector>, resource: Resource) {
    let mut watcher = Watcher::new(collector.client.clone(), resource.clone(), "", ListParams::default());
    let resource = Arc::new(resource);
    let mut listed: Option<HashSet<String>> = None;
    loop {
        let (bytes, gone) = match watcher.next().await {
            WatchEvent::Listing => {
                listed = Some(HashSet::new());
                continue;
            }
            WatchEvent::ListDone => {
                if let Some(listed) = listed.take() {
                    let gone = lock(&collector.graph).of(&resource);
                    for uid in gone.into_iter().filter(|uid| !listed.contains(&**uid)) {
                        collector.remove(&uid);
                    }
                }
                lock(&collector.unlisted).remove(&*resource);
                continue;
            }
            WatchEvent::Listed(sent) | WatchEvent::Applied(sent) => (sent.bytes, false),
            WatchEvent::Deleted(sent) => (sent.bytes, true),
        };
        match serde_json::from_slice::<Item>(&bytes) {
            Ok(item) if gone => collector.remove(&item.metadata.uid),
            Ok(item) => {
                if let Some(listed) = &mut listed {
                    listed.insert(item.metadata.uid.clone());
                }
                let touched = lock(&collector.graph).put(Node::new(Arc::clone(&resource), item));
                collector.enqueue(touched);
            }
            Err(error) => {
                tracing::error!(
                    resource = &*resource.plural,
                    error = &error as &dyn std::error::Error,
                    "Not an object"
                );
            }
        }
    }
}

async fn work(collector: Arc<Collector>) {
    let slots = Arc::new(Semaphore::new(CONCURRENT));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let key = collector.queue.next().await;
        let collector = Arc::clone(&collector);
        tokio::spawn(async move {
            collector.once(&key).await;
            collector.queue.done(&key);
            drop(slot);
        });
    }
}

impl Collector {
    fn enqueue(&self, uids: Vec<Uid>) {
        for uid in uids {
            self.queue.add(Key::new("", &*uid));
        }
    }

    fn remove(&self, uid: &str) {
        let touched = lock(&self.graph).remove(uid);
        self.enqueue(touched);
    }

    fn forget(&self, resource: &Resource) {
        let uids = lock(&self.graph).of(resource);
        for uid in uids {
            self.remove(&uid);
        }
    }

    async fn once(&self, key: &Key) {
        if !lock(&self.unlisted).is_empty() {
            // an owner may be in a list that is still to come
            self.queue.add_after(key.clone(), Duration::from_millis(200));
            return;
        }
        match self.collect(&key.name).await {
            Ok(None) => self.queue.forget(key),
            Ok(Some(after)) => self.queue.add_after(key.clone(), after),
            Err(error) => {
                let after = self.queue.add_failed(key.clone());
                tracing::debug!(
                    uid = key.name,
                    error = &error as &dyn std::error::Error,
                    retry_ms = after.as_millis() as u64,
                    "Not collected"
                );
            }
        }
    }

    async fn collect(&self, uid: &str) -> Result<Option<Duration>, client::Error> {
        let mut absent = HashSet::new();
        loop {
            let (node, decision) = {
                let graph = lock(&self.graph);
                let Some(node) = graph.get(uid) else { return Ok(None) };
                (node.clone(), graph.decide(uid, &absent))
            };
            match decision {
                Decision::Nothing => return Ok(None),
                Decision::Ask(owner) => match self.owner_exists(&node, &owner).await? {
                    Some(true) => return Ok(Some(Duration::from_secs(5))), // the graph lags behind
                    Some(false) => {
                        absent.insert(owner.uid);
                    }
                    None => return Ok(Some(DISCOVER)), // its kind is unknown as yet
                },
                Decision::Do(actions) => {
                    for action in actions {
                        self.act(action).await?;
                    }
                    return Ok(None);
                }
                Decision::Wait(uids) => {
                    self.enqueue(uids);
                    return Ok(None);
                }
            }
        }
    }

    async fn owner_exists(&self, node: &Node, owner: &OwnerReference) -> Result<Option<bool>, client::Error> {
        let id = (owner.api_version.clone(), owner.kind.clone());
        let Some(resource) = lock(&self.kinds).get(&id).cloned() else {
            // another version of a known kind
            return self.other_version(node, owner).await;
        };
        self.exists(&resource, node, owner).await.map(Some)
    }

    async fn other_version(
        &self,
        node: &Node,
        owner: &OwnerReference,
    ) -> Result<Option<bool>, client::Error> {
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let known = lock(&self.kinds).values().find(|r| r.group == group && *r.kind == owner.kind).cloned();
        match known {
            Some(resource) => {
                let resource = Resource { version: version.to_owned().into(), ..resource };
                self.exists(&resource, node, owner).await.map(Some)
            }
            None => Ok(None),
        }
    }

    async fn exists(
        &self,
        resource: &Resource,
        node: &Node,
        owner: &OwnerReference,
    ) -> Result<bool, client::Error> {
        let own = node.key().namespace;
        if resource.namespaced && own.is_empty() {
            return Ok(false); // a cluster-wide object cannot be owned by one in a namespace
        }
        let namespace = if resource.namespaced { own } else { String::new() };
        match self.client.get::<Item>(resource, &Key::new(namespace, owner.name.clone())).await {
            Ok(item) => Ok(item.metadata.uid == owner.uid),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn act(&self, action: Action) -> Result<(), client::Error> {
        let result = match action {
            Action::Delete { node, policy } => {
                let options = DeleteOptions {
                    preconditions: Some(Preconditions {
                        uid: Some(node.uid.to_string()),
                        resource_version: Some(node.revision.to_string()),
                    }),
                    propagation_policy: Some(policy),
                    grace_period_seconds: None,
                };
                self.client.delete(&node.resource, &node.key(), &options).await
            }
            Action::Owners { node, owners } => {
                let patch = json!({"metadata": {
                    "uid": &*node.uid, "resourceVersion": &*node.revision, "ownerReferences": owners,
                }});
                let params = PatchParams::default();
                self.client.patch(&node.resource, &node.key(), &Patch::Merge(patch), &params).await
            }
            Action::Finalizers { node, finalizers } => {
                let patch = json!({"metadata": {
                    "uid": &*node.uid, "resourceVersion": &*node.revision, "finalizers": finalizers,
                }});
                let params = PatchParams::default();
                self.client.patch(&node.resource, &node.key(), &Patch::Merge(patch), &params).await
            }
        };
        match result {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(|_| ()),
        }
    }
}
