//! Atomic batches of changes.

use super::{Element, Expr, Field, Table, Verdict, len_of, type_of};
use crate::attr::{close, open, put, put_text, put_u32};
use crate::socket::{ACK, APPEND, CREATE, finish, start};

const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = NEW_TABLE | 2;
const NEW_CHAIN: u16 = NEW_TABLE | 3;
const DELETE_CHAIN: u16 = NEW_TABLE | 5;
const NEW_RULE: u16 = NEW_TABLE | 6;
const DELETE_RULE: u16 = NEW_TABLE | 8;
const NEW_SET: u16 = NEW_TABLE | 9;
const NEW_ELEMENTS: u16 = NEW_TABLE | 12;
const DELETE_ELEMENTS: u16 = NEW_TABLE | 14;
/// Elements of one message: their list is an attribute, whose length has 16 bits.
const LIST_BYTES: usize = 48 << 10;

/// Where a base chain sees packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPoint {
    /// As they come in.
    Prerouting,
    /// On their way to this machine.
    Input,
    /// On their way through this machine.
    Forward,
    /// From this machine.
    Output,
    /// As they leave.
    Postrouting,
}

/// What makes a chain a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// Where.
    pub point: HookPoint,
    /// In which order among all chains there.
    pub priority: i32,
    /// Whether it rewrites addresses (`nat`) or not (`filter`).
    pub nat: bool,
}

/// What a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKind {
    /// Keys.
    Set,
    /// Keys which may be ranges.
    Ranges,
    /// Values.
    Map(&'static [Field]),
    /// Values that rules add and time takes away.
    Memory(&'static [Field]),
    /// Verdicts.
    Verdicts,
}

/// A set or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetSpec {
    /// The name.
    pub name: &'static str,
    /// The key's fields.
    pub key: &'static [Field],
    /// What it holds.
    pub kind: SetKind,
}

/// Changes that take effect together or not at all.
#[derive(Debug)]
pub struct Batch {
    buffer: Vec<u8>,
    messages: u32,
}

impl Default for Batch {
    fn default() -> Self {
        let mut batch = Self { buffer: Vec::new(), messages: 0 };
        batch.message(0x10, 0, 0, SUBSYSTEM, |_| {});
        batch
    }
}

impl Batch {
    /// Whether nothing was put in.
    pub fn is_empty(&self) -> bool {
        self.messages <= 1
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, id: u16, body: impl FnOnce(&mut Vec<u8>)) {
        let begun = start(&mut self.buffer, kind, flags, self.messages, family, id);
        body(&mut self.buffer);
        finish(&mut self.buffer, begun);
        self.messages += 1;
    }

    /// The bytes to send and the sequence number of the last acknowledgement.
    pub(super) fn close(mut self) -> (Vec<u8>, u32) {
        // the message before the end acknowledges; the end itself only since Linux 6.10
        let mut at = 0;
        let mut last = 0;
        while at < self.buffer.len() {
            last = at;
            let mut length = [0; 4];
            length.copy_from_slice(&self.buffer[at..at + 4]);
            at += (u32::from_ne_bytes(length) as usize).next_multiple_of(4);
        }
        let mut flags = [0; 2];
        flags.copy_from_slice(&self.buffer[last + 6..last + 8]);
        let flags = u16::from_ne_bytes(flags) | ACK;
        self.buffer[last + 6..last + 8].copy_from_slice(&flags.to_ne_bytes());
        let sequence = self.messages - 1;
        self.message(0x11, 0, 0, SUBSYSTEM, |_| {});
        (self.buffer, sequence)
    }

    /// Makes a table, unless there is one.
    pub fn table(&mut self, table: Table) {
        self.message(NEW_TABLE, CREATE, table.family.number(), 0, |b| {
            put_text(b, 1, table.name);
            put_u32(b, 2, 0);
        });
    }

    /// Deletes a table with everything in it.
    pub fn delete_table(&mut self, table: Table) {
        self.message(DELETE_TABLE, 0, table.family.number(), 0, |b| put_text(b, 1, table.name));
    }

    /// Makes a chain, unless there is one.
    pub fn chain(&mut self, table: Table, name: &str, hook: Option<Hook>) {
        self.message(NEW_CHAIN, CREATE, table.family.number(), 0, |b| {
            put_text(b, 1, table.name);
            put_text(b, 3, name);
            if let Some(hook) = hook {
                let at = open(b, 4);
                put_u32(b, 1, hook.point as u32);
                put(b, 2, &hook.priority.to_be_bytes());
                close(b, at);
                put_u32(b, 5, 1);
                put_text(b, 7, if hook.nat { "nat" } else { "filter" });
            }
        });
    }

