//! One driver.

use std::path::PathBuf;
use std::time::Duration;

use cri::plugin::csi;
use cri::{Code, Connection, Error};
use csi::node_service_capability::{Type, rpc};
use csi::volume_capability::access_mode::Mode;

/// Upstream's time for one call.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a driver can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Volumes are staged before they are published.
    pub stage: bool,
    /// It gives volumes to groups itself.
    pub mount_group: bool,
    /// It can enlarge volumes.
    pub expand: bool,
    /// It knows of single writers on a node.
    pub single_writer: bool,
}

/// A registered driver.
#[derive(Debug)]
pub struct Driver {
    name: String,
    connection: Connection,
    features: tokio::sync::OnceCell<Features>,
}

impl Driver {
    /// A driver behind a socket.
    pub fn new(name: &str, socket: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            connection: Connection::new(socket),
            features: tokio::sync::OnceCell::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Any call of its node service.
    ///
    /// # Errors
    /// It refuses or does not answer in time.
    pub async fn call<Q, R>(&self, method: &'static str, question: Q) -> Result<R, Error>
    where
        Q: prost::Message,
        R: prost::Message + Default,
    {
        match tokio::time::timeout(TIMEOUT, self.connection.call(method, question)).await {
            Ok(answer) => answer,
            Err(_) => {
                let message = "context deadline exceeded".to_owned();
                Err(Error::Status { code: Code::DEADLINE_EXCEEDED, message })
            }
        }
    }

    /// What it says of this node.
    ///
    /// # Errors
    /// See [`Driver::call`].
    pub async fn info(&self) -> Result<csi::NodeGetInfoResponse, Error> {
        self.call("/csi.v1.Node/NodeGetInfo", csi::NodeGetInfoRequest {}).await
    }

    /// What it can do.
    ///
    /// # Errors
    /// See [`Driver::call`].
    pub async fn features(&self) -> Result<Features, Error> {
        let ask = || async {
            let method = "/csi.v1.Node/NodeGetCapabilities";
            let answer: csi::NodeGetCapabilitiesResponse =
                self.call(method, csi::NodeGetCapabilitiesRequest {}).await?;
            Ok(features(&answer))
        };
        self.features.get_or_try_init(ask).await.copied()
    }
}

fn features(answer: &csi::NodeGetCapabilitiesResponse) -> Features {
    let has = |kind: rpc::Type| {
        answer.capabilities.iter().any(|c| matches!(&c.r#type, Some(Type::Rpc(r)) if r.r#type() == kind))
    };
    Features {
        stage: has(rpc::Type::StageUnstageVolume),
        mount_group: has(rpc::Type::VolumeMountGroup),
        expand: has(rpc::Type::ExpandVolume),
        single_writer: has(rpc::Type::SingleNodeMultiWriter),
    }
}

/// An access mode as drivers name it.
///
/// # Upstream
/// `pkg/volume/csi/csi_client.go` `asCSIAccessModeV1`, `asSingleNodeMultiWriterCapableCSIAccessModeV1`
pub(super) fn mode(mode: &str, features: Features) -> i32 {
    let mode = match (mode, features.single_writer) {
        ("ReadOnlyMany", _) => Mode::MultiNodeReaderOnly,
        ("ReadWriteMany", _) => Mode::MultiNodeMultiWriter,
        ("ReadWriteOncePod", true) => Mode::SingleNodeSingleWriter,
        ("ReadWriteOnce", true) => Mode::SingleNodeMultiWriter,
        ("ReadWriteOnce" | "ReadWriteOncePod", false) => Mode::SingleNodeWriter,
        _ => Mode::Unknown,
    };
    mode as i32
}

/// The SHA-256 of texts one after the other, in hexadecimal.
pub(super) fn digest(texts: &[&str]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, texts.concat().as_bytes());
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let plain = Features::default();
        let fine = Features { single_writer: true, ..plain };
        for (name, features, wanted) in [
            ("ReadWriteOnce", plain, Mode::SingleNodeWriter),
            ("ReadWriteOnce", fine, Mode::SingleNodeMultiWriter),
            ("ReadWriteOncePod", plain, Mode::SingleNodeWriter),
            ("ReadWriteOncePod", fine, Mode::SingleNodeSingleWriter),
            ("ReadOnlyMany", fine, Mode::MultiNodeReaderOnly),
            ("ReadWriteMany", plain, Mode::MultiNodeMultiWriter),
        ] {
            assert_eq!(mode(name, features), wanted as i32, "{name}");
        }
    }
}
