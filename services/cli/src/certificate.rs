//! `k3s-rs certificate`: when the certificates of this machine end, and new ones.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Subcommand;

const DATA: &str = "/run/k3s-rs/data";
/// Days before the end in which a certificate counts as ending, as k3s.
const WARN_DAYS: i64 = 120;

/// Commands on certificates.
#[derive(Subcommand)]
pub(crate) enum Certificate {
    /// Lists every certificate of this machine with its end.
    Check {
        /// `table` or `json`.
        #[arg(short, long, default_value = "table")]
        output: String,
    },
    /// Makes all certificates that are no authorities anew; daemons take them up without a restart.
    Rotate,
}

struct Row {
    file: PathBuf,
    facts: pki::Facts,
}

/// Does it.
pub(crate) fn certificate(command: &Certificate) -> Result<ExitCode> {
    match command {
        Certificate::Check { output } => check(output),
        Certificate::Rotate => rotate(),
    }
}

fn rows() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for folder in ["server/tls", "server/tls/etcd", "agent"] {
        let folder = Path::new(DATA).join(folder);
        if !folder.exists() {
            continue;
        }
        for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let file = entry?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with(".crt") || name.ends_with(".nochain.crt") {
                continue;
            }
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            let facts = pki::facts(&text).with_context(|| format!("{} is no certificate", file.display()))?;
            rows.push(Row { file, facts });
        }
    }
    rows.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(rows)
}

#[expect(clippy::print_stdout, reason = "the answer of a command line")]
fn check(output: &str) -> Result<ExitCode> {
    let now = jiff::Timestamp::now().as_second();
    let mut values = Vec::new();
    for Row { file, facts } in rows()? {
        let days = (facts.not_after.as_second() - now) / 86_400;
        let status = if days < 0 {
            "EXPIRED"
        } else if days < WARN_DAYS {
            "WARNING"
        } else {
            "OK"
        };
        let usages = if facts.usages.is_empty() { "CertSign".to_owned() } else { facts.usages.join(",") };
        values.push(serde_json::json!({
            "file": file, "subject": facts.subject, "usages": usages,
            "expires": facts.not_after.to_string(), "residual": format!("{days} days"), "status": status,
        }));
    }
    if output == "json" {
        println!("{}", serde_json::to_string_pretty(&values)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<62} {:<44} {:<22} {:<20} {:<10} STATUS", "FILE", "SUBJECT", "USAGES", "EXPIRES", "RESIDUAL");
    for value in values {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let file = text("file").replace(DATA, "");
        println!(
            "{file:<62} {:<44} {:<22} {:<20} {:<10} {}",
            text("subject"),
            text("usages"),
            text("expires"),
            text("residual"),
            text("status")
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn rotate() -> Result<ExitCode> {
    for Row { file, facts } in rows()? {
        if !facts.usages.is_empty() {
            std::fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        }
    }
    let status = Command::new("systemctl").args(["start", "k3s-rs-renew.service"]).status();
    let status = status.context("starting k3s-rs-renew.service")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
