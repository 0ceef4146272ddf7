//! Durable creates, timed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use etcd::{Channel, Endpoint, Kv, Outcome};

/// What a run gave.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Creates a second.
    pub per_second: f64,
    /// Half were answered within this time.
    pub p50: Duration,
    /// 99 of 100 were.
    pub p99: Duration,
}

/// Creates keys with 1 KB values for `time` from `clients` at once, each on a connection of its own.
///
/// # Errors
/// A create fails.
pub async fn creates(endpoint: &str, clients: usize, time: Duration, run: &str) -> anyhow::Result<Figures> {
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for client in 0..clients {
        let kv = Kv::new(Channel::new(vec![Endpoint::parse(endpoint, None)?]));
        let prefix = format!("/bench/{run}/{client}/");
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < time {
                let key = format!("{prefix}{}", times.len());
                let sent = Instant::now();
                match kv.create(key.as_bytes(), Bytes::from_static(&[b'v'; 1024]), 0).await? {
                    Outcome::Done { .. } => times.push(sent.elapsed()),
                    Outcome::Mismatch { .. } => bail!("{key} exists"),
                }
            }
            Ok(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let took = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied();
    let per_second = f64::from(u32::try_from(times.len())?) / took;
    Ok(Figures { per_second, p50: at(50).context("no create")?, p99: at(99).context("no create")? })
}

/// The CPU time a process has used, and its resident memory in kilobytes.
///
/// # Errors
/// It does not exist.
pub fn process_usage(pid: u32) -> anyhow::Result<(Duration, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(") ").context("reading stat")?.1;
    let ticks: Vec<u64> = after.split(' ').skip(11).take(2).filter_map(|t| t.parse().ok()).collect();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("reading status")?;
    let kilobytes = line.trim().trim_end_matches(" kB").parse()?;
    // a tick is a hundredth of a second on every Linux of today
    Ok((Duration::from_millis(ticks.iter().sum::<u64>() * 10), kilobytes))
}

/// Reads all keys below `prefix` in pages of `limit`, `times` over; gives the time of each whole read, sorted.
///
/// # Errors
/// A read fails.
pub async fn ranges(
    endpoint: &str,
    prefix: &str,
    limit: i64,
    times: usize,
) -> anyhow::Result<(u64, Vec<Duration>)> {
    let kv = Kv::new(Channel::new(vec![Endpoint::parse(endpoint, None)?]));
    let (mut took, mut read) = (Vec::new(), 0);
    for _ in 0..times {
        let begun = Instant::now();
        let mut range = etcd::Range { limit, ..etcd::Range::prefix(prefix.as_bytes()) };
        loop {
            let page = kv.range(range.clone()).await?;
            read += page.kvs.len() as u64;
            let Some(last) = page.kvs.last().filter(|_| page.more) else { break };
            range.start = [&last.key[..], b"\0"].concat().into();
            range.revision = if range.revision == 0 { page.revision } else { range.revision };
        }
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok((read, took))
}

/// Creates `count` keys while `watchers` watch them, each on a connection of its own; gives the time until every
/// watcher has seen every one.
///
/// # Errors
/// A write or a watch fails.
pub async fn fan_out(endpoint: &str, watchers: usize, count: usize, run: &str) -> anyhow::Result<Duration> {
    let connect = || anyhow::Ok(Kv::new(Channel::new(vec![Endpoint::parse(endpoint, None)?])));
    let kv = connect()?;
    let prefix = format!("/bench/{run}/");
    let from = kv.linearizable_revision().await? + 1;
    let mut tasks = Vec::new();
    for _ in 0..watchers {
        let mut watch = connect()?.watch(etcd::WatchOptions::prefix(prefix.as_bytes(), from)).await?;
        tasks.push(tokio::spawn(async move {
            let mut seen = 0;
            while seen < count {
                let message = watch.next().await.context("the watch ended")??;
                if let etcd::WatchMessage::Events { events, .. } = message {
                    seen += events.len();
                }
            }
            anyhow::Ok(())
        }));
    }
    let begun = Instant::now();
    for number in 0..count {
        let key = format!("{prefix}{number}");
        match kv.create(key.as_bytes(), Bytes::from_static(&[b'v'; 1024]), 0).await? {
            Outcome::Done { .. } => {}
            Outcome::Mismatch { .. } => bail!("{key} exists"),
        }
    }
    for task in tasks {
        task.await??;
    }
    Ok(begun.elapsed())
}
