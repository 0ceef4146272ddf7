//! Words that must not stand in the sources.

use crate::tree;

/// What must not stand in shipped sources, and what to do instead.
const BANNED: [(&str, &str); 6] = [
    ("todo!(", "do it, or say clearly that it is not supported"),
    ("unimplemented!(", "do it, or say clearly that it is not supported"),
    ("FIXME", "mend it or open an issue"),
    (
        "println!(",
        "log with fields; the answer of a command line goes through one function that expects the lint",
    ),
    ("std::thread::sleep", "wait on a condition"),
    ("serde_json::Value>>>", "no trees in caches"),
];

/// Where a thread rests because time is what is wanted, which the code says beside it; no more than these.
const RESTS: [&str; 1] = ["services/scheduler/src/app.rs"];

#[test]
fn banned_words_do_not_stand_in_sources() {
    let mut found = Vec::new();
    for (name, text) in tree::sources() {
        if name.starts_with("services/xtask") {
            continue;
        }
        for (i, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for (word, instead) in BANNED.iter().filter(|(word, _)| code.contains(word)) {
                // a build script speaks with cargo by its output
                let may_print = name.starts_with("services/cli") || name.ends_with("/build.rs");
                let may_rest = *word == "std::thread::sleep" && RESTS.contains(&name.as_str());
                if !code.contains("eprintln!(") && !may_print && !may_rest {
                    found.push(format!("{name}:{}: {word} — {instead}", i + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn log_messages_are_constant() {
    let mut found = Vec::new();
    for (name, text) in tree::sources() {
        for (i, line) in text.lines().enumerate() {
            let log = ["tracing::error!(", "tracing::warn!(", "tracing::info!(", "tracing::debug!("];
            if log.iter().any(|m| line.contains(m)) && line.contains('{') && line.contains("\"") {
                let message = line.rsplit('"').nth(1).unwrap_or_default();
                if message.contains('{') {
                    found.push(format!("{name}:{}", i + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "data go into fields, not into the message:\n{}", found.join("\n"));
}
