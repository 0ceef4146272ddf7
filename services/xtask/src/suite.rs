//! `test`: every test of the repository, one after another, with a count at the end.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::command::{cluster, command, lines, slot};
use crate::conformance;
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
            let words: Vec<&str> = line.split([' ', ';', ',', '.', '(']).filter(|word| !word.is_empty()).collect();
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

/// Runs all steps, also after one failed.
pub(crate) fn run(repository: &Repository, slow: bool) -> Result<ExitCode> {
    let mut total = Count::default();
    let mut failed: Vec<&str> = Vec::new();
    for (name, mut step) in steps(repository) {
        let begin = Instant::now();
        say(&format!("=== {name}"));
        let mut count = Count::default();
        let status = lines(&mut step, |line| count.add(Count::in_line(line)))?;
        if !status.success() {
            count.failed = count.failed.max(1);
            failed.push(name);
        } else if count == Count::default() {
            count.passed = 1;
        }
        total.add(count);
        let seconds = begin.elapsed().as_secs();
        say(&format!("=== {name}: {} passed, {} failed, {seconds} s", count.passed, count.failed));
    }
    if slow {
        let whole = conformance::run(repository, &conformance::Options::whole("all=ours", "slow"))?;
        let good = whole == ExitCode::SUCCESS;
        total.add(Count { passed: u64::from(good), failed: u64::from(!good) });
        failed.extend((!good).then_some("conformance, whole"));
    }
    if !failed.is_empty() {
        say(&format!("failed: {}", failed.join(", ")));
    }
    say(&format!("{} passed, {} failed", total.passed, total.failed));
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is run, cheapest first.
fn steps(repository: &Repository) -> Vec<(&'static str, Command)> {
    let cargo = |words: &[&str]| slot(repository, [&["cargo"], words].concat());
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
    let python = |words: &[&str]| {
        let mut command = command(repository, "python3", words);
        command.current_dir(repository.path("tests"));
        command
    };
    let fast = ["run", "--name=fast", "--parts=all=upstream", "--fast", "--procs=4"];
    vec![
        ("format", command(repository, "cargo", ["fmt", "--all", "--check"])),
        ("python", python(&["-m", "unittest", "machines.test_units", "conformance.test_images"])),
        ("clippy", cargo(&clippy)),
        ("cargo test", cargo(&["test", "--locked", "--workspace", "--no-fail-fast"])),
        ("machines leave nothing", python(&["-W", "ignore", "-m", "unittest", "machines.test_leavings"])),
        ("scenarios", cluster(repository, ["scenarios"])),
        ("conformance, fast subset", cluster(repository, fast)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_every_kind_of_runner() {
        for (line, passed, failed) in [
            ("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s", 12, 0),
            ("test result: FAILED. 3 passed; 2 failed; 0 ignored", 3, 2),
            ("24 passed, 1 failed (1 not in failing.txt); table: /x", 24, 1),
            ("Ran 4 tests in 15.6s", 4, 0),
            ("running 3 tests", 0, 0),
        ] {
            assert_eq!(Count::in_line(line), Count { passed, failed }, "{line}");
        }
    }
}
