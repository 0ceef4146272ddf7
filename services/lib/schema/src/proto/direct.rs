//! From normalised JSON straight to protobuf, without the tree.
//!
//! What the API server keeps is JSON that this crate wrote. Most who list and watch want protobuf, so this way is
//! walked for every object: one pass notes where each value is, a second writes the message by the table. Whatever is
//! not as this crate writes it is left to the tree.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::encode::{absent, push_float, structure as tree};
use super::wire::{push_bytes, push_int, push_message};
use crate::special;
use crate::{Field, Map, Schema, Table, Ty, TypeId};

/// Objects nested deeper are left to the tree.
const DEPTH: usize = 64;

/// Appends the message of an object given as normalised JSON, without an envelope. False when the JSON has something
/// that only the tree knows how to write; what was appended until then is taken back.
pub fn direct(schema: &Schema, json: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut tape = Tape { json, nodes: Vec::with_capacity(json.len() / 16) };
    let read = tape.value(0, DEPTH).is_some();
    let walk = Walk { table: &schema.table, tape: &tape };
    let written = read && walk.structure(schema.id, Some(0), out).is_some();
    if !written {
        out.truncate(start);
    }
    written
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Bool,
    Number,
    /// A string without escapes.
    Text,
    /// A string with escapes.
    Escaped,
    List,
    /// Keys and values in turn.
    Map,
}

/// A value: where it stands in the text, and which node comes after all that is in it.
#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Kind,
    start: u32,
    end: u32,
    after: u32,
}

/// All values of a text in the order in which they stand.
struct Tape<'a> {
    json: &'a [u8],
    nodes: Vec<Node>,
}

impl<'a> Tape<'a> {
    fn push(&mut self, kind: Kind, start: usize, end: usize) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node { kind, start: start as u32, end: end as u32, after: at as u32 + 1 });
        at
    }

    /// Notes the value at an offset and all in it; the offset after it.
    fn value(&mut self, at: usize, depth: usize) -> Option<usize> {
        match self.json.get(at)? {
            b'"' => self.string(at),
            b'{' => self.items(at, depth.checked_sub(1)?, Kind::Map),
            b'[' => self.items(at, depth.checked_sub(1)?, Kind::List),
            first => {
                let kind = match first {
                    b'n' => Kind::Null,
                    b't' | b'f' => Kind::Bool,
                    b'-' | b'0'..=b'9' => Kind::Number,
                    _ => return None,
                };
                let length = self.json[at..].iter().position(|b| matches!(b, b',' | b'}' | b']'));
                let end = at + length.unwrap_or(self.json.len() - at);
                self.push(kind, at, end);
                Some(end)
            }
        }
    }

    fn string(&mut self, at: usize) -> Option<usize> {
        let (mut end, mut kind) = (at + 1, Kind::Text);
        loop {
            end += self.json.get(end..)?.iter().position(|b| matches!(b, b'"' | b'\\'))?;
            if self.json[end] == b'"' {
                self.push(kind, at + 1, end);
                return Some(end + 1);
            }
            kind = Kind::Escaped;
            end += 2;
        }
    }

    fn items(&mut self, at: usize, depth: usize, kind: Kind) -> Option<usize> {
        let (close, node) = (if kind == Kind::Map { b'}' } else { b']' }, self.push(kind, at, at));
        let mut at = at + 1;
        while *self.json.get(at)? != close {
            if kind == Kind::Map {
                if self.json[at] != b'"' {
                    return None;
                }
                at = self.string(at)?;
                if *self.json.get(at)? != b':' {
                    return None;
                }
                at += 1;
            }
            at = self.value(at, depth)?;
            match *self.json.get(at)? {
                b',' => at += 1,
                b if b == close => {}
                _ => return None,
            }
        }
        let after = self.nodes.len() as u32;
        self.nodes[node] = Node { end: at as u32 + 1, after, ..self.nodes[node] };
        Some(at + 1)
    }

    fn node(&self, at: u32) -> Node {
        self.nodes[at as usize]
    }

    fn raw(&self, node: Node) -> &'a [u8] {
        &self.json[node.start as usize..node.end as usize]
    }

    /// A string's content.
    fn text(&self, at: u32) -> Option<Cow<'a, str>> {
        let node = self.node(at);
        match node.kind {
            Kind::Text => std::str::from_utf8(self.raw(node)).ok().map(Cow::Borrowed), // broken: not what we wrote
            Kind::Escaped => {
                let quoted = &self.json[node.start as usize - 1..node.end as usize + 1];
                serde_json::from_slice::<String>(quoted).ok().map(Cow::Owned) // broken: not what we wrote
            }
            _ => None,
        }
    }

    fn int(&self, at: u32) -> Option<i64> {
        let node = self.node(at);
        let digits = std::str::from_utf8(self.raw(node)).ok().filter(|_| node.kind == Kind::Number)?;
        digits.parse().ok() // a float
    }

    /// The nodes directly in a list or map.
    fn children(&self, at: u32) -> impl Iterator<Item = u32> + '_ {
        let end = self.node(at).after;
        let mut next = at + 1;
        std::iter::from_fn(move || {
            let child = (next < end).then_some(next)?;
            next = self.node(child).after;
            Some(child)
        })
    }

    /// A map's value under a key that needs no escapes.
    fn get(&self, map: u32, key: &str) -> Option<u32> {
        let end = self.node(map).after;
        let mut at = map + 1;
        while at < end {
            let name = self.node(at);
            if self.raw(name) == key.as_bytes() {
                return Some(at + 1);
            }
            at = self.node(at + 1).after;
        }
        None
    }
}

