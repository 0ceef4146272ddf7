//! `kube-apiserver-arg` and its kin: upstream's flags as settings of our daemons.

use serde_json::{Map, Value};

/// Which daemon an argument is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // upstream's components
pub enum Component {
    Apiserver,
    Controller,
    Scheduler,
    Kubelet,
    Proxy,
}

impl Component {
    fn key(self) -> &'static str {
        match self {
            Self::Apiserver => "kube-apiserver-arg",
            Self::Controller => "kube-controller-manager-arg",
            Self::Scheduler => "kube-scheduler-arg",
            Self::Kubelet => "kubelet-arg",
            Self::Proxy => "kube-proxy-arg",
        }
    }
}

/// How an argument's text becomes a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch {
    /// As it is.
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Split at commas.
    List,
    /// `key=value` pairs at commas.
    Pairs,
    /// `signal<value` pairs at commas.
    Thresholds,
}

/// A flag of upstream and the setting it is here.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Whose.
    pub component: Component,
    /// Upstream's name.
    pub flag: &'static str,
    /// The setting; parts at dots.
    pub setting: &'static str,
    /// Its form.
    pub patch: Patch,
}

use Component::{Apiserver, Controller, Kubelet, Proxy, Scheduler};
use Patch::{List, Number, Pairs, Switch, Text, Thresholds};

macro_rules! arguments {
    ($($component:ident $flag:literal $setting:literal $patch:ident;)*) => {
        /// The table.
        const ARGUMENTS: &[Argument] =
            &[$(Argument { component: $component, flag: $flag, setting: $setting, patch: $patch }),*];
    };
}

arguments! {
    Apiserver "advertise-address" "advertiseAddress" Text;
    Apiserver "anonymous-auth" "anonymousAuth" Switch;
    Apiserver "api-audiences" "apiAudiences" List;
    Apiserver "requestheader-allowed-names" "requestheaderAllowedNames" List;
    Apiserver "runtime-config" "runtimeConfig" List;
    Apiserver "service-account-issuer" "serviceAccountIssuer" Text;
    Apiserver "service-node-port-range" "serviceNodePortRange" Text;
    Controller "allocate-node-cidrs" "allocateNodeCIDRs" Switch;
    Controller "controllers" "controllers" List;
    Controller "leader-elect" "leaderElect" Switch;
    Controller "node-cidr-mask-size" "nodeCIDRMaskSizeIPv4" Number;
    Controller "node-cidr-mask-size-ipv4" "nodeCIDRMaskSizeIPv4" Number;
    Controller "node-cidr-mask-size-ipv6" "nodeCIDRMaskSizeIPv6" Number;
    Scheduler "leader-elect" "leaderElect" Switch;
    Kubelet "address" "address" Text;
    Kubelet "allowed-unsafe-sysctls" "allowedUnsafeSysctls" List;
    Kubelet "anonymous-auth" "authentication.anonymous.enabled" Switch;
    Kubelet "authorization-mode" "authorization.mode" Text;
    Kubelet "client-ca-file" "authentication.x509.clientCAFile" Text;
    Kubelet "cluster-dns" "clusterDNS" List;
    Kubelet "cluster-domain" "clusterDomain" Text;
    Kubelet "container-log-max-files" "containerLogMaxFiles" Number;
    Kubelet "container-log-max-size" "containerLogMaxSize" Text;
    Kubelet "cpu-cfs-quota" "cpuCFSQuota" Switch;
    Kubelet "eviction-hard" "evictionHard" Thresholds;
    Kubelet "eviction-pressure-transition-period" "evictionPressureTransitionPeriod" Text;
    Kubelet "file-check-frequency" "fileCheckFrequency" Text;
    Kubelet "healthz-bind-address" "healthzBindAddress" Text;
    Kubelet "healthz-port" "healthzPort" Number;
    Kubelet "image-gc-high-threshold" "imageGCHighThresholdPercent" Number;
    Kubelet "image-gc-low-threshold" "imageGCLowThresholdPercent" Number;
    Kubelet "kube-reserved" "kubeReserved" Pairs;
    Kubelet "max-pods" "maxPods" Number;
    Kubelet "minimum-image-ttl-duration" "imageMinimumGCAge" Text;
    Kubelet "node-labels" "nodeLabels" Pairs;
    Kubelet "node-status-update-frequency" "nodeStatusUpdateFrequency" Text;
    Kubelet "pod-manifest-path" "staticPodPath" Text;
    Kubelet "pod-max-pids" "podPidsLimit" Number;
    Kubelet "port" "port" Number;
    Kubelet "provider-id" "providerID" Text;
    Kubelet "register-node" "registerNode" Switch;
    Kubelet "resolv-conf" "resolvConf" Text;
    Kubelet "root-dir" "rootDir" Text;
    Kubelet "runtime-request-timeout" "runtimeRequestTimeout" Text;
    Kubelet "seccomp-default" "seccompDefault" Switch;
    Kubelet "serialize-image-pulls" "serializeImagePulls" Switch;
    Kubelet "streaming-connection-idle-timeout" "streamingConnectionIdleTimeout" Text;
    Kubelet "sync-frequency" "syncFrequency" Text;
    Kubelet "system-reserved" "systemReserved" Pairs;
    Proxy "cluster-cidr" "clusterCIDR" Text;
    Proxy "healthz-bind-address" "healthzBindAddress" Text;
    Proxy "metrics-bind-address" "metricsBindAddress" Text;
    Proxy "nodeport-addresses" "nodePortAddresses" List;
}

