//! The programmed tables judged by connections through them, in a network namespace of its own.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;

use client::Key;
use k3s_rs_proxy::layout::Facts;
use k3s_rs_proxy::model::{Endpoint, Node, Protocol, Service, ServicePort, Slice};
use k3s_rs_proxy::plan::{Plan, keep_places, plan};
use k3s_rs_proxy::program::Program;

const CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(10, 43, 0, 5);

/// Enters a network namespace in which pods' and Services' addresses are this machine's own.
fn namespace() -> bool {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root for a network namespace");
        return false;
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    let ip =
        |words: &[&str]| assert!(Command::new("ip").args(words).status().unwrap().success(), "{words:?}");
    ip(&["link", "set", "lo", "up"]);
    for pod in ["10.42.0.1/32", "10.42.0.2/32", "10.42.0.3/32"] {
        ip(&["address", "add", pod, "dev", "lo"]);
    }
    // not by lo: the kernel answers no "port unreachable" to what leaves by it
    ip(&["link", "add", "out", "type", "bridge"]);
    ip(&["link", "set", "out", "up"]);
    ip(&["route", "add", "10.43.0.0/16", "dev", "out", "src", "10.42.0.1"]);
    true
}

fn pods(last: &[u8], affinity: Option<u32>) -> Plan {
    let port = ServicePort { name: String::new(), protocol: Protocol::Tcp, port: 80, node_port: 30080 };
    let service =
        Service { ports: vec![port], cluster_ips: vec![CLUSTER_IP.into()], affinity, ..Service::default() };
    let endpoint = |last: &u8| Endpoint {
        address: Some(IpAddr::from([10, 42, 0, *last])),
        ready: true,
        serving: true,
        node: "n1".into(),
        ..Endpoint::default()
    };
    let slice = Slice {
        ports: vec![(String::new(), Protocol::Tcp, 8080)],
        endpoints: last.iter().map(endpoint).collect(),
        ..Slice::default()
    };
    plan(&service, &[&slice], &Node { name: "n1".into(), ..Node::default() })
}

/// Which pod answers.
fn ask(address: (Ipv4Addr, u16)) -> std::io::Result<u8> {
    let mut stream = TcpStream::connect(address)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok(answer[0])
}

fn serve() {
    for last in 1..=3u8 {
        let listener = TcpListener::bind((Ipv4Addr::new(10, 42, 0, last), 8080)).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    stream.write_all(&[last]).unwrap();
                    let mut rest = [0; 64];
                    while let Ok(n @ 1..) = stream.read(&mut rest) {
                        stream.write_all(&rest[..n]).unwrap();
                    }
                });
            }
        });
    }
}

