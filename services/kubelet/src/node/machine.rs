//! What the machine has and is.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, UdpSocket};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::NodeSystemInfo;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity::{Amounts, parse, value};
use crate::settings::Settings;

/// What the machine has.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Processors.
    pub cpus: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Bytes of swap.
    pub swap: i64,
    /// Since when it runs.
    pub booted: Timestamp,
    /// Huge pages: size in bytes and bytes altogether.
    pub huge_pages: Vec<(i64, i64)>,
}

fn meminfo_in(text: &str, key: &str) -> i64 {
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<i64>().ok()); // the kernel writes numbers
    kib.unwrap_or(0) * 1024
}

fn booted() -> io::Result<Timestamp> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let second = text.lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse().ok());
    Ok(Timestamp::from_second(second.unwrap_or(0)).unwrap_or(Timestamp::UNIX_EPOCH)) // the kernel's clock is in range
}

impl Machine {
    /// Reads it.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn read() -> io::Result<Self> {
        let cpus = std::thread::available_parallelism()?.get();
        let mut huge_pages = Vec::new();
        if let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") {
            for entry in entries.filter_map(Result::ok) {
                let name = entry.file_name().to_string_lossy().into_owned();
                let size =
                    name.strip_prefix("hugepages-").and_then(|n| n.strip_suffix("kB")?.parse::<i64>().ok());
                let count = std::fs::read_to_string(entry.path().join("nr_hugepages"));
                let count = count.ok().and_then(|c| c.trim().parse::<i64>().ok()).unwrap_or(0); // gone: none
                huge_pages.extend(size.map(|s| (s * 1024, count * s * 1024)));
            }
        }
        huge_pages.sort_unstable();
        Ok(Self {
            cpus: i64::try_from(cpus).unwrap_or(1),
            memory: memory()?.total,
            swap: memory()?.swap,
            booted: booted()?,
            huge_pages,
        })
    }
}

/// Bytes and files of a file system: whole and free.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Disk {
    /// Bytes.
    pub size: i64,
    /// Bytes that can be used.
    pub free: i64,
    /// Inodes.
    pub inodes: i64,
    /// Inodes that can be used.
    pub inodes_free: i64,
}

/// The file system a path is on.
///
/// # Errors
/// The path is not there.
pub fn disk(path: &std::path::Path) -> io::Result<Disk> {
    let s = nix::sys::statvfs::statvfs(path)?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(s.fragment_size())).unwrap_or(i64::MAX);
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Ok(Disk {
        size: bytes(s.blocks()),
        free: bytes(s.blocks_available()),
        inodes: count(s.files()),
        inodes_free: count(s.files_available()),
    })
}

fn quantity(text: String) -> Quantity {
    Quantity(text)
}

fn huge_page_name(size: i64) -> String {
    if size % (1 << 30) == 0 {
        format!("hugepages-{}Gi", size >> 30)
    } else {
        format!("hugepages-{}Mi", size >> 20)
    }
}

/// `status.capacity`.
pub fn capacity(settings: &Settings, machine: &Machine) -> Amounts {
    let mut out: Amounts = BTreeMap::from([
        ("cpu".to_owned(), quantity(machine.cpus.to_string())),
        ("memory".to_owned(), quantity(format!("{}Ki", machine.memory / 1024))),
        ("pods".to_owned(), quantity(settings.max_pods.to_string())),
    ]);
    for (size, bytes) in machine.huge_pages.iter().filter(|(s, _)| *s >= 1 << 20) {
        let text = if *bytes == 0 { "0".to_owned() } else { format!("{}Mi", bytes >> 20) };
        out.insert(huge_page_name(*size), quantity(text));
    }
    if let Ok(disk) = disk(&settings.root_dir) {
        out.insert("ephemeral-storage".into(), quantity(format!("{}Ki", disk.size / 1024)));
    }
    out
}

/// `status.allocatable`: the capacity without what is reserved and what eviction keeps free.
pub fn allocatable(settings: &Settings, machine: &Machine) -> Amounts {
    let mut out = capacity(settings, machine);
    let reserved = |name: &str| -> i64 {
        let of = |map: &BTreeMap<String, String>| {
            map.get(name).map_or(0, |t| crate::quantity::counted(name, &Quantity(t.clone())))
        };
        of(&settings.kube_reserved) + of(&settings.system_reserved)
    };
    let cpu = machine.cpus * 1000 - reserved("cpu");
    let text = if cpu % 1000 == 0 { (cpu / 1000).to_string() } else { format!("{cpu}m") };
    out.insert("cpu".into(), quantity(text));
    let kept = threshold(settings.eviction_hard.get("memory.available"), machine.memory);
    let huge: i64 = machine.huge_pages.iter().map(|(_, bytes)| bytes).sum();
    let memory = machine.memory - reserved("memory") - kept - huge;
    out.insert("memory".into(), quantity(format!("{}Ki", memory / 1024)));
    if let Some(size) = out.get("ephemeral-storage").map(value) {
        let kept = threshold(settings.eviction_hard.get("nodefs.available"), size);
        out.insert(
            "ephemeral-storage".into(),
            quantity((size - kept - reserved("ephemeral-storage")).to_string()),
        );
    }
    out
}

