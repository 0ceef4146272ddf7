//! `k3s-rs status`: systemd's view of the units beside what each component says on D-Bus.

use std::process::ExitCode;

use anyhow::{Context, Result};
use zbus::Connection;
use zbus::proxy;

/// Unit and D-Bus component, in the order they depend on each other.
const COMPONENTS: [(&str, &str); 7] = [
    ("datastore", "Datastore"),
    ("apiserver", "Apiserver"),
    ("controller", "Controller"),
    ("scheduler", "Scheduler"),
    ("kubelet", "Kubelet"),
    ("proxy", "Proxy"),
    ("flannel", "Flannel"),
];

#[proxy(interface = "org.k3s_rs.Component1")]
trait Component {
    #[zbus(property)]
    fn ready(&self) -> zbus::Result<bool>;
    #[zbus(property)]
    fn status_text(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn version(&self) -> zbus::Result<String>;
}

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn load_unit(&self, name: &str) -> zbus::Result<zbus::OwnedObjectPath>;
}

#[proxy(interface = "org.freedesktop.systemd1.Unit", default_service = "org.freedesktop.systemd1")]
trait Unit {
    #[zbus(property)]
    fn active_state(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn load_state(&self) -> zbus::Result<String>;
}

struct Row {
    unit: String,
    active: String,
    ready: Option<bool>,
    version: String,
    text: String,
}

/// Prints one line a component.
pub(crate) fn status() -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows = runtime.block_on(rows())?;
    print(&rows);
    let well = rows.iter().all(|r| r.active != "active" || r.ready == Some(true));
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn rows() -> Result<Vec<Row>> {
    let bus = Connection::system().await.context("connecting to the system bus; is dbus.service running?")?;
    let manager = ManagerProxy::new(&bus).await?;
    let mut rows = Vec::new();
    for (name, component) in COMPONENTS {
        let unit = format!("k3s-rs-{name}.service");
        let path = manager.load_unit(&unit).await.with_context(|| format!("asking systemd for {unit}"))?;
        let proxy = UnitProxy::builder(&bus).path(path).build().await?;
        if proxy.load_state().await? != "loaded" {
            continue; // not installed on this machine
        }
        let active = proxy.active_state().await?;
        rows.push(row(&bus, unit, active, component).await?);
    }
    Ok(rows)
}

async fn row(bus: &Connection, unit: String, active: String, component: &str) -> Result<Row> {
    let said = async {
        let proxy = ComponentProxy::builder(bus)
            .destination(format!("org.k3s_rs.{component}"))
            .path(format!("/org/k3s_rs/{component}"))
            .build()
            .await?;
        Ok::<_, zbus::Error>((proxy.ready().await?, proxy.version().await?, proxy.status_text().await?))
    };
    Ok(match said.await {
        Ok((ready, version, text)) => Row { unit, active, ready: Some(ready), version, text },
        // not on the bus: stopped, or too early
        Err(_) => Row { unit, active, ready: None, version: String::new(), text: String::new() },
    })
}

#[expect(clippy::print_stdout, reason = "the answer of a command line")]
fn print(rows: &[Row]) {
    if rows.is_empty() {
        println!("No unit of k3s-rs is installed on this machine.");
        return;
    }
    println!("{:<28} {:<12} {:<6} {:<8} STATUS", "UNIT", "ACTIVE", "READY", "VERSION");
    for row in rows {
        let ready = match row.ready {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        println!("{:<28} {:<12} {:<6} {:<8} {}", row.unit, row.active, ready, row.version, row.text);
    }
}
