//! All containers of a pod, start-up and ephemeral ones too, as one kind of thing; and sentences about them.

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EphemeralContainer, Lifecycle, PodSpec, Probe, SecurityContext,
};

/// One container.
pub(crate) struct Part<'a> {
    pub(crate) name: &'a str,
    pub(crate) security: Option<&'a SecurityContext>,
    pub(crate) ports: &'a [ContainerPort],
    pub(crate) probes: [Option<&'a Probe>; 3],
    pub(crate) lifecycle: Option<&'a Lifecycle>,
}

/// All of them, in upstream's order.
pub(crate) struct Parts<'a>(Vec<Part<'a>>);

impl<'a> Parts<'a> {
    pub(crate) fn of(spec: &'a PodSpec) -> Self {
        let plain = |c: &'a Container| Part {
            name: &c.name,
            security: c.security_context.as_ref(),
            ports: c.ports.as_deref().unwrap_or_default(),
            probes: [c.liveness_probe.as_ref(), c.readiness_probe.as_ref(), c.startup_probe.as_ref()],
            lifecycle: c.lifecycle.as_ref(),
        };
        let ephemeral = |c: &'a EphemeralContainer| Part {
            name: &c.name,
            security: c.security_context.as_ref(),
            ports: c.ports.as_deref().unwrap_or_default(),
            probes: [c.liveness_probe.as_ref(), c.readiness_probe.as_ref(), c.startup_probe.as_ref()],
            lifecycle: c.lifecycle.as_ref(),
        };
        let first = spec.init_containers.iter().flatten().map(plain);
        let main = spec.containers.iter().map(plain);
        let late = spec.ephemeral_containers.iter().flatten().map(ephemeral);
        Self(first.chain(main).chain(late).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Part<'a>> {
        self.0.iter()
    }

    /// The names of those something is true of.
    pub(crate) fn named(&self, mut test: impl FnMut(&Part<'a>) -> bool) -> Vec<&'a str> {
        self.0.iter().filter(|part| test(part)).map(|part| part.name).collect()
    }
}

/// `one` or `many`.
pub(crate) fn plural<'t>(one: &'t str, many: &'t str, count: usize) -> &'t str {
    if count == 1 { one } else { many }
}

/// `"a", "b"`.
pub(crate) fn quoted<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect();
    quoted.join(", ")
}

/// `container "a"`, `containers "a", "b"`.
pub(crate) fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// `pod and container "a"`; `None` when nobody did it.
pub(crate) fn setters(pod: bool, names: &[&str]) -> Option<String> {
    let mut who = Vec::new();
    if pod {
        who.push("pod".to_owned());
    }
    if !names.is_empty() {
        who.push(containers(names));
    }
    (!who.is_empty()).then(|| who.join(" and "))
}
