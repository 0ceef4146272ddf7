//! The files other programs read.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::subnet::Subnet;

/// The CNI chain: bridge with addresses by host-local, port mapping, bandwidth. The bridge plugin adds the default
/// route itself (`isDefaultGateway`).
pub(crate) fn chain(network: Subnet, subnet: Subnet, mtu: u32) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "cbr0",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "isDefaultGateway": true,
                "forceAddress": true,
                "ipMasq": false,
                "hairpinMode": true,
                "mtu": mtu,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": subnet.to_string()}]],
                    "routes": [{"dst": network.to_string()}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
            {"type": "bandwidth", "capabilities": {"bandwidth": true}},
        ],
    })
}

/// What upstream's flannel CNI plugin and others read of the node's network.
pub(crate) fn environment(network: Subnet, subnet: Subnet, mtu: u32, masquerade: bool) -> String {
    format!(
        "FLANNEL_NETWORK={network}\nFLANNEL_SUBNET={}/{}\nFLANNEL_MTU={mtu}\nFLANNEL_IPMASQ={masquerade}\n",
        subnet.gateway(),
        subnet.prefix
    )
}

/// Replaces a file whole, so that no reader sees a part; nothing is written when it says this already.
pub(crate) fn write(path: &Path, content: &str) -> io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // a name CNI's readers skip, as it ends neither in .conf nor .conflist
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, content)?;
    // for everybody's eyes, whatever this service's file mode mask says
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o644))?;
    std::fs::rename(&fresh, path)
}
