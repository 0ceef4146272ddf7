//! From text to values.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use crate::resolve;

/// Aliases may expand to at most this many nodes in all, so that a small text cannot become a large tree.
const MAX_ALIASED_NODES: usize = 100_000;

/// Why a text is no YAML this project takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is malformed.
    #[error("yaml: line {line}: {what}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What the scanner says.
        what: String,
    },
    /// A mapping has a key twice.
    #[error("yaml: line {line}: key {key:?} already set in map")]
    DuplicateKey {
        /// Counted from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// A mapping's key is a list or a mapping.
    #[error("yaml: line {line}: mapping keys must be scalars")]
    ComplexKey {
        /// Counted from 1.
        line: usize,
    },
    /// Aliases expand to too much.
    #[error("yaml: document contains excessive aliasing")]
    ExcessiveAliasing,
    /// More than one document where one is expected.
    #[error("yaml: expected a single document")]
    ManyDocuments,
}

/// Reads one document; an empty text is null.
pub fn parse(text: &str) -> Result<Value, Error> {
    let mut all = documents(text)?;
    match all.len() {
        0 => Ok(Value::Null),
        1 => Ok(all.remove(0)),
        _ => Err(Error::ManyDocuments),
    }
}

/// Reads every document; empty ones are left out.
pub fn documents(text: &str) -> Result<Vec<Value>, Error> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), aliased: 0 };
    let mut documents = Vec::new();
    while let Some((event, line)) = reader.next()? {
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            other => match reader.node(other, line)? {
                Value::Null => {}
                value => documents.push(value),
            },
        }
    }
    Ok(documents)
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Value>,
    aliased: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, usize)>, Error> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, span.start.line()))),
            Some(Err(e)) => Err(Error::Syntax { line: e.marker().line(), what: e.info().to_owned() }),
        }
    }

    fn expect(&mut self, line: usize) -> Result<(Event<'a>, usize), Error> {
        self.next()?.ok_or_else(|| Error::Syntax { line, what: "unexpected end of document".into() })
    }

    fn node(&mut self, event: Event<'a>, line: usize) -> Result<Value, Error> {
        let (anchor, value) = match event {
            Event::Alias(id) => return self.alias(id, line),
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar(text, style, tag)),
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(line)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(line)?),
            _ => return Ok(Value::Null),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn alias(&mut self, id: usize, line: usize) -> Result<Value, Error> {
        let value = self.anchors.get(&id);
        let value = value.ok_or_else(|| Error::Syntax { line, what: "unknown anchor".into() })?.clone();
        self.aliased += nodes(&value);
        if self.aliased > MAX_ALIASED_NODES {
            return Err(Error::ExcessiveAliasing);
        }
        Ok(value)
    }

    fn sequence(&mut self, line: usize) -> Result<Value, Error> {
        let mut items = Vec::new();
        loop {
            match self.expect(line)? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                (event, line) => items.push(self.node(event, line)?),
            }
        }
    }

    fn mapping(&mut self, line: usize) -> Result<Value, Error> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, line) = self.expect(line)?;
            if event == Event::MappingEnd {
                break;
            }
            let plain_merge = matches!(&event, Event::Scalar(t, ScalarStyle::Plain, _, _) if t == "<<");
            let key = key_text(self.node(event, line)?).ok_or(Error::ComplexKey { line })?;
            let (event, line) = self.expect(line)?;
            let value = self.node(event, line)?;
            if plain_merge {
                merged.push(value);
            } else if map.contains_key(&key) {
                return Err(Error::DuplicateKey { line, key });
            } else {
                map.insert(key, value);
            }
        }
        merged.into_iter().for_each(|m| merge(&mut map, m));
        Ok(Value::Object(map))
    }
}

/// The merge key `<<`: what the mapping has itself wins.
fn merge(map: &mut Map<String, Value>, from: Value) {
    match from {
        Value::Object(other) => other.into_iter().for_each(|(k, v)| {
            map.entry(k).or_insert(v);
        }),
        Value::Array(list) => list.into_iter().for_each(|m| merge(map, m)),
        _ => {}
    }
}

fn key_text(value: Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Null => Some("null".into()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<Cow<'_, Tag>>) -> Value {
    let is_string = |tag: &Tag| tag.suffix == "str" || tag.suffix == "binary";
    match (style, tag) {
        (ScalarStyle::Plain, None) => resolve(&text),
        (ScalarStyle::Plain, Some(tag)) if !is_string(&tag) => resolve(&text),
        _ => Value::String(text.into_owned()),
    }
}

fn nodes(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(nodes).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(nodes).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_anchors_and_blocks() {
        let text = "a: &x {b: 1}\nc: *x\n---\n---\nd: |\n  one\n  two\ne: '1'\nf: [on, \"on\"]\n";
        let expected = vec![
            json!({"a": {"b": 1}, "c": {"b": 1}}),
            json!({"d": "one\ntwo\n", "e": "1", "f": [true, "on"]}),
        ];
        assert_eq!(documents(text), Ok(expected));
    }

    #[test]
    fn merge_keys_do_not_override() {
        assert_eq!(
            parse("base: &b {a: 1, b: 2}\nuse:\n  <<: *b\n  b: 3\n").map(|v| v["use"].clone()),
            Ok(json!({"a": 1, "b": 3}))
        );
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(parse("a: 1\nb: 2\na: 3\n"), Err(Error::DuplicateKey { line: 3, key: "a".into() }));
        assert!(matches!(parse("a: [1,\n"), Err(Error::Syntax { .. })));
        assert_eq!(parse(""), Ok(Value::Null));
    }
}
