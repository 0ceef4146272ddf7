//! The engine as etcd v3 gRPC: KV, Watch, Lease, Maintenance and Cluster as Kubernetes uses them. What is not served
//! answers `Unimplemented` and says so.

mod cluster;
mod convert;
mod kv;
mod lease;
mod maintenance;
mod status;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use etcd::rpc::cluster_server::ClusterServer;
use etcd::rpc::kv_server::KvServer;
use etcd::rpc::lease_server::LeaseServer;
use etcd::rpc::maintenance_server::MaintenanceServer;
use etcd::rpc::watch_server::WatchServer;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tower_service::Service;

use crate::Engine;

/// The largest request served.
///
/// # Upstream
/// `go.etcd.io/etcd/server/v3/embed/config.go` `DefaultMaxRequestBytes`
pub const MAX_REQUEST_BYTES: usize = 3 << 19;
/// # Upstream
/// `go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc/grpc.go` `grpcOverheadBytes`
const OVERHEAD_BYTES: usize = 512 << 10;

/// How often an idle watch that asked for it is told how far it is, unless configured otherwise.
///
/// # Upstream
/// k3s sets its embedded etcd to this (etcd's own default is ten minutes)
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// The gRPC services over one engine. Clones share everything.
#[derive(Debug, Clone)]
pub struct Services {
    kv: KvServer<kv::Kv>,
    watch: WatchServer<watch::Watch>,
    lease: LeaseServer<lease::Lease>,
    maintenance: MaintenanceServer<maintenance::Maintenance>,
    cluster: ClusterServer<cluster::Cluster>,
}

impl Services {
    /// Services over `engine`; snapshots are made in the folder `scratch` before they are sent.
    pub fn new(engine: &Engine, progress_interval: Duration, scratch: PathBuf) -> Self {
        let limit = MAX_REQUEST_BYTES + OVERHEAD_BYTES;
        let engine = engine.clone();
        Self {
            kv: KvServer::new(kv::Kv(engine.clone())).max_decoding_message_size(limit),
            watch: WatchServer::new(watch::Watch { engine: engine.clone(), progress_interval })
                .max_decoding_message_size(limit),
            lease: LeaseServer::new(lease::Lease(engine.clone())),
            maintenance: MaintenanceServer::new(maintenance::Maintenance { engine: engine.clone(), scratch }),
            cluster: ClusterServer::new(cluster::Cluster(engine)),
        }
    }

    /// Answers one request, by its service.
    pub async fn answer(mut self, request: Request<Incoming>) -> Response<web::Body> {
        let service = request.uri().path().split('/').nth(1).unwrap_or_default();
        let answered = match service {
            "etcdserverpb.KV" => self.kv.call(request).await,
            "etcdserverpb.Watch" => self.watch.call(request).await,
            "etcdserverpb.Lease" => self.lease.call(request).await,
            "etcdserverpb.Maintenance" => self.maintenance.call(request).await,
            "etcdserverpb.Cluster" => self.cluster.call(request).await,
            other => Ok(tonic::Status::unimplemented(format!("unknown service {other}")).into_http()),
        };
        render(answered.unwrap_or_else(|never| match never {}))
    }
}

/// TLS for a listener: who serves, and whose clients are let in.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server's certificate.
    pub server: web::TlsConfig,
    /// The authority every client's certificate must be of.
    pub clients: Arc<web::ClientCa>,
}

/// Serves the engine on a listener until `stop`: in the clear for a unix socket, whose file mode says who may.
pub async fn serve(listener: web::Listener, tls: Option<Tls>, services: Services, stop: web::Shutdown) {
    let (server, clients) = tls.map(|tls| (tls.server, tls.clients)).unzip();
    let answer = move |request, peer: Arc<web::Peer>| {
        // judged for each request: a certificate that ran out ends what an open connection may do
        let refused =
            clients.as_ref().and_then(|ca: &Arc<web::ClientCa>| ca.verify(&peer.certificates).err());
        let services = services.clone();
        async move {
            match refused {
                None => services.answer(request).await,
                Some(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "Refused a client");
                    render(tonic::Status::unauthenticated("client certificate required").into_http())
                }
            }
        }
    };
    web::serve(listener, server, answer, stop).await;
}

fn render(response: Response<tonic::body::Body>) -> Response<web::Body> {
    response.map(|body| body.map_err(Into::into).boxed_unsync())
}
