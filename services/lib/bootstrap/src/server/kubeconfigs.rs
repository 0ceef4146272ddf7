//! Kubeconfigs: the administrator's, and k3s's own under `server/cred`.

use super::Step;
use crate::BootstrapError;
use crate::files::{self, Owner};

/// k3s's: file and certificate.
const FILES: [(&str, &str); 6] = [
    ("admin", "client-admin"),
    ("supervisor", "client-supervisor"),
    ("controller", "client-controller"),
    ("scheduler", "client-scheduler"),
    ("api-server", "client-kube-apiserver"),
    ("cloud-controller", "client-k3s-cloud-controller"),
];

/// Writes them all.
pub(super) fn run(step: &Step<'_>) -> Result<(), BootstrapError> {
    let places = step.places;
    let tls = |name: &str, end: &str| places.tls(&format!("{name}.{end}"));
    let authority = tls("server-ca", "crt");
    for (file, identity) in FILES {
        let (certificate, key) = (tls(identity, "crt"), tls(identity, "key"));
        let text = pki::kubeconfig_of_files(&step.api, &authority, &certificate, &key);
        files::put(&places.server(&format!("cred/{file}.kubeconfig")), text.as_bytes(), 0o600, Owner::ROOT)?;
    }
    let (certificate, key) =
        (files::need(&tls("client-admin", "crt"))?, files::need(&tls("client-admin", "key"))?);
    let text = pki::kubeconfig(&step.api, &files::need(&authority)?, (&certificate, &key));
    let owner = Owner { uid: 0, gid: group(step)? };
    files::put(&step.server.kubeconfig, text.as_bytes(), step.server.kubeconfig_mode, owner)?;
    Ok(())
}

fn group(step: &Step<'_>) -> Result<u32, BootstrapError> {
    let Some(name) = &step.server.kubeconfig_group else { return Ok(0) };
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) | Err(_) => {
            Err(config::Errors(vec![format!("write-kubeconfig-group: there is no group {name:?}")]).into())
        }
    }
}
