//! `test`: every test of the repository, one after another, with a count at the end.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::command::{Task, cluster, command, host, lines, slot};
use crate::conformance;
use crate::install;
use crate::repository::Repository;
use crate::say;

/// How many tests passed and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// What a line of output says: `test result: ok. 3 passed; 0 failed; …`, `24 passed, 1 failed …`, `Ran 4 tests in …`.
    fn in_line(line: &str) -> Self {
        let number = |word: &str| {
            let words: Vec<&str> =
                line.split([' ', ';', ',', '.', '(']).filter(|word| !word.is_empty()).collect();
            let found = words.windows(2).find(|pair| pair[1] == word);
            found.and_then(|pair| pair[0].parse().ok())
        };
        if line.starts_with("test result:") || line.contains(" passed, ") {
            return Self { passed: number("passed").unwrap_or(0), failed: number("failed").unwrap_or(0) };
        }
        if line.starts_with("Ran ") {
            return Self { passed: number("tests").or(number("test")).unwrap_or(0), failed: 0 };
        }
        Self::default()
    }
}

/// A step is made when it is its turn: some build what they run first, some do more when slow ones are wanted too.
type Make = fn(&Repository, bool) -> Result<Command>;

/// What is run, cheapest first.
const STEPS: [(&str, Make); 8] = [
    ("format", |repository, _| Ok(command(repository, "cargo", ["fmt", "--all", "--check"]))),
    ("python", |repository, _| {
        Ok(python(repository, "-m unittest machines.test_units conformance.test_images parity.test_planted"))
    }),
    ("clippy", |repository, _| Ok(slot(repository, CLIPPY))),
    ("cargo test", |repository, _| Ok(slot(repository, CARGO_TEST))),
    ("machines leave nothing", |repository, _| {
        Ok(python(repository, "-W ignore -m unittest machines.test_leavings"))
    }),
    ("spine", spine),
    ("scenarios", scenarios),
    ("conformance, fast subset", conformance_fast),
];

const CLIPPY: [&str; 9] =
    ["cargo", "clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
const CARGO_TEST: [&str; 5] = ["cargo", "test", "--locked", "--workspace", "--no-fail-fast"];
const FAST: [&str; 6] = ["run", "--name=fast", "--parts=all=ours", "--fast", "--passing", "--procs=4"];
const WHOLE: &str = "conformance, whole";

/// Runs all steps, or those whose name has the given part, also after one failed.
pub(crate) fn run(repository: &Repository, slow: bool, only: Option<&str>) -> Result<ExitCode> {
    host(repository, Task::Test)?;
    let wanted = |name: &str| only.is_none_or(|part| name.contains(part));
    let mut total = Count::default();
    let mut failed: Vec<&str> = Vec::new();
    for (name, make) in STEPS.into_iter().filter(|(name, _)| wanted(name)) {
        let begin = Instant::now();
        say(&format!("=== {name}"));
        let count = step(repository, slow, make).unwrap_or_else(|error| {
            say(&format!("error: {error:#}"));
            Count { passed: 0, failed: 1 }
        });
        failed.extend((count.failed > 0).then_some(name));
        total.add(count);
        let seconds = begin.elapsed().as_secs();
        say(&format!("=== {name}: {} passed, {} failed, {seconds} s", count.passed, count.failed));
    }
    if slow && wanted(WHOLE) {
        let whole = conformance::run(repository, &conformance::Options::whole("all=ours", "slow"))?;
        let good = whole == ExitCode::SUCCESS;
        total.add(Count { passed: u64::from(good), failed: u64::from(!good) });
        failed.extend((!good).then_some(WHOLE));
    }
    if !failed.is_empty() {
        say(&format!("failed: {}", failed.join(", ")));
    }
    writeln!(io::stdout(), "{} passed, {} failed", total.passed, total.failed)?;
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one step; one that prints no counts counts as one test.
fn step(repository: &Repository, slow: bool, make: Make) -> Result<Count> {
    let mut count = Count::default();
    let status = lines(&mut make(repository, slow)?, |line| count.add(Count::in_line(line)))?;
    if !status.success() {
        count.failed = count.failed.max(1);
    } else if count == Count::default() {
        count.passed = 1;
    }
    Ok(count)
}

/// Python reports on standard error; the counts are read from standard output.
fn python(repository: &Repository, arguments: &str) -> Command {
    let mut command = command(repository, "sh", ["-c", &format!("exec python3 {arguments} 2>&1")]);
    command.current_dir(repository.path("tests"));
    command
}

/// Upstream's clients on our API server and datastore, as plain processes.
fn spine(repository: &Repository, _slow: bool) -> Result<Command> {
    let root = installation(repository)?;
    let names = ["clients", "shared", "disk", "sync", "snapshot"].map(|name| format!("spine.test_{name}"));
    let mut tests = python(repository, &format!("-W ignore -m unittest {}", names.join(" ")));
    tests.env("K3S_RS_BIN", root.join(install::DAEMONS));
    Ok(tests)
}

/// The scenarios; one installation of ours serves all that want one.
fn scenarios(repository: &Repository, slow: bool) -> Result<Command> {
    let root = installation(repository)?;
    let mut words = vec!["scenarios".to_owned(), format!("--root={}", root.display())];
    words.extend(slow.then(|| "--slow".to_owned()));
    let mut scenarios = cluster(repository, words);
    // for those that put some of our parts into a cluster of upstream's
    scenarios.env("K3S_RS_BIN", root.join(install::DAEMONS));
    Ok(scenarios)
}

/// Specs of all groups with every part ours, but those that need what is not there yet.
fn conformance_fast(repository: &Repository, _slow: bool) -> Result<Command> {
    let root = installation(repository)?;
    let mut words = FAST.map(str::to_owned).to_vec();
    words.push(format!("--bin={}", root.join(install::DAEMONS).display()));
    Ok(cluster(repository, words))
}

/// An installation of what is checked out. The steps that want programs want this one: cargo would build the libraries
/// anew for another choice of packages.
fn installation(repository: &Repository) -> Result<PathBuf> {
    let root = repository.image();
    install::install(repository, "dev", &root)?;
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_every_kind_of_runner() {
        for (line, passed, failed) in [
            (
                "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
                12,
                0,
            ),
            ("test result: FAILED. 3 passed; 2 failed; 0 ignored", 3, 2),
            ("24 passed, 1 failed (1 not in failing.txt); table: /x", 24, 1),
            ("Ran 4 tests in 15.6s", 4, 0),
            ("running 3 tests", 0, 0),
        ] {
            assert_eq!(Count::in_line(line), Count { passed, failed }, "{line}");
        }
    }
}
