//! The calls.

use std::path::PathBuf;
use std::sync::Arc;

use crate::gate::Gate;
use crate::grpc::{Connection, Error, Stream};
use crate::v1;

/// A container runtime behind a unix socket; connects on first use and again when the connection is lost. Clones
/// share the connection.
#[derive(Debug, Clone)]
pub struct Runtime {
    connection: Arc<Connection>,
    gate: Arc<Gate>,
}

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
        Self { connection: Arc::new(Connection::new(socket.into())), gate: Arc::new(Gate::new()) }
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
                    self.connection.call(concat!("/runtime.v1.", $service, "/", $rpc), request).await
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
