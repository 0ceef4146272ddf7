//! Units and daemons belong together.

use crate::tree;

#[test]
fn every_service_unit_starts_a_program_of_ours() {
    for unit in tree::files("units", ".service") {
        let name = tree::name(&unit);
        let text = std::fs::read_to_string(&unit).expect("UTF-8");
        let start = text
            .lines()
            .find_map(|l| l.strip_prefix("ExecStart="))
            .unwrap_or_else(|| panic!("{name}: no ExecStart"));
        let program =
            start.split_whitespace().next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let known = [
            "k3s-rs",
            "k3s-rs-apiserver",
            "k3s-rs-controller",
            "k3s-rs-scheduler",
            "k3s-rs-datastore",
            "k3s-rs-kubelet",
            "k3s-rs-proxy",
            "k3s-rs-flannel",
            "containerd",
            "etcd",
        ];
        assert!(known.contains(&program), "{name} starts {program}");
        for key in ["Description=", "Documentation="] {
            assert!(text.contains(key), "{name} has no {key}");
        }
    }
}
