//! Where the API's socket listens, when the configuration says another place than its unit does.
//!
//! Sockets do not wait for bootstrap, so the unit as installed listens on 6443 everywhere. Another port or address is a
//! drop-in under `/run`, and a restart of the socket before its service starts.

use std::path::Path;
use std::process::Command;

use super::{Step, url_host};
use crate::BootstrapError;
use crate::files::{self, Owner};

const UNIT: &str = "k3s-rs-apiserver.socket";
const DROP_IN: &str = "/run/systemd/system/k3s-rs-apiserver.socket.d/10-k3s-rs.conf";

/// Brings the socket to where it should be.
pub(super) fn run(step: &Step<'_>) -> Result<(), BootstrapError> {
    if step.options.renew || !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    let wanted = text(step.config.bind_address, step.server.port);
    let path = Path::new(DROP_IN);
    let changed = match wanted {
        Some(text) => files::put(path, text.as_bytes(), 0o644, Owner::ROOT)?,
        None => {
            let there = path.exists();
            files::remove(path)?;
            there
        }
    };
    if !changed {
        return Ok(());
    }
    for arguments in [&["daemon-reload"][..], &["restart", UNIT]] {
        let wrong = |reason: String| BootstrapError::Program { program: "systemctl".into(), reason };
        let output = Command::new("systemctl").args(arguments).output().map_err(|e| wrong(e.to_string()))?;
        if !output.status.success() {
            return Err(wrong(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
    }
    Ok(())
}

/// The drop-in; none when the unit is right as it is.
fn text(address: Option<std::net::IpAddr>, port: u16) -> Option<String> {
    let address = address.filter(|a| !a.is_unspecified());
    if address.is_none() && port == 6443 {
        return None;
    }
    // an empty line takes the unit's own away
    let lines: Vec<String> = match address {
        None => vec![format!("ListenStream=[::]:{port}")],
        Some(address) => vec![format!("ListenStream={}:{port}", url_host(address)), "FreeBind=yes".into()],
    };
    Some(format!("[Socket]\nListenStream=\n{}\n", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_another_place_needs_a_drop_in() {
        assert_eq!(super::text(None, 6443), None);
        assert_eq!(super::text(Some("0.0.0.0".parse().unwrap()), 6443), None);
        let other = super::text(Some("10.0.0.1".parse().unwrap()), 7443).unwrap();
        assert_eq!(other, "[Socket]\nListenStream=\nListenStream=10.0.0.1:7443\nFreeBind=yes\n");
    }
}
