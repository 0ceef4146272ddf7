//! Runs the pods of one node through CRI.
//!
//! One worker per pod looks at what is wanted and what the runtime has, plans ([`pod::plan`], pure) and acts. All it
//! knows can be found again from the runtime's labels and annotations, from cgroups and from the pods directory, so a
//! restart of this daemon touches no container.

pub mod cgroups;
pub mod collect;
pub mod devices;
pub mod events;
pub mod eviction;
pub mod measure;
pub mod node;
pub mod plugins;
pub mod pod;
pub mod probes;
pub mod quantity;
pub mod runtime;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod sources;
pub mod stats;
pub mod volumes;

use std::sync::{Arc, PoisonError, RwLock};

use client::{Cache, CacheBuilder, Client, Resource};
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use cgroups::Cgroups;
use events::Events;
use node::machine::Machine;
use pod::workers::Workers;
use quantity::Amounts;
use runtime::images::Images;
use settings::Settings;
use sources::Sources;
use volumes::tokens::Tokens;

/// The error and its causes in one line, as Go prints wrapped errors.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        out.push_str(": ");
        out.push_str(&cause.to_string());
        source = cause.source();
    }
    out
}

/// Everything the parts of this daemon share.
#[derive(Debug)]
pub struct Kubelet {
    /// Settings.
    pub settings: Settings,
    /// The node's name.
    pub name: String,
    /// The node's addresses, the first one first.
    pub addresses: Vec<String>,
    /// The API server.
    pub client: Client,
    /// The container runtime.
    pub runtime: cri::Runtime,
    /// The pods bound to this node.
    pub pods: Cache<Pod>,
    /// All services, for the variables that name them.
    pub services: Cache<Service>,
    /// This node's own object.
    pub node: Cache<Node>,
    /// ConfigMaps and Secrets in use.
    pub sources: Sources,
    /// Events.
    pub events: Events,
    /// What the machine has.
    pub machine: Machine,
    /// Images.
    pub images: Images,
    /// Cgroups.
    pub cgroups: Cgroups,
    /// Service account tokens.
    pub tokens: Tokens,
    /// A worker for each pod.
    pub workers: Workers,
    /// What statistics remember.
    pub stats: stats::Stats,
    /// Whether the node is short of something.
    pub eviction: eviction::Eviction,
    /// Since when images are not used.
    pub image_ages: collect::images::Ages,
    /// How long things take.
    pub measures: measure::Measures,
    /// Where claims' volumes are, by the pod's uid and the volume's name.
    pub claims: volumes::Claims,
    /// Devices of plugins.
    pub devices: devices::Devices,
    /// Drivers of volumes.
    pub drivers: volumes::csi::Drivers,
    /// Whether the machine is going down.
    pub shutdown: shutdown::Shutdown,
    /// The node's status has to be told before its time.
    pub node_changed: tokio::sync::Notify,
    /// What of the machine pods may use.
    allocatable: RwLock<Amounts>,
}

impl Kubelet {
    /// What of the machine pods may use.
    pub fn allocatable(&self) -> Amounts {
        let mut out = self.allocatable.read().unwrap_or_else(PoisonError::into_inner).clone();
        let devices = self.devices.amounts();
        out.extend(devices.into_iter().map(|(name, a)| (name, Quantity(a.allocatable.to_string()))));
        out
    }

    /// As [`Self::allocatable`], but what pods have counts as there, whatever has become of its plugin.
    pub fn room(&self) -> Amounts {
        let mut out = self.allocatable();
        let held = self.devices.amounts().into_iter();
        out.extend(held.map(|(name, a)| (name, Quantity(a.allocatable.max(a.taken).to_string()))));
        out
    }

    /// Connects to everything; nothing is changed yet.
    ///
    /// # Errors
    /// The settings cannot be used or the runtime does not answer.
    pub async fn connect(settings: Settings) -> anyhow::Result<Arc<Self>> {
        use anyhow::Context;
        let name = settings.node_name();
        let client = Client::from_kubeconfig(&settings.kubeconfig, "k3s-rs-kubelet")?;
        let runtime = cri::Runtime::new(settings.runtime_socket());
        let driver =
            cgroup_driver(&runtime).await.context("asking the container runtime for its configuration")?;
        let machine = Machine::read().context("reading what the machine has")?;
        let addresses = node::machine::addresses(&settings).context("finding the node's address")?;
        let pods = CacheBuilder::new(Resource::of::<Pod>(), kept::<Pod>)
            .field_selector(format!("spec.nodeName={name}"))
            .start(client.clone());
        let node = CacheBuilder::new(Resource::of::<Node>(), kept::<Node>)
            .field_selector(format!("metadata.name={name}"))
            .start(client.clone());
        let services = CacheBuilder::new(Resource::of::<Service>(), service).start(client.clone());
        let allocatable = RwLock::new(node::machine::allocatable(&settings, &machine));
        Ok(Arc::new(Self {
            events: Events::start(client.clone(), name.clone()),
            sources: Sources::new(client.clone()),
            tokens: Tokens::new(client.clone()),
            images: Images::new(runtime.clone(), settings.serialize_image_pulls),
            cgroups: Cgroups::new(driver == cri::v1::CgroupDriver::Systemd),
            workers: Workers::default(),
            stats: stats::Stats::default(),
            eviction: eviction::Eviction::default(),
            image_ages: collect::images::Ages::default(),
            measures: measure::Measures::default(),
            claims: volumes::Claims::default(),
            devices: devices::Devices::new(settings.root_dir.join("device-plugins")),
            drivers: volumes::csi::Drivers::new(&settings.root_dir),
            shutdown: shutdown::Shutdown::default(),
            node_changed: tokio::sync::Notify::new(),
            settings,
            name,
            addresses,
            client,
            runtime,
            pods,
            services,
            node,
            machine,
            allocatable,
        }))
    }
}

