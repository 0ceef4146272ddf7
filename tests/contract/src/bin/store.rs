//! The slow judges of a store, by hand:
//!
//! ```text
//! store crash DATASTORE ROUNDS WRITERS   kill -9 amid writers, again and again: no acknowledged write lost
//! store write ENDPOINT WRITERS LEDGER    write until the store is gone; the ledger is synced for each acknowledgement
//! store verify ENDPOINT LEDGER           everything in the ledger is in the store
//! store bench NAME=ENDPOINT=PID …        durable creates at 1 and 50 clients on each, in turn
//! store creates ENDPOINT CLIENTS SECONDS RUN     one run of them; this and what follows print JSON for tests/bench
//! store ranges ENDPOINT PREFIX LIMIT TIMES       reads of a prefix in pages
//! store watch ENDPOINT WATCHERS COUNT RUN        creates that every watcher must see
//! ```

use std::io::{BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use etcd::Kv;
use k3s_rs_test_contract::{Ledger, creates, fan_out, process_usage, ranges, verify, write_until_lost};
use tokio::sync::watch;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match words.as_slice() {
            ["crash", datastore, rounds, writers] => {
                crash(datastore, rounds.parse()?, writers.parse()?).await
            }
            ["write", endpoint, writers, ledger] => {
                write(endpoint, writers.parse()?, Path::new(ledger)).await
            }
            ["verify", endpoint, ledger] => verify_ledger(endpoint, Path::new(ledger)).await,
            ["bench", stores @ ..] => bench(stores).await,
            ["creates", endpoint, clients, seconds, run] => {
                let time = Duration::from_secs(seconds.parse()?);
                let figures = creates(endpoint, clients.parse()?, time, run).await?;
                let count = figures.per_second * time.as_secs_f64();
                Ok(json(count, time, figures.p50, figures.p99))
            }
            ["ranges", endpoint, prefix, limit, times] => {
                let begun = Instant::now();
                let (read, took) = ranges(endpoint, prefix, limit.parse()?, times.parse()?).await?;
                ensure!(read > 0, "nothing below {prefix}");
                let middle = took.get(took.len() / 2).copied().unwrap_or_default();
                let count = f64::from(u32::try_from(took.len())?);
                Ok(json(count, begun.elapsed(), middle, took.last().copied().unwrap_or_default()))
            }
            ["watch", endpoint, watchers, count, run] => {
                let (watchers, count): (u32, u32) = (watchers.parse()?, count.parse()?);
                let took = fan_out(endpoint, watchers as usize, count as usize, run).await?;
                Ok(json(f64::from(watchers) * f64::from(count), took, took / count.max(1), took))
            }
            _ => bail!("see the top of {} for the commands", file!()),
        }
    });
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a bench reads: operations, and times in milliseconds.
fn json(count: f64, took: Duration, p50: Duration, p99: Duration) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let (seconds, p50, p99) = (took.as_secs_f64(), ms(p50), ms(p99));
    format!(r#"{{"count": {count:.0}, "seconds": {seconds:.3}, "p50_ms": {p50:.3}, "p99_ms": {p99:.3}}}"#)
}

/// Waits until a store answers.
async fn reach(endpoint: &str) -> anyhow::Result<Kv> {
    let kv = Kv::connect(&[endpoint], None)?;
    let begun = Instant::now();
    loop {
        match kv.linearizable_revision().await {
            Ok(_) => return Ok(kv),
            Err(error) if begun.elapsed() > Duration::from_secs(60) => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Ends a child with SIGKILL when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).map(drop).unwrap_or_default();
    }
}

