//! How many pods each replica set shall have.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use reconcile::{Error, Event, Kind};

use super::history::{DESIRED, MAX};
use super::{Rollout, available, replicas};
use crate::common::{created, scaled};

impl Rollout<'_> {
    fn is_rolling(&self) -> bool {
        let strategy = self.spec.strategy.as_ref();
        strategy.and_then(|s| s.type_.as_deref()).is_none_or(|t| t == "RollingUpdate")
    }

    /// Surge and unavailable, both in pods.
    ///
    /// # Upstream
    /// `pkg/controller/deployment/util.ResolveFenceposts`
    fn fenceposts(&self) -> (i32, i32) {
        let rolling = self.spec.strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
        let quarter = IntOrString::String("25%".into());
        let surge = rolling.and_then(|r| r.max_surge.as_ref()).unwrap_or(&quarter);
        let unavailable = rolling.and_then(|r| r.max_unavailable.as_ref()).unwrap_or(&quarter);
        let surge = scaled(surge, self.desired(), true).unwrap_or(0);
        let unavailable = scaled(unavailable, self.desired(), false).unwrap_or(0);
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    pub(super) fn max_surge(&self) -> i32 {
        if self.is_rolling() { self.fenceposts().0 } else { 0 }
    }

    pub(super) fn max_unavailable(&self) -> i32 {
        if !self.is_rolling() || self.desired() == 0 {
            return 0;
        }
        self.fenceposts().1.min(self.desired())
    }

    /// Whether a set still carries another number of desired replicas than the deployment: it is being scaled.
    pub(super) fn is_scaling(&self) -> bool {
        self.all_sets().filter(|s| replicas(s) > 0).any(|s| {
            let desired: Option<i32> = s.annotation(DESIRED).and_then(|d| d.parse().ok());
            desired.is_some_and(|d| d != self.desired())
        })
    }

    pub(super) fn annotate_scale(&self, set: &mut ReplicaSet) -> bool {
        let (desired, max) = (self.desired().to_string(), (self.desired() + self.max_surge()).to_string());
        let annotations = set.metadata.annotations.get_or_insert_default();
        let before = (annotations.get(DESIRED).cloned(), annotations.get(MAX).cloned());
        annotations.insert(DESIRED.into(), desired.clone());
        annotations.insert(MAX.into(), max.clone());
        before != (Some(desired), Some(max))
    }

    /// Sets a set's size, in addition to what the plan changes of it already.
    pub(super) fn scale(&mut self, set: &ReplicaSet, to: i32) -> Result<(), Error> {
        let from = replicas(set);
        let mut next = set.clone();
        if let Some(spec) = &mut next.spec {
            spec.replicas = Some(to);
        }
        self.annotate_scale(&mut next);
        // the current set may have been annotated in this plan: one patch with one precondition says both
        self.plan.writes.retain(|w| w.key != set.key() || w.resource.plural != "replicasets");
        if self.new_set.is_some_and(|n| n.uid() == set.uid()) {
            let revision = self.newest_revision() + 1;
            self.annotate(&mut next, Some(revision));
        }
        if self.plan.update(set, &next)? && from != to {
            let direction = if to > from { "up" } else { "down" };
            let message = format!("Scaled {direction} replica set {} from {from} to {to}", set.name());
            if let Some(write) = self.plan.writes.last_mut() {
                write.on_ok = Some(Event::normal(self.old, "ScalingReplicaSet", message));
            }
        }
        Ok(())
    }

    /// How large the new set may be now.
    ///
    /// # Upstream
    /// `pkg/controller/deployment/util.NewRSNewReplicas`
    pub(super) fn room_for_new(&self, have: i32) -> i32 {
        if !self.is_rolling() {
            return self.desired();
        }
        let total: i32 = self.all_sets().map(|s| replicas(s)).sum();
        let most = self.desired() + self.max_surge();
        if total >= most {
            return have;
        }
        have + (most - total).min(self.desired() - have)
    }

    /// Takes pods from old sets as far as availability allows; whether it took any.
    ///
    /// # Upstream
    /// `pkg/controller/deployment/rolling.go` `reconcileOldReplicaSets`
    pub(super) fn shrink_old(&mut self) -> Result<bool, Error> {
        let old: i32 = self.old_sets.iter().map(|s| replicas(s)).sum();
        let Some(new_set) = self.new_set else { return Ok(false) };
        if old == 0 {
            return Ok(false);
        }
        let total: i32 = self.all_sets().map(|s| replicas(s)).sum();
        let least = self.desired() - self.max_unavailable();
        let new_unavailable = replicas(new_set) - available(new_set);
        let budget = total - least - new_unavailable;
        if budget <= 0 {
            return Ok(false);
        }
        let mut sizes: Vec<(usize, i32)> = self.old_sets.iter().map(|s| replicas(s)).enumerate().collect();
        // first what does not work anyway, then working pods beyond the least
        let mut left = budget;
        for (i, size) in &mut sizes {
            let broken = (*size - available(self.old_sets[*i])).max(0).min(left);
            *size -= broken;
            left -= broken;
        }
        let all_available: i32 = self.all_sets().map(|s| available(s)).sum();
        let mut spare = (all_available - least).max(0);
        for (_, size) in &mut sizes {
            let taken = (*size).min(spare);
            *size -= taken;
            spare -= taken;
        }
        let mut any = false;
        for (i, size) in sizes {
            let set = self.old_sets[i];
            if replicas(set) != size {
                self.scale(set, size)?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Spreads a change of size over the sets in proportion.
    ///
    /// # Upstream
    /// `pkg/controller/deployment/sync.go` `scale`
    pub(super) fn scale_proportionally(&mut self) -> Result<(), Error> {
        let active: Vec<_> = self.all_sets().filter(|s| replicas(s) > 0).collect();
        let only = match active.as_slice() {
            [] => self.new_set.or(self.old_sets.last().copied()),
            [one] => Some(*one),
            _ => None,
        };
        if let Some(set) = only {
            if replicas(set) != self.desired() || (replicas(set) > 0 && self.is_scaling()) {
                self.scale(set, self.desired())?;
            }
            return Ok(());
        }
        if let Some(set) =
            self.new_set.filter(|s| replicas(s) == self.desired() && available(s) == self.desired())
        {
            let old: Vec<_> = self.old_sets.iter().copied().filter(|s| replicas(s) > 0).collect();
            for set in old {
                self.scale(set, 0)?;
            }
            if self.is_scaling() {
                self.scale(set, self.desired())?;
            }
            return Ok(());
        }
        if !self.is_rolling() {
            return Ok(());
        }
        let total: i32 = active.iter().map(|s| replicas(s)).sum();
        let most = if self.desired() > 0 { self.desired() + self.max_surge() } else { 0 };
        let to_add = most - total;
        let mut sets = active;
        sets.sort_by_key(|s| {
            let age = created(s.as_ref());
            // growing prefers the newer of equal ones, shrinking the older
            (std::cmp::Reverse(replicas(s)), if to_add > 0 { -age.as_second() } else { age.as_second() })
        });
        let mut added = 0;
        let mut sizes = Vec::new();
        for set in &sets {
            let share = if to_add == 0 { 0 } else { self.share(set, to_add, added) };
            added += share;
            sizes.push(replicas(set) + share);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (set, size) in sets.into_iter().zip(sizes) {
            self.scale(set, size)?;
        }
        Ok(())
    }

    /// # Upstream
    /// `pkg/controller/deployment/util.GetReplicaSetProportion`
    fn share(&self, set: &ReplicaSet, to_add: i32, added: i32) -> i32 {
        let allowed = to_add - added;
        let fraction = if self.desired() == 0 {
            -replicas(set)
        } else {
            let most = f64::from(self.desired() + self.max_surge());
            let before: Option<f64> = set.annotation(MAX).and_then(|m| m.parse().ok()).filter(|m| *m > 0.0);
            let current: f64 = self.old.status.as_ref().and_then(|s| s.replicas).unwrap_or(0).into();
            let size = f64::from(replicas(set));
            (size * most / before.unwrap_or(current.max(1.0))).round() as i32 - replicas(set)
        };
        if to_add > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
    }
}
