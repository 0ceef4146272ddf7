//! The typed objects loops read, and one shared cache per kind of them.
//!
//! Every function that is different for each kind (decoding, encoding, following) is made here by a method without type
//! parameters, see [`Kind`]. Loops and their runtime only call them: else each crate of loops would compile the code of
//! all kinds again, which took minutes.

mod bare;
mod caches;
mod kind;
mod view;

pub use caches::{Caches, Follower, Note, Presence};
pub use kind::Kind;
pub use view::View;
