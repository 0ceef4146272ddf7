//! config.yaml and what lies beside it in config.yaml.d.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::keys::{self, Kind};
use crate::values::{Problems, Values};
use crate::{CONFIG_FILE, Role};

/// Reads the file (missing is fine unless it was named) and its drop-ins in order.
///
/// # Upstream
/// k3s `pkg/configfilearg/parser.go` `Parse`
pub(crate) fn read(
    role: Role,
    flags: &Values,
    environment: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Values {
    let named = flags.optional("config").or_else(|| environment.get("K3S_CONFIG_FILE").cloned());
    let main = PathBuf::from(named.as_deref().filter(|n| !n.is_empty()).unwrap_or(CONFIG_FILE));
    let mut values = Values::default();
    if main.to_string_lossy().contains("://") {
        problems.error(format!("config: {}: configuration from a URL is not supported", main.display()));
        return values;
    }
    if named.is_some() || main.exists() {
        one(role, &main, &mut values, problems);
    }
    for drop_in in drop_ins(&main, problems) {
        one(role, &drop_in, &mut values, problems);
    }
    values
}

fn drop_ins(main: &Path, problems: &mut Problems) -> Vec<PathBuf> {
    let folder = PathBuf::from(format!("{}.d", main.display()));
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.error(format!("{}: {error}", folder.display()));
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => files.push(entry.path()),
            Err(error) => problems.error(format!("{}: {error}", folder.display())),
        }
    }
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml" || e == "yml") && f.is_file());
    files.sort();
    files
}

fn one(role: Role, file: &Path, values: &mut Values, problems: &mut Problems) {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return problems.error(format!("{}: {error}", file.display())),
    };
    let content = match yaml::parse(&text) {
        Ok(Value::Object(content)) => content,
        Ok(Value::Null) => return,
        Ok(_) => return problems.error(format!("{}: not a mapping of keys to values", file.display())),
        Err(error) => return problems.error(format!("{}: {error}", file.display())),
    };
    for (name, value) in content {
        let (name, append) = match name.strip_suffix('+') {
            Some(name) => (name.to_owned(), true),
            None => (name, false),
        };
        let by_short = keys::KEYS.iter().find(|k| k.short == name && name.len() == 1);
        let Some(key) = keys::find(&name).or(by_short).filter(|k| k.applies(role)) else {
            let file = file.file_name().unwrap_or_default().to_string_lossy();
            problems.warn(format!("Unknown flag --{name} found in {file}, skipping"));
            continue;
        };
        match texts(&value) {
            None => {
                problems.error(format!("{}: {name}: must be a value or a list of values", file.display()))
            }
            Some(texts) => {
                if texts.len() > 1 && !matches!(key.kind, Kind::List | Kind::Commas) {
                    problems.error(format!(
                        "{}: {name}: takes one value, not {}",
                        file.display(),
                        texts.len()
                    ));
                }
                let slot = values.0.entry(key.name).or_default();
                if !append {
                    slot.clear();
                }
                slot.extend(texts);
            }
        }
    }
}

/// What a value is as a flag's values.
fn texts(value: &Value) -> Option<Vec<String>> {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    };
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        other => plain(other).map(|text| vec![text]),
    }
}