pub(crate) fn given(component: Component, arguments: Vec<String>) -> Vec<(Component, String)> {
    arguments.into_iter().map(|argument| (component, argument)).collect()
}

/// Puts a component's arguments over its settings: `key=value` replaces, `key+=value` and `key-=value` add to a list's
/// end and beginning. What has no setting here is named in `warnings`.
///
/// # Upstream
/// k3s `pkg/util/args.go` `GetArgs`
///
/// # Errors
/// Values that are not of the setting's form, all of them.
pub fn apply_arguments(
    component: Component,
    arguments: &[(Component, String)],
    settings: &mut Map<String, Value>,
    warnings: &mut Vec<String>,
) -> Result<(), crate::Errors> {
    let mut errors = Vec::new();
    let mut seen = Vec::new();
    for argument in
        arguments.iter().filter(|(of, _)| *of == component).map(|(_, a)| a.trim_start_matches("--"))
    {
        let (flag, value) = argument.split_once('=').unwrap_or((argument, "true"));
        let name = flag.trim_end_matches(['+', '-']);
        let Some(known) = ARGUMENTS.iter().find(|a| a.component == component && a.flag == name) else {
            warnings.push(format!("{}: --{name} has no effect: not supported", component.key()));
            continue;
        };
        match known.patch.parse(value) {
            None => errors.push(format!("{}: invalid value {value:?} for --{name}", component.key())),
            Some(value) => {
                let keep = seen.contains(&name) || flag.len() > name.len();
                put(settings, known.setting, value, keep, flag.ends_with('-'));
                seen.push(name);
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(crate::Errors(errors)) }
}

impl Patch {
    fn parse(self, text: &str) -> Option<Value> {
        let parts = || text.split(',').map(str::trim).filter(|p| !p.is_empty());
        let pairs = |at: char| {
            let pairs = parts().map(|p| p.split_once(at).map(|(k, v)| (k.to_owned(), Value::from(v))));
            pairs.collect::<Option<Map<String, Value>>>().map(Value::Object)
        };
        match self {
            Self::Text => Some(text.into()),
            Self::Number => text.parse::<i64>().ok().map(Value::from),
            Self::Switch => text.to_ascii_lowercase().parse::<bool>().ok().map(Value::from),
            Self::List => Some(parts().map(Value::from).collect()),
            Self::Pairs => pairs('='),
            Self::Thresholds => pairs('<'),
        }
    }
}

fn put(settings: &mut Map<String, Value>, path: &str, value: Value, keep: bool, before: bool) {
    if let Some((first, rest)) = path.split_once('.') {
        let slot = settings.entry(first).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(inner) = slot {
            put(inner, rest, value, keep, before);
        }
        return;
    }
    match (settings.get_mut(path).filter(|_| keep), value) {
        (Some(Value::Array(have)), Value::Array(mut more)) => {
            if before {
                std::mem::swap(have, &mut more);
            }
            have.append(&mut more);
        }
        (Some(Value::Object(have)), Value::Object(more)) => have.extend(more),
        (_, value) => {
            settings.insert(path.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_become_settings() {
        let table = [
            (vec!["max-pods=50"], json!({"maxPods": 50})),
            (
                vec!["--eviction-hard=memory.available<1Gi,nodefs.available<5%"],
                json!({"evictionHard": {"memory.available": "1Gi", "nodefs.available": "5%"}}),
            ),
            (
                vec!["allowed-unsafe-sysctls+=b", "allowed-unsafe-sysctls-=c"],
                json!({"allowedUnsafeSysctls": ["c", "a", "b"]}),
            ),
            (vec!["allowed-unsafe-sysctls=b"], json!({"allowedUnsafeSysctls": ["b"]})),
            (vec!["anonymous-auth"], json!({"authentication": {"anonymous": {"enabled": true}}})),
        ];
        for (arguments, wanted) in table {
            let mut settings = Map::new();
            settings.insert("allowedUnsafeSysctls".into(), json!(["a"]));
            let mut warnings = Vec::new();
            let given = given(Kubelet, arguments.iter().map(|a| (*a).to_owned()).collect());
            apply_arguments(Kubelet, &given, &mut settings, &mut warnings).unwrap();
            for (key, value) in wanted.as_object().unwrap() {
                assert_eq!(&settings[key], value, "{arguments:?}");
            }
            assert!(warnings.is_empty());
        }
    }

    #[test]
    fn unknown_flags_warn_and_wrong_values_fail() {
        let given = given(Apiserver, vec!["audit-log-path=/x".into(), "anonymous-auth=perhaps".into()]);
        let mut warnings = Vec::new();
        let errors = apply_arguments(Apiserver, &given, &mut Map::new(), &mut warnings).unwrap_err().0;
        assert_eq!(warnings, ["kube-apiserver-arg: --audit-log-path has no effect: not supported"]);
        assert_eq!(errors, ["kube-apiserver-arg: invalid value \"perhaps\" for --anonymous-auth"]);
    }
}
