//! The pods a Job makes.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod as NewPod};
use reconcile::Kind;

use super::{FAILURES, INDEX, TRACKING, Work};
use crate::replicas::pod_from;

impl Work<'_> {
    pub(super) fn pod(&self) -> NewPod {
        let mut pod = pod_from(&self.spec.template, self.job.as_ref());
        pod.metadata.finalizers.get_or_insert_default().push(TRACKING.into());
        pod
    }

    pub(super) fn indexed_pod(&self, number: i32, failures: i32) -> NewPod {
        let mut pod = self.pod();
        let text = number.to_string();
        pod.metadata.generate_name = Some(format!("{}-{number}-", self.job.name()));
        pod.metadata.labels.get_or_insert_default().insert(INDEX.into(), text.clone());
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(INDEX.into(), text);
        if self.spec.backoff_limit_per_index.is_some() {
            annotations.insert(FAILURES.into(), failures.to_string());
        }
        let spec = pod.spec.get_or_insert_default();
        spec.hostname = Some(format!("{}-{number}", self.job.name()));
        let variable = EnvVar {
            name: "JOB_COMPLETION_INDEX".into(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    field_path: format!("metadata.labels['{INDEX}']"),
                    api_version: None,
                }),
                ..Default::default()
            }),
            value: None,
        };
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            let env = container.env.get_or_insert_default();
            if !env.iter().any(|e| e.name == variable.name) {
                env.push(variable.clone());
            }
        }
        pod
    }
}
