//! Where a Service's traffic goes: EndpointSlices, Endpoints, and slices mirrored from hand-made Endpoints.

mod legacy;
mod mirror;
mod pods;
mod slices;

pub(crate) use legacy::Legacy;
pub(crate) use mirror::Mirror;
pub(crate) use slices::Slices;

use client::Key;
use k8s_openapi::api::core::v1::Service;
use reconcile::{Kind, Pod, Watch, selects};

pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";

/// Services by the pods they select.
fn pods_of_services() -> Watch {
    Watch::map::<Pod>(|view, pod| {
        let services = view.list::<Service>(pod.namespace()).filter(|s| selects_pod(s, pod));
        services.map(|s| s.key()).collect()
    })
}

fn selects_pod(service: &Service, pod: &Pod) -> bool {
    let selector = service.spec.as_ref().and_then(|s| s.selector.as_ref()).filter(|s| !s.is_empty());
    selector.is_some_and(|s| selects(s, pod))
}

fn by_service_label<K: Kind>() -> Watch {
    Watch::map::<K>(|_, slice| {
        slice.label(SERVICE_NAME).map(|name| Key::new(slice.namespace(), name)).into_iter().collect()
    })
}
