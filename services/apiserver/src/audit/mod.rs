//! The audit log: one line of JSON for each stage of a request that the policy wants.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/filters/audit.go`, `…/plugin/pkg/audit/log/backend.go`

mod policy;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Context, Poll};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use serde_json::{Value, json};
use web::Body;

pub use policy::{Level, Policy, Stage, Verdict};

use crate::auth::User;
use crate::request::RequestInfo;

/// The policy and the file.
pub struct Audit {
    policy: Policy,
    lines: mpsc::Sender<String>,
}

impl Audit {
    /// Reads the policy and opens the log for appending; one thread writes it.
    ///
    /// # Errors
    /// A file cannot be read or opened.
    pub fn open(policy: &Path, log: &Path) -> anyhow::Result<Self> {
        let policy = Policy::read(policy).context("auditPolicyFile")?;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
        let mut file = file.with_context(|| format!("auditLogPath {}", log.display()))?;
        let (lines, queue) = mpsc::channel::<String>();
        std::thread::Builder::new().name("audit".into()).spawn(move || {
            while let Ok(line) = queue.recv() {
                if let Err(error) = file.write_all(line.as_bytes()) {
                    tracing::error!(error = %error, "cannot write the audit log");
                }
            }
        })?;
        Ok(Self { policy, lines })
    }

    /// Begins the record of a request.
    pub fn begin(self: &Arc<Self>, asked: &Asked<'_>, user: Option<&User>, acting: Option<&User>) -> Record {
        let verdict = self.policy.judge(user, asked.info, asked.name);
        let record = Record {
            audit: self.clone(),
            level: verdict.level,
            base: if verdict.level == Level::None {
                Value::Null
            } else {
                base(asked, &verdict, user, acting)
            },
            verdict,
            state: Mutex::default(),
        };
        record.emit(Stage::RequestReceived, None, None);
        record
    }
}

/// What is asked, as events show it.
pub struct Asked<'a> {
    /// The id, of the client's choice or ours.
    pub id: &'a str,
    /// The path and query.
    pub uri: &'a http::Uri,
    /// What it means.
    pub info: &'a RequestInfo,
    /// The object's name.
    pub name: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The client's address.
    pub source: Option<std::net::IpAddr>,
    /// When it came.
    pub received: jiff::Timestamp,
}

fn who(user: &User) -> Value {
    let mut shown = json!({ "username": user.name });
    if !user.uid.is_empty() {
        shown["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        shown["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        shown["extra"] = json!(user.extra);
    }
    shown
}

fn micros(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn base(asked: &Asked<'_>, verdict: &Verdict, user: Option<&User>, acting: Option<&User>) -> Value {
    let header = |name: &str| asked.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut sources: Vec<String> =
        header("x-forwarded-for").split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect();
    sources.extend(asked.source.map(|address| address.to_string()));
    let mut event = json!({
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": verdict.level.name(),
        "auditID": asked.id,
        "requestURI": asked.uri.path_and_query().map_or("/", |p| p.as_str()),
        "verb": asked.info.verb,
        "user": user.map_or_else(|| json!({}), who),
        "sourceIPs": sources,
        "requestReceivedTimestamp": micros(asked.received),
    });
    if let Some(acting) = acting {
        event["impersonatedUser"] = who(acting);
    }
    if !header("user-agent").is_empty() {
        event["userAgent"] = json!(header("user-agent"));
    }
    if asked.info.is_resource {
        let info = asked.info;
        let facts = [
            ("resource", info.resource.as_str()),
            ("namespace", info.namespace.as_str()),
            ("name", asked.name),
            ("apiGroup", info.group.as_str()),
            ("apiVersion", info.version.as_str()),
            ("subresource", info.subresource.as_str()),
        ];
        let facts = facts.into_iter().filter(|(_, text)| !text.is_empty());
        event["objectRef"] = facts.map(|(key, text)| (key.to_owned(), json!(text))).collect::<Value>();
    }
    event
}

#[derive(Default)]
struct State {
    annotations: BTreeMap<String, String>,
    request: Option<Value>,
}

/// One request's events.
pub struct Record {
    audit: Arc<Audit>,
    level: Level,
    verdict: Verdict,
    base: Value,
    state: Mutex<State>,
}

impl Record {
    /// Adds an annotation; the first of a key stays.
    pub fn annotate(&self, key: &str, value: impl Into<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.annotations.entry(key.to_owned()).or_insert_with(|| value.into());
    }

    /// Keeps the request's object, if the policy wants it and it is JSON.
    pub fn request(&self, body: &Bytes) {
        if self.level >= Level::Request && !body.is_empty() {
            let object = self.object(body);
            self.state.lock().unwrap_or_else(PoisonError::into_inner).request = object;
        }
    }

    fn object(&self, body: &[u8]) -> Option<Value> {
        let mut object: Value = serde_json::from_slice(body).ok()?;
        if self.verdict.omit_managed_fields
            && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.remove("managedFields");
        }
        Some(object)
    }

    fn emit(&self, stage: Stage, code: Option<u16>, answer: Option<&Bytes>) {
        if self.level == Level::None || self.verdict.omit_stages.contains(&stage) {
            return;
        }
        let mut event = self.base.clone();
        event["stage"] = json!(stage.name());
        event["stageTimestamp"] = json!(micros(jiff::Timestamp::now()));
        if let Some(code) = code {
            event["responseStatus"] = status(code, answer);
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if stage != Stage::RequestReceived {
            if let Some(object) = &state.request {
                event["requestObject"] = object.clone();
            }
            if !state.annotations.is_empty() {
                event["annotations"] = json!(state.annotations);
            }
        }
        drop(state);
        if self.level == Level::RequestResponse
            && let Some(object) = answer.and_then(|bytes| self.object(bytes))
        {
            event["responseObject"] = object;
        }
        if self.audit.lines.send(format!("{event}\n")).is_err() {
            tracing::error!("the audit log's writer is gone");
        }
    }

    /// Records the answer: now, or when a long one ends.
    pub async fn answered(self, response: Response<Body>, long: bool) -> Response<Body> {
        if self.level == Level::None {
            return response;
        }
        let code = response.status().as_u16();
        if long {
            self.emit(Stage::ResponseStarted, Some(code), None);
            return response.map(|inner| Recorded { inner, record: self, code }.boxed_unsync());
        }
        if self.level < Level::RequestResponse && code < 400 {
            self.emit(Stage::ResponseComplete, Some(code), None);
            return response;
        }
        let (parts, body) = response.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                tracing::debug!(error = %error, "an answer broke off");
                Bytes::new()
            }
        };
        self.emit(Stage::ResponseComplete, Some(code), Some(&body));
        Response::from_parts(parts, web::full(body))
    }
}

/// The status of an answer; a failure's own says why.
fn status(code: u16, answer: Option<&Bytes>) -> Value {
    let said: Option<Value> = answer.filter(|_| code >= 400).and_then(|b| serde_json::from_slice(b).ok());
    let mut status = json!({ "metadata": {}, "code": code });
    if let Some(said) = said.filter(|said| said["kind"] == "Status") {
        for key in ["status", "message", "reason", "details"] {
            if let Some(value) = said.get(key) {
                status[key] = value.clone();
            }
        }
    }
    status
}

/// A long answer; its end is recorded.
struct Recorded {
    inner: Body,
    record: Record,
    code: u16,
}

impl hyper::body::Body for Recorded {
    type Data = Bytes;
    type Error = web::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, web::BoxError>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.record.emit(Stage::ResponseComplete, Some(self.code), None);
    }
}
