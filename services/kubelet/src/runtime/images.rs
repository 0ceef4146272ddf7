//! Having a container's image at hand.
//!
//! # Upstream
//! `pkg/kubelet/images/image_manager.go`, `pkg/kubelet/kuberuntime/kuberuntime_image.go`

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cri::v1;
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

use super::security::ImageUser;
use crate::events::{Events, Kind};
use crate::pod::facts::PodFacts;

/// An image that is there.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// By which the runtime knows it.
    pub id: String,
    /// Whom it runs as.
    pub user: ImageUser,
}

/// Why there is no image: upstream's reason and message.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Error {
    /// `ErrImagePull`, `ImagePullBackOff`, `ErrImageNeverPull`, `InvalidImageName`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Pulls images, one at a time unless told otherwise.
#[derive(Debug)]
pub struct Images {
    runtime: cri::Runtime,
    turns: Option<Semaphore>,
}

/// The image's name with a tag, as the runtime wants it.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

/// When nothing is said: `Always` for `latest`, else `IfNotPresent`.
fn policy<'a>(c: &'a Container, image: &str) -> &'a str {
    match c.image_pull_policy.as_deref() {
        Some(policy) => policy,
        None if image.ends_with(":latest") => "Always",
        None => "IfNotPresent",
    }
}

/// What a name is told that would be usable in lower case.
fn upper_case(image: &str) -> String {
    let host =
        |h: &str| h.contains(['.', ':']) || h == "localhost" || h.chars().any(|c| c.is_ascii_uppercase());
    let path = match image.split_once('/') {
        Some((first, rest)) if host(first) => rest,
        _ => image,
    };
    let end = path.find([':', '@']).unwrap_or(path.len());
    let name = &path[..end];
    if name.chars().any(|c| c.is_ascii_uppercase()) {
        format!(": repository name ({name}) must be lowercase")
    } else {
        String::new()
    }
}

/// The name must be usable in a reference: lower-case path components.
fn valid_name(image: &str) -> bool {
    let name = image.split('@').next().unwrap_or(image);
    let last = name.rfind('/').map_or(0, |i| i + 1);
    let path = name[last..].find(':').map_or(name, |i| &name[..last + i]);
    let mut components = path.split('/');
    let first_is_host = path.contains('/')
        && path.split('/').next().is_some_and(|h| h.contains(['.', ':']) || h == "localhost");
    if first_is_host {
        components.next();
    }
    components.all(|p| {
        !p.is_empty()
            && p.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
            && p.starts_with(|c: char| c.is_ascii_alphanumeric())
            && p.ends_with(|c: char| c.is_ascii_alphanumeric())
    })
}

impl Images {
    /// Images of a runtime.
    pub fn new(runtime: cri::Runtime, serialize: bool) -> Self {
        Self { runtime, turns: serialize.then(|| Semaphore::new(1)) }
    }

    async fn present(&self, image: &str, handler: &str) -> Result<Option<Image>, cri::Error> {
        let spec = v1::ImageSpec {
            image: image.to_owned(),
            runtime_handler: handler.to_owned(),
            ..Default::default()
        };
        let answer =
            self.runtime.image_status(v1::ImageStatusRequest { image: Some(spec), verbose: false }).await?;
        Ok(answer.image.map(|i| {
            // an image that names no user runs as root
            let uid = i.uid.map(|u| u.value).or(i.username.is_empty().then_some(0));
            Image { user: ImageUser { uid, name: i.username }, id: i.id }
        }))
    }

    /// Makes sure of a container's image, with the events upstream sends.
    ///
    /// # Errors
    /// See [`Error`]; whether to try again, and when, is the caller's: `failed` says that it is too early, and what
    /// went wrong last.
    pub async fn ensure(
        &self,
        pod: &Pod,
        c: &Container,
        handler: &str,
        secrets: &HashMap<String, Arc<Secret>>,
        events: &Events,
        failed: Option<&str>,
    ) -> Result<Image, Error> {
        let asked = c.image.as_deref().unwrap_or_default();
        let image = with_tag(asked);
        let field = format!("spec.containers{{{}}}", c.name);
        if !valid_name(asked) {
            let message = format!(
                "Failed to apply default image tag \"{asked}\": couldn't parse image name \"{asked}\": invalid reference format{}",
                upper_case(asked)
            );
            events.pod(pod, &field, Kind::Warning, "InspectFailed", &message);
            return Err(Error { reason: "InvalidImageName", message });
        }
        let present = self.present(&image, handler).await.map_err(|e| Error {
            reason: "ImageInspectError",
            message: format!("Failed to inspect image \"{image}\": {e}"),
        })?;
        match (policy(c, &image), present) {
            ("Always", _) | ("IfNotPresent", None) => {}
            (_, Some(present)) => {
                let text = format!(
                    "Container image \"{asked}\" already present on machine and can be accessed by the pod"
                );
                events.pod(pod, &field, Kind::Normal, "Pulled", &text);
                return Ok(present);
            }
            (_, None) => {
                let message = format!("Container image \"{asked}\" is not present with pull policy of Never");
                events.pod(pod, &field, Kind::Warning, "ErrImageNeverPull", &message);
                return Err(Error { reason: "ErrImageNeverPull", message });
            }
        }
        if let Some(last) = failed {
            let text = format!("Back-off pulling image \"{asked}\"");
            events.pod(pod, &field, Kind::Normal, "BackOff", &text);
            let message = if last.is_empty() { text } else { format!("{text}: {last}") };
            return Err(Error { reason: "ImagePullBackOff", message });
        }
        self.pull(pod, &field, &image, asked, handler, secrets, events).await
    }

