//! Tells the daemons of this machine that certificates were renewed.
//!
//! They notice by themselves, from the files' times, at the next connection; the signal is for whoever wants to act
//! at once or to know.

use zbus::Connection;

const PATH: &str = "/org/k3s_rs/Certificates";
const INTERFACE: &str = "org.k3s_rs.Certificates1";

/// Emits `CertificateRotated(name, not_after)` for each; without a bus it only says so in the log.
pub(crate) async fn renewed(certificates: &[(String, i64)]) {
    if certificates.is_empty() {
        return;
    }
    for (name, ends) in certificates {
        tracing::info!(name, ends, "Renewed a certificate");
    }
    let sent = async {
        let bus = Connection::system().await?;
        for (name, ends) in certificates {
            let ends = ends.cast_unsigned();
            bus.emit_signal(None::<&str>, PATH, INTERFACE, "CertificateRotated", &(name.as_str(), ends))
                .await?;
        }
        Ok::<_, zbus::Error>(())
    };
    if let Err(error) = sent.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "No signal could be sent for renewed certificates"
        );
    }
}
