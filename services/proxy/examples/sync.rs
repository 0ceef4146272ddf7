//! Times a cold sync of many Services and single changes, in a network namespace of its own.
//!
//! `cargo run --release -p k3s-rs-proxy --example sync -- 10000`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a failing test may panic"
)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use client::Key;
use k3s_rs_proxy::layout::Facts;
use k3s_rs_proxy::model::{Endpoint, Node, Protocol, Service, ServicePort, Slice};
use k3s_rs_proxy::plan::{Plan, plan};
use k3s_rs_proxy::program::Program;

fn planned(i: u32, endpoints: u32) -> Plan {
    let port = ServicePort { name: String::new(), protocol: Protocol::Tcp, port: 80, node_port: 0 };
    let cluster_ip = std::net::Ipv4Addr::from(0x0a2b_0001 + i).into();
    let service = Service { ports: vec![port], cluster_ips: vec![cluster_ip], ..Service::default() };
    let endpoint = |e: u32| Endpoint {
        address: Some(std::net::Ipv4Addr::from(0x0a80_0000 + i * 64 + e).into()),
        ready: true,
        serving: true,
        ..Endpoint::default()
    };
    let ports = vec![(String::new(), Protocol::Tcp, 8080)];
    let slice = Slice { ports, endpoints: (0..endpoints).map(endpoint).collect(), ..Slice::default() };
    plan(&service, &[&slice], &Node::default())
}

fn rss_kib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap_or("VmRSS unknown");
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

/// Nanoseconds this thread ran, and waited for a processor.
fn schedule() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[expect(clippy::print_stdout, reason = "figures are the output")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u32 = std::env::args().nth(1).map_or(Ok(10_000), |n| n.parse())?;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
    let facts = Facts { pods: vec!["10.42.0.0/16".parse()?], node_ports: vec![] };
    let mut program = Program::open(facts)?;
    let plans =
        || (0..count).map(|i| (Key::new("bench", format!("s{i}")), planned(i, 2))).collect::<HashMap<_, _>>();
    let begun = Instant::now();
    let changed = program.reconcile(plans())?;
    println!("cold sync of {count} Services ({} elements): {:?}", changed.elements, begun.elapsed());
    let mut times: Vec<(Duration, u64, u64)> = Vec::new();
    for i in 0..200 {
        let key = Key::new("bench", format!("s{}", i * 37 % count));
        let changes = vec![(key, Some(planned(i * 37 % count, 2 + i % 3)))];
        let (begun, (ran, waited)) = (Instant::now(), schedule());
        program.change(changes)?;
        let after = schedule();
        times.push((begun.elapsed(), after.0 - ran, after.1 - waited));
    }
    times.sort_unstable();
    println!("one Service's endpoints: median {:?} of {}", times[100].0, times.len());
    for (time, ran, waited) in &times[195..] {
        let (ran, waited) = (Duration::from_nanos(*ran), Duration::from_nanos(*waited));
        println!(
            "  among the worst: {time:?}, of which {ran:?} running and {waited:?} waiting for a processor"
        );
    }
    println!("resident: {}", rss_kib());
    let begun = Instant::now();
    let changed = program.reconcile(plans())?;
    println!("reconcile of {count} Services ({} elements changed): {:?}", changed.elements, begun.elapsed());
    println!("resident: {}", rss_kib());
    Ok(())
}
