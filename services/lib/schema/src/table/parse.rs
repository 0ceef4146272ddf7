//! Reads `types.txt`.
//!
//! A line at the margin is a type: its OpenAPI name, then `m=topology` and `U=unions`. An indented line is a
//! field: JSON name, flags (`p`ointer, `o`mitempty, omit`z`ero, `i`nline), protobuf number, type, then facts.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Field, Table, Topology, Ty, Type, TypeId};

/// `own-types.txt` has what k3s adds to the API.
static TYPES: &str = concat!(include_str!("types.txt"), include_str!("own-types.txt"));

pub(super) fn builtin() -> Table {
    let heads = TYPES.lines().filter(|l| !l.starts_with(' '));
    let ids: HashMap<&str, TypeId> =
        heads.enumerate().map(|(i, l)| (l.split(' ').next().unwrap_or(l), TypeId(i as u32))).collect();
    let mut types: Vec<Type> = Vec::with_capacity(ids.len());
    for line in TYPES.lines() {
        match line.strip_prefix(' ') {
            None => types.push(head(line)),
            Some(rest) => {
                if let Some(kind) = types.last_mut() {
                    kind.fields.push(field(rest, &ids));
                }
            }
        }
    }
    Table::new(types)
}

fn head(line: &'static str) -> Type {
    let mut words = line.splitn(2, ' ');
    let mut kind = Type { name: Cow::Borrowed(words.next().unwrap_or(line)), ..Type::default() };
    let rest = words.next().unwrap_or_default();
    let (facts, unions) = rest.split_once("U=").unwrap_or((rest, ""));
    kind.unions = Cow::Borrowed(unions);
    if let Some(name) = facts.trim().strip_prefix("m=") {
        kind.topology = topology(name);
    }
    kind
}

fn field(line: &'static str, ids: &HashMap<&str, TypeId>) -> Field {
    let mut words = line.splitn(5, ' ');
    let mut next = || words.next().unwrap_or("-");
    let (json, flags, number, ty, mut facts) = (next(), next(), next(), next(), next());
    let mut field = Field {
        json: Cow::Borrowed(if json == "-" { "" } else { json }),
        ty: Some(expression(ty, ids)),
        pointer: flags.contains('p'),
        omit_empty: flags.contains('o'),
        omit_zero: flags.contains('z'),
        inline: flags.contains('i'),
        number: number.parse().unwrap_or(0), // the generator writes numbers
        ..Field::default()
    };
    while !facts.is_empty() && facts != "-" {
        // a default is JSON and may hold spaces: objects and strings end where their kind ends
        let end =
            if facts.starts_with("d=") { json_end(facts) } else { facts.find(' ').unwrap_or(facts.len()) };
        fact(&mut field, &facts[..end]);
        facts = facts[end..].trim_start();
    }
    field
}

fn json_end(text: &str) -> usize {
    let mut stream = serde_json::Deserializer::from_str(&text[2..]).into_iter::<serde::de::IgnoredAny>();
    stream.next();
    2 + stream.byte_offset()
}

fn fact(field: &mut Field, fact: &'static str) {
    let list = |text: &'static str, by: char| text.split(by).map(Cow::Borrowed).collect();
    match fact.split_once('=') {
        None if fact == "r" => field.required = true,
        Some(("d", json)) => field.default = Some(Cow::Borrowed(json)),
        Some(("l" | "m", name)) => field.topology = topology(name),
        Some(("k", keys)) => field.keys = list(keys, ','),
        Some(("s", strategies)) => field.patch_strategy = list(strategies, ','),
        Some(("g", key)) => field.merge_key = Cow::Borrowed(key),
        Some(("e", values)) => field.values = list(values, '|'),
        Some(("f", format)) => field.format = Cow::Borrowed(format),
        _ => {}
    }
}

fn topology(name: &str) -> Topology {
    match name {
        "atomic" => Topology::Atomic,
        "set" => Topology::Set,
        "map" => Topology::Map,
        "granular" => Topology::Granular,
        _ => Topology::Default,
    }
}

fn expression(text: &str, ids: &HashMap<&str, TypeId>) -> Ty {
    let inner = |ids| Box::new(expression(&text[1..], ids));
    match text.as_bytes()[0] {
        b'b' => Ty::Bool,
        b'i' | b'u' => Ty::Int32,
        b'l' => Ty::Int64,
        b'f' => Ty::Float,
        b'y' => Ty::Bytes,
        b't' => Ty::Time,
        b'm' => Ty::MicroTime,
        b'd' => Ty::Duration,
        b'q' => Ty::Quantity,
        b'I' => Ty::IntOrString,
        b'R' => Ty::Raw,
        b'F' => Ty::FieldsV1,
        b'J' => Ty::Json,
        b'L' => Ty::Strings,
        b'A' => Ty::SchemaOrList,
        b'B' => Ty::SchemaOrBool,
        b'S' => Ty::SchemaOrStrings,
        b'[' => Ty::List(inner(ids)),
        b'{' => Ty::Map(inner(ids)),
        b'@' => Ty::Struct(*ids.get(&text[1..]).expect("types.txt names only types it has")),
        _ => Ty::Str,
    }
}
