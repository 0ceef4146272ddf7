//! What the runtime is told: sandboxes, containers, images, environment, logs.

pub mod container;
pub mod dns;
pub mod env;
pub mod expand;
pub mod hosts;
pub mod images;
pub mod labels;
pub mod logs;
pub mod resources;
pub mod sandbox;
pub mod security;
pub mod userns;
