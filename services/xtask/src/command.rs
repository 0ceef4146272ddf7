//! Running programs: the one place that starts processes.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};

use crate::repository::Repository;
use crate::say;

/// A command in the checkout's root.
pub(crate) fn command<I, S>(repository: &Repository, program: impl AsRef<OsStr>, arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repository.root()).stdin(Stdio::null());
    command
}

/// A command that holds a build slot, so that it sees a target folder of its own.
pub(crate) fn slot<I, S>(repository: &Repository, arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    command(repository, repository.path(".ci/slot"), arguments)
}

/// What a host must be fit for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Task {
    /// A cluster of ours.
    Up,
    /// Every test, and clusters of upstream's parts.
    Test,
}

/// Installs what the host lacks, and fails if it cannot carry the task.
pub(crate) fn host(repository: &Repository, task: Task) -> Result<()> {
    let word = match task {
        Task::Up => "up",
        Task::Test => "test",
    };
    let status = status(&mut command(repository, repository.path("tests/machines/host.py"), [word]))?;
    // what env says of a program that is not there
    ensure!(status.code() != Some(127), "python3 is missing: apt-get install python3");
    ensure!(status.success(), "this machine is not ready for that: see above");
    Ok(())
}

/// The program that handles clusters.
pub(crate) fn cluster<I, S>(repository: &Repository, arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    command(repository, repository.path("tests/machines/cluster"), arguments)
}

/// Runs to the end, output shown; the status is the answer.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| named(command))
}

/// Runs to the end, output shown; any other status than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    ensure!(status.success(), "{}: {status}", named(command));
    Ok(())
}

/// Runs to the end and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| named(command))?;
    ensure!(output.status.success(), "{}: {}", named(command), output.status);
    String::from_utf8(output.stdout).with_context(|| named(command))
}

/// Runs to the end, shows each line of standard output and hands it on.
pub(crate) fn lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| named(command))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| named(command))?;
            let line = String::from_utf8_lossy(&line);
            say(&line);
            each(&line);
        }
    }
    child.wait().with_context(|| named(command))
}

fn named(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = command.get_args().take(4).map(|word| word.to_string_lossy().into_owned());
    std::iter::once(name.to_string_lossy().into_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