    /// Deletes a chain nothing refers to.
    pub fn delete_chain(&mut self, table: Table, name: &str) {
        self.message(DELETE_CHAIN, 0, table.family.number(), 0, |b| {
            put_text(b, 1, table.name);
            put_text(b, 3, name);
        });
    }

    /// Deletes the rules of one chain, or of all when `chain` is `None`.
    pub fn flush(&mut self, table: Table, chain: Option<&str>) {
        self.message(DELETE_RULE, 0, table.family.number(), 0, |b| {
            put_text(b, 1, table.name);
            if let Some(chain) = chain {
                put_text(b, 2, chain);
            }
        });
    }

    /// Adds a rule behind those of a chain.
    pub fn rule(&mut self, table: Table, chain: &str, expressions: &[Expr]) {
        self.message(NEW_RULE, CREATE | APPEND, table.family.number(), 0, |b| {
            put_text(b, 1, table.name);
            put_text(b, 2, chain);
            let list = open(b, 4);
            for expression in expressions {
                expression.write(b);
            }
            close(b, list);
        });
    }

    /// Makes a set or map, unless there is one.
    pub fn set(&mut self, table: Table, set: &SetSpec) {
        let id = self.messages;
        self.message(NEW_SET, CREATE, table.family.number(), 0, |b| {
            put_text(b, 1, table.name);
            put_text(b, 2, set.name);
            let ranges = if set.key.len() > 1 { 0x84 } else { 4 };
            let flags = match set.kind {
                SetKind::Set => 0,
                SetKind::Ranges => ranges,
                SetKind::Map(_) | SetKind::Verdicts => 8,
                SetKind::Memory(_) => 0x38,
            };
            put_u32(b, 3, flags);
            put_u32(b, 4, type_of(set.key));
            put_u32(b, 5, len_of(set.key));
            match set.kind {
                SetKind::Map(value) | SetKind::Memory(value) => {
                    put_u32(b, 6, type_of(value));
                    put_u32(b, 7, len_of(value));
                }
                SetKind::Verdicts => {
                    put_u32(b, 6, 0xffff_ff00);
                    put_u32(b, 7, 16);
                }
                SetKind::Set | SetKind::Ranges => {}
            }
            if set.kind == SetKind::Ranges && set.key.len() > 1 {
                put_fields(b, set.key);
            }
            if let SetKind::Memory(_) = set.kind {
                let description = open(b, 9);
                put_u32(b, 1, 65536);
                close(b, description);
            }
            put_u32(b, 10, id);
        });
    }

    /// Adds elements to a set.
    pub fn add<'a>(&mut self, table: Table, set: &str, elements: impl IntoIterator<Item = &'a Element>) {
        self.elements(NEW_ELEMENTS, CREATE, table, set, elements);
    }

    /// Takes elements out of a set. One that is not there fails the batch.
    pub fn remove<'a>(&mut self, table: Table, set: &str, elements: impl IntoIterator<Item = &'a Element>) {
        self.elements(DELETE_ELEMENTS, 0, table, set, elements);
    }

    fn elements<'a>(
        &mut self,
        kind: u16,
        flags: u16,
        table: Table,
        set: &str,
        elements: impl IntoIterator<Item = &'a Element>,
    ) {
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            self.message(kind, flags, table.family.number(), 0, |b| {
                put_text(b, 1, table.name);
                put_text(b, 2, set);
                let list = open(b, 3);
                while b.len() - list < LIST_BYTES {
                    let Some(element) = elements.next() else { break };
                    write_element(b, element, kind == NEW_ELEMENTS);
                }
                close(b, list);
            });
        }
    }
}

fn put_fields(b: &mut Vec<u8>, fields: &[Field]) {
    let description = open(b, 9);
    let list = open(b, 2);
    for field in fields {
        let one = open(b, 1);
        put_u32(b, 1, field.padded());
        close(b, one);
    }
    close(b, list);
    close(b, description);
}

fn write_element(b: &mut Vec<u8>, element: &Element, with_value: bool) {
    let one = open(b, 1);
    put_data(b, 1, &element.key);
    if let Some(end) = &element.key_end {
        put_data(b, 10, end);
    }
    if with_value {
        match (&element.verdict, element.value.as_slice()) {
            (Some(verdict), _) => Verdict::write(verdict, b, 2),
            (None, []) => {}
            (None, value) => put_data(b, 2, value),
        }
    }
    close(b, one);
}

fn put_data(b: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let data = open(b, kind);
    put(b, 1, value);
    close(b, data);
}
