//! The caches, and what their changes mean.

use std::sync::Arc;

use client::{Cache, CacheBuilder, Change, Client, Resource};
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::api::policy::v1 as policy;
use k8s_openapi::api::storage::v1 as storage;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::core::Core;
use crate::model::{
    Attachment, Budget, Capacity, Claim, CsiNode, Driver, Namespace, Node, Pod, Selecting, Service,
    StorageClass, Volume,
};
use crate::queue::Event;

/// One cache for each kind that is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    pub(crate) pods: Cache<Pod>,
    pub(crate) nodes: Cache<Node>,
    pub(crate) claims: Cache<Claim>,
    pub(crate) volumes: Cache<Volume>,
    namespaces: Cache<Namespace>,
    services: Cache<Service>,
    replication_controllers: Cache<Selecting>,
    replica_sets: Cache<Selecting>,
    stateful_sets: Cache<Selecting>,
    budgets: Cache<Budget>,
    classes: Cache<StorageClass>,
    csi_nodes: Cache<CsiNode>,
    drivers: Cache<Driver>,
    capacities: Cache<Capacity>,
    attachments: Cache<Attachment>,
}

/// A change of a kind that changes seldom.
#[derive(Debug)]
pub(crate) enum Other {
    Namespace(Arc<Change<Namespace>>),
    Service(Arc<Change<Service>>),
    ReplicationController(Arc<Change<Selecting>>),
    ReplicaSet(Arc<Change<Selecting>>),
    StatefulSet(Arc<Change<Selecting>>),
    Budget(Arc<Change<Budget>>),
    Volume(Arc<Change<Volume>>),
    Claim(Arc<Change<Claim>>),
    Class(Arc<Change<StorageClass>>),
    CsiNode(Arc<Change<CsiNode>>),
    Driver(Arc<Change<Driver>>),
    Capacity(Arc<Change<Capacity>>),
    Attachment(Arc<Change<Attachment>>),
}

fn forward<P: Send + Sync + 'static>(
    cache: &Cache<P>,
    to: &mpsc::UnboundedSender<Other>,
    wrap: fn(Arc<Change<P>>) -> Other,
) {
    let (mut changes, to) = (cache.subscribe(), to.clone());
    tokio::spawn(async move {
        while let Some(change) = changes.recv().await {
            if to.send(wrap(change)).is_err() {
                return;
            }
        }
    });
}

