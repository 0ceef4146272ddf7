//! A pod compiled by the plugins into terms over the columns.
//!
//! Pods of one class share a [`Template`]: what a plugin says of one node alone is kept by slot until the node's version
//! changes; what it counts over nodes follows the log. Placing the next pod of the class then costs a look at the few
//! nodes that changed, and one pass over as many nodes as are wanted. What differs from pod to pod (volumes, the one node
//! a DaemonSet's pod is for) is in [`Own`].

mod causes;
mod own;
mod ranks;
mod template;

pub(crate) use own::{Own, Rejection};
pub(crate) use ranks::Window;
pub(crate) use template::{Look, Template};

use std::collections::HashMap;

use crate::config::Profile;
use crate::model::Class;
use crate::state::{State, World};

/// Templates kept; the one not used for longest goes.
const KEPT: usize = 32;

/// The templates of one profile.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    by_class: HashMap<u64, (u64, Template)>,
    clock: u64,
}

impl Templates {
    /// The template of a class, brought up to date.
    pub(crate) fn of(
        &mut self,
        class: &std::sync::Arc<Class>,
        profile: &Profile,
        state: &mut State,
        world: &World,
    ) -> &mut Template {
        self.clock += 1;
        if self.by_class.len() >= KEPT && !self.by_class.contains_key(&class.id) {
            let oldest = self.by_class.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id);
            oldest.and_then(|id| self.by_class.remove(&id));
        }
        let clock = self.clock;
        let new = || (clock, Template::new(class, profile, state, world));
        let (used, template) = self.by_class.entry(class.id).or_insert_with(new);
        *used = clock;
        if template.is_outdated(world) {
            *template = Template::new(class, profile, state, world);
        }
        template.catch_up(profile, state, world);
        template
    }
}
