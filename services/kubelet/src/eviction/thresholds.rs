//! When the node is short of something: signals, thresholds, grace periods, conditions. Pure.
//!
//! # Upstream
//! `pkg/kubelet/eviction/helpers.go`, `pkg/kubelet/eviction/eviction_manager.go` `synchronize`

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::settings::Settings;

/// Something that can run short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// `memory.available`.
    Memory,
    /// `nodefs.available`.
    NodeFs,
    /// `nodefs.inodesFree`.
    NodeFsInodes,
    /// `imagefs.available`.
    ImageFs,
    /// `imagefs.inodesFree`.
    ImageFsInodes,
    /// `pid.available`.
    Pids,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Signal; 6] = [
        Signal::Memory,
        Signal::NodeFs,
        Signal::NodeFsInodes,
        Signal::ImageFs,
        Signal::ImageFsInodes,
        Signal::Pids,
    ];

    /// Upstream's name.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Memory => "memory.available",
            Signal::NodeFs => "nodefs.available",
            Signal::NodeFsInodes => "nodefs.inodesFree",
            Signal::ImageFs => "imagefs.available",
            Signal::ImageFsInodes => "imagefs.inodesFree",
            Signal::Pids => "pid.available",
        }
    }

    /// The resource events and messages speak of.
    pub fn resource(self) -> &'static str {
        match self {
            Signal::Memory => "memory",
            Signal::NodeFs | Signal::ImageFs => "ephemeral-storage",
            Signal::NodeFsInodes | Signal::ImageFsInodes => "inodes",
            Signal::Pids => "pids",
        }
    }

    fn condition(self) -> Condition {
        match self {
            Signal::Memory => Condition::MemoryPressure,
            Signal::Pids => Condition::PIDPressure,
            _ => Condition::DiskPressure,
        }
    }
}

/// A condition of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// Too little memory.
    MemoryPressure,
    /// Too little space or too few inodes.
    DiskPressure,
    /// Too few process numbers.
    PIDPressure,
}

/// An amount, or a share of what there is.
#[derive(Debug, Clone, PartialEq)]
pub enum Amount {
    /// As written and as a number.
    Quantity(String, i64),
    /// A share: 0.1 for a tenth.
    Share(f32),
}

impl Amount {
    fn parse(text: &str, what: &str) -> Result<Self, String> {
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f32 = percent.parse().map_err(|e| format!("{what}: {text:?}: {e}"))?;
            if !(0.0..=100.0).contains(&percent) {
                return Err(format!("{what} percentage must be between 0% and 100%: {text}"));
            }
            return Ok(Amount::Share(percent / 100.0));
        }
        let number =
            crate::quantity::parse(text).ok_or_else(|| format!("{what}: invalid quantity {text:?}"))?;
        if number < 0 {
            Err(format!("{what} must be positive: {text}"))
        } else {
            Ok(Amount::Quantity(text.to_owned(), number))
        }
    }

    /// The number it stands for, out of a whole.
    pub fn of(&self, capacity: i64) -> i64 {
        match self {
            Amount::Quantity(_, number) => *number,
            Amount::Share(share) => (capacity as f64 * f64::from(*share)) as i64,
        }
    }

    /// As messages show it.
    pub fn shown(&self, capacity: i64) -> String {
        match self {
            Amount::Quantity(text, _) => text.clone(),
            Amount::Share(_) => binary(self.of(capacity)),
        }
    }
}

/// Bytes as Go prints a quantity of them: in the largest unit that divides them.
pub fn binary(bytes: i64) -> String {
    let (mut number, mut unit) = (bytes, 0);
    while number != 0 && number % 1024 == 0 && unit < 6 {
        number /= 1024;
        unit += 1;
    }
    format!("{number}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][unit])
}

/// A count as Go prints a quantity of it.
pub fn decimal(count: i64) -> String {
    let (mut number, mut unit) = (count, 0);
    while number != 0 && number % 1000 == 0 && unit < 6 {
        number /= 1000;
        unit += 1;
    }
    format!("{number}{}", ["", "k", "M", "G", "T", "P", "E"][unit])
}

/// When to act.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// Of what.
    pub signal: Signal,
    /// Less than this is too little.
    pub value: Amount,
    /// For how long before pods are ended; none for a hard threshold.
    pub grace: Duration,
    /// How much more must be free again once it was crossed.
    pub reclaim: Option<Amount>,
}

impl Threshold {
    /// Whether pods end at once.
    pub fn hard(&self) -> bool {
        self.grace.is_zero()
    }
}

/// The thresholds of the settings.
///
/// # Errors
/// What is wrong with them.
pub fn parse(settings: &Settings) -> Result<Vec<Threshold>, String> {
    let signal = |name: &str| {
        let found = Signal::ALL.into_iter().find(|s| s.name() == name);
        found.ok_or_else(|| format!("unsupported eviction signal {name}"))
    };
    let mut out = Vec::new();
    for (map, soft) in [(&settings.eviction_hard, false), (&settings.eviction_soft, true)] {
        for (name, text) in map {
            let signal = signal(name)?;
            if matches!(text.as_str(), "0%" | "100%") {
                continue; // says that there is none
            }
            let value = Amount::parse(text, &format!("eviction threshold {name}"))?;
            if value == Amount::Share(0.0) || matches!(value, Amount::Quantity(_, 0)) {
                return Err(format!("eviction threshold {name} must be positive: {text}"));
            }
            let grace = match settings.eviction_soft_grace_period.get(name).filter(|_| soft) {
                Some(text) => crate::settings::parse_duration(text)
                    .ok_or_else(|| format!("invalid eviction grace period specified: {text}"))?,
                None if soft => {
                    return Err(format!(
                        "grace period must be specified for the soft eviction threshold {name}"
                    ));
                }
                None => Duration::ZERO,
            };
            let reclaim = settings.eviction_minimum_reclaim.get(name);
            let reclaim =
                reclaim.map(|t| Amount::parse(t, &format!("eviction minimum reclaim {name}"))).transpose()?;
            out.push(Threshold { signal, value, grace, reclaim });
        }
    }
    out.sort_by_key(|t| t.signal); // memory first
    Ok(out)
}

