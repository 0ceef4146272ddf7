//! Address ranges of Services: ready while they may be used, kept while an address needs them.
//!
//! # Upstream
//! `pkg/controller/servicecidrs`

use std::net::IpAddr;
use std::time::Duration;

use client::Key;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, View, Watch};

use crate::ipam::Range;

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const MANAGED: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
/// Allocators need this long to hear that a range goes.
const GRACE: i64 = 10;

/// The controller.
#[derive(Debug)]
pub(crate) struct ServiceCidrs;

fn ranges(cidr: &ServiceCIDR) -> Vec<Range> {
    let texts = cidr.spec.iter().flat_map(|s| s.cidrs.iter().flatten());
    texts.filter_map(|c| Range::parse(c).ok()).collect() // validated by the server
}

/// The address an object stands for, when the API server made it.
fn address(object: &IPAddress) -> Option<IpAddr> {
    if object.label(MANAGED.0) != Some(MANAGED.1) {
        return None;
    }
    object.name().parse().ok() // validated by the server
}

/// Ranges that contain an address. One that is going counts: the caller looks for others than itself.
fn containing(view: &View, address: IpAddr) -> Vec<Key> {
    let contain = |c: &&std::sync::Arc<ServiceCIDR>| ranges(c).iter().any(|r| r.contains(address));
    view.all::<ServiceCIDR>().filter(contain).map(|c| c.key()).collect()
}

impl ServiceCidrs {
    /// Whether no address would be left without a range.
    fn may_go(view: &View, cidr: &ServiceCIDR) -> bool {
        let others = || view.all::<ServiceCIDR>().filter(|c| c.name() != cidr.name());
        let within = |range: &Range| others().any(|c| ranges(c).iter().any(|r| r.covers(range)));
        if ranges(cidr).iter().all(within) {
            return true;
        }
        let orphaned = |address: IpAddr| {
            let inside = ranges(cidr).iter().any(|r| r.contains(address));
            inside && containing(view, address).iter().all(|key| key.name == cidr.name())
        };
        !view.all::<IPAddress>().filter_map(|a| address(a)).any(orphaned)
    }
}

fn condition(plan: &mut Plan, ask: &Ask<'_>, cidr: &ServiceCIDR, ready: bool) -> Result<(), Error> {
    let (status, reason, message) = if ready {
        ("True", "", "Kubernetes Service CIDR is ready")
    } else {
        let text = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
        ("False", "Terminating", text)
    };
    let mut next = cidr.clone();
    let conditions = next.status.get_or_insert_default().conditions.get_or_insert_default();
    let known = conditions.iter_mut().find(|c| c.type_ == "Ready");
    if known.as_ref().is_some_and(|c| c.status == status && c.reason == reason && c.message == message) {
        return Ok(());
    }
    let new = Condition {
        type_: "Ready".into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: Time(ask.now),
        observed_generation: None,
    };
    match known {
        Some(known) => *known = new,
        None => conditions.push(new),
    }
    plan.update_status(cidr, &next)?;
    let text = "The ServiceCIDR Status can not be set to Ready=True";
    if let Some(write) = plan.writes.last_mut().filter(|_| ready) {
        write.on_err = Some(Event::warning(cidr, "KubernetesServiceCIDRError", text));
    }
    Ok(())
}

impl Controller for ServiceCidrs {
    fn name(&self) -> &'static str {
        "service-cidr-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let related = Watch::map::<ServiceCIDR>(|view, cidr| {
            let overlaps = |c: &&std::sync::Arc<ServiceCIDR>| {
                ranges(c).iter().any(|a| ranges(cidr).iter().any(|b| a.covers(b) || b.covers(a)))
            };
            view.all::<ServiceCIDR>().filter(overlaps).map(|c| c.key()).collect()
        });
        let of_address = Watch::map::<IPAddress>(|view, object| {
            address(object).map(|address| containing(view, address)).unwrap_or_default()
        });
        vec![Watch::root::<ServiceCIDR>(), related, of_address]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<ServiceCIDR>("patch"), Permit::sub::<ServiceCIDR>("status", "patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(cidr) = ask.view.get::<ServiceCIDR>(ask.key) else { return Ok(plan) };
        let held = cidr.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER);
        let Some(since) = &cidr.metadata.deletion_timestamp else {
            if !held {
                let mut next = ServiceCIDR::clone(cidr);
                next.metadata.finalizers.get_or_insert_default().push(FINALIZER.into());
                plan.update(cidr.as_ref(), &next)?;
                return Ok(plan); // the status follows when that is seen
            }
            condition(&mut plan, ask, cidr, true)?;
            return Ok(plan);
        };
        if !Self::may_go(ask.view, cidr) {
            condition(&mut plan, ask, cidr, false)?;
            return Ok(plan);
        }
        let left = since.0.as_second() + GRACE - ask.now.as_second();
        if left > 0 {
            plan.again(Duration::from_secs(u64::try_from(left).unwrap_or(1)));
        } else if held {
            let mut next = ServiceCIDR::clone(cidr);
            next.metadata.finalizers.get_or_insert_default().retain(|f| f != FINALIZER);
            plan.update(cidr.as_ref(), &next)?;
        }
        Ok(plan)
    }
}
