//! k3s-rs-proxy: Services on this node.

use std::process::ExitCode;

fn main() -> ExitCode {
    let about =
        daemon::About { name: "proxy", component: "Proxy", description: "Services as nftables.", workers: 0 };
    daemon::run(about, k3s_rs_proxy::run)
}
