//! The command line of a daemon: where its settings are, and little else.

use std::path::PathBuf;

use lexopt::prelude::*;

use crate::About;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run { config: PathBuf },
    Check { config: PathBuf },
    Dump { config: PathBuf },
    Help,
    Version,
}

pub(crate) fn parse(
    about: &About,
    args: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_iter(args);
    let mut config = PathBuf::from(format!("/run/k3s-rs/{}/config.json", about.name));
    let (mut check, mut dump) = (false, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('c') | Long("config") => config = parser.value()?.into(),
            Long("check-config") => check = true,
            Long("dump-config") => dump = true,
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            other => return Err(other.unexpected()),
        }
    }
    Ok(match (check, dump) {
        (_, true) => Command::Dump { config },
        (true, _) => Command::Check { config },
        _ => Command::Run { config },
    })
}

pub(crate) fn help(about: &About) -> String {
    format!(
        "{about}\n\nUsage: k3s-rs-{name} [OPTIONS]\n\n\
         Started by k3s-rs-{name}.service; settings are written by k3s-rs-bootstrap.service.\n\n\
         Options:\n  \
         -c, --config FILE   Settings, YAML or JSON [default: /run/k3s-rs/{name}/config.json]\n      \
             --check-config  Check the settings and exit\n      \
             --dump-config   Print the settings with every default and exit\n  \
         -h, --help          Print help\n  \
         -V, --version       Print version\n",
        about = about.description,
        name = about.name,
    )
}
