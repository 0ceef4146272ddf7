//! What a store acknowledged.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

/// The newest acknowledged state of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry {
    /// How often the key was written; also its value.
    pub counter: u64,
    /// The revision of the last write.
    pub revision: i64,
}

/// Acknowledged writes by key.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The entries.
    pub entries: BTreeMap<String, Entry>,
}

impl Ledger {
    /// Notes an acknowledgement.
    pub fn note(&mut self, key: &str, entry: Entry) {
        self.entries.insert(key.into(), entry);
    }

    /// The newest revision acknowledged.
    pub fn revision(&self) -> i64 {
        self.entries.values().map(|entry| entry.revision).max().unwrap_or(0)
    }

    /// Writes one line for an entry, as [`Ledger::read`] takes it.
    ///
    /// # Errors
    /// Writing fails.
    pub fn write_line(to: &mut impl Write, key: &str, entry: Entry) -> io::Result<()> {
        writeln!(to, "{key} {} {}", entry.counter, entry.revision)
    }

    /// Reads lines; a last one that was cut off is left out.
    ///
    /// # Errors
    /// Reading fails.
    pub fn read(from: impl BufRead) -> io::Result<Self> {
        let mut ledger = Self::default();
        for line in from.lines() {
            let line = line?;
            let mut words = line.split(' ');
            let (Some(key), Some(counter), Some(revision)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if let (Ok(counter), Ok(revision)) = (counter.parse(), revision.parse()) {
                ledger.note(key, Entry { counter, revision });
            }
        }
        Ok(ledger)
    }
}
