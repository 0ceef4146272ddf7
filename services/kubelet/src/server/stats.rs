//! `/stats/summary`.
//!
//! # Upstream
//! `pkg/kubelet/server/stats/handler.go`

use std::collections::HashMap;

use http::StatusCode;

use super::{Answer, json as answer, text};
use crate::Kubelet;
use crate::stats::{Disks, summary as all};

/// Everything, or with `only_cpu_and_memory` those two.
pub(super) async fn summary(kubelet: &Kubelet, query: &HashMap<String, Vec<String>>) -> Answer {
    let few = query.get("only_cpu_and_memory").is_some_and(|v| v.iter().any(|v| v == "true"));
    let mut summary = match all(kubelet, if few { Disks::Skip } else { Disks::Recent }).await {
        Ok(summary) => summary,
        Err(e) => return text(StatusCode::INTERNAL_SERVER_ERROR, crate::chain(&e)),
    };
    if few {
        let node = &mut summary.node;
        (node.fs, node.runtime, node.rlimit, node.network, node.swap) = (None, None, None, None, None);
        for pod in &mut summary.pods {
            (pod.network, pod.ephemeral_storage, pod.process_stats, pod.swap) = (None, None, None, None);
            pod.volumes.clear();
            for c in &mut pod.containers {
                (c.rootfs, c.logs, c.swap) = (None, None, None);
            }
        }
    }
    answer(&summary)
}
