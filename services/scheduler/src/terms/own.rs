//! What is a pod's own: volumes, and the one node it may be for.

use crate::config::Profile;
use crate::model::Pod;
use crate::plugins::{Plugin, node_affinity, volume_binding, volume_restrictions, volume_zone};
use crate::state::{Slot, State, World};

/// Why no node has to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Whose verdict.
    pub plugin: Plugin,
    /// In its words.
    pub message: String,
}

/// What is a pod's own, looked up before nodes are.
#[derive(Debug, Default)]
pub struct Own {
    /// Its claims.
    pub claims: Option<volume_binding::Claims>,
    /// What its volumes' zones demand.
    pub zones: Vec<volume_zone::Demand>,
    /// Claims only it may use.
    pub exclusive: Vec<String>,
    /// The only nodes that can do, when it names them.
    pub only: Option<Vec<Slot>>,
}

impl Own {
    /// Looks up what a pod needs.
    ///
    /// # Errors
    /// The pod can go nowhere for now.
    ///
    /// # Upstream
    /// `pkg/scheduler/framework/runtime/framework.go` `RunPreFilterPlugins`
    pub fn of(pod: &Pod, profile: &Profile, state: &State, world: &World) -> Result<Self, Rejection> {
        let reject = |plugin| move |message: String| Rejection { plugin, message };
        let mut own = Self::default();
        if profile.filters.has(Plugin::NodeAffinity) {
            own.only = only(pod, state).map_err(|text| reject(Plugin::NodeAffinity)(text.to_owned()))?;
        }
        if pod.class.claims_devices {
            let text = "DynamicResources is not supported by this scheduler: spec.resourceClaims cannot be allocated";
            return Err(reject(Plugin::DynamicResources)(text.to_owned()));
        }
        if pod.volumes.is_empty() {
            return Ok(own);
        }
        if profile.filters.has(Plugin::VolumeRestrictions) {
            own.exclusive =
                volume_restrictions::exclusive(world, pod).map_err(reject(Plugin::VolumeRestrictions))?;
        }
        if profile.filters.has(Plugin::VolumeBinding) {
            own.claims = volume_binding::claims(world, pod).map_err(reject(Plugin::VolumeBinding))?;
        }
        if profile.filters.has(Plugin::VolumeZone) {
            own.zones = volume_zone::demands(world, pod).map_err(reject(Plugin::VolumeZone))?;
        }
        Ok(own)
    }
}

fn only(pod: &Pod, state: &State) -> Result<Option<Vec<Slot>>, &'static str> {
    let known = |name: &str| state.nodes.find(name).filter(|slot| state.nodes.node(*slot).is_some());
    let named = node_affinity::names(&pod.class)?;
    Ok(match (&pod.only, named) {
        (None, None) => None,
        (Some(name), None) => Some(known(name).into_iter().collect()),
        (only, Some(names)) => {
            let allowed = names.into_iter().filter(|name| only.as_ref().is_none_or(|o| o == name));
            Some(allowed.filter_map(known).collect())
        }
    })
}