fn message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
    let mut done = None;
    push_message(out, number, |out| done = write(out));
    done
}

/// The second pass. `None`: something for the tree.
struct Walk<'a> {
    table: &'a Table,
    tape: &'a Tape<'a>,
}

impl Walk<'_> {
    fn structure(&self, id: TypeId, map: Option<u32>, out: &mut Vec<u8>) -> Option<()> {
        let Some(map) = map.filter(|at| self.tape.node(*at).kind == Kind::Map) else {
            tree(self.table, id, &Map::new(), out);
            return Some(());
        };
        for field in self.table.wire(id) {
            if let (true, Ty::Struct(inner)) = (field.inline, field.ty()) {
                let there = || self.table.fields(*inner).any(|f| self.tape.get(map, &f.json).is_some());
                if !field.pointer || there() {
                    message(out, field.number, |out| self.structure(*inner, Some(map), out))?;
                }
                continue;
            }
            let found = self.tape.get(map, &field.json);
            match found.filter(|at| self.tape.node(*at).kind != Kind::Null) {
                Some(value) => self.present(field, value, out)?,
                None if field.pointer => {}
                None => absent(self.table, field, out),
            }
        }
        Some(())
    }

    fn present(&self, field: &Field, value: u32, out: &mut Vec<u8>) -> Option<()> {
        let kind = self.tape.node(value).kind;
        match field.ty() {
            Ty::List(inner) if kind == Kind::List => {
                self.tape.children(value).try_for_each(|item| self.one(inner, field.number, item, out))
            }
            Ty::Map(inner) if kind == Kind::Map => {
                let mut children = self.tape.children(value);
                let mut last: Option<Cow<'_, str>> = None;
                while let (Some(name), Some(item)) = (children.next(), children.next()) {
                    let name = self.tape.text(name)?;
                    // Go writes maps by key, and so did we: what is not in order was written by somebody else
                    if last.is_some_and(|last| last >= name) {
                        return None;
                    }
                    message(out, field.number, |out| {
                        push_bytes(out, 1, name.as_bytes());
                        self.one(inner, 2, item, out)
                    })?;
                    last = Some(name);
                }
                Some(())
            }
            Ty::List(_) | Ty::Map(_) => None,
            ty => self.one(ty, field.number, value, out),
        }
    }

    fn one(&self, ty: &Ty, number: u32, value: u32, out: &mut Vec<u8>) -> Option<()> {
        let node = self.tape.node(value);
        match ty {
            Ty::Struct(id) if node.kind == Kind::Map => {
                return message(out, number, |out| self.structure(*id, Some(value), out));
            }
            Ty::Str => push_bytes(out, number, self.tape.text(value)?.as_bytes()),
            Ty::Bool if node.kind == Kind::Bool => {
                push_int(out, number, i64::from(self.tape.raw(node) == b"true"));
            }
            Ty::Int32 | Ty::Int64 => push_int(out, number, self.tape.int(value)?),
            Ty::Float if node.kind == Kind::Number => {
                push_float(out, number, std::str::from_utf8(self.tape.raw(node)).ok()?.parse().ok()?);
            }
            // as the tree writes them, and Go
            Ty::Time | Ty::MicroTime | Ty::Json if node.kind == Kind::Null => push_bytes(out, number, b""),
            Ty::Bytes => push_bytes(out, number, &STANDARD.decode(&*self.tape.text(value)?).ok()?),
            Ty::Time | Ty::MicroTime => {
                let (seconds, nanoseconds) = special::seconds(&self.tape.text(value)?);
                push_message(out, number, |out| {
                    push_int(out, 1, seconds);
                    push_int(out, 2, i64::from(nanoseconds));
                });
            }
            Ty::Duration => {
                let nanoseconds = special::duration_nanoseconds(&self.tape.text(value)?);
                push_message(out, number, |out| push_int(out, 1, nanoseconds));
            }
            Ty::Quantity => {
                let text = self.tape.text(value)?;
                push_message(out, number, |out| push_bytes(out, 1, text.as_bytes()));
            }
            Ty::IntOrString => return self.int_or_string(number, value, out),
            Ty::Strings if node.kind == Kind::List => {
                return message(out, number, |out| {
                    self.tape.children(value).try_for_each(|item| self.one(&Ty::Str, 1, item, out))
                });
            }
            Ty::Raw | Ty::FieldsV1 | Ty::Json if !matches!(node.kind, Kind::Text | Kind::Escaped) => {
                push_message(out, number, |out| push_bytes(out, 1, self.tape.raw(node)));
            }
            _ => return None,
        }
        Some(())
    }

    fn int_or_string(&self, number: u32, value: u32, out: &mut Vec<u8>) -> Option<()> {
        let text = self.tape.text(value);
        let int = if text.is_some() { 0 } else { self.tape.int(value)? };
        push_message(out, number, |out| {
            push_int(out, 1, i64::from(text.is_some()));
            push_int(out, 2, int);
            push_bytes(out, 3, text.as_deref().unwrap_or_default().as_bytes());
        });
        Some(())
    }
}