impl Feed {
    /// Starts following everything. Must be called in a runtime.
    pub(crate) fn start(client: &Client) -> Self {
        fn whole<P: Send + Sync + 'static>(
            resource: Resource,
            project: client::Project<P>,
            client: &Client,
        ) -> Cache<P> {
            CacheBuilder::new(resource, project).start(client.clone())
        }
        Self {
            pods: CacheBuilder::new(Resource::of::<api::Pod>(), Pod::project)
                .field_selector("status.phase!=Succeeded,status.phase!=Failed")
                .start(client.clone()),
            nodes: whole(Resource::of::<api::Node>(), Node::project, client),
            claims: whole(Resource::of::<api::PersistentVolumeClaim>(), Claim::project, client),
            volumes: whole(Resource::of::<api::PersistentVolume>(), Volume::project, client),
            namespaces: whole(Resource::of::<api::Namespace>(), Namespace::project, client),
            services: whole(Resource::of::<api::Service>(), Service::project, client),
            replication_controllers: whole(
                Resource::of::<api::ReplicationController>(),
                Selecting::project_plain,
                client,
            ),
            replica_sets: whole(Resource::of::<apps::ReplicaSet>(), Selecting::project, client),
            stateful_sets: whole(Resource::of::<apps::StatefulSet>(), Selecting::project, client),
            budgets: whole(Resource::of::<policy::PodDisruptionBudget>(), Budget::project, client),
            classes: whole(Resource::of::<storage::StorageClass>(), StorageClass::project, client),
            csi_nodes: whole(Resource::of::<storage::CSINode>(), CsiNode::project, client),
            drivers: whole(Resource::of::<storage::CSIDriver>(), Driver::project, client),
            capacities: whole(Resource::of::<storage::CSIStorageCapacity>(), Capacity::project, client),
            attachments: CacheBuilder::new(Resource::of::<storage::VolumeAttachment>(), Attachment::project)
                .index("node", |attachment: &Attachment| vec![attachment.node.clone()])
                .start(client.clone()),
        }
    }

    /// Completes when every first list is in.
    pub(crate) async fn synced(&self) {
        tokio::join!(
            self.pods.synced(),
            self.nodes.synced(),
            self.claims.synced(),
            self.volumes.synced(),
            self.namespaces.synced(),
            self.services.synced(),
            self.replication_controllers.synced(),
            self.replica_sets.synced(),
            self.stateful_sets.synced(),
            self.budgets.synced(),
            self.classes.synced(),
            self.csi_nodes.synced(),
            self.drivers.synced(),
            self.capacities.synced(),
            self.attachments.synced(),
        );
    }

    /// Changes of everything but pods and nodes, what is there now first.
    pub(crate) fn others(&self) -> mpsc::UnboundedReceiver<Other> {
        let (to, others) = mpsc::unbounded_channel();
        forward(&self.namespaces, &to, Other::Namespace);
        forward(&self.services, &to, Other::Service);
        forward(&self.replication_controllers, &to, Other::ReplicationController);
        forward(&self.replica_sets, &to, Other::ReplicaSet);
        forward(&self.stateful_sets, &to, Other::StatefulSet);
        forward(&self.budgets, &to, Other::Budget);
        forward(&self.volumes, &to, Other::Volume);
        forward(&self.claims, &to, Other::Claim);
        forward(&self.classes, &to, Other::Class);
        forward(&self.csi_nodes, &to, Other::CsiNode);
        forward(&self.drivers, &to, Other::Driver);
        forward(&self.capacities, &to, Other::Capacity);
        forward(&self.attachments, &to, Other::Attachment);
        others
    }

    /// Takes the snapshots of all kinds.
    pub(crate) fn fill(&self, core: &mut Core) {
        let world = &mut core.world;
        world.namespaces = self.namespaces.snapshot();
        world.services = self.services.snapshot();
        world.replication_controllers = self.replication_controllers.snapshot();
        world.replica_sets = self.replica_sets.snapshot();
        world.stateful_sets = self.stateful_sets.snapshot();
        world.budgets = self.budgets.snapshot();
        world.volumes = self.volumes.snapshot();
        world.claims = self.claims.snapshot();
        world.classes = self.classes.snapshot();
        world.csi_nodes = self.csi_nodes.snapshot();
        world.drivers = self.drivers.snapshot();
        world.capacities = self.capacities.snapshot();
        world.attachments = self.attachments.snapshot();
    }

    /// Takes a change in; whether it was of a claim or a volume.
    pub(crate) fn take(&self, core: &mut Core, change: &Other, now: Instant) -> bool {
        let world = &mut core.world;
        let mut event = None;
        match change {
            Other::Namespace(c) => {
                world.namespaces = self.namespaces.snapshot();
                if c.new.is_some() && c.old != c.new {
                    world.note_namespaces();
                }
            }
            Other::Service(c) => {
                world.services = self.services.snapshot();
                if c.old != c.new {
                    world.note_selecting(&c.key.namespace);
                }
            }
            Other::ReplicationController(c) | Other::ReplicaSet(c) | Other::StatefulSet(c) => {
                match change {
                    Other::ReplicationController(_) => {
                        world.replication_controllers = self.replication_controllers.snapshot();
                    }
                    Other::ReplicaSet(_) => world.replica_sets = self.replica_sets.snapshot(),
                    _ => world.stateful_sets = self.stateful_sets.snapshot(),
                }
                if c.old != c.new {
                    world.note_selecting(&c.key.namespace);
                }
            }
            Other::Budget(_) => world.budgets = self.budgets.snapshot(),
            Other::Volume(c) => {
                world.volumes = self.volumes.snapshot();
                let revision = c.new.as_ref().map(|v| &v.revision);
                let seen = |(_, promised): &(client::Key, String)| revision != Some(promised);
                if world.assumed.volumes.get(&c.key.name).is_some_and(seen) {
                    world.assumed.volumes.remove(&c.key.name);
                }
                event = c.new.as_ref().map(|new| Event::Volume(c.old.clone(), Arc::clone(new)));
            }
            Other::Claim(c) => {
                world.claims = self.claims.snapshot();
                let revision = c.new.as_ref().map(|v| &v.revision);
                let seen = |(_, promised): &(String, String)| revision != Some(promised);
                if world.assumed.claims.get(&c.key).is_some_and(seen) {
                    world.assumed.claims.remove(&c.key);
                }
                event = c.new.as_ref().map(|new| Event::Claim(Arc::clone(new), c.old.is_none()));
            }
            Other::Class(c) => {
                world.classes = self.classes.snapshot();
                event = c.new.as_ref().map(|new| Event::Class(c.old.clone(), Arc::clone(new)));
            }
            Other::CsiNode(c) => {
                world.csi_nodes = self.csi_nodes.snapshot();
                event = c.new.as_ref().map(|new| Event::CsiNode(c.old.clone(), Arc::clone(new)));
            }
            Other::Driver(_) => {
                world.drivers = self.drivers.snapshot();
                event = Some(Event::Driver);
            }
            Other::Capacity(c) => {
                world.capacities = self.capacities.snapshot();
                event = c.new.as_ref().map(|new| Event::Capacity(c.old.clone(), Arc::clone(new)));
            }
            Other::Attachment(c) => {
                world.attachments = self.attachments.snapshot();
                event = c.new.is_none().then_some(Event::Detached);
            }
        }
        if let Some(event) = event {
            core.happened(&event, now);
        }
        matches!(change, Other::Volume(_) | Other::Claim(_))
    }
}
