//! The calls.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::gate::Gate;
use crate::grpc::{Connection, Error, Stream};
use crate::v1;

/// A container runtime behind a unix socket; connects on first use and again when the connection is lost. Clones
/// share the connection.
#[derive(Debug, Clone)]
pub struct Runtime {
    connection: Arc<Connection>,
    gate: Arc<Gate>,
    counts: Arc<Mutex<BTreeMap<&'static str, Count>>>,
}

/// How often something was asked of the runtime.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    /// Calls that have ended.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// How long all of them took.
    pub seconds: f64,
    /// How many took no longer than each of [`BOUNDS`].
    pub within: [u64; BOUNDS.len()],
}

/// Seconds by which calls are told apart.
pub const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Calls whose being cut short leaves something half made: these are waited for at the end.
const HELD: &[&str] = &[
    "RunPodSandbox",
    "StopPodSandbox",
    "RemovePodSandbox",
    "CreateContainer",
    "StartContainer",
    "RemoveContainer",
    "UpdateContainerResources",
    "ReopenContainerLog",
    "RemoveImage",
];

impl Runtime {
    /// A runtime at a socket path.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            connection: Arc::new(Connection::new(socket.into())),
            gate: Arc::new(Gate::new()),
            counts: Arc::default(),
        }
    }

    /// Calls so far by name.
    pub fn counts(&self) -> BTreeMap<&'static str, Count> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, rpc: &'static str, begun: Instant, failed: bool) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(rpc).or_default();
        count.calls += 1;
        count.errors += u64::from(failed);
        let seconds = begun.elapsed().as_secs_f64();
        count.seconds += seconds;
        for (bound, within) in BOUNDS.iter().zip(&mut count.within) {
            *within += u64::from(seconds <= *bound);
        }
    }

    /// Lets calls that change something end and begins no more of them, for good: the daemon is about to end.
    pub async fn close(&self) {
        self.gate.close().await;
    }

    /// Changes of containers and sandboxes, from now on.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn events(&self) -> Result<Stream<v1::ContainerEventResponse>, Error> {
        let method = "/runtime.v1.RuntimeService/GetContainerEvents";
        self.connection.stream(method, v1::GetEventsRequest {}).await
    }
}

macro_rules! calls {
    ($($service:literal { $($name:ident $rpc:literal $request:ident $response:ident;)* })*) => {
        impl Runtime {
            $($(
                #[doc = concat!("`", $service, ".", $rpc, "`.\n\n# Errors\nSee [`Error`].")]
                pub async fn $name(&self, request: v1::$request) -> Result<v1::$response, Error> {
                    let _pass = if HELD.contains(&$rpc) { Some(self.gate.enter().await) } else { None };
                    let begun = Instant::now();
                    let answer = self.connection.call(concat!("/runtime.v1.", $service, "/", $rpc), request).await;
                    self.count($rpc, begun, answer.is_err());
                    answer
                }
            )*)*
        }
    };
}

calls! {
    "RuntimeService" {
        version "Version" VersionRequest VersionResponse;
        run_pod_sandbox "RunPodSandbox" RunPodSandboxRequest RunPodSandboxResponse;
        stop_pod_sandbox "StopPodSandbox" StopPodSandboxRequest StopPodSandboxResponse;
        remove_pod_sandbox "RemovePodSandbox" RemovePodSandboxRequest RemovePodSandboxResponse;
        pod_sandbox_status "PodSandboxStatus" PodSandboxStatusRequest PodSandboxStatusResponse;
        list_pod_sandbox "ListPodSandbox" ListPodSandboxRequest ListPodSandboxResponse;
        create_container "CreateContainer" CreateContainerRequest CreateContainerResponse;
        start_container "StartContainer" StartContainerRequest StartContainerResponse;
        stop_container "StopContainer" StopContainerRequest StopContainerResponse;
        remove_container "RemoveContainer" RemoveContainerRequest RemoveContainerResponse;
        list_containers "ListContainers" ListContainersRequest ListContainersResponse;
        container_status "ContainerStatus" ContainerStatusRequest ContainerStatusResponse;
        update_container_resources "UpdateContainerResources" UpdateContainerResourcesRequest UpdateContainerResourcesResponse;
        update_pod_sandbox_resources "UpdatePodSandboxResources" UpdatePodSandboxResourcesRequest UpdatePodSandboxResourcesResponse;
        reopen_container_log "ReopenContainerLog" ReopenContainerLogRequest ReopenContainerLogResponse;
        exec_sync "ExecSync" ExecSyncRequest ExecSyncResponse;
        exec "Exec" ExecRequest ExecResponse;
        attach "Attach" AttachRequest AttachResponse;
        port_forward "PortForward" PortForwardRequest PortForwardResponse;
        container_stats "ContainerStats" ContainerStatsRequest ContainerStatsResponse;
        list_container_stats "ListContainerStats" ListContainerStatsRequest ListContainerStatsResponse;
        list_pod_sandbox_stats "ListPodSandboxStats" ListPodSandboxStatsRequest ListPodSandboxStatsResponse;
        update_runtime_config "UpdateRuntimeConfig" UpdateRuntimeConfigRequest UpdateRuntimeConfigResponse;
        status "Status" StatusRequest StatusResponse;
        checkpoint_container "CheckpointContainer" CheckpointContainerRequest CheckpointContainerResponse;
        runtime_config "RuntimeConfig" RuntimeConfigRequest RuntimeConfigResponse;
    }
    "ImageService" {
        list_images "ListImages" ListImagesRequest ListImagesResponse;
        image_status "ImageStatus" ImageStatusRequest ImageStatusResponse;
        pull_image "PullImage" PullImageRequest PullImageResponse;
        remove_image "RemoveImage" RemoveImageRequest RemoveImageResponse;
        image_fs_info "ImageFsInfo" ImageFsInfoRequest ImageFsInfoResponse;
    }
}
