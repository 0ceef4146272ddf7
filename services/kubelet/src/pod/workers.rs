//! A worker for each pod: fed by the API server, woken by the runtime's events.
//!
//! # Upstream
//! `pkg/kubelet/pod_workers.go`, `pkg/kubelet/pleg`

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cri::v1;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::{Notify, watch};

use super::admission;
use super::facts::{CONFIG_MIRROR, PodFacts};
use super::observed::Observed;
use super::status::Verdict;
use super::worker::Worker;
use crate::Kubelet;
use crate::runtime::labels;

/// What is wanted of a pod.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The pod as last seen.
    pub pod: Arc<Pod>,
    /// The API server (or its manifest) has it no more.
    pub gone: bool,
    /// The node has decided to end it, with this grace period in seconds.
    pub verdict: Option<(Verdict, Option<i64>)>,
}

impl Wanted {
    /// Whether it is to end.
    pub fn ending(&self) -> bool {
        self.gone || self.verdict.is_some() || self.pod.metadata.deletion_timestamp.is_some()
    }
}

/// What others may know of a pod.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// What was told of it last.
    pub status: PodStatus,
    /// What the runtime had of it last.
    pub observed: Observed,
    /// It has ended; its resources are free.
    pub ended: bool,
}

/// A worker from outside.
#[derive(Debug)]
pub struct Handle {
    /// What is wanted.
    pub wanted: watch::Sender<Wanted>,
    /// Wakes it.
    pub wake: Arc<Notify>,
    /// What others may know.
    pub view: Mutex<View>,
    /// The runtime's list of all it has agreed with the view since its worker last asked for its pod alone.
    pub agreed: AtomicBool,
    over: watch::Sender<bool>,
}

impl Handle {
    /// What others may know from now on: it has ended and its resources are free.
    pub fn set_ended(&self) {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.over.send_replace(true);
    }

    /// Completes when it has ended and its resources are free.
    pub async fn ended(&self) {
        if self.over.subscribe().wait_for(|over| *over).await.is_err() {
            tracing::trace!("The sender lives as long as the handle");
        }
    }

    /// The pod.
    pub fn pod(&self) -> Arc<Pod> {
        Arc::clone(&self.wanted.borrow().pod)
    }

    /// What others may know.
    pub fn view(&self) -> View {
        self.look(View::clone)
    }

