//! `k3s-rs-kubelet --config FILE`: runs the pods of one node through CRI.

use std::path::PathBuf;

use anyhow::Context;
use k3s_rs_kubelet::settings::Settings;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn settings() -> anyhow::Result<(Settings, LevelFilter)> {
    let mut level = LevelFilter::INFO;
    let mut config = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument.clone(), arguments.next()),
        };
        let value = value.with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--config" => config = Some(PathBuf::from(value)),
            "--v" if value.parse::<u8>().is_ok_and(|v| v >= 4) => level = LevelFilter::DEBUG,
            "--v" => {}
            _ => anyhow::bail!("unknown flag {name}"),
        }
    }
    let config = config.context("--config FILE is needed")?;
    Ok((Settings::from_file(&config)?, level))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (settings, level) = settings()?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(level).with(lines).init();
    let (stop, stopped) = web::shutdown();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stop.send_replace(true);
    });
    k3s_rs_kubelet::run(settings, stopped).await
}
