//! Plugins come and go: the registration socket, and each plugin's list of devices.
//!
//! # Upstream
//! `pkg/kubelet/cm/devicemanager/plugin/v1beta1`

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use cri::plugin::device::{DevicePluginOptions, Empty, ListAndWatchResponse, RegisterRequest};
use cri::{Answer, Code, Refusal};
use tokio::net::UnixListener;

use super::{Devices, Endpoint, report};
use crate::Kubelet;

const VERSION: &str = "v1beta1";
const SOCKET: &str = "kubelet.sock";

/// Lets plugins register and monitors ask.
pub async fn run(kubelet: Arc<Kubelet>) {
    let root = kubelet.settings.root_dir.clone();
    let registration = listen(&kubelet.devices.folder, true);
    // plugins that know of the other folder look for this and register there
    if let Err(error) = std::fs::write(kubelet.devices.folder.join("DEPRECATION"), b"") {
        tracing::warn!(error = crate::chain(&error), "Telling plugins of their folder");
    }
    let monitors = listen(&root.join("pod-resources"), false);
    let plugins = Arc::clone(&kubelet);
    tokio::join!(
        serve(registration, move |path, question| register(Arc::clone(&plugins), path, question)),
        serve(monitors, move |path, question| report::answer(Arc::clone(&kubelet), path, question)),
    );
}

async fn serve<H, F>(listener: std::io::Result<UnixListener>, handler: H)
where
    H: Fn(String, bytes::Bytes) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    match listener {
        Ok(listener) => cri::serve(listener, handler).await,
        Err(error) => {
            tracing::error!(error = crate::chain(&error), "Listening for plugins");
            std::future::pending().await
        }
    }
}

/// Listens on the folder's socket. Plugins see it made anew and register again; their own old sockets go, as upstream
/// has it.
fn listen(folder: &Path, clear: bool) -> std::io::Result<UnixListener> {
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o750))?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_socket() && (clear || entry.file_name() == SOCKET) {
            std::fs::remove_file(entry.path())?;
        }
    }
    UnixListener::bind(folder.join(SOCKET))
}

async fn register(kubelet: Arc<Kubelet>, path: String, question: bytes::Bytes) -> Answer {
    if path != "/v1beta1.Registration/Register" {
        return Err(Refusal { code: Code::UNIMPLEMENTED, message: format!("unknown method {path}") });
    }
    cri::answer(question, |request: RegisterRequest| async move {
        let resource = request.resource_name;
        {
            let all = kubelet.devices.registrations.lock();
            *all.unwrap_or_else(PoisonError::into_inner).entry(resource.clone()).or_default() += 1;
        }
        check(&resource, &[request.version]).map_err(Refusal::unknown)?;
        let socket = kubelet.devices.folder.join(&request.endpoint);
        connect(&kubelet, &resource, socket).await.map_err(Refusal::unknown)?;
        Ok(Empty {})
    })
    .await
}

/// Whether a plugin with this name and these versions may register.
///
/// # Errors
/// Upstream's words.
pub(crate) fn check(resource: &str, versions: &[String]) -> Result<(), String> {
    if !versions.iter().any(|v| v == VERSION) {
        let asked = versions.join(" ");
        return Err(format!(
            "requested API version {asked:?} is not supported by kubelet. Supported version is [\"{VERSION}\"]"
        ));
    }
    let domain = resource.split_once('/').map(|(domain, _)| domain);
    let native = domain.is_none_or(|d| d == "kubernetes.io" || d.ends_with(".kubernetes.io"));
    if native || resource.starts_with("requests.") {
        return Err(format!("the ResourceName {resource:?} is invalid"));
    }
    Ok(())
}

/// Connects to a plugin and follows its list of devices.
///
/// # Errors
/// It does not answer.
pub(crate) async fn connect(kubelet: &Arc<Kubelet>, resource: &str, socket: PathBuf) -> Result<(), String> {
    let connection = cri::Connection::new(socket);
    let options: DevicePluginOptions = connection
        .call("/v1beta1.DevicePlugin/GetDevicePluginOptions", Empty {})
        .await
        .map_err(|e| format!("failed to get device plugin options: {}", crate::chain(&e)))?;
    let endpoint = Arc::new(Endpoint { connection, options });
    {
        let mut all = kubelet.devices.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(resource.to_owned(), Arc::clone(&endpoint));
    }
    tracing::info!(resource, "Device plugin registered");
    let (kubelet, resource) = (Arc::clone(kubelet), resource.to_owned());
    tokio::spawn(async move {
        if let Err(error) = follow(&kubelet, &resource, &endpoint).await {
            tracing::info!(resource, error = crate::chain(&error), "Device plugin's list ended");
        }
        lost(&kubelet, &resource, &endpoint);
    });
    Ok(())
}

async fn follow(kubelet: &Kubelet, resource: &str, endpoint: &Endpoint) -> Result<(), cri::Error> {
    let method = "/v1beta1.DevicePlugin/ListAndWatch";
    let mut list = endpoint.connection.stream::<_, ListAndWatchResponse>(method, Empty {}).await?;
    while let Some(answer) = list.next().await? {
        {
            let mut state = kubelet.devices.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.list(resource, &answer.devices);
            kubelet.devices.remember(&state);
        }
        wake(kubelet);
        tracing::info!(resource, devices = answer.devices.len(), "Device plugin listed devices");
        kubelet.node_changed.notify_one();
    }
    Ok(())
}

/// A plugin has gone, unless another has taken its place.
fn lost(kubelet: &Kubelet, resource: &str, endpoint: &Arc<Endpoint>) {
    {
        let mut all = kubelet.devices.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.get(resource).is_some_and(|e| Arc::ptr_eq(e, endpoint)) {
            return;
        }
        all.remove(resource);
    }
    {
        let mut state = kubelet.devices.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lost(resource, std::time::Instant::now());
    }
    wake(kubelet);
    kubelet.node_changed.notify_one();
}

/// Pods with devices tell how these are.
fn wake(kubelet: &Kubelet) {
    for handle in kubelet.devices.holders().iter().filter_map(|uid| kubelet.workers.get(uid)) {
        handle.wake.notify_one();
    }
}

/// A plugin's registration was taken back.
pub(crate) fn disconnect(devices: &Devices, resource: &str) {
    let mut all = devices.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
    all.remove(resource);
    devices.state.lock().unwrap_or_else(PoisonError::into_inner).lost(resource, std::time::Instant::now());
}
