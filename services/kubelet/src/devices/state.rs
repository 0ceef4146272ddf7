//! Which devices there are and who has them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cri::plugin::device;
use k8s_openapi::api::core::v1::{ResourceHealth, ResourceStatus};

use super::Amount;

/// How long the devices of a plugin that has gone stay counted.
const GRACE: Duration = Duration::from_secs(5 * 60);

/// A resource of a plugin.
#[derive(Debug, Default)]
pub struct Resource {
    /// Its devices by id; whether one is well.
    pub devices: BTreeMap<String, Device>,
    /// Since when its plugin has gone.
    pub gone: Option<Instant>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Whether it works.
    pub healthy: bool,
    /// The memory nodes it is near to.
    pub nodes: Vec<i64>,
}

/// A container's share of a resource.
pub type Holder = (String, String, String);

/// What a container was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// Ids.
    pub devices: BTreeSet<String>,
    /// What the plugin said to put into the container.
    pub response: device::ContainerAllocateResponse,
}

/// All of it.
#[derive(Debug, Default)]
pub struct State {
    /// By name.
    pub resources: BTreeMap<String, Resource>,
    /// By pod's uid, container and resource.
    pub taken: BTreeMap<Holder, Taken>,
}

/// What is to be allocated.
#[derive(Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: no plugin's resource, or the container has its devices.
    Nothing,
    /// Devices.
    Some {
        /// Taken over from init containers of the pod.
        kept: BTreeSet<String>,
        /// To choose the rest from.
        available: BTreeSet<String>,
    },
}

impl State {
    /// A plugin's list of devices.
    pub fn list(&mut self, resource: &str, devices: &[device::Device]) {
        let one = |d: &device::Device| {
            let nodes = d.topology.iter().flat_map(|t| t.nodes.iter().map(|n| n.id)).collect();
            (d.id.clone(), Device { healthy: d.health == "Healthy", nodes })
        };
        let devices = devices.iter().map(one).collect();
        self.resources.insert(resource.to_owned(), Resource { devices, gone: None });
    }

    /// A plugin has gone.
    pub fn lost(&mut self, resource: &str, now: Instant) {
        let Some(known) = self.resources.get_mut(resource) else { return };
        known.gone = Some(now);
        known.devices.values_mut().for_each(|d| d.healthy = false);
    }

    /// How much there is of each resource.
    pub fn amounts(&self, now: Instant) -> BTreeMap<String, Amount> {
        let one = |(name, r): (&String, &Resource)| {
            let forgotten = r.gone.is_some_and(|at| now.duration_since(at) > GRACE);
            let capacity = if forgotten { 0 } else { r.devices.len() };
            let allocatable = r.devices.values().filter(|d| d.healthy).count();
            (name.clone(), Amount { capacity, allocatable, taken: self.in_use(name).len() })
        };
        self.resources.iter().map(one).collect()
    }

    fn in_use(&self, resource: &str) -> BTreeSet<&String> {
        let of = self.taken.iter().filter(|((.., r), _)| r == resource);
        of.flat_map(|(_, t)| &t.devices).collect()
    }

    /// What a container needs of a resource.
    ///
    /// # Errors
    /// It cannot be had; upstream's words.
    pub fn need(&self, holder: &Holder, count: usize, reusable: &BTreeSet<String>) -> Result<Need, String> {
        let (uid, container, resource) = holder;
        let Some(known) = self.resources.get(resource) else { return Ok(Need::Nothing) };
        let has = self.taken.get(holder);
        if let Some(has) = has.filter(|h| h.devices.len() != count) {
            return Err(format!(
                "pod {uid:?} container {container:?} changed request for resource {resource:?} from {} to {count}",
                has.devices.len()
            ));
        }
        let healthy: BTreeSet<&String> =
            known.devices.iter().filter(|(_, d)| d.healthy).map(|(id, _)| id).collect();
        if healthy.is_empty() {
            return Err(format!("no healthy devices present; cannot allocate unhealthy devices {resource}"));
        }
        if let Some(has) = has {
            if has.devices.iter().all(|d| healthy.contains(d)) {
                return Ok(Need::Nothing);
            }
            return Err(format!(
                "previously allocated devices are no longer healthy; cannot allocate unhealthy devices {resource}"
            ));
        }
        if count == 0 {
            return Ok(Need::Nothing);
        }
        let kept: BTreeSet<String> = reusable.iter().take(count).cloned().collect();
        let used = self.in_use(resource);
        let available: BTreeSet<String> = healthy.difference(&used).map(|d| (*d).clone()).collect();
        let missing = count - kept.len();
        if available.len() < missing {
            return Err(format!(
                "requested number of devices unavailable for {resource}. Requested: {missing}, Available: {}",
                available.len()
            ));
        }
        Ok(Need::Some { kept, available })
    }

