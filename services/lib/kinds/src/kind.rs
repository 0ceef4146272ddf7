//! The shape of one kind's behaviour: a static of function pointers, so that a kind names only what differs.

use std::borrow::Cow;

use meta::field;
use schema::{Map, Object};

use crate::core::disabled;
use crate::tree::{same, text};
use crate::{Cell, Column, Context, Hooks, RowCondition};

/// Which changes bump `metadata.generation`.
#[derive(Clone, Copy)]
pub(crate) enum Generation {
    /// This kind has none.
    No,
    /// Changes below these top-level fields do.
    On(&'static [&'static str]),
    /// As decided by a function of new and old.
    By(fn(&Object, &Object) -> bool),
}

/// What a kind does differently. `PLAIN` is the kind that does nothing of its own.
pub(crate) struct Kind {
    pub(crate) default: fn(&str, &mut Map),
    pub(crate) convert: fn(&str, &str, &mut Object) -> Result<(), String>,
    pub(crate) create: fn(&Context<'_>, &mut Object),
    pub(crate) update: fn(&Context<'_>, &mut Object, &Object),
    pub(crate) generation: Generation,
    pub(crate) validate: fn(&Context<'_>, &Object) -> Vec<field::Error>,
    pub(crate) validate_update: fn(&Context<'_>, &Object, &Object) -> Vec<field::Error>,
    pub(crate) warnings: fn(&Object, Option<&Object>) -> Vec<String>,
    /// Warnings about a write of the status.
    pub(crate) status_warnings: fn(&Object) -> Vec<String>,
    /// Whether its own check of a change looks at the metadata once more: upstream then tells each problem twice.
    pub(crate) metadata_twice: bool,
    pub(crate) name: fn(&str, bool) -> Vec<String>,
    /// Field labels, all of them.
    pub(crate) labels: &'static [&'static str],
    /// The paths of those that are plain fields.
    pub(crate) fields: &'static [(&'static str, &'static [&'static str])],
    /// Field labels that are computed.
    pub(crate) field: fn(&Object, &str) -> Option<Cow<'static, str>>,
    pub(crate) columns: &'static [Column],
    pub(crate) row: fn(&Map) -> (Vec<Cell>, Option<RowCondition>),
    pub(crate) grace: fn(&Object, Option<i64>) -> Option<i64>,
}

/// A kind without behaviour of its own.
pub(crate) const PLAIN: Kind = Kind {
    default: |_, _| {},
    convert: |_, _, _| Ok(()),
    create: |_, _| {},
    update: |_, _, _| {},
    generation: Generation::No,
    validate: |_, _| Vec::new(),
    validate_update: |_, _, _| Vec::new(),
    warnings: |_, _| Vec::new(),
    status_warnings: |_| Vec::new(),
    metadata_twice: true,
    name: crate::names::dns_subdomain,
    labels: &[],
    fields: &[],
    field: |_, _| None,
    columns: &[],
    row: |_| (Vec::new(), None),
    grace: |_, _| None,
};

/// How the table of kinds hands a static kind to the generic machine.
pub(crate) struct Entry {
    pub(crate) kind: &'static Kind,
}

impl Hooks for Entry {
    fn default_versioned(&self, version: &str, object: &mut Object) {
        (self.kind.default)(version, object.root_mut());
    }

    fn convert(&self, from: &str, to: &str, object: &mut Object) -> Result<(), String> {
        (self.kind.convert)(from, to, object)
    }

    fn prepare_create(&self, cx: &Context<'_>, object: &mut Object) {
        match self.kind.generation {
            Generation::No => {
                object.metadata_mut().remove("generation");
            }
            _ => {
                object.metadata_mut().insert("generation", 1i64);
            }
        }
        (self.kind.create)(cx, object);
        disabled::drop(object, None);
    }

    fn prepare_update(&self, cx: &Context<'_>, object: &mut Object, old: &Object) {
        (self.kind.update)(cx, object, old);
        disabled::drop(object, Some(old));
    }

    fn spec_changed(&self, object: &Object, old: &Object) -> Option<bool> {
        let changed = |f: &&str| !same(object.root().get(f), old.root().get(f));
        match self.kind.generation {
            Generation::No => None,
            Generation::On(fields) => Some(fields.iter().any(changed)),
            Generation::By(decide) => Some(decide(object, old)),
        }
    }

    fn validate(&self, cx: &Context<'_>, object: &Object) -> Vec<field::Error> {
        (self.kind.validate)(cx, object)
    }

    fn validate_update(&self, cx: &Context<'_>, object: &Object, old: &Object) -> Vec<field::Error> {
        (self.kind.validate_update)(cx, object, old)
    }

    fn warnings(&self, cx: &Context<'_>, object: &Object, old: Option<&Object>) -> Vec<String> {
        match cx.subresource {
            "status" => (self.kind.status_warnings)(object),
            _ => (self.kind.warnings)(object, old),
        }
    }

    fn checks_metadata_again(&self) -> bool {
        self.kind.metadata_twice
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        (self.kind.name)(name, prefix)
    }

    fn field(&self, object: &Object, label: &str) -> Option<Cow<'static, str>> {
        if let Some(value) = (self.kind.field)(object, label) {
            return Some(value);
        }
        let (_, path) = self.kind.fields.iter().find(|(name, _)| *name == label)?;
        let (last, parents) = path.split_last()?;
        let owner = if parents.is_empty() { Some(object.root()) } else { object.map_at(parents) };
        Some(Cow::Owned(owner.map_or(String::new(), |m| text(m, last).to_owned())))
    }

    fn field_labels(&self) -> &'static [&'static str] {
        self.kind.labels
    }

    fn columns(&self) -> &'static [Column] {
        self.kind.columns
    }

    fn row(&self, object: &Object) -> (Vec<Cell>, Option<RowCondition>) {
        (self.kind.row)(object.root())
    }

    fn graceful_deletion(&self, object: &Object, asked: Option<i64>) -> Option<i64> {
        (self.kind.grace)(object, asked)
    }
}