/// How much of something there is, and how much of that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Left.
    pub available: i64,
    /// Altogether.
    pub capacity: i64,
}

/// What was observed.
pub type Observations = BTreeMap<Signal, Observation>;

/// Whether a threshold is crossed; `resolving`: whether it is, counting what must be free beyond it.
pub fn met(t: &Threshold, observations: &Observations, resolving: bool) -> bool {
    let Some(o) = observations.get(&t.signal) else { return false };
    let extra = t.reclaim.as_ref().filter(|_| resolving).map_or(0, |r| r.of(o.capacity));
    t.value.of(o.capacity) + extra > o.available
}

/// What is remembered from one look to the next.
#[derive(Debug, Clone, Default)]
pub struct State {
    first: HashMap<usize, Instant>,
    due: Vec<usize>,
    last: BTreeMap<Condition, Instant>,
}

impl State {
    /// Takes a look in: the thresholds (by index) that call for action now, memory first.
    pub fn observe(&mut self, all: &[Threshold], observations: &Observations, now: Instant) -> Vec<usize> {
        let crossed: Vec<usize> = (0..all.len())
            .filter(|i| {
                met(&all[*i], observations, false)
                    || self.due.contains(i) && met(&all[*i], observations, true)
            })
            .collect();
        self.first.retain(|i, _| crossed.contains(i));
        for i in &crossed {
            self.first.entry(*i).or_insert(now);
            self.last.insert(all[*i].signal.condition(), now);
        }
        let over = |i: &usize| self.first.get(i).is_some_and(|at| now.duration_since(*at) >= all[*i].grace);
        self.due = crossed.into_iter().filter(over).collect();
        self.due.clone()
    }

    /// The conditions of the node: those seen within the transition period.
    pub fn conditions(&self, period: Duration, now: Instant) -> BTreeSet<Condition> {
        let recent = self.last.iter().filter(|(_, at)| now.duration_since(**at) < period || **at == now);
        recent.map(|(c, _)| *c).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(soft: bool) -> Settings {
        let of =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings {
            eviction_hard: of(if soft {
                &[]
            } else {
                &[("memory.available", "100Mi"), ("nodefs.available", "10%")]
            }),
            eviction_soft: of(if soft { &[("memory.available", "100Mi")] } else { &[] }),
            eviction_soft_grace_period: of(&[("memory.available", "30s")]),
            eviction_minimum_reclaim: of(&[("memory.available", "50Mi")]),
            ..Settings::default()
        }
    }

    fn memory(mebibytes: i64) -> Observations {
        Observations::from([(Signal::Memory, Observation { available: mebibytes << 20, capacity: 1 << 30 })])
    }

    #[test]
    fn a_hard_threshold_lasts_until_enough_is_free() {
        let all = parse(&settings(false)).unwrap();
        let (mut state, t) = (State::default(), Instant::now());
        let after = |s: u64| t + Duration::from_secs(s);
        for (second, free, due) in [(0, 200, 0), (10, 99, 1), (20, 120, 1), (30, 151, 0), (40, 120, 0)] {
            assert_eq!(state.observe(&all, &memory(free), after(second)).len(), due, "second {second}");
        }
        let period = Duration::from_secs(60);
        assert!(state.conditions(period, after(50)).contains(&Condition::MemoryPressure));
        assert!(state.conditions(period, after(90)).is_empty());
    }

    #[test]
    fn a_soft_threshold_waits() {
        let all = parse(&settings(true)).unwrap();
        let (mut state, t) = (State::default(), Instant::now());
        let after = |s: u64| t + Duration::from_secs(s);
        for (second, free, due) in [(0, 99, 0), (20, 99, 0), (30, 99, 1), (40, 200, 0), (50, 99, 0)] {
            assert_eq!(state.observe(&all, &memory(free), after(second)).len(), due, "second {second}");
        }
        assert!(state.conditions(Duration::from_secs(300), after(50)).contains(&Condition::MemoryPressure));
    }

    #[test]
    fn thresholds_are_checked() {
        let with = |key: &str, value: &str| Settings {
            eviction_hard: [(key.to_owned(), value.to_owned())].into(),
            ..Settings::default()
        };
        assert!(parse(&with("nodefs.available", "0%")).unwrap().is_empty());
        for (key, value) in [
            ("memory.free", "1"),
            ("memory.available", "-1"),
            ("memory.available", "110%"),
            ("memory.available", "x"),
        ] {
            assert!(parse(&with(key, value)).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn quantities_print_as_in_go() {
        for (n, text) in [(0, "0"), (1000, "1000"), (1024, "1Ki"), (104_857_600, "100Mi"), (1536, "1536")] {
            assert_eq!(binary(n), text);
        }
        assert_eq!((decimal(5_000_000), decimal(1234)), ("5M".to_owned(), "1234".to_owned()));
    }
}