    /// Forgets what a pod had; whether there was anything.
    pub fn release(&mut self, uid: &str) -> bool {
        let before = self.taken.len();
        self.taken.retain(|(pod, ..), _| pod != uid);
        before != self.taken.len()
    }

    /// How the devices of a container are; what is not known of is well, as upstream has it.
    pub fn health(&self, uid: &str, container: &str) -> Vec<ResourceStatus> {
        let one = |(name, taken): (&str, &Taken)| {
            let known = self.resources.get(name);
            let of = |id: &String| {
                let well = known.and_then(|r| r.devices.get(id)).is_none_or(|d| d.healthy);
                let health = if well { "Healthy" } else { "Unhealthy" };
                ResourceHealth {
                    resource_id: id.clone(),
                    health: Some(health.to_owned()),
                    ..ResourceHealth::default()
                }
            };
            let resources = Some(taken.devices.iter().map(of).collect());
            ResourceStatus { name: name.to_owned(), resources }
        };
        self.of(uid, container).map(one).collect()
    }

    /// What a container has.
    pub fn of<'a>(
        &'a self,
        uid: &'a str,
        container: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Taken)> + 'a {
        let own = self.taken.iter().filter(move |((u, c, _), _)| u == uid && c == container);
        own.map(|((.., resource), taken)| (resource.as_str(), taken))
    }
}

/// Fills up to `count`: what is kept, what the plugin prefers of the available, then any of them.
pub fn choose(
    count: usize,
    kept: &BTreeSet<String>,
    preferred: &[String],
    available: &BTreeSet<String>,
) -> BTreeSet<String> {
    let mut out = kept.clone();
    let wanted = preferred.iter().filter(|p| available.contains(*p)).chain(available);
    for device in wanted {
        if out.len() >= count {
            break;
        }
        out.insert(device.clone());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|i| (*i).to_owned()).collect()
    }

    fn state() -> State {
        let mut state = State::default();
        let device = |id: &str, health: &str| device::Device {
            id: id.into(),
            health: health.into(),
            ..device::Device::default()
        };
        let list = [device("a", "Healthy"), device("b", "Healthy"), device("c", "Unhealthy")];
        state.list("example.com/x", &list);
        state
    }

    fn holder(container: &str) -> Holder {
        ("uid".into(), container.into(), "example.com/x".into())
    }

    fn take(state: &mut State, container: &str, ids: &[&str]) {
        let response = device::ContainerAllocateResponse::default();
        state.taken.insert(holder(container), Taken { devices: set(ids), response });
    }

    #[test]
    fn what_a_container_needs() {
        let mut state = state();
        let none = BTreeSet::new();
        let all = Need::Some { kept: set(&[]), available: set(&["a", "b"]) };
        assert_eq!(state.need(&holder("one"), 1, &none), Ok(all));
        take(&mut state, "one", &["a"]);
        assert_eq!(state.need(&holder("one"), 1, &none), Ok(Need::Nothing));
        assert!(state.need(&holder("one"), 2, &none).unwrap_err().contains("changed request"));
        assert_eq!(
            state.need(&holder("two"), 2, &none).unwrap_err(),
            "requested number of devices unavailable for example.com/x. Requested: 2, Available: 1"
        );
        let reuse = Need::Some { kept: set(&["a"]), available: set(&["b"]) };
        assert_eq!(state.need(&holder("two"), 2, &set(&["a"])), Ok(reuse));
        let other = ("uid".to_owned(), "two".to_owned(), "example.com/unknown".to_owned());
        assert_eq!(state.need(&other, 1, &none), Ok(Need::Nothing));
    }

    #[test]
    fn a_plugin_that_goes_is_counted_for_a_while() {
        let mut state = state();
        let now = Instant::now();
        take(&mut state, "one", &["a"]);
        let amount = |capacity, allocatable| Amount { capacity, allocatable, taken: 1 };
        assert_eq!(state.amounts(now)["example.com/x"], amount(3, 2));
        state.lost("example.com/x", now);
        assert_eq!(state.amounts(now)["example.com/x"], amount(3, 0));
        assert!(state.need(&holder("one"), 1, &BTreeSet::new()).is_err());
        assert_eq!(state.amounts(now + GRACE * 2)["example.com/x"], amount(0, 0));
        assert!(state.release("uid"));
        assert!(!state.release("uid"));
    }

    #[test]
    fn the_plugin_may_prefer() {
        let prefer = ["z".to_owned(), "c".to_owned()];
        let available = set(&["a", "b", "c"]);
        assert_eq!(choose(2, &set(&[]), &prefer, &available), set(&["a", "c"]));
        assert_eq!(choose(2, &set(&["k"]), &[], &available), set(&["a", "k"]));
    }
}
