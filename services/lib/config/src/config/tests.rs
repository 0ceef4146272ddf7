use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::{Errors, Loaded, Role, load};

fn of(role: Role, files: &[(&str, &str)], env: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, Errors> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config.yaml.d")).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mut arguments: Vec<OsString> = flags.iter().map(Into::into).collect();
    arguments.push(format!("--config={}", folder.path().join("config.yaml").display()).into());
    let environment: BTreeMap<String, String> = env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    load(role, &arguments, &environment)
}

#[test]
fn defaults_are_those_of_k3s() {
    let config = of(Role::Server, &[("config.yaml", "")], &[], &[]).unwrap().config;
    let server = config.server.unwrap();
    assert_eq!(server.cluster_cidrs[0].to_string(), "10.42.0.0/16");
    assert_eq!(server.cluster_dns[0].to_string(), "10.43.0.10");
    assert_eq!((server.port, server.kubeconfig_mode), (6443, 0o600));
    assert_eq!(config.data_dir.to_str(), Some("/var/lib/rancher/k3s"));
}

#[test]
fn files_then_environment_then_flags() {
    let files = [
        ("config.yaml", "node-label: [a=1]\nnode-name: main\ntoken: file\ndisable: traefik\n"),
        ("config.yaml.d/1.yaml", "node-label+: [b=2]\ndisable+: servicelb,coredns\n"),
        ("config.yaml.d/2.yml", "node-name: second\n"),
        ("config.yaml.d/3.txt", "node-name: third\n"),
    ];
    let flags = ["--node-label", "z=9", "--debug", "-o=/tmp/k"];
    let loaded = of(Role::Server, &files, &[("K3S_TOKEN", "env")], &flags).unwrap();
    let (config, server) = (loaded.config.clone(), loaded.config.server.unwrap());
    assert_eq!(config.agent.node_name.as_deref(), Some("second"));
    assert_eq!(config.agent.labels, ["z=9"]);
    assert_eq!(server.disable, ["traefik", "servicelb", "coredns"]);
    assert_eq!(config.token.unwrap().0, "env");
    assert_eq!(server.kubeconfig.to_str(), Some("/tmp/k"));
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings); // debug has no effect
}

#[test]
fn every_error_is_told_at_once() {
    let text = "cluster-cidr: 10.42.0.0\nhttps-listen-port: many\ndisable-agent: maybe\nno-such: 1\n";
    let errors = of(Role::Server, &[("config.yaml", text)], &[], &["--wrong"]).unwrap_err().0;
    let wanted = [
        "flag provided but not defined: -wrong",
        "invalid cluster-cidr 10.42.0.0: invalid CIDR address: 10.42.0.0",
        "https-listen-port: invalid value \"many\": not a number",
        "disable-agent: invalid boolean value \"maybe\"",
    ];
    assert_eq!(errors, wanted);
}

#[test]
fn agents_need_a_server_and_a_token_and_skip_keys_of_servers() {
    let text = "cluster-cidr: 10.42.0.0/16\n";
    assert_eq!(
        of(Role::Agent, &[("config.yaml", text)], &[], &[]).unwrap_err().0,
        ["--server is required", "--token is required"]
    );
    let loaded =
        of(Role::Agent, &[("config.yaml", text)], &[("K3S_URL", "https://a:6443"), ("K3S_TOKEN", "x")], &[])
            .unwrap();
    assert_eq!(loaded.warnings, ["Unknown flag --cluster-cidr found in config.yaml, skipping"]);
    assert!(loaded.config.node().is_some());
}

#[test]
fn what_we_do_not_do_warns_or_fails() {
    let loaded =
        of(Role::Server, &[("config.yaml", "cluster-init: false\netcd-snapshot-retention: 9\n")], &[], &[])
            .unwrap();
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    let errors = of(Role::Server, &[("config.yaml", "cluster-init: true\n")], &[], &[]).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "invalid configuration:\n  cluster-init: an embedded etcd is not supported yet"
    );
}
