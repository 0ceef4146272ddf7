//! Flags: every key is one.

use std::ffi::OsString;

use crate::Role;
use crate::keys::{self, KEYS, Key, Kind};
use crate::values::{Problems, Values};

/// Reads flags as Go's flag packages do: `--key value`, `--key=value`, one dash or two, switches without a value.
///
/// # Upstream
/// `github.com/urfave/cli/v2`
pub(crate) fn parse(role: Role, arguments: &[OsString], problems: &mut Problems) -> Values {
    let mut values = Values::default();
    let mut rest = arguments.iter().map(|a| a.to_string_lossy().into_owned());
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
            problems.error(format!("unexpected argument {argument:?}"));
            continue;
        };
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let Some(key) = find(name).filter(|k| k.applies(role)) else {
            problems.error(format!("flag provided but not defined: -{name}"));
            continue;
        };
        let value = match (inline, key.kind) {
            (Some(value), _) => Some(value),
            (None, Kind::Switch) => Some("true".to_owned()),
            (None, _) => rest.next(),
        };
        match value {
            Some(value) => values.0.entry(key.name).or_default().push(value),
            None => problems.error(format!("flag needs an argument: -{name}")),
        }
    }
    values
}

fn find(name: &str) -> Option<&'static Key> {
    keys::find(name).or_else(|| KEYS.iter().find(|k| !k.short.is_empty() && k.short == name))
}
