//! Plugins that register by a socket in `plugins_registry`.
//!
//! # Upstream
//! `pkg/kubelet/pluginmanager`

mod node_info;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cri::plugin::registration::{InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse};

use crate::Kubelet;
use crate::devices::listen;
use crate::volumes::csi::Driver;

/// The folder is looked through this often, whatever inotify says.
const RELIST: Duration = Duration::from_secs(60);
/// A plugin that could not be registered is tried again after this long, then after twice as long.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(120);
/// Upstream's time for one question to a plugin.
const ANSWER: Duration = Duration::from_secs(10);

/// A registered plugin.
#[derive(Debug)]
enum Plugin {
    Driver(String),
    Device(String),
}

/// A socket is another one when it was made anew.
type Socket = (PathBuf, u64, i64);

/// What became of the sockets there are.
#[derive(Debug, Default)]
struct Known {
    plugins: HashMap<Socket, Plugin>,
    refused: HashMap<Socket, (Instant, Duration)>,
}

/// Registers plugins as their sockets come, and takes that back as they go.
pub async fn run(kubelet: Arc<Kubelet>) {
    let folder = kubelet.settings.root_dir.join("plugins_registry");
    if let Err(error) = std::fs::create_dir_all(&folder) {
        tracing::error!(error = crate::chain(&error), "Making the folder plugins register in");
        return std::future::pending().await;
    }
    node_info::begin(&kubelet).await;
    let mut watch = daemon::FolderWatch::default();
    let mut known = Known::default();
    loop {
        watch.follow(&folder);
        let sockets = match sockets(&folder) {
            Ok(sockets) => sockets,
            Err(error) => {
                tracing::warn!(error = crate::chain(&error), "Looking for plugins");
                HashSet::new()
            }
        };
        let pause = known.settle(&kubelet, sockets).await;
        tokio::select! {
            () = watch.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Known {
    /// Registers what is new and forgets what has gone; how long until the next look.
    async fn settle(&mut self, kubelet: &Arc<Kubelet>, sockets: HashSet<Socket>) -> Duration {
        self.refused.retain(|s, _| sockets.contains(s));
        let gone: Vec<Socket> = self.plugins.keys().filter(|s| !sockets.contains(*s)).cloned().collect();
        for socket in gone {
            if let Some(plugin) = self.plugins.remove(&socket) {
                // its successor, where there is one, has the name now
                let renewed = sockets.iter().any(|s| s.0 == socket.0);
                forget(kubelet, plugin, renewed).await;
            }
        }
        let mut pause = RELIST;
        for socket in sockets {
            if self.plugins.contains_key(&socket) {
                continue;
            }
            let last = self.refused.get(&socket).copied();
            if let Some((until, _)) = last.filter(|(until, _)| Instant::now() < *until) {
                pause = pause.min(until.saturating_duration_since(Instant::now()));
                continue;
            }
            match register(kubelet, &socket.0).await {
                Ok(plugin) => {
                    tracing::info!(socket = %socket.0.display(), ?plugin, "Registered plugin");
                    self.refused.remove(&socket);
                    self.plugins.insert(socket, plugin);
                }
                Err(error) => {
                    tracing::warn!(socket = %socket.0.display(), error, "Registering a plugin");
                    let wait = last.map_or(RETRY, |(_, w)| (w * 2).min(RETRY_MOST));
                    pause = pause.min(wait);
                    self.refused.insert(socket, (Instant::now() + wait, wait));
                }
            }
        }
        pause
    }
}

fn sockets(folder: &Path) -> std::io::Result<HashSet<Socket>> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let mut out = HashSet::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let kind = entry.file_type()?;
        if hidden {
            continue;
        }
        if kind.is_dir() {
            out.extend(sockets(&entry.path())?);
        } else if kind.is_socket() {
            match entry.metadata() {
                Ok(meta) => {
                    out.insert((entry.path(), meta.ino(), meta.ctime()));
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {} // gone meanwhile
                Err(e) => return Err(e),
            }
        }
    }
    Ok(out)
}

async fn ask<Q: prost::Message, R: prost::Message + Default>(
    connection: &cri::Connection,
    method: &'static str,
    question: Q,
) -> Result<R, String> {
    match tokio::time::timeout(ANSWER, connection.call(method, question)).await {
        Ok(answer) => answer.map_err(|e| crate::chain(&e)),
        Err(_) => Err("context deadline exceeded".into()),
    }
}

async fn register(kubelet: &Arc<Kubelet>, socket: &Path) -> Result<Plugin, String> {
    let connection = cri::Connection::new(socket.to_owned());
    let info: PluginInfo = ask(&connection, "/pluginregistration.Registration/GetInfo", InfoRequest {})
        .await
        .map_err(|e| format!("failed to get plugin info using RPC GetInfo: {e}"))?;
    let endpoint = if info.endpoint.is_empty() { socket.to_owned() } else { PathBuf::from(&info.endpoint) };
    let done = match info.r#type.as_str() {
        "CSIPlugin" => driver(kubelet, &info, endpoint).await,
        "DevicePlugin" => device(kubelet, &info, endpoint).await,
        other => Err(format!(
            "RegisterPlugin error -- no handler registered for plugin type: {other} at socket {}",
            socket.display()
        )),
    };
    let error = done.as_ref().err().cloned().unwrap_or_default();
    let status = RegistrationStatus { plugin_registered: done.is_ok(), error };
    let method = "/pluginregistration.Registration/NotifyRegistrationStatus";
    let told: Result<RegistrationStatusResponse, String> = ask(&connection, method, status).await;
    match (done, told) {
        (Ok(plugin), Err(error)) => {
            forget(kubelet, plugin, false).await;
            Err(format!("failed to send registration status: {error}"))
        }
        (done, _) => done,
    }
}

async fn device(kubelet: &Arc<Kubelet>, info: &PluginInfo, endpoint: PathBuf) -> Result<Plugin, String> {
    listen::check(&info.name, &info.supported_versions)
        .map_err(|e| format!("RegisterPlugin error -- plugin validation failed with err: {e}"))?;
    listen::connect(kubelet, &info.name, endpoint)
        .await
        .map_err(|e| format!("RegisterPlugin error -- plugin registration failed with err: {e}"))?;
    Ok(Plugin::Device(info.name.clone()))
}

async fn driver(kubelet: &Kubelet, info: &PluginInfo, endpoint: PathBuf) -> Result<Plugin, String> {
    let first = |v: &String| v.trim_start_matches('v').split('.').next().is_some_and(|major| major == "1");
    if !info.supported_versions.iter().any(first) {
        return Err(format!(
            "RegisterPlugin error -- plugin validation failed with err: validation failed for CSI Driver {} at \
             endpoint {}: None of the versions specified {:?} are supported",
            info.name,
            endpoint.display(),
            info.supported_versions
        ));
    }
    let failed = |e: String| format!("RegisterPlugin error -- plugin registration failed with err: {e}");
    let driver = Arc::new(Driver::new(&info.name, endpoint));
    let about = driver.info().await.map_err(|e| failed(crate::chain(&e)))?;
    kubelet.drivers.insert(driver);
    if let Err(error) = node_info::install(kubelet, &info.name, &about).await {
        kubelet.drivers.remove(&info.name);
        return Err(failed(error));
    }
    for handle in kubelet.workers.handles() {
        handle.wake.notify_one(); // some may have waited for it
    }
    Ok(Plugin::Driver(info.name.clone()))
}

async fn forget(kubelet: &Kubelet, plugin: Plugin, renewed: bool) {
    match plugin {
        Plugin::Device(name) => {
            listen::disconnect(&kubelet.devices, &name);
            kubelet.node_changed.notify_one();
        }
        Plugin::Driver(_) if renewed => {}
        Plugin::Driver(name) => {
            tracing::info!(driver = name, "CSI driver has gone");
            kubelet.drivers.remove(&name);
            if let Err(error) = node_info::uninstall(kubelet, &name).await {
                tracing::warn!(driver = name, error, "Taking a driver out of the node's information");
            }
        }
    }
}
