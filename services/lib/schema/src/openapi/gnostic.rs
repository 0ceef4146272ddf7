//! OpenAPI 2 in protobuf, the form in which `kubectl` asks for it before it validates a `List`.
//!
//! The messages are gnostic's `openapi.v2`: fields with names of their own, everything that is no field of OpenAPI
//! as a named extension whose value is a line of YAML (JSON is YAML).
//!
//! # Upstream
//! `github.com/google/gnostic-models/openapiv2/OpenAPIv2.proto`, `k8s.io/kube-openapi/pkg/handler/handler.go`

use serde_json::Value;

use crate::proto::wire::{VARINT, push_bytes, push_int, push_message, push_tag};

/// How the value of a field is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    Int,
    /// A list of texts.
    Texts,
    /// Any value, as YAML.
    Any,
    /// A list of any values.
    Anys,
    /// A message.
    One(&'static Message),
    /// Messages one inside the other, by the number of each outer one's only field.
    Inside(&'static [u32], &'static Message),
    /// A map as a message whose field `.0` repeats pairs of a name and a message, itself inside others.
    Named(u32, &'static [u32], &'static Message),
    /// A list of parameters: which message each is depends on where it stands.
    Parameters,
    /// `additionalProperties`: a schema or a flag.
    Additional,
    /// `type`: a text or a list of them.
    Types,
    /// A list of requirements, each a map of lists of texts.
    Requirements,
}

/// A message: fields by their name in JSON, and the number of its extensions.
struct Message {
    fields: &'static [(&'static str, u32, Form)],
    extension: u32,
}

static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, Form::Text),
        ("info", 2, Form::One(&INFO)),
        ("paths", 8, Form::Named(2, &[], &PATH)),
        ("definitions", 9, Form::Named(1, &[], &SCHEMA)),
        ("security", 12, Form::Requirements),
        ("securityDefinitions", 13, Form::Named(1, &[2], &API_KEY)),
    ],
    extension: 16,
};

static INFO: Message = Message {
    fields: &[("title", 1, Form::Text), ("version", 2, Form::Text), ("description", 3, Form::Text)],
    extension: 7,
};

static API_KEY: Message = Message {
    fields: &[
        ("type", 1, Form::Text),
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("description", 4, Form::Text),
    ],
    extension: 5,
};

static PATH: Message = Message {
    fields: &[
        ("$ref", 1, Form::Text),
        ("get", 2, Form::One(&OPERATION)),
        ("put", 3, Form::One(&OPERATION)),
        ("post", 4, Form::One(&OPERATION)),
        ("delete", 5, Form::One(&OPERATION)),
        ("options", 6, Form::One(&OPERATION)),
        ("head", 7, Form::One(&OPERATION)),
        ("patch", 8, Form::One(&OPERATION)),
        ("parameters", 9, Form::Parameters),
    ],
    extension: 10,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Form::Texts),
        ("summary", 2, Form::Text),
        ("description", 3, Form::Text),
        ("operationId", 5, Form::Text),
        ("produces", 6, Form::Texts),
        ("consumes", 7, Form::Texts),
        ("parameters", 8, Form::Parameters),
        ("responses", 9, Form::Named(1, &[1], &RESPONSE)),
        ("schemes", 10, Form::Texts),
        ("deprecated", 11, Form::Flag),
        ("security", 12, Form::Requirements),
    ],
    extension: 13,
};

static RESPONSE: Message = Message {
    fields: &[("description", 1, Form::Text), ("schema", 2, Form::Inside(&[1], &SCHEMA))],
    extension: 5,
};

static BODY: Message = Message {
    fields: &[
        ("description", 1, Form::Text),
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("required", 4, Form::Flag),
        ("schema", 5, Form::One(&SCHEMA)),
    ],
    extension: 6,
};

static QUERY: Message = Message {
    fields: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("allowEmptyValue", 5, Form::Flag),
        ("type", 6, Form::Text),
        ("format", 7, Form::Text),
        ("default", 10, Form::Any),
        ("uniqueItems", 20, Form::Flag),
        ("enum", 21, Form::Anys),
    ],
    extension: 23,
};

/// Parameters of paths and of headers have the same fields.
static IN_PATH: Message = Message {
    fields: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 5, Form::Text),
        ("format", 6, Form::Text),
        ("default", 9, Form::Any),
        ("uniqueItems", 19, Form::Flag),
        ("enum", 20, Form::Anys),
    ],
    extension: 22,
};

