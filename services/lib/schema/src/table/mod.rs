//! The compact table: every type with its fields, as Go, protobuf and OpenAPI describe them.
//!
//! `types.txt` and `resources.txt` are written by `gen/` from upstream's own files and read once, on first use.
//! A table made at run time (from a CustomResourceDefinition) has the same form.

mod parse;
mod resources;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use meta::GroupVersionKind;

pub use resources::{Facts, SubFacts, Verb, groups, resources};

/// A type's place in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(u32);

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ty {
    /// A string.
    Str,
    /// A boolean.
    Bool,
    /// 32 bits signed.
    Int32,
    /// 64 bits signed.
    Int64,
    /// A float.
    Float,
    /// Bytes; base64 in JSON.
    Bytes,
    /// RFC 3339 to the second.
    Time,
    /// RFC 3339 to the microsecond.
    MicroTime,
    /// Go's duration text.
    Duration,
    /// A quantity in its canonical text.
    Quantity,
    /// An integer or a string.
    IntOrString,
    /// Any object, kept as it is.
    Raw,
    /// The field set of managed fields: any object, kept as it is.
    FieldsV1,
    /// Any JSON.
    Json,
    /// A list of strings that protobuf wraps in a message.
    Strings,
    /// A schema or a list of schemas.
    SchemaOrList,
    /// A schema or a boolean.
    SchemaOrBool,
    /// A schema or a list of strings.
    SchemaOrStrings,
    /// A list.
    List(Box<Ty>),
    /// A map from strings.
    Map(Box<Ty>),
    /// A struct of the same table.
    Struct(TypeId),
}

/// How items of a list, or entries of a map, belong together under server-side apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Topology {
    /// Not said: a list is atomic, a map or struct granular.
    #[default]
    Default,
    /// One value as a whole.
    Atomic,
    /// A list whose items are the values.
    Set,
    /// A list whose items are told apart by keys.
    Map,
    /// A map or struct whose entries are owned one by one.
    Granular,
}

/// One field.
#[derive(Debug, Clone, Default)]
pub struct Field {
    /// Its JSON name; empty when its struct is inlined.
    pub json: Cow<'static, str>,
    /// What it holds; `None` never in a finished table.
    pub ty: Option<Ty>,
    /// A Go pointer: absent and zero differ.
    pub pointer: bool,
    /// `omitempty`.
    pub omit_empty: bool,
    /// `omitzero`.
    pub omit_zero: bool,
    /// Its fields stand in the enclosing object's JSON.
    pub inline: bool,
    /// Its protobuf number; 0 for what protobuf does not carry here.
    pub number: u32,
    /// OpenAPI says required.
    pub required: bool,
    /// The default as JSON.
    pub default: Option<Cow<'static, str>>,
    /// Its list's or map's topology.
    pub topology: Topology,
    /// The keys of a `Map` list.
    pub keys: Vec<Cow<'static, str>>,
    /// Strategic merge: strategies (`merge`, `replace`, `retainKeys`).
    pub patch_strategy: Vec<Cow<'static, str>>,
    /// Strategic merge: the key of list items.
    pub merge_key: Cow<'static, str>,
    /// The values allowed, when it is an enumeration.
    pub values: Vec<Cow<'static, str>>,
    /// OpenAPI's format, where the type does not say it.
    pub format: Cow<'static, str>,
}

impl Field {
    /// What it holds.
    pub fn ty(&self) -> &Ty {
        self.ty.as_ref().expect("set by every maker of tables")
    }
}

/// One struct.
#[derive(Debug, Clone, Default)]
pub struct Type {
    /// Its OpenAPI name, `io.k8s.api.core.v1.Pod`.
    pub name: Cow<'static, str>,
    /// Its fields in Go's order.
    pub fields: Vec<Field>,
    /// `Atomic` when the struct is owned as a whole.
    pub topology: Topology,
    /// Its unions as OpenAPI's JSON, mostly empty.
    pub unions: Cow<'static, str>,
    /// Every JSON name with where its field is, inlined structs included; sorted by name.
    flat: Vec<(Cow<'static, str>, TypeId, u16)>,
    /// Indexes of fields with a number, by number.
    wire: Vec<u16>,
}

/// All types of one origin.
#[derive(Debug, Default)]
pub struct Table {
    types: Vec<Type>,
    by_name: HashMap<Cow<'static, str>, TypeId>,
}

static BUILTIN: LazyLock<Arc<Table>> = LazyLock::new(|| Arc::new(parse::builtin()));

impl Table {
    /// The table of the built-in kinds.
    pub fn builtin() -> &'static Arc<Table> {
        &BUILTIN
    }

