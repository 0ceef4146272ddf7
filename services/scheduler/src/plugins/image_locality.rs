//! A node that has the images is better, unless few have them.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/imagelocality/image_locality.go`

use super::MAX_SCORE;
use crate::model::{Class, Node};
use crate::state::Columns;

const MIB: i64 = 1024 * 1024;
const LEAST: i64 = 23 * MIB;
const MOST_PER_CONTAINER: i64 = 1000 * MIB;

/// How many bytes the node need not pull, more or less.
pub fn score(class: &Class, nodes: &Columns, node: &Node) -> i64 {
    let total = nodes.order().len() as f64;
    let worth = |hash: &u64| {
        let size = node.image_size(*hash)?;
        let spread = f64::from(nodes.nodes_with_image(*hash)) / total;
        Some((size as f64 * spread) as i64)
    };
    let sum: i64 = class.images.iter().filter_map(worth).sum();
    let most = MOST_PER_CONTAINER * class.containers.max(1) as i64;
    MAX_SCORE * (sum.clamp(LEAST, most) - LEAST) / (most - LEAST)
}
