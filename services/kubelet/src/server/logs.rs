//! Logs of containers and of the node.
//!
//! # Upstream
//! `pkg/kubelet/kubelet_pods.go` `GetKubeletContainerLogs`, `k8s.io/cri-client/pkg/logs`

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ContainerStatus;

use super::{Answer, text};
use crate::Kubelet;
use crate::pod::facts::PodFacts;
use crate::pod::workers::View;
use crate::runtime::logs::{Filter, parse, tail_offset};

struct Wanted {
    filter: Filter,
    follow: bool,
    tail: Option<u64>,
    limit: Option<usize>,
}

fn wanted(query: &HashMap<String, Vec<String>>) -> Result<Wanted, String> {
    let one =
        |name: &str| query.get(name).and_then(|v| v.first()).map(String::as_str).filter(|v| !v.is_empty());
    let number =
        |name: &str| one(name).map(|v| v.parse::<u64>().map_err(|e| format!("{name}: {e}"))).transpose();
    let yes = |name: &str| matches!(one(name), Some("true" | "1"));
    let ago = number("sinceSeconds")?;
    let ago = ago.map(|s| Timestamp::now() - SignedDuration::from_secs(i64::try_from(s).unwrap_or(i64::MAX)));
    let at = one("sinceTime")
        .map(|t| t.parse::<Timestamp>().map_err(|e| format!("sinceTime: {e}")))
        .transpose()?;
    let stream = one("stream");
    Ok(Wanted {
        filter: Filter {
            since: at.or(ago),
            timestamps: yes("timestamps"),
            stdout_only: stream == Some("Stdout"),
            stderr_only: stream == Some("Stderr"),
        },
        follow: yes("follow"),
        tail: number("tailLines")?,
        limit: number("limitBytes")?.map(|l| usize::try_from(l).unwrap_or(usize::MAX)),
    })
}

/// A container's log.
pub(super) async fn container(
    kubelet: &Arc<Kubelet>,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &HashMap<String, Vec<String>>,
) -> Answer {
    let wanted = match wanted(query) {
        Ok(wanted) => wanted,
        Err(message) => return text(StatusCode::BAD_REQUEST, format!("{{\"message\": \"{message}\"}}")),
    };
    let Some(handle) = kubelet.workers.find(namespace, pod) else {
        return text(StatusCode::NOT_FOUND, format!("pod \"{pod}\" not found\n"));
    };
    if !handle.pod().containers().iter().any(|(_, c)| c.name == container) {
        return text(StatusCode::NOT_FOUND, format!("container {container} not found in pod {pod}\n"));
    }
    let previous = query.get("previous").is_some_and(|v| v.iter().any(|v| v == "true"));
    let id = match log_of(&handle.view(), pod, container, previous) {
        Ok(id) => id,
        Err(message) => return text(StatusCode::BAD_REQUEST, message),
    };
    let path = match path_of(kubelet, &id).await {
        Ok(path) => path,
        Err(message) => return text(StatusCode::INTERNAL_SERVER_ERROR, message),
    };
    let (sender, body) = web::channel(16);
    let kubelet = Arc::clone(kubelet);
    let uid = handle.pod().uid().to_owned();
    let named = format!("{container} in pod {pod}");
    tokio::spawn(async move {
        let mut reader = Reader { kubelet, uid, id, path, out: sender, left: wanted.limit, fresh: true };
        tokio::select! {
            () = reader.closed() => {}
            read = reader.run(&wanted) => if let Err(error) = read {
                tracing::debug!(container = named, error = &error as &dyn std::error::Error, "Reading a log");
            }
        }
    });
    let mut answer = Answer::new(body);
    let kind = http::HeaderValue::from_static("text/plain");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    answer
}

/// # Upstream
/// `pkg/kubelet/kubelet_pods.go` `validateContainerLogStatus`
fn log_of(view: &View, pod: &str, name: &str, previous: bool) -> Result<String, String> {
    let mut runs = view.observed.containers.iter().filter(|c| c.name == name);
    let newest = runs.next();
    if previous {
        return match runs.next() {
            Some(before) => Ok(before.id.clone()),
            None => Err(format!("previous terminated container \"{name}\" in pod \"{pod}\" not found")),
        };
    }
    if let Some(seen) = newest.filter(|s| s.running() || s.exited()) {
        return Ok(seen.id.clone());
    }
    let s = &view.status;
    let lists = [&s.container_statuses, &s.init_container_statuses, &s.ephemeral_container_statuses];
    let status: Option<&ContainerStatus> = lists.into_iter().flatten().flatten().find(|s| s.name == name);
    let waiting = status.and_then(|s| s.state.as_ref()?.waiting.as_ref());
    let message = match waiting.and_then(|w| w.reason.as_deref()) {
        Some("ErrImagePull") => {
            format!("container \"{name}\" in pod \"{pod}\" is waiting to start: image can't be pulled")
        }
        Some("ImagePullBackOff") => format!(
            "container \"{name}\" in pod \"{pod}\" is waiting to start: trying and failing to pull image"
        ),
        Some(reason) => format!("container \"{name}\" in pod \"{pod}\" is waiting to start: {reason}"),
        None => format!("container \"{name}\" in pod \"{pod}\" is not available"),
    };
    Err(message)
}