    /// Something of what others may know; a copy of it all is not worth it for those who ask often.
    pub fn look<T>(&self, of: impl FnOnce(&View) -> T) -> T {
        of(&self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All workers, by the pod's uid.
#[derive(Debug, Default)]
pub struct Workers {
    all: Mutex<HashMap<String, Arc<Handle>>>,
    admitted: Mutex<HashMap<String, Arc<Pod>>>,
}

impl Workers {
    /// One by uid.
    pub fn get(&self, uid: &str) -> Option<Arc<Handle>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    /// One by namespace and name; a living one rather than one that ended.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<Handle>> {
        let all = self.handles();
        let mut found = all.iter().filter(|h| {
            let pod = h.pod();
            pod.namespace() == namespace && pod.name() == name
        });
        let first = found.next()?;
        Some(Arc::clone(found.find(|h| !h.wanted.borrow().gone).unwrap_or(first)))
    }

    /// All.
    pub fn handles(&self) -> Vec<Arc<Handle>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Takes a pod in if the node can take it.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn admit(&self, kubelet: &Kubelet, pod: &Arc<Pod>) -> Result<(), Box<Verdict>> {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let others: Vec<_> =
            admitted.iter().filter(|(u, _)| *u != pod.uid()).map(|(_, p)| Arc::clone(p)).collect();
        let node = kubelet.node.snapshot().get(&client::Key::new("", &kubelet.name)).cloned();
        let facts = admission::Facts {
            node: node.as_deref(),
            others: &others,
            allocatable: &kubelet.room(),
            allowed_sysctls: &kubelet.settings.allowed_unsafe_sysctls,
        };
        kubelet.shutdown.admit()?;
        kubelet.eviction.admit(pod)?;
        admission::admit(&facts, pod)?;
        admitted.insert(pod.uid().to_owned(), Arc::clone(pod));
        Ok(())
    }

    /// Whether the pods taken in leave room for this one as it is now.
    ///
    /// # Errors
    /// What there is too little of.
    pub fn fits(&self, kubelet: &Kubelet, pod: &Arc<Pod>) -> Result<(), Box<Verdict>> {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let others: Vec<_> =
            admitted.iter().filter(|(u, _)| *u != pod.uid()).map(|(_, p)| Arc::clone(p)).collect();
        admission::resources(&others, pod, &kubelet.room())?;
        admitted.insert(pod.uid().to_owned(), Arc::clone(pod));
        Ok(())
    }

    /// A pod runs already: its resources are taken.
    pub fn adopt(&self, pod: &Arc<Pod>) {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        admitted.insert(pod.uid().to_owned(), Arc::clone(pod));
    }

    /// A pod's resources are free again.
    pub fn release(&self, uid: &str) {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// The pods that hold resources.
    pub fn holding(&self) -> Vec<Arc<Pod>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn remove(&self, uid: &str) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Takes a pod in and gives it its devices.
///
/// # Errors
/// Why it cannot be.
pub async fn take_in(kubelet: &Kubelet, pod: &Arc<Pod>) -> Result<(), Box<Verdict>> {
    kubelet.workers.admit(kubelet, pod)?;
    kubelet.devices.allocate(pod).await.map_err(|error| {
        let cause = format!("Allocate failed due to {error}, which is unexpected");
        Box::new(Verdict::rejected("UnexpectedAdmissionError", cause))
    })
}

/// A pod is wanted like this: tells its worker, or starts one.
pub fn update(kubelet: &Arc<Kubelet>, pod: Arc<Pod>, gone: bool) {
    if pod.is_mirror() {
        // its static pod has the worker, which may now tell how it is
        if let Some(shown) = pod.annotation(CONFIG_MIRROR).and_then(|h| kubelet.workers.get(h)) {
            shown.wake.notify_one();
        }
        return;
    }
    let uid = pod.uid().to_owned();
    let mut all = kubelet.workers.all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = all.get(&uid) {
        handle.wanted.send_modify(|w| {
            w.gone |= gone;
            if !gone {
                w.pod = pod;
            }
        });
        return;
    }
    let (wanted, receiver) = watch::channel(Wanted { pod, gone, verdict: None });
    let handle = Arc::new(Handle {
        wanted,
        wake: Arc::new(Notify::new()),
        view: Mutex::default(),
        agreed: AtomicBool::default(),
        over: watch::Sender::new(false),
    });
    all.insert(uid.clone(), Arc::clone(&handle));
    drop(all);
    let worker = Worker::new(Arc::clone(kubelet), handle, receiver);
    let kubelet = Arc::clone(kubelet);
    tokio::spawn(async move {
        Box::pin(worker.run()).await;
        kubelet.workers.remove(&uid);
        kubelet.workers.release(&uid);
        kubelet.tokens.forget(&uid);
        let pods: Vec<_> = kubelet.workers.handles().iter().map(|h| h.pod()).collect();
        kubelet.sources.retain(&pods);
    });
}

/// Ends a pod for a reason of the node's.
pub fn end(handle: &Handle, verdict: Verdict, grace: Option<i64>) {
    handle.wanted.send_modify(|w| {
        if w.verdict.is_none() {
            w.verdict = Some((verdict, grace));
        }
    });
}

/// Feeds the workers.
pub async fn run(kubelet: Arc<Kubelet>) {
    kubelet.pods.synced().await;
    kubelet.services.synced().await;
    kubelet.node.synced().await;
    let events = tokio::spawn(runtime_events(Arc::clone(&kubelet)));
    let sources = tokio::spawn(source_changes(Arc::clone(&kubelet)));
    let (_events, _sources) =
        (tokio_util::task::AbortOnDropHandle::new(events), tokio_util::task::AbortOnDropHandle::new(sources));
    let mut changes = kubelet.pods.subscribe();
    let mut known = super::manifests::refresh(&kubelet).await;
    let manifests = tokio::spawn(super::manifests::run(Arc::clone(&kubelet)));
    let _manifests = tokio_util::task::AbortOnDropHandle::new(manifests);
    known.extend(kubelet.pods.snapshot().iter().map(|(_, p)| p.uid().to_owned()));
    adopt_orphans(&kubelet, &known).await;
    while let Some(change) = changes.recv().await {
        if let Some(old) = &change.old
            && change.new.as_ref().is_none_or(|n| n.uid() != old.uid())
        {
            update(&kubelet, Arc::clone(old), true);
        }
        if let Some(new) = &change.new {
            update(&kubelet, Arc::clone(new), false);
        }
    }
}

/// Pods the runtime or the disk still has and the API server has no more are ended.
async fn adopt_orphans(kubelet: &Arc<Kubelet>, known: &HashSet<String>) {
    let mut orphans: HashMap<String, Pod> = HashMap::new();
    match kubelet.runtime.list_pod_sandbox(v1::ListPodSandboxRequest { filter: None }).await {
        Ok(listed) => {
            for sandbox in listed.items {
                let label = |key: &str| sandbox.labels.get(key).cloned();
                let Some(uid) = label(labels::POD_UID) else { continue };
                let metadata = ObjectMeta {
                    name: label(labels::POD_NAME),
                    namespace: label(labels::POD_NAMESPACE),
                    uid: Some(uid.clone()),
                    ..ObjectMeta::default()
                };
                orphans.insert(uid, Pod { metadata, ..Pod::default() });
            }
        }
        Err(error) => tracing::warn!(error = crate::chain(&error), "Listing sandboxes"),
    }
    match std::fs::read_dir(kubelet.settings.root_dir.join("pods")) {
        Ok(entries) => {
            for uid in entries.filter_map(Result::ok).map(|e| e.file_name().to_string_lossy().into_owned()) {
                let metadata = ObjectMeta { uid: Some(uid.clone()), ..ObjectMeta::default() };
                orphans.entry(uid).or_insert(Pod { metadata, ..Pod::default() });
            }
        }
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "Listing the pods directory"),
    }
    for (uid, pod) in orphans {
        if !known.contains(&uid) && kubelet.workers.get(&uid).is_none() {
            tracing::info!(uid, "Ending a pod that is wanted no more");
            update(kubelet, Arc::new(pod), true);
        }
    }
}

/// How long until the runtime's events are asked for again, and how long none may come before all is listed.
const RETRY: Duration = Duration::from_secs(1);
const RELIST: Duration = Duration::from_secs(30);

/// Wakes the worker of each pod something happens to; all of them where events were missed.
async fn runtime_events(kubelet: Arc<Kubelet>) {
    loop {
        match kubelet.runtime.events().await {
            Ok(mut stream) => {
                wake_all(&kubelet);
                loop {
                    match tokio::time::timeout(RELIST, stream.next()).await {
                        Err(_) => {
                            if let Err(error) = relist(&kubelet).await {
                                tracing::info!(error = crate::chain(&error), "Listing what the runtime has");
                                wake_all(&kubelet);
                            }
                        }
                        Ok(Ok(Some(event))) => {
                            let uid = event.pod_sandbox_status.and_then(|s| s.metadata).map(|m| m.uid);
                            match uid.and_then(|u| kubelet.workers.get(&u)) {
                                Some(handle) => handle.wake.notify_one(),
                                None => tracing::trace!("Runtime event of no pod of this node"),
                            }
                        }
                        Ok(Ok(None)) => break,
                        Ok(Err(error)) => {
                            tracing::info!(error = crate::chain(&error), "Runtime's events ended");
                            break;
                        }
                    }
                }
            }
            Err(error) => tracing::debug!(error = crate::chain(&error), "Asking for the runtime's events"),
        }
        wake_all(&kubelet);
        tokio::time::sleep(RETRY).await;
    }
}

/// Wakes the workers of pods the runtime has otherwise than they saw last, which no event told: two calls for the
/// whole node instead of some for every pod.
///
/// # Upstream
/// `pkg/kubelet/pleg/generic.go` `Relist`
async fn relist(kubelet: &Kubelet) -> Result<(), cri::Error> {
    let (sandboxes, containers) = tokio::try_join!(
        kubelet.runtime.list_pod_sandbox(v1::ListPodSandboxRequest { filter: None }),
        kubelet.runtime.list_containers(v1::ListContainersRequest { filter: None }),
    )?;
    let sandboxes = sandboxes.items.iter().map(|s| (&s.labels, s.id.as_str(), s.state));
    let containers = containers.containers.iter().map(|c| (&c.labels, c.id.as_str(), c.state));
    let mut there: HashMap<&str, HashSet<(&str, i32)>> = HashMap::new();
    for (labels, id, state) in sandboxes.chain(containers) {
        if let Some(uid) = labels.get(labels::POD_UID) {
            there.entry(uid).or_default().insert((id, state));
        }
    }
    for handle in kubelet.workers.handles() {
        let pod = handle.pod();
        let now = there.remove(pod.uid()).unwrap_or_default(); // not there: the runtime has nothing of the pod
        let view = handle.view.lock().unwrap_or_else(PoisonError::into_inner);
        if now == view.observed.states().collect() {
            handle.agreed.store(true, Ordering::Relaxed);
        } else {
            handle.wake.notify_one();
        }
    }
    Ok(())
}

fn wake_all(kubelet: &Kubelet) {
    for handle in kubelet.workers.handles() {
        handle.wake.notify_one();
    }
}

/// Wakes the workers whose pods refer to a ConfigMap or Secret that changed.
async fn source_changes(kubelet: Arc<Kubelet>) {
    use tokio::sync::broadcast::error::RecvError;
    let mut changes = kubelet.sources.subscribe();
    loop {
        match changes.recv().await {
            Ok(key) => {
                for handle in kubelet.workers.handles() {
                    let pod = handle.pod();
                    let used = crate::sources::references(&pod);
                    if pod.namespace() == key.namespace
                        && (used.config_maps.contains(&key.name) || used.secrets.contains(&key.name))
                    {
                        handle.wake.notify_one();
                    }
                }
            }
            Err(RecvError::Lagged(_)) => wake_all(&kubelet),
            Err(RecvError::Closed) => return,
        }
    }
}
