//! The hooks by which a kind differs from the generic machine.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use meta::field;
use schema::Object;

/// Which write is under way, on the object itself or on one of its subresources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// POST.
    Create,
    /// PUT, PATCH or apply of an existing object.
    Update,
}

/// What a hook may know besides the objects. Hooks are pure: no I/O, no clock of their own.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The request's time.
    pub now: jiff::Timestamp,
    /// The user's name, empty for the server itself.
    pub user: &'a str,
    /// The user's uid, empty if none is known.
    pub uid: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
    /// What else the authenticator said of the user.
    pub extra: &'a std::collections::BTreeMap<String, Vec<String>>,
    /// The subresource written through: empty for the object, else `status`, `scale`, `resize`, ….
    pub subresource: &'a str,
    /// The group the request used.
    pub group: &'a str,
    /// The served version the request used.
    pub version: &'a str,
    /// What the client is warned of while its object is made ready; later there is `Hooks::warnings`.
    pub warnings: &'a Mutex<Vec<String>>,
}

impl Context<'_> {
    /// Adds a warning.
    pub(crate) fn warn(&self, text: String) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

/// A column of the Table that `kubectl get` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its heading as on the wire (`Name`, `Ready`).
    pub name: &'static str,
    /// `string`, `integer`, `date`, `boolean`.
    pub kind: &'static str,
    /// `name` for the first column, else mostly empty.
    pub format: &'static str,
    /// 0 always shown, 1 with `-o wide`.
    pub priority: i32,
    /// Help text.
    pub description: Description,
}

/// Where a column's help text is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Description {
    /// It is the column's own.
    Text(&'static str),
    /// It is that of a type's field: the type's OpenAPI name and the field's JSON name.
    Field(&'static str, &'static str),
}

/// A cell of a Table row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A number.
    Int(i64),
    /// A yes or no.
    Bool(bool),
    /// A time whose age is printed when the response is written (rows are cached, ages are not).
    Age(Option<jiff::Timestamp>),
    /// Text with a time whose age follows: `2 (5m ago)`.
    Since {
        /// What stands before.
        text: String,
        /// The time.
        since: jiff::Timestamp,
    },
}

/// How a kind differs from the generic machine. Every method has the generic answer as its default.
///
/// Objects are in the storage version, except in `default_versioned` and `convert`.
pub trait Hooks: Send + Sync {
    /// Fills defaults of an object in the served version `version`.
    fn default_versioned(&self, _version: &str, _object: &mut Object) {}

    /// Turns an object of one served version into another (`from` ≠ `to`); errors are shown to the client.
    fn convert(&self, from: &str, to: &str, _object: &mut Object) -> Result<(), String> {
        Err(format!("no conversion from {from} to {to}"))
    }

    /// Makes a decoded new object ready: clears what the client may not set, fills what the server sets.
    fn prepare_create(&self, _cx: &Context<'_>, _object: &mut Object) {}

    /// Makes an update ready: keeps from `old` what this endpoint may not change. `status` resets of the main
    /// resource and spec resets of `/status` are generic (per-endpoint field resets are in the table).
    fn prepare_update(&self, _cx: &Context<'_>, _object: &mut Object, _old: &Object) {}

    /// Whether the change bumps `metadata.generation`. `None`: this kind has no generation.
    fn spec_changed(&self, _object: &Object, _old: &Object) -> Option<bool> {
        None
    }

    /// Checks a new object; metadata is checked generically before.
    fn validate(&self, _cx: &Context<'_>, _object: &Object) -> Vec<field::Error> {
        Vec::new()
    }

    /// Checks an update, after `prepare_update`. Called with `cx.subresource` set for subresource writes.
    fn validate_update(&self, _cx: &Context<'_>, _object: &Object, _old: &Object) -> Vec<field::Error> {
        Vec::new()
    }

    /// Warnings for the client, on create (`old` is `None`) and update.
    fn warnings(&self, _cx: &Context<'_>, _object: &Object, _old: Option<&Object>) -> Vec<String> {
        Vec::new()
    }

    /// Whether the kind's own check of a change repeats that of its metadata, so that clients read each problem twice.
    fn checks_metadata_again(&self) -> bool {
        true
    }

    /// How the name is checked: DNS subdomain unless said otherwise. Returns the problems.
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        crate::names::dns_subdomain(name, prefix)
    }

    /// The value of a field label (besides `metadata.name` and `metadata.namespace`), `None` if unsupported.
    /// The labels themselves are listed by `field_labels`.
    fn field(&self, _object: &Object, _label: &str) -> Option<Cow<'static, str>> {
        None
    }

    /// The field labels this kind can be selected by.
    fn field_labels(&self) -> &'static [&'static str] {
        &[]
    }

    /// The Table's columns; empty means the default ones (Name, Created At).
    fn columns(&self) -> &'static [Column] {
        &[]
    }

    /// The cells of one row, as many as `columns`, and whether the row carries the Completed condition.
    fn row(&self, _object: &Object) -> (Vec<Cell>, Option<RowCondition>) {
        (Vec::new(), None)
    }

    /// The grace period of a deletion in seconds, given what was asked; `None`: this kind is deleted at once.
    fn graceful_deletion(&self, _object: &Object, _asked: Option<i64>) -> Option<i64> {
        None
    }
}

/// `Completed`: a row that stands for a finished object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowCondition {
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub message: &'static str,
}