#[test]
fn connections_reach_the_endpoints() {
    if !namespace() {
        return;
    }
    serve();
    let key = || Key::new("ns", "s");
    let facts = Facts { pods: vec!["10.42.0.0/16".parse().unwrap()], node_ports: vec![] };
    let mut program = Program::open(facts.clone()).unwrap();
    program.reconcile(HashMap::from([(key(), pods(&[1, 2], None))])).unwrap();
    let answers = |n| (0..n).map(|_| ask((CLUSTER_IP, 80)).unwrap()).collect::<HashSet<u8>>();
    assert_eq!(answers(40), HashSet::from([1, 2]), "both endpoints answer");
    assert!(ask((Ipv4Addr::new(10, 42, 0, 3), 30080)).is_ok(), "node port");
    let unknown = ask((CLUSTER_IP, 81)).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::ConnectionRefused, "a port the Service has not");

    // an open stream goes on through changes and through a new start that finds the tables
    let mut stream = TcpStream::connect((CLUSTER_IP, 80)).unwrap();
    program.change(vec![(key(), Some(pods(&[3], None)))]).unwrap();
    assert_eq!(answers(10), HashSet::from([3]));
    drop(program);
    let mut program = Program::open(facts.clone()).unwrap();
    // chains nothing goes to any more are dropped first
    program.reconcile(HashMap::from([(key(), pods(&[3], None))])).unwrap();
    let mut program = Program::open(facts).unwrap();
    let changed = program.reconcile(HashMap::from([(key(), pods(&[3], None))])).unwrap();
    assert_eq!(changed.elements, 0, "what is right is not touched");
    stream.write_all(b"x").unwrap();
    let mut echo = [0; 2];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(echo[1], b'x');

    // nobody there
    program.change(vec![(key(), Some(pods(&[], None)))]).unwrap();
    assert_eq!(ask((CLUSTER_IP, 80)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(ask((Ipv4Addr::new(10, 42, 0, 1), 30080)).unwrap_err().kind(), ErrorKind::ConnectionRefused);

    // a client stays where it was, until that endpoint is gone
    let changed = program.change(vec![(key(), Some(pods(&[1, 2, 3], Some(60))))]).unwrap();
    program.forget_clients(&changed.fronts).unwrap();
    let first = answers(30);
    assert_eq!(first.len(), 1, "one endpoint for one client");
    let others: Vec<u8> = (1..=3).filter(|l| !first.contains(l)).collect();
    let changed = program.change(vec![(key(), Some(pods(&others, Some(60))))]).unwrap();
    assert_eq!(program.forget_clients(&changed.fronts).unwrap(), 1);
    assert!(answers(10).is_disjoint(&first));

    // a load balancer for some, whose ranges overlap
    let ranges = ["10.42.0.0/16", "10.42.0.0/24"].map(|r| r.parse().unwrap());
    let balancer = |ranges: &[_]| {
        let port = ServicePort { name: String::new(), protocol: Protocol::Tcp, port: 80, node_port: 0 };
        let (cluster_ips, source_ranges) = (vec![CLUSTER_IP.into()], ranges.to_vec());
        let balancer_ips = vec![IpAddr::from([10, 43, 9, 9])];
        let service =
            Service { ports: vec![port], cluster_ips, balancer_ips, source_ranges, ..Service::default() };
        let endpoint =
            Endpoint { address: Some(IpAddr::from([10, 42, 0, 1])), ready: true, ..Endpoint::default() };
        let ports = vec![(String::new(), Protocol::Tcp, 8080)];
        let slice = Slice { ports, endpoints: vec![endpoint], ..Slice::default() };
        plan(&service, &[&slice], &Node::default())
    };
    program.change(vec![(key(), Some(balancer(&ranges)))]).unwrap();
    assert_eq!(ask((Ipv4Addr::new(10, 43, 9, 9), 80)).unwrap(), 1);
    program.change(vec![(key(), Some(balancer(&["192.0.2.0/24".parse().unwrap()])))]).unwrap();
    let address = (IpAddr::from([10, 43, 9, 9]), 80).into();
    let refused = TcpStream::connect_timeout(&address, std::time::Duration::from_millis(300)).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::TimedOut | ErrorKind::PermissionDenied), "{refused:?}");

    program.change(vec![(key(), None)]).unwrap();
    assert_eq!(program.plans().len(), 0);
}

#[test]
fn targets_keep_their_places() {
    let t = |last: u8| (IpAddr::from([10, 0, 0, last]), 1u16);
    let cases: [(&[u8], &[u8], &[u8]); 5] = [
        (&[], &[1, 2], &[1, 2]),
        (&[1, 2, 3], &[2, 3], &[3, 2]),
        (&[1, 2, 3], &[1, 2], &[1, 2]),
        (&[1, 2], &[1, 2, 3], &[1, 2, 3]),
        (&[1, 2, 3], &[1, 3, 4], &[1, 4, 3]),
    ];
    for (old, new, want) in cases {
        let list = |l: &[u8]| l.iter().map(|i| t(*i)).collect::<Vec<_>>();
        assert_eq!(keep_places(&list(old), &list(new)), list(want), "{old:?} to {new:?}");
    }
}
