//! `/metrics`: requests, storage, watchers, the process.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::server::Server;

/// Upper bounds of the latency histogram in seconds.
const BUCKETS: [f64; 12] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0, 2.0, 5.0, 10.0, 60.0];

/// verb, group, version, resource, subresource
type Label = (&'static str, String, String, String, String);

#[derive(Default)]
struct Series {
    codes: BTreeMap<u16, u64>,
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

/// Counters of requests.
#[derive(Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Label, Series>>,
}

impl Metrics {
    /// Counts a request.
    pub fn request(&self, label: &Label, code: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let known = requests.contains_key(label);
        // who asks for nonsense does not grow the table
        if !known && (requests.len() > 4000 || code == 404) {
            return;
        }
        let series = requests.entry(label.clone()).or_default();
        *series.codes.entry(code).or_default() += 1;
        if label.0 != "watch" {
            let seconds = took.as_secs_f64();
            series.count += 1;
            series.sum += seconds;
            if let Some(at) = BUCKETS.iter().position(|b| seconds <= *b) {
                series.buckets[at] += 1;
            }
        }
    }

    /// The text form.
    pub fn text(&self, server: &Arc<Server>) -> String {
        let mut out = String::new();
        self.write_requests(&mut out).and_then(|()| write_storage(server, &mut out)).unwrap_or_default();
        out
    }

    fn write_requests(&self, out: &mut String) -> std::fmt::Result {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(out, "# HELP apiserver_request_total Requests by verb, resource and code.")?;
        writeln!(out, "# TYPE apiserver_request_total counter")?;
        for (label, series) in requests.iter() {
            for (code, n) in &series.codes {
                writeln!(out, "apiserver_request_total{{code=\"{code}\",{}}} {n}", labels(label))?;
            }
        }
        writeln!(out, "# HELP apiserver_request_duration_seconds Time to answer.")?;
        writeln!(out, "# TYPE apiserver_request_duration_seconds histogram")?;
        for (label, series) in requests.iter().filter(|(_, s)| s.count > 0) {
            let name = labels(label);
            let mut total = 0;
            for (bound, n) in BUCKETS.iter().zip(series.buckets) {
                total += n;
                writeln!(out, "apiserver_request_duration_seconds_bucket{{{name},le=\"{bound}\"}} {total}")?;
            }
            writeln!(
                out,
                "apiserver_request_duration_seconds_bucket{{{name},le=\"+Inf\"}} {}",
                series.count
            )?;
            writeln!(out, "apiserver_request_duration_seconds_sum{{{name}}} {}", series.sum)?;
            writeln!(out, "apiserver_request_duration_seconds_count{{{name}}} {}", series.count)?;
        }
        Ok(())
    }
}

fn labels((verb, group, version, resource, subresource): &Label) -> String {
    let clean = |s: &str| s.replace(['"', '\\', '\n'], "");
    let scope = if verb.is_empty() { "" } else { "resource" };
    format!(
        "verb=\"{}\",group=\"{}\",version=\"{}\",resource=\"{}\",subresource=\"{}\",scope=\"{scope}\"",
        verb.to_uppercase(),
        clean(group),
        clean(version),
        clean(resource),
        clean(subresource)
    )
}

fn write_storage(server: &Arc<Server>, out: &mut String) -> std::fmt::Result {
    writeln!(out, "# HELP apiserver_storage_objects Objects by resource.")?;
    writeln!(out, "# TYPE apiserver_storage_objects gauge")?;
    let caches = server.store.cache.all();
    for cache in &caches {
        writeln!(
            out,
            "apiserver_storage_objects{{resource=\"{}\"}} {}",
            cache.resource.kind.resource,
            cache.len()
        )?;
    }
    writeln!(out, "# HELP apiserver_storage_cache_bytes Bytes of cached objects by resource.")?;
    writeln!(out, "# TYPE apiserver_storage_cache_bytes gauge")?;
    for cache in &caches {
        let resource = &cache.resource.kind.resource;
        writeln!(out, "apiserver_storage_cache_bytes{{resource=\"{resource}\"}} {}", cache.bytes())?;
    }
    writeln!(out, "# HELP apiserver_registered_watchers Watchers by resource.")?;
    writeln!(out, "# TYPE apiserver_registered_watchers gauge")?;
    for cache in &caches {
        let resource = &cache.resource.kind.resource;
        writeln!(out, "apiserver_registered_watchers{{resource=\"{resource}\"}} {}", cache.watchers())?;
    }
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = memory.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    writeln!(out, "# HELP process_resident_memory_bytes Resident memory.")?;
    writeln!(out, "# TYPE process_resident_memory_bytes gauge")?;
    writeln!(out, "process_resident_memory_bytes {}", pages * 4096)
}
