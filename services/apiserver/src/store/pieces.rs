//! Large lists as gzip, put together of pieces that are kept.
//!
//! Every client of Go takes gzip, and informers list the same objects again and again: compressing them was most of what
//! a list cost. A piece is a run of objects, compressed by itself; deflate's blocks may stand one after the other in any
//! order, so a list is pieces copied behind each other. A change of one object has one piece made anew. Where a piece
//! ends follows from the keys alone, so that coming and going objects leave the other pieces as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

use super::derived::Held;
use super::entry::{Entry, Key};

/// A key is a piece's first with a probability of one to so many.
const RUN: u64 = 16;
/// A piece never has more objects,
const RUN_MAX: usize = 64;
/// nor begins another object beyond so many bytes.
const RUN_BYTES: usize = 64 << 10;
/// What costs little and still finds what objects have in common.
const LEVEL: u32 = 2;

/// In what a list's items are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// JSON, items with commas between them.
    Json,
    /// Protobuf, items each with the list's field before it.
    Protobuf,
}

/// A compressed run of objects.
#[derive(Debug)]
pub struct Piece {
    /// Which they were: a changed object is another entry.
    entries: Box<[Weak<Entry>]>,
    zipped: Bytes,
    crc: Crc,
    /// How long it is uncompressed.
    pub bytes: usize,
    held: Option<Held>,
}

impl Piece {
    fn is_of(&self, run: &[Arc<Entry>]) -> bool {
        // a weak pointer keeps the place of its entry taken: no other one can be there
        self.entries.len() == run.len()
            && self.entries.iter().zip(run).all(|(had, now)| std::ptr::eq(had.as_ptr(), Arc::as_ptr(now)))
    }

    fn make(run: &[Arc<Entry>], plain: &[u8], compressor: &mut Compressor) -> Self {
        let mut crc = Crc::new();
        crc.update(plain);
        let zipped = Bytes::from(compressor.deflate(plain));
        let entries = run.iter().map(Arc::downgrade).collect();
        Self { entries, held: Held::take(zipped.len()), zipped, crc, bytes: plain.len() }
    }
}

/// Compresses pieces, one after the other; made when the first is.
#[derive(Debug, Default)]
pub struct Compressor(Option<Compress>);

impl Compressor {
    /// Compresses something so that it may stand anywhere in a stream.
    fn deflate(&mut self, plain: &[u8]) -> Vec<u8> {
        let compress = self.0.get_or_insert_with(|| Compress::new(Compression::new(LEVEL), false));
        compress.reset();
        let mut out = Vec::with_capacity(plain.len() / 4 + 64);
        loop {
            let taken = compress.total_in() as usize;
            compress
                .compress_vec(&plain[taken..], &mut out, FlushCompress::Sync)
                .expect("a stream that was reset and is never ended takes everything");
            // the flush is complete when it leaves room
            if compress.total_in() as usize == plain.len() && out.len() < out.capacity() {
                out.shrink_to_fit();
                return out;
            }
            out.reserve(out.capacity());
        }
    }
}

/// The pieces kept of one resource, by form and first key.
#[derive(Debug, Default)]
pub struct Pieces(Mutex<BTreeMap<(Form, Key), Arc<Piece>>>);

impl Pieces {
    /// The piece of a run, kept or made of what `write` appends.
    ///
    /// # Errors
    /// `write` fails.
    pub fn of<E>(
        &self,
        form: Form,
        run: &[Arc<Entry>],
        compressor: &mut Compressor,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Arc<Piece>, E> {
        let Some(first) = run.first() else { return Ok(Arc::new(Piece::make(run, b"", compressor))) };
        let at = (form, first.key.clone());
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&at).cloned();
        if let Some(kept) = kept.filter(|piece| piece.is_of(run)) {
            return Ok(kept);
        }
        let mut plain = Vec::with_capacity(run.iter().map(|entry| entry.bytes.len() + 8).sum());
        write(&mut plain)?;
        let piece = Arc::new(Piece::make(run, &plain, compressor));
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if piece.held.is_some() {
            pieces.insert(at, piece.clone());
        } else {
            pieces.remove(&at);
        }
        Ok(piece)
    }

    /// After a list of everything between two keys: drops the pieces there that do not begin with one of `firsts`.
    pub fn sweep(&self, form: Form, entries: &[Arc<Entry>], firsts: &BTreeSet<Key>) {
        let (Some(from), Some(to)) = (entries.first(), entries.last()) else { return };
        let range = (form, from.key.clone())..=(form, to.key.clone());
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = pieces.range(range).map(|(at, _)| at).filter(|(_, key)| !firsts.contains(key));
        for at in stale.cloned().collect::<Vec<_>>() {
            pieces.remove(&at);
        }
    }

