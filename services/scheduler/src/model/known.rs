//! Classes by the text they were made of.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use serde_json::Error;
use serde_json::value::RawValue;

use super::class::{Class, Parts};

/// Bytes of text by which classes are known; when there are more, all are forgotten.
const REMEMBERED: usize = 1 << 20;

/// A class, and the one node a pod with its text is made for.
type Made<C> = (C, Option<String>);

#[derive(Default)]
struct Known {
    by_text: HashMap<Box<[u8]>, Made<Weak<Class>>>,
    size: usize,
    /// Where the text of the pod at hand is put together.
    text: Vec<u8>,
}

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// The class of a text. What `read` gives must follow from what `write` writes, and from nothing else.
///
/// # Errors
/// The text is new and cannot be read.
pub(super) fn class(
    write: impl FnOnce(&mut Text<'_>),
    read: impl FnOnce() -> Result<Made<Parts>, Error>,
) -> Result<Made<Arc<Class>>, Error> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let Known { by_text, size, text } = &mut *known;
    text.clear();
    write(&mut Text(text));
    if let Some((class, only)) = by_text.get(text.as_slice())
        && let Some(class) = class.upgrade()
    {
        return Ok((class, only.clone()));
    }
    let (parts, only) = read()?;
    let class = Class::shared(parts);
    if *size + text.len() > REMEMBERED {
        by_text.clear();
        *size = 0;
    }
    *size += text.len();
    by_text.insert(text.as_slice().into(), (Arc::downgrade(&class), only.clone()));
    Ok((class, only))
}

/// Texts one after another, each with its length before it.
pub(super) struct Text<'a>(&'a mut Vec<u8>);

impl Text<'_> {
    pub(super) fn put(&mut self, text: &str) {
        self.put_count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A part that is there is never empty.
    pub(super) fn put_raw(&mut self, text: Option<&RawValue>) {
        self.put(text.map_or("", RawValue::get));
    }

    pub(super) fn put_count(&mut self, count: usize) {
        self.0.extend_from_slice(&count.to_ne_bytes());
    }
}
