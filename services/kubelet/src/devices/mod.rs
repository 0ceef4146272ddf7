//! Devices of plugins: counted as extended resources, given to containers, told to monitors.
//!
//! # Upstream
//! `pkg/kubelet/cm/devicemanager`
//!
//! # Differs
//! There is no topology manager: devices are not aligned with a container's processors. The checkpoint has upstream's
//! form without its checksum.

mod allocate;
mod checkpoint;
pub(crate) mod listen;
mod report;
pub mod state;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cri::plugin::device;
use k8s_openapi::api::core::v1::PodStatus;

pub use allocate::Given;
pub use listen::run;
use state::State;

/// A plugin that can be called.
#[derive(Debug)]
pub(crate) struct Endpoint {
    connection: cri::Connection,
    options: device::DevicePluginOptions,
}

impl Endpoint {
    async fn call<Q: prost::Message, R: prost::Message + Default>(
        &self,
        method: &'static str,
        question: Q,
    ) -> Result<R, cri::Error> {
        self.connection.call(method, question).await
    }
}

/// The devices of this node.
#[derive(Debug)]
pub struct Devices {
    folder: PathBuf,
    state: Mutex<State>,
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
    registrations: Mutex<BTreeMap<String, u64>>,
    /// One allocation at a time: between choosing devices and noting them plugins are asked.
    allocating: tokio::sync::Mutex<()>,
}

/// How much there is of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// Devices, well or not.
    pub capacity: usize,
    /// Devices that are well.
    pub allocatable: usize,
    /// Devices in use.
    pub taken: usize,
}

impl Devices {
    /// What the checkpoint in this folder remembers; plugins have to register again.
    pub fn new(folder: PathBuf) -> Self {
        let state = match checkpoint::read(&folder) {
            Ok(state) => state,
            Err(error) => {
                tracing::warn!(error = crate::chain(&error), "Which container has which device is not known");
                State::default()
            }
        };
        Self {
            folder,
            state: Mutex::new(state),
            endpoints: Mutex::default(),
            registrations: Mutex::default(),
            allocating: tokio::sync::Mutex::default(),
        }
    }

    /// Every resource plugins of this node have or had.
    pub fn amounts(&self) -> BTreeMap<String, Amount> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).amounts(std::time::Instant::now())
    }

    /// How often plugins have registered, by resource.
    pub fn registrations(&self) -> BTreeMap<String, u64> {
        self.registrations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How a pod's devices are, in its status.
    ///
    /// # Upstream
    /// `pkg/kubelet/cm/devicemanager/manager.go` `UpdateAllocatedResourcesStatus`
    pub fn tell(&self, uid: &str, status: &mut PodStatus) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for container in status.container_statuses.iter_mut().flatten() {
            let health = state.health(uid, &container.name);
            container.allocated_resources_status = (!health.is_empty()).then_some(health);
        }
    }

    /// The pods that have devices.
    fn holders(&self) -> BTreeSet<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken.keys().map(|(uid, ..)| uid.clone()).collect()
    }

    /// A pod has ended: its devices are free.
    pub fn release(&self, uid: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.release(uid) {
            self.remember(&state);
        }
    }

    fn remember(&self, state: &State) {
        if let Err(error) = checkpoint::write(&self.folder, state) {
            tracing::error!(error = crate::chain(&error), "Remembering which container has which device");
        }
    }

    fn endpoint(&self, resource: &str) -> Option<Arc<Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).get(resource).cloned()
    }
}
