//! The socket: committing batches, reading back what is there.

use super::{Batch, Table, Verdict};
use crate::Error;
use crate::attr::{each, find, text};
use crate::socket::{ACK, DUMP, Netfilter, finish, start};

const GET_TABLE: u16 = 10 << 8 | 1;
const GET_CHAIN: u16 = 10 << 8 | 4;
const GET_ELEMENTS: u16 = 10 << 8 | 13;

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Element {
    /// The key, fields padded to four bytes.
    pub key: Vec<u8>,
    /// The end of a range of keys.
    pub key_end: Option<Vec<u8>>,
    /// The value in a map of values.
    pub value: Vec<u8>,
    /// The value in a verdict map.
    pub verdict: Option<Verdict>,
}

impl Element {
    /// A key of a set.
    pub fn key(key: Vec<u8>) -> Self {
        Self { key, key_end: None, value: Vec::new(), verdict: None }
    }

    /// A key and its value.
    pub fn value(key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { key, key_end: None, value, verdict: None }
    }

    /// A key and its verdict.
    pub fn verdict(key: Vec<u8>, verdict: Verdict) -> Self {
        Self { key, key_end: None, value: Vec::new(), verdict: Some(verdict) }
    }
}

/// nftables of this network namespace.
#[derive(Debug)]
pub struct Nft {
    socket: Netfilter,
}

impl Nft {
    /// Opens it.
    ///
    /// # Errors
    /// No such socket, or no right to it.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Netfilter::open()? })
    }

    /// Commits a batch: all of it or nothing.
    ///
    /// # Errors
    /// The kernel refused a message; nothing has changed then.
    pub fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let (bytes, last) = batch.close();
        self.socket.transact(&bytes, last)
    }

    /// Whether a table exists.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn has_table(&mut self, table: Table) -> Result<bool, Error> {
        let mut request = Vec::new();
        let begun = start(&mut request, GET_TABLE, ACK, 1, table.family.number(), 0);
        crate::attr::put_text(&mut request, 1, table.name);
        finish(&mut request, begun);
        let mut found = false;
        match self.socket.dump(&request, |_, _| found = true) {
            Ok(()) => Ok(found),
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The names of a table's chains.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn chains(&mut self, table: Table) -> Result<Vec<String>, Error> {
        let mut request = Vec::new();
        let begun = start(&mut request, GET_CHAIN, DUMP, 1, table.family.number(), 0);
        finish(&mut request, begun);
        let mut names = Vec::new();
        self.socket.dump(&request, |_, body| {
            let of = find(body, 1).map(text);
            if of.as_deref() == Some(table.name) {
                names.extend(find(body, 3).map(text));
            }
        })?;
        Ok(names)
    }

    /// The elements of a set or map.
    ///
    /// # Errors
    /// There is no such set, or the kernel's answer cannot be read.
    pub fn elements(&mut self, table: Table, set: &str) -> Result<Vec<Element>, Error> {
        let mut request = Vec::new();
        let begun = start(&mut request, GET_ELEMENTS, DUMP, 1, table.family.number(), 0);
        crate::attr::put_text(&mut request, 1, table.name);
        crate::attr::put_text(&mut request, 2, set);
        finish(&mut request, begun);
        let mut elements = Vec::new();
        self.socket.dump(&request, |_, body| {
            let list = find(body, 3).unwrap_or_default();
            elements.extend(each(list).filter_map(|(_, element)| read_element(element)));
        })?;
        Ok(elements)
    }
}

fn read_element(element: &[u8]) -> Option<Element> {
    let data = |kind| find(element, kind).and_then(|d| find(d, 1)).map(<[u8]>::to_vec);
    let verdict = find(element, 2).and_then(|d| find(d, 2)).and_then(read_verdict);
    let value = if verdict.is_some() { None } else { data(2) };
    Some(Element { key: data(1)?, key_end: data(10), value: value.unwrap_or_default(), verdict })
}

fn read_verdict(attributes: &[u8]) -> Option<Verdict> {
    let code = i32::from_be_bytes(find(attributes, 1)?.try_into().ok()?);
    let chain = find(attributes, 2).map(text);
    match code {
        0 => Some(Verdict::Drop),
        1 => Some(Verdict::Accept),
        -5 => Some(Verdict::Return),
        -3 => chain.map(Verdict::Jump),
        -4 => chain.map(Verdict::Goto),
        _ => None,
    }
}