async fn path_of(kubelet: &Kubelet, id: &str) -> Result<PathBuf, String> {
    let request = cri::v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    let answer = kubelet.runtime.container_status(request).await.map_err(|e| crate::chain(&e))?;
    Ok(PathBuf::from(answer.status.map(|s| s.log_path).unwrap_or_default()))
}

struct Reader {
    kubelet: Arc<Kubelet>,
    uid: String,
    id: String,
    path: PathBuf,
    out: web::BodySender,
    left: Option<usize>,
    fresh: bool,
}

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(100);

impl Reader {
    fn closed(&self) -> impl Future<Output = ()> + use<> {
        let out = self.out.clone();
        async move { out.closed().await }
    }

    async fn run(&mut self, wanted: &Wanted) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        let offset = match wanted.tail {
            Some(lines) => tail_offset(&mut file, lines)?,
            None => 0,
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut buffer = Vec::new();
        loop {
            let ending = wanted.follow && self.ended();
            let open = self.drain(&mut file, &mut buffer, wanted).await?;
            if !open {
                return Ok(());
            }
            if !wanted.follow || ending {
                return Ok(());
            }
            if let Some(next) = self.rotated(&file)? {
                // what was written last before the log was put aside
                if !self.drain(&mut file, &mut buffer, wanted).await? {
                    return Ok(());
                }
                file = next;
            } else {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Whether the container runs no more, so that nothing will be written.
    fn ended(&self) -> bool {
        let Some(handle) = self.kubelet.workers.get(&self.uid) else { return true };
        !handle.view().observed.running().any(|c| c.id == self.id)
    }

    /// The log's new file, if it was rotated.
    fn rotated(&self, file: &File) -> io::Result<Option<File>> {
        let old = file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(now) if now.ino() != old.ino() => File::open(&self.path).map(Some),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None), // the new one is about to be made
            Err(e) => Err(e),
        }
    }

    /// Sends whole lines as far as there are any; false when enough was sent or nobody reads.
    async fn drain(&mut self, file: &mut File, buffer: &mut Vec<u8>, wanted: &Wanted) -> io::Result<bool> {
        let mut block = vec![0; 32 << 10];
        loop {
            let read = file.read(&mut block)?;
            if read == 0 {
                return Ok(true);
            }
            buffer.extend_from_slice(&block[..read]);
            let whole = buffer.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
            let mut out = Vec::new();
            for line in buffer[..whole].split_inclusive(|b| *b == b'\n').filter_map(parse) {
                wanted.filter.write(&line, &mut self.fresh, &mut out);
            }
            buffer.drain(..whole);
            if let Some(left) = &mut self.left {
                out.truncate(*left);
                *left -= out.len();
            }
            if !out.is_empty() && self.out.send(out.into()).await.is_err() {
                return Ok(false);
            }
            if self.left == Some(0) {
                return Ok(false);
            }
        }
    }
}

/// Files below `/var/log`.
pub(super) fn node(rest: &[&str]) -> Answer {
    let mut path = PathBuf::from("/var/log");
    for part in rest.iter().filter(|p| !p.is_empty()) {
        if *part == ".." || part.contains('/') {
            return text(StatusCode::BAD_REQUEST, "invalid path\n");
        }
        path.push(part);
    }
    let missing = || text(StatusCode::NOT_FOUND, "404 page not found\n");
    if path.is_dir() {
        let Ok(entries) = std::fs::read_dir(&path) else { return missing() };
        let mut names: Vec<_> = entries
            .filter_map(Result::ok)
            .map(|e| {
                let slash = if e.path().is_dir() { "/" } else { "" };
                format!("{}{slash}", e.file_name().to_string_lossy())
            })
            .collect();
        names.sort();
        let lines: String = names.iter().map(|n| format!("<a href=\"{n}\">{n}</a>\n")).collect();
        let mut answer = text(StatusCode::OK, format!("<pre>\n{lines}</pre>\n"));
        let kind = http::HeaderValue::from_static("text/html; charset=utf-8");
        answer.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        return answer;
    }
    match std::fs::read(&path) {
        Ok(bytes) => text(StatusCode::OK, String::from_utf8_lossy(&bytes).into_owned()),
        Err(_) => missing(),
    }
}