    #[expect(clippy::too_many_arguments, reason = "one caller, which has just found all of these out")]
    async fn pull(
        &self,
        pod: &Pod,
        field: &str,
        image: &str,
        asked: &str,
        handler: &str,
        secrets: &HashMap<String, Arc<Secret>>,
        events: &Events,
    ) -> Result<Image, Error> {
        events.pod(pod, field, Kind::Normal, "Pulling", &format!("Pulling image \"{asked}\""));
        let asked_at = Instant::now();
        let turn = match &self.turns {
            Some(turns) => turns.acquire().await.ok(), // never closed
            None => None,
        };
        let began = Instant::now();
        let mut last = None;
        let mut logins: Vec<_> = credentials(pod, image, secrets).into_iter().map(Some).collect();
        if logins.is_empty() {
            logins.push(None);
        }
        for auth in logins {
            let spec = v1::ImageSpec {
                image: image.to_owned(),
                runtime_handler: handler.to_owned(),
                ..Default::default()
            };
            let request = v1::PullImageRequest { image: Some(spec), auth, sandbox_config: None };
            match self.runtime.pull_image(request).await {
                Ok(answer) => {
                    drop(turn);
                    let found = self.present(&answer.image_ref, handler).await.ok().flatten(); // told below
                    let found = found.unwrap_or(Image { id: answer.image_ref, ..Image::default() });
                    let text = format!(
                        "Successfully pulled image \"{asked}\" in {} ({} including waiting).",
                        go_duration(began.elapsed()),
                        go_duration(asked_at.elapsed())
                    );
                    events.pod(pod, field, Kind::Normal, "Pulled", &text);
                    return Ok(found);
                }
                Err(e) => last = Some(e),
            }
        }
        let cause = last.map(|e| crate::chain(&e)).unwrap_or_default();
        events.pod(
            pod,
            field,
            Kind::Warning,
            "Failed",
            &format!("Failed to pull image \"{asked}\": {cause}"),
        );
        Err(Error { reason: "ErrImagePull", message: cause })
    }
}

/// A duration as Go prints it, to the millisecond.
pub fn go_duration(d: std::time::Duration) -> String {
    let milli = d.as_millis();
    match milli {
        0..1000 => format!("{milli}ms"),
        1000..60_000 => format!("{}s", milli as f64 / 1000.0),
        3_600_000.. => format!("{}h{}m{}s", milli / 3_600_000, milli / 60_000 % 60, milli % 60_000 / 1000),
        _ => format!("{}m{}s", milli / 60_000, (milli % 60_000) as f64 / 1000.0),
    }
}

#[derive(Deserialize, Default)]
struct DockerConfig {
    #[serde(default)]
    auths: HashMap<String, Login>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Login {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
}

/// Logins of the pod's pull secrets that fit an image, the most specific first.
fn credentials(pod: &Pod, image: &str, secrets: &HashMap<String, Arc<Secret>>) -> Vec<v1::AuthConfig> {
    let mut found: Vec<(usize, v1::AuthConfig)> = Vec::new();
    let names = pod.facts().image_pull_secrets.iter().flatten();
    for secret in names.filter_map(|r| secrets.get(&r.name)) {
        let data = |key: &str| secret.data.as_ref().and_then(|d| d.get(key));
        let auths = match (data(".dockerconfigjson"), data(".dockercfg")) {
            // a secret that cannot be read gives no login, and the pull says that it was refused
            (Some(json), _) => serde_json::from_slice::<DockerConfig>(&json.0).unwrap_or_default().auths,
            (None, Some(json)) => serde_json::from_slice(&json.0).unwrap_or_default(),
            _ => continue,
        };
        for (registry, login) in auths {
            let place = registry.trim_start_matches("https://").trim_start_matches("http://");
            let place = place.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
            let place = if place == "index.docker.io" { "docker.io" } else { place };
            let image = if image.split('/').next().is_some_and(|h| h.contains(['.', ':'])) {
                image.to_owned()
            } else {
                format!("docker.io/{image}")
            };
            if image.starts_with(place) {
                found.push((place.len(), login_config(login)));
            }
        }
    }
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, auth)| auth).collect()
}

fn login_config(login: Login) -> v1::AuthConfig {
    let (mut username, mut password) = (login.username, login.password);
    let decoded = STANDARD.decode(&login.auth).ok().and_then(|b| String::from_utf8(b).ok()); // else name and password count
    if let Some((name, secret)) = decoded.as_deref().and_then(|d| d.split_once(':')) {
        (username, password) = (name.to_owned(), secret.trim_end_matches('\0').to_owned());
    }
    v1::AuthConfig { username, password, identity_token: login.identitytoken, ..v1::AuthConfig::default() }
}
