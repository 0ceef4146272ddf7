//! Values by key, whatever they come from.

use std::collections::BTreeMap;

use crate::Role;
use crate::keys::{self, KEYS, Key, Kind, Support};

/// What is wrong, and what should be said.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    pub(crate) errors: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl Problems {
    pub(crate) fn error(&mut self, text: impl Into<String>) {
        self.errors.push(text.into());
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}

/// All that was given for each key, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Values(pub(crate) BTreeMap<&'static str, Vec<String>>);

/// Flags replace the environment, which replaces the files, key by key.
///
/// # Upstream
/// k3s documentation "Configuration Options", "Configuration File"
pub(crate) fn merge(
    role: Role,
    files: Values,
    environment: &BTreeMap<String, String>,
    flags: Values,
) -> Values {
    let mut values = files;
    for key in KEYS.iter().filter(|k| !k.env.is_empty() && k.applies(role)) {
        if let Some(value) = environment.get(key.env).filter(|v| !v.is_empty()) {
            values.0.insert(key.name, vec![value.clone()]);
        }
    }
    values.0.extend(flags.0);
    values
}

impl Values {
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn last(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|all| all.last()).map(String::as_str)
    }

    fn key(name: &str) -> &'static Key {
        keys::find(name).unwrap_or_else(|| unreachable!("{name} is not in the table"))
    }

    /// The text given, or the default.
    pub(crate) fn text(&self, name: &str) -> String {
        self.last(name).unwrap_or(Self::key(name).default).to_owned()
    }

    pub(crate) fn optional(&self, name: &str) -> Option<String> {
        self.last(name).filter(|v| !v.is_empty()).map(str::to_owned)
    }

    pub(crate) fn number(&self, name: &str, problems: &mut Problems) -> u64 {
        let text = self.text(name);
        text.trim().parse().unwrap_or_else(|_| {
            problems.error(format!("{name}: invalid value {text:?}: not a number"));
            0
        })
    }

    pub(crate) fn port(&self, name: &str, problems: &mut Problems) -> u16 {
        let number = self.number(name, problems);
        u16::try_from(number).unwrap_or_else(|_| {
            problems.error(format!("{name}: {number} is not a port"));
            0
        })
    }

    pub(crate) fn switch(&self, name: &str, problems: &mut Problems) -> bool {
        let text = self.text(name);
        match text.trim() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" | "" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => {
                problems.error(format!("{name}: invalid boolean value {text:?}"));
                false
            }
        }
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let all = self.0.get(name).into_iter().flatten();
        if Self::key(name).kind == Kind::Commas {
            return all
                .flat_map(|v| v.split(','))
                .map(|v| v.trim().to_owned())
                .filter(|v| !v.is_empty())
                .collect();
        }
        all.filter(|v| !v.is_empty()).cloned().collect()
    }

    /// Tells of keys given that we do not do.
    pub(crate) fn unsupported(&self, problems: &mut Problems) {
        for key in KEYS {
            let Some(values) = self.0.get(key.name) else { continue };
            let idle = values
                .iter()
                .all(|v| v.is_empty() || v == key.default || v == "false" && key.kind == Kind::Switch);
            match key.support {
                Support::Done => {}
                _ if idle => {}
                Support::Ignored(why) => problems.warn(format!("{}: no effect: {why}", key.name)),
                Support::Refused(why) => problems.error(format!("{}: {why}", key.name)),
            }
        }
    }
}