    /// Makes a table of types whose `Ty::Struct`s refer to each other by position.
    pub fn new(types: Vec<Type>) -> Self {
        let by_name = types.iter().enumerate().map(|(i, t)| (t.name.clone(), TypeId(i as u32))).collect();
        let mut table = Self { types, by_name };
        for i in 0..table.types.len() {
            let mut flat = Vec::new();
            table.flatten(TypeId(i as u32), &mut flat);
            flat.sort_by(|a, b| a.0.cmp(&b.0));
            let kind = &mut table.types[i];
            kind.flat = flat;
            kind.wire =
                (0..kind.fields.len() as u16).filter(|f| kind.fields[*f as usize].number > 0).collect();
            let fields = &kind.fields;
            kind.wire.sort_by_key(|f| fields[*f as usize].number);
        }
        table
    }

    fn flatten(&self, id: TypeId, flat: &mut Vec<(Cow<'static, str>, TypeId, u16)>) {
        for (i, field) in self.get(id).fields.iter().enumerate() {
            match field.ty() {
                Ty::Struct(inner) if field.inline => self.flatten(*inner, flat),
                _ => flat.push((field.json.clone(), id, i as u16)),
            }
        }
    }

    /// A type.
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    /// A type by its OpenAPI name.
    pub fn find(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// The field a struct has under a JSON name, inlined structs included.
    pub fn field(&self, id: TypeId, json: &str) -> Option<&Field> {
        let flat = &self.get(id).flat;
        let at = flat.binary_search_by(|(name, ..)| name.as_ref().cmp(json)).ok()?;
        let (_, owner, i) = &flat[at];
        Some(&self.get(*owner).fields[*i as usize])
    }

    /// Every field of a struct by JSON name, inlined structs included.
    pub fn fields(&self, id: TypeId) -> impl Iterator<Item = &Field> {
        self.get(id).flat.iter().map(|(_, owner, i)| &self.get(*owner).fields[*i as usize])
    }

    /// The fields protobuf carries, by number.
    pub(crate) fn wire(&self, id: TypeId) -> impl DoubleEndedIterator<Item = &Field> {
        let kind = self.get(id);
        kind.wire.iter().map(|i| &kind.fields[*i as usize])
    }

    /// All types.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        self.types.iter().enumerate().map(|(i, t)| (TypeId(i as u32), t))
    }
}

/// The package of a group's built-in types in OpenAPI names.
fn package(group: &str) -> String {
    match group {
        "" => "io.k8s.api.core".into(),
        "apiextensions.k8s.io" => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions".into(),
        "apiregistration.k8s.io" => "io.k8s.kube-aggregator.pkg.apis.apiregistration".into(),
        "internal.apiserver.k8s.io" => "io.k8s.api.apiserverinternal".into(),
        "k3s.cattle.io" => "io.cattle.k3s".into(),
        "meta.k8s.io" => "io.k8s.apimachinery.pkg.apis.meta".into(),
        other => format!("io.k8s.api.{}", other.split('.').next().unwrap_or_default()),
    }
}

/// A struct with the table it belongs to: all that encodings, patches and validation need to know of an object.
#[derive(Debug, Clone)]
pub struct Schema {
    /// The table.
    pub table: Arc<Table>,
    /// The struct.
    pub id: TypeId,
}

impl Schema {
    /// The schema of a built-in kind. The shared kinds (`DeleteOptions`, `Status`, …) are found in every group.
    pub fn builtin(gvk: &GroupVersionKind) -> Option<Self> {
        let own = format!("{}.{}.{}", package(&gvk.group), gvk.version, gvk.kind);
        Self::named(&own).or_else(|| {
            let shared =
                ["DeleteOptions", "Status", "ListOptions", "GetOptions", "PatchOptions", "CreateOptions"];
            let shared = shared.contains(&gvk.kind.as_str());
            shared
                .then(|| Self::named(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{}", gvk.kind)))
                .flatten()
        })
    }

    /// The schema of a built-in type by its OpenAPI name.
    pub fn named(name: &str) -> Option<Self> {
        let table = Table::builtin();
        table.find(name).map(|id| Self { table: Arc::clone(table), id })
    }

    /// The struct itself.
    pub fn kind(&self) -> &Type {
        self.table.get(self.id)
    }

    /// The field under a JSON name.
    pub fn field(&self, json: &str) -> Option<&Field> {
        self.table.field(self.id, json)
    }

    /// The schema of a struct field's content, through lists and maps.
    pub fn of(&self, ty: &Ty) -> Option<Schema> {
        match ty {
            Ty::Struct(id) => Some(Schema { table: Arc::clone(&self.table), id: *id }),
            Ty::List(inner) | Ty::Map(inner) => self.of(inner),
            _ => None,
        }
    }
}