    /// Drops all pieces.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The runs of a list.
pub fn runs(entries: &[Arc<Entry>]) -> impl Iterator<Item = &[Arc<Entry>]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let folder = folder(&first.key);
        let mut bytes = first.bytes.len();
        let mut length = 1;
        while let Some(entry) = rest.get(length) {
            let ends = length >= RUN_MAX || bytes >= RUN_BYTES || begins(&entry.key);
            if ends || !entry.key.starts_with(folder) {
                break;
            }
            bytes += entry.bytes.len();
            length += 1;
        }
        let (run, others) = rest.split_at(length);
        rest = others;
        Some(run)
    })
}

/// A key up to its last slash: lists of one namespace share the pieces of lists of all.
fn folder(key: &str) -> &str {
    key.rfind('/').map_or("", |slash| &key[..=slash])
}

fn begins(key: &str) -> bool {
    let mut hash = 0u64;
    for part in key.as_bytes().chunks(8) {
        let word = part.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    hash >> 32 & (RUN - 1) == 0
}

/// A gzip stream that is put together.
#[derive(Debug)]
pub struct Gzip {
    /// What is written and not yet taken.
    pub out: Vec<u8>,
    crc: Crc,
}

impl Default for Gzip {
    fn default() -> Self {
        // magic, deflate, no flags, no time, no extra flags, an unknown system
        Self { out: vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff], crc: Crc::new() }
    }
}

impl Gzip {
    /// Appends something short as it is.
    pub fn plain(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        for part in bytes.chunks(usize::from(u16::MAX)) {
            let length = part.len() as u16;
            self.out.push(0);
            self.out.extend_from_slice(&length.to_le_bytes());
            self.out.extend_from_slice(&(!length).to_le_bytes());
            self.out.extend_from_slice(part);
        }
    }

    /// Appends a piece.
    pub fn piece(&mut self, piece: &Piece) {
        self.crc.combine(&piece.crc);
        self.out.extend_from_slice(&piece.zipped);
    }

    /// Ends the stream.
    pub fn finish(&mut self) {
        // an empty last block
        self.out.extend_from_slice(&[3, 0]);
        self.out.extend_from_slice(&self.crc.sum().to_le_bytes());
        self.out.extend_from_slice(&self.crc.amount().to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Read;

    use super::*;

    fn entry(name: &str, filler: &str) -> Arc<Entry> {
        let text = format!(r#"{{"kind":"A","metadata":{{"name":"{name}"}},"spec":"{filler}"}}"#);
        Arc::new(Entry::new(format!("/registry/a/x/{name}").into(), text.as_bytes(), 7, true, &[]).unwrap())
    }

    fn list(pieces: &Pieces, entries: &[Arc<Entry>], made: &mut usize) -> String {
        let (mut gzip, mut compress, mut firsts) = (Gzip::default(), Compressor::default(), BTreeSet::new());
        gzip.plain(b"[");
        for run in runs(entries) {
            let write = |out: &mut Vec<u8>| {
                *made += 1;
                run.iter().for_each(|entry| out.extend_from_slice(&entry.bytes));
                Ok::<_, Infallible>(())
            };
            gzip.piece(&pieces.of(Form::Json, run, &mut compress, write).unwrap());
            firsts.insert(run[0].key.clone());
        }
        pieces.sweep(Form::Json, entries, &firsts);
        gzip.plain(b"]");
        gzip.finish();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&gzip.out[..]).read_to_string(&mut text).unwrap();
        text
    }

    fn expected(entries: &[Arc<Entry>]) -> String {
        let all: String = entries.iter().map(|e| String::from_utf8_lossy(&e.bytes).into_owned()).collect();
        format!("[{all}]")
    }

    #[test]
    fn pieces_are_made_once() {
        let mut entries: Vec<_> = (0..500).map(|i| entry(&format!("name-{i:03}"), "text")).collect();
        // one that does not shrink, one that is longer than a piece
        let noise: String = (0..9000u32).map(|i| char::from(b'a' + (i.wrapping_mul(i) % 26) as u8)).collect();
        entries[7] = entry("name-007", &noise);
        entries[9] = entry("name-009", &"long".repeat(60_000));
        let (pieces, mut made) = (Pieces::default(), 0);
        assert_eq!(list(&pieces, &entries, &mut made), expected(&entries));
        let all = made;
        assert!((10..100).contains(&all), "{all} pieces");
        assert_eq!(list(&pieces, &entries, &mut made), expected(&entries));
        assert_eq!(made, all, "nothing changed");
        entries[100] = entry("name-100", "changed");
        assert_eq!(list(&pieces, &entries, &mut made), expected(&entries));
        assert_eq!(made, all + 1, "one changed");
        entries.remove(200);
        assert_eq!(list(&pieces, &entries, &mut made), expected(&entries));
        // ends that only length forced move until the next key that begins a piece by itself
        assert!(made <= all + 6, "one is gone: {made} of {all}");
        assert!(pieces.0.lock().unwrap().len() <= all + 1);
        assert_eq!(list(&pieces, &[], &mut made), "[]");
    }
}
