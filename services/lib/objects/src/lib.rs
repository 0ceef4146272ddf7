//! The typed objects loops read, and one shared cache per kind of them.
//!
//! Every function that is different for each kind (decoding, encoding, following) is made here by a method without type
//! parameters, see [`Kind`]. Loops and their runtime only call them: else each crate of loops would compile the code of
//! all kinds again, which took minutes.

mod bare;
mod caches;
mod kind;
mod pod;
mod share;
mod view;

pub use caches::{Caches, Follower, Note, Presence};
pub use kind::{Body, Kind};
pub use pod::{
    Affinity, Condition, Conditions, Container, ContainerStatus, Ephemeral, Moment, NamedSecret, Pod,
    PodSpec, Terminated, Volume,
};
pub use share::{Owners, Pairs, Part, Word, owners, word};
pub use view::View;