/// A threshold: an amount, or a share of the whole.
pub fn threshold(text: Option<&String>, whole: i64) -> i64 {
    let Some(text) = text else { return 0 };
    match text.strip_suffix('%').map(str::parse::<f64>) {
        Some(Ok(percent)) => (whole as f64 * percent / 100.0) as i64,
        Some(Err(_)) => 0,
        None => parse(text).unwrap_or(0),
    }
}

/// The node's addresses: what was said, else that of the interface of the default route.
///
/// # Errors
/// None was said, and there is no default route.
pub fn addresses(settings: &Settings) -> io::Result<Vec<String>> {
    let said: Vec<_> =
        settings.node_ip.split(',').map(str::trim).filter(|i| !i.is_empty()).map(str::to_owned).collect();
    if !said.is_empty() {
        for address in &said {
            let parsed: Result<IpAddr, _> = address.parse();
            parsed.map_err(|e| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("node address {address:?}: {e}"))
            })?;
        }
        return Ok(said);
    }
    // no packet is sent: connecting a datagram socket only chooses the address to send from
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9")?;
    Ok(vec![socket.local_addr()?.ip().to_string()])
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default() // not every machine has each of these
}

/// `status.nodeInfo`.
pub fn info(runtime: &cri::v1::VersionResponse, machine: &Machine) -> NodeSystemInfo {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default(); // not there: no name
    let name = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
    let id = read("/etc/machine-id");
    let uuid = read("/sys/class/dmi/id/product_uuid");
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!(
            "{}://{}",
            runtime.runtime_name,
            runtime.runtime_version.trim_start_matches('v')
        ),
        kernel_version: read("/proc/sys/kernel/osrelease"),
        kube_proxy_version: String::new(),
        kubelet_version: format!("v1.36.3+k3s-rs{}", env!("CARGO_PKG_VERSION")),
        system_uuid: if uuid.is_empty() { id.clone() } else { uuid },
        machine_id: id,
        operating_system: "linux".into(),
        os_image: name.trim_matches('"').to_owned(),
        swap: (machine.swap > 0)
            .then_some(k8s_openapi::api::core::v1::NodeSwapStatus { capacity: Some(machine.swap) }),
    }
}

/// The processor's name as Go spells it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Memory in bytes, as the kernel counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Altogether.
    pub total: i64,
    /// What new work can have, caches given back.
    pub available: i64,
    /// Holding nothing.
    pub free: i64,
    /// Programs' own pages.
    pub anonymous: i64,
    /// Swap altogether.
    pub swap: i64,
    /// Swap holding nothing.
    pub swap_free: i64,
}

/// Memory as it is now.
///
/// # Errors
/// `/proc` cannot be read.
pub fn memory() -> io::Result<Memory> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let of = |key: &str| meminfo_in(&text, key);
    Ok(Memory {
        total: of("MemTotal"),
        available: of("MemAvailable"),
        free: of("MemFree"),
        anonymous: of("AnonPages"),
        swap: of("SwapTotal"),
        swap_free: of("SwapFree"),
    })
}

/// Process numbers: how many there may be, and how many are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Processes {
    /// At most.
    pub limit: i64,
    /// Now, threads included.
    pub running: i64,
}

/// Process numbers as they are now.
///
/// # Errors
/// `/proc` cannot be read.
///
/// # Upstream
/// `pkg/kubelet/stats/pidlimit/pidlimit_linux.go`
pub fn processes() -> io::Result<Processes> {
    let number = |path: &str| -> io::Result<i64> {
        let text = std::fs::read_to_string(path)?;
        text.trim().parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{path}: {e}")))
    };
    let limit = number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?);
    let load = std::fs::read_to_string("/proc/loadavg")?;
    // "0.00 0.01 0.05 1/123 4567": the fourth field is runnable and all tasks
    let tasks = load.split_whitespace().nth(3).and_then(|f| f.split('/').nth(1)?.parse().ok());
    Ok(Processes { limit, running: tasks.unwrap_or(0) })
}
