//! `k3s-rs token`: bootstrap tokens agents may join by.
//!
//! # Upstream
//! k3s `pkg/cli/token/token.go`; `k8s.io/cluster-bootstrap/token`

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use client::{Client, Key, ListParams, Resource};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const ADMIN: &str = "/run/k3s-rs/data/server/cred/admin.kubeconfig";
const AUTHORITY: &str = "/run/k3s-rs/data/server/tls/server-ca.crt";
const NAMESPACE: &str = "kube-system";
const PREFIX: &str = "bootstrap-token-";

/// Commands on tokens.
#[derive(Subcommand)]
pub(crate) enum Token {
    /// Makes a token agents may join by, and prints it once.
    Create {
        /// `abcdef.0123456789abcdef`; a random one without.
        token: Option<String>,
        /// What it is for.
        #[arg(long, default_value = "")]
        description: String,
        /// Groups of who uses it.
        #[arg(long, value_delimiter = ',', default_value = "system:bootstrappers:k3s:default-node-token")]
        groups: Vec<String>,
        /// How long it counts: `24h`; 0 for ever.
        #[arg(long, default_value = "24h")]
        ttl: String,
        /// What it may be used for.
        #[arg(long, value_delimiter = ',', default_value = "signing,authentication")]
        usages: Vec<String>,
    },
    /// Deletes tokens by id or whole.
    Delete {
        /// Ids or tokens.
        #[arg(required = true)]
        tokens: Vec<String>,
    },
    /// Exchanges the token servers and agents join this server by; those that have joined stay.
    ///
    /// Takes effect at once. Wherever config.yaml or K3S_TOKEN has the old token, it must be exchanged too.
    Rotate {
        /// The present token; without, being root on this server is enough.
        #[arg(short, long)]
        token: Option<String>,
        /// The new one; a random one without.
        #[arg(long)]
        new_token: Option<String>,
    },
    /// Prints a random token without making it known to the cluster.
    Generate,
    /// Lists tokens.
    List {
        /// `text` or `json`.
        #[arg(short, long, default_value = "text")]
        output: String,
    },
}

/// Does it.
#[expect(clippy::print_stdout, reason = "the answer of a command line")]
pub(crate) fn token(command: &Token) -> Result<ExitCode> {
    if let Token::Generate = command {
        println!("{}", random()?);
        return Ok(ExitCode::SUCCESS);
    }
    if let Token::Rotate { token, new_token } = command {
        let places = bootstrap::Places::of_machine();
        println!("{}", bootstrap::rotate_token(&places, token.as_deref(), new_token.as_deref())?);
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let text = runtime.block_on(async {
        let client = Client::from_kubeconfig(Path::new(ADMIN), "k3s-rs")
            .context("this is a command for servers, as root")?;
        match command {
            Token::Create { token, description, groups, ttl, usages } => {
                create(&client, token.clone(), description, groups, ttl, usages).await
            }
            Token::Delete { tokens } => delete(&client, tokens).await,
            Token::List { output } => list(&client, output).await,
            Token::Generate | Token::Rotate { .. } => unreachable!("answered above"),
        }
    })?;
    println!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn secrets() -> Resource {
    Resource {
        group: "".into(),
        version: "v1".into(),
        plural: "secrets".into(),
        kind: "Secret".into(),
        namespaced: true,
    }
}

/// Six and sixteen of `[a-z0-9]`: hexadecimal digits are such.
fn random() -> Result<String> {
    Ok(format!("{}.{}", pki::random_hex(3)?, pki::random_hex(8)?))
}

fn take_apart(token: &str) -> Option<(&str, &str)> {
    let word = |s: &str, n| s.len() == n && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let (id, secret) = token.split_once('.')?;
    (word(id, 6) && word(secret, 16)).then_some((id, secret))
}

async fn create(
    client: &Client,
    token: Option<String>,
    description: &str,
    groups: &[String],
    ttl: &str,
    usages: &[String],
) -> Result<String> {
    let token = token.map_or_else(random, Ok)?;
    let Some((id, secret)) = take_apart(&token) else {
        bail!(
            "the bootstrap token {token:?} was not of the form \"\\\\A([a-z0-9]{{6}})\\\\.([a-z0-9]{{16}})\\\\z\""
        );
    };
    if let Some(group) = groups.iter().find(|g| !g.starts_with("system:bootstrappers:")) {
        bail!(
            "bootstrap group {group:?} is invalid (must match \\Asystem:bootstrappers:[a-z0-9:-]{{0,255}}[a-z0-9]\\z)"
        );
    }
    let mut data = json!({"token-id": id, "token-secret": secret, "auth-extra-groups": groups.join(",")});
    if !description.is_empty() {
        data["description"] = description.into();
    }
    for usage in usages {
        ensure!(usage == "signing" || usage == "authentication", "invalid bootstrap token usage: {usage}");
        data[format!("usage-bootstrap-{usage}")] = "true".into();
    }
    let life: SignedDuration = if ttl == "0" {
        SignedDuration::ZERO
    } else {
        ttl.parse().with_context(|| format!("--ttl {ttl}"))?
    };
    if !life.is_zero() {
        let end = Timestamp::from_second(Timestamp::now().as_second() + life.as_secs())?;
        data["expiration"] = end.to_string().into();
    }
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token", "stringData": data,
        "metadata": {"name": format!("{PREFIX}{id}"), "namespace": NAMESPACE},
    });
    let stored: Value = client.create(&secrets(), NAMESPACE, &secret, "k3s-rs").await?;
    ensure!(stored["metadata"]["name"].is_string(), "the server stored something else");
    let authority = std::fs::read_to_string(AUTHORITY).with_context(|| format!("reading {AUTHORITY}"))?;
    Ok(format!("K10{}::{token}", pki::authority_hash(&authority)))
}