static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Form::Text),
        ("format", 2, Form::Text),
        ("title", 3, Form::Text),
        ("description", 4, Form::Text),
        ("default", 5, Form::Any),
        ("maxLength", 11, Form::Int),
        ("minLength", 12, Form::Int),
        ("pattern", 13, Form::Text),
        ("maxItems", 14, Form::Int),
        ("minItems", 15, Form::Int),
        ("uniqueItems", 16, Form::Flag),
        ("maxProperties", 17, Form::Int),
        ("minProperties", 18, Form::Int),
        ("required", 19, Form::Texts),
        ("enum", 20, Form::Anys),
        ("additionalProperties", 21, Form::Additional),
        ("type", 22, Form::Types),
        ("items", 23, Form::Inside(&[1], &SCHEMA)),
        ("properties", 25, Form::Named(1, &[], &SCHEMA)),
        ("readOnly", 27, Form::Flag),
    ],
    extension: 31,
};

/// The document in protobuf; `document` is what [`super::v2`] gives.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 19);
    message(&DOCUMENT, document, &mut out);
    out
}

fn message(of: &'static Message, value: &Value, out: &mut Vec<u8>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        match of.fields.iter().find(|(field, ..)| field == name) {
            Some((_, number, form)) => field(*number, *form, value, out),
            None => push_message(out, of.extension, |out| {
                push_bytes(out, 1, name.as_bytes());
                any(2, value, out);
            }),
        }
    }
}

fn field(number: u32, form: Form, value: &Value, out: &mut Vec<u8>) {
    let list = || value.as_array().into_iter().flatten();
    match form {
        Form::Text => text(number, value, out),
        Form::Flag => flag(number, value, out),
        Form::Int => push_int(out, number, value.as_i64().unwrap_or_default()),
        Form::Texts => list().for_each(|v| text(number, v, out)),
        Form::Any => any(number, value, out),
        Form::Anys => list().for_each(|v| any(number, v, out)),
        Form::One(of) => push_message(out, number, |out| message(of, value, out)),
        Form::Inside(path, of) => push_message(out, number, |out| inside(path, of, value, out)),
        Form::Named(each, path, of) => push_message(out, number, |out| {
            for (name, value) in value.as_object().into_iter().flatten() {
                push_message(out, each, |out| {
                    push_bytes(out, 1, name.as_bytes());
                    push_message(out, 2, |out| inside(path, of, value, out));
                });
            }
        }),
        Form::Parameters => list().for_each(|v| push_message(out, number, |out| parameter(v, out))),
        Form::Additional => push_message(out, number, |out| match value {
            Value::Bool(_) => flag(2, value, out),
            schema => push_message(out, 1, |out| message(&SCHEMA, schema, out)),
        }),
        Form::Types => push_message(out, number, |out| match value {
            Value::Array(all) => all.iter().for_each(|v| text(1, v, out)),
            one => text(1, one, out),
        }),
        Form::Requirements => list().for_each(|v| push_message(out, number, |out| requirement(v, out))),
    }
}

fn inside(path: &[u32], of: &'static Message, value: &Value, out: &mut Vec<u8>) {
    match path {
        [] => message(of, value, out),
        [number, rest @ ..] => push_message(out, *number, |out| inside(rest, of, value, out)),
    }
}

fn text(number: u32, value: &Value, out: &mut Vec<u8>) {
    push_bytes(out, number, value.as_str().unwrap_or_default().as_bytes());
}

fn flag(number: u32, value: &Value, out: &mut Vec<u8>) {
    push_tag(out, number, VARINT);
    out.push(u8::from(value.as_bool().unwrap_or_default()));
}

fn any(number: u32, value: &Value, out: &mut Vec<u8>) {
    push_message(out, number, |out| push_bytes(out, 2, format!("{value}\n").as_bytes()));
}

/// A parameter or a reference to one.
fn parameter(value: &Value, out: &mut Vec<u8>) {
    if let Some(target) = value.get("$ref") {
        return push_message(out, 2, |out| text(1, target, out));
    }
    let place = value["in"].as_str().unwrap_or_default();
    push_message(out, 1, |out| match place {
        "body" => push_message(out, 1, |out| message(&BODY, value, out)),
        "header" => inside(&[2, 1], &IN_PATH, value, out),
        "path" => inside(&[2, 4], &IN_PATH, value, out),
        _ => inside(&[2, 3], &QUERY, value, out),
    });
}

fn requirement(value: &Value, out: &mut Vec<u8>) {
    for (name, scopes) in value.as_object().into_iter().flatten() {
        push_message(out, 1, |out| {
            push_bytes(out, 1, name.as_bytes());
            push_message(out, 2, |out| scopes.as_array().into_iter().flatten().for_each(|v| text(1, v, out)));
        });
    }
}