async fn crash(datastore: &str, rounds: u32, writers: usize) -> anyhow::Result<String> {
    let folder = std::env::temp_dir().join(format!("k3s-rs-crash-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (socket, config) = (folder.join("store.sock"), folder.join("config.json"));
    let settings = format!(r#"{{"socket": {socket:?}, "path": {:?}}}"#, folder.join("store.db"));
    std::fs::write(&config, settings)?;
    let endpoint = format!("unix://{}", socket.display());
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let log = std::fs::File::create(folder.join("log"))?;
    let mut slowest = Duration::ZERO;
    for round in 0..=rounds {
        let begun = Instant::now();
        let mut command = Command::new(datastore);
        command.arg("--config").arg(&config).stderr(log.try_clone()?);
        let mut process = Killed(command.spawn().context("starting the datastore")?);
        let kv = reach(&endpoint).await?;
        slowest = slowest.max(begun.elapsed());
        let known = ledger.lock().unwrap_or_else(PoisonError::into_inner).clone();
        verify(&kv, &known).await.with_context(|| format!("after kill {round}; see {}", folder.display()))?;
        if round == rounds {
            break;
        }
        let (noted, mut seen) = watch::channel(0_u64);
        let noted = Arc::new(noted);
        let note = move |_: &str, _| noted.send_modify(|count| *count += 1);
        let writing = write_until_lost(&kv, writers, &ledger, note);
        // amid acknowledged writes, however slow the machine; no two rounds alike, and the same in each run
        let enough = 300 + u64::from(round * 37 % 160);
        let killing = async {
            seen.wait_for(|count| *count >= enough).await.context("the writers ended on their own")?;
            process.0.kill().context("ending the datastore")
        };
        let ((), killed) = tokio::join!(writing, killing);
        killed?;
    }
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let writes: u64 = ledger.entries.values().map(|entry| entry.counter).sum();
    std::fs::remove_dir_all(&folder)?;
    Ok(format!(
        "{rounds} kills amid {writers} writers: {writes} acknowledged writes to {} keys, all there; revision {}; slowest start {slowest:?}",
        ledger.entries.len(),
        ledger.revision()
    ))
}

async fn write(endpoint: &str, writers: usize, path: &Path) -> anyhow::Result<String> {
    let kv = reach(endpoint).await?;
    let file = Mutex::new(std::fs::OpenOptions::new().create(true).append(true).open(path)?);
    let file = Arc::new(file);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    write_until_lost(&kv, writers, &ledger, move |key, entry| {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = Vec::new();
        let written = Ledger::write_line(&mut line, key, entry);
        let synced = written.and_then(|()| file.write_all(&line)).and_then(|()| file.sync_data());
        assert!(synced.is_ok(), "the ledger cannot be written: {synced:?}");
    })
    .await;
    Ok("the store is gone".into())
}

async fn verify_ledger(endpoint: &str, path: &Path) -> anyhow::Result<String> {
    let kv = reach(endpoint).await?;
    let ledger = Ledger::read(BufReader::new(std::fs::File::open(path)?))?;
    verify(&kv, &ledger).await?;
    Ok(format!("{} keys as acknowledged, revision {}", ledger.entries.len(), ledger.revision()))
}

async fn bench(stores: &[&str]) -> anyhow::Result<String> {
    let mut text = String::from("store clients creates/s p50 p99 cpu/create rss");
    ensure!(!stores.is_empty(), "no store given");
    for round in 0..3 {
        for clients in [1, 50] {
            for store in stores {
                let (name, rest) = store.split_once('=').context("NAME=ENDPOINT=PID")?;
                let (endpoint, pid) = rest.rsplit_once('=').context("NAME=ENDPOINT=PID")?;
                let pid: u32 = pid.parse()?;
                let (before, _) = process_usage(pid)?;
                let time = Duration::from_secs(5);
                let run = format!("{}-{round}-{clients}", std::process::id());
                let figures = creates(endpoint, clients, time, &run).await?;
                let (after, rss) = process_usage(pid)?;
                let cpu = (after - before).div_f64(figures.per_second * time.as_secs_f64());
                text += &format!(
                    "\n{name} {clients} {:.0} {:?} {:?} {cpu:?} {} MB",
                    figures.per_second,
                    figures.p50,
                    figures.p99,
                    rss / 1024
                );
            }
        }
    }
    Ok(text)
}