async fn delete(client: &Client, tokens: &[String]) -> Result<String> {
    let mut lines = Vec::new();
    for token in tokens {
        let bare = token.split_once("::").map_or(token.as_str(), |(_, t)| t);
        let id = take_apart(bare).map_or(bare, |(id, _)| id);
        client
            .delete(
                &secrets(),
                &Key::new(NAMESPACE, format!("{PREFIX}{id}")),
                &client::DeleteOptions::default(),
            )
            .await?;
        lines.push(format!("bootstrap token {id:?} deleted"));
    }
    Ok(lines.join("\n"))
}

async fn list(client: &Client, output: &str) -> Result<String> {
    let params =
        ListParams { field_selector: "type=bootstrap.kubernetes.io/token".into(), ..ListParams::default() };
    let found: client::List<Value> = client.list(&secrets(), NAMESPACE, &params).await?;
    let mut rows = Vec::new();
    for secret in &found.items {
        let field = |name: &str| {
            use base64::Engine;
            let text = secret["data"][name].as_str().unwrap_or_default();
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default(); // the server encodes it
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let usages: Vec<&str> = ["signing", "authentication"]
            .into_iter()
            .filter(|u| field(&format!("usage-bootstrap-{u}")) == "true")
            .collect();
        rows.push(json!({
            "token": format!("{}.{}", field("token-id"), field("token-secret")),
            "expires": field("expiration"), "usages": usages, "description": field("description"), "groups": field("auth-extra-groups"),
        }));
    }
    if output == "json" {
        return Ok(serde_json::to_string_pretty(&rows)?);
    }
    let mut lines = vec![format!(
        "{:<24} {:<28} {:<24} {:<20} EXTRA GROUPS",
        "TOKEN", "EXPIRES", "USAGES", "DESCRIPTION"
    )];
    for row in rows {
        let text = |key: &str| row[key].as_str().filter(|t| !t.is_empty()).unwrap_or("<none>").to_owned();
        let usages: Vec<&str> =
            row["usages"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        lines.push(format!(
            "{:<24} {:<28} {:<24} {:<20} {}",
            text("token"),
            text("expires"),
            usages.join(","),
            text("description"),
            text("groups")
        ));
    }
    Ok(lines.join("\n"))
}