/// Keeps of an object all but who wrote which of its fields: nobody here asks, and it takes more room than the rest.
///
/// # Differs
/// Upstream keeps `managedFields` and shows them under `/pods`.
fn kept<P>(bytes: &[u8]) -> Result<P, serde_json::Error>
where
    P: serde::de::DeserializeOwned + Metadata<Ty = ObjectMeta>,
{
    let mut object: P = serde_json::from_slice(bytes)?;
    object.metadata_mut().managed_fields = None;
    Ok(object)
}

/// Keeps of a service what variables are made of.
fn service(bytes: &[u8]) -> Result<Service, serde_json::Error> {
    use k8s_openapi::api::core::v1::ServiceSpec;
    let whole: Service = serde_json::from_slice(bytes)?;
    let metadata = ObjectMeta {
        name: whole.metadata.name,
        namespace: whole.metadata.namespace,
        ..ObjectMeta::default()
    };
    let spec = whole.spec.map(|s| ServiceSpec {
        cluster_ip: s.cluster_ip,
        ports: s.ports,
        ..ServiceSpec::default()
    });
    Ok(Service { metadata, spec, status: None })
}

/// How long the runtime may take to come up.
const RUNTIME_WAIT: std::time::Duration = std::time::Duration::from_secs(120);

async fn cgroup_driver(runtime: &cri::Runtime) -> Result<cri::v1::CgroupDriver, cri::Error> {
    let until = tokio::time::Instant::now() + RUNTIME_WAIT;
    loop {
        match runtime.runtime_config(cri::v1::RuntimeConfigRequest {}).await {
            Ok(answer) => {
                return Ok(answer.linux.map_or(cri::v1::CgroupDriver::Cgroupfs, |l| l.cgroup_driver()));
            }
            Err(e) if e.is_unimplemented() => return Ok(cri::v1::CgroupDriver::Cgroupfs),
            Err(e) if tokio::time::Instant::now() > until => return Err(e),
            Err(error) => {
                tracing::info!(error = chain(&error), "Container runtime is not there yet");
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            }
        }
    }
}

/// Runs until told to stop.
///
/// # Errors
/// The node cannot be set up: unusable settings, no runtime, ports taken.
pub async fn run(settings: Settings, mut context: daemon::Context) -> anyhow::Result<()> {
    use anyhow::Context;
    for key in settings.ignored_keys() {
        tracing::warn!(key, "Ignored a setting this kubelet does not know");
    }
    let thresholds = eviction::thresholds::parse(&settings).map_err(|e| anyhow::anyhow!(e))?;
    context.drain_within(DRAIN + LAST_WORDS + shutdown::whole(&shutdown::periods(&settings)));
    let kubelet = Kubelet::connect(settings).await?;
    std::fs::create_dir_all(kubelet.settings.root_dir.join("pods")).context("making the pods directory")?;
    std::fs::create_dir_all(&kubelet.settings.pod_logs_dir).context("making the log directory")?;
    let whole = cgroups::Limits {
        shares: Some(runtime::resources::shares(kubelet.allocatable().get("cpu").map_or(0, quantity::milli))),
        memory: kubelet.allocatable().get("memory").map(quantity::value),
        ..cgroups::Limits::default()
    };
    if !kubelet.cgroups.systemd {
        kubelet.cgroups.ensure_tiers(whole).context("making the pods' cgroups")?;
    }
    let servers = server::start(Arc::clone(&kubelet), &mut context).await.context("starting to serve")?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(node::run(Arc::clone(&kubelet)));
    tasks.spawn(node::lease::run(Arc::clone(&kubelet)));
    tasks.spawn(pod::workers::run(Arc::clone(&kubelet)));
    tasks.spawn(collect::run(Arc::clone(&kubelet)));
    tasks.spawn(devices::run(Arc::clone(&kubelet)));
    tasks.spawn(plugins::run(Arc::clone(&kubelet)));
    tasks.spawn(eviction::run(Arc::clone(&kubelet), thresholds));
    let shutdown =
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(shutdown::run(Arc::clone(&kubelet))));
    context.ready(&format!("node {}", kubelet.name));
    tokio::select! {
        () = context.shutdown.wait() => {}
        Some(ended) = tasks.join_next() => ended.context("a part of the kubelet ended")?,
    }
    drop(servers);
    // told to stop while the machine goes down: pods first
    kubelet.shutdown.settled().await;
    drop(shutdown);
    // what has begun at the runtime ends well: a start that is cut short is a container that failed
    kubelet.runtime.close().await;
    if tokio::time::timeout(LAST_WORDS, kubelet.events.flush()).await.is_err() {
        tracing::info!("Left events untold");
    }
    Ok(())
}

/// Calls to the runtime under way get this long to end, and the events of them this long to be told.
const DRAIN: std::time::Duration = std::time::Duration::from_secs(40);
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(2);
