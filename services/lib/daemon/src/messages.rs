//! Ids of what every daemon says about itself: `journalctl -x` explains them, `journalctl MESSAGE_ID=…` finds them.
//!
//! The explanations are in `units/k3s-rs.catalog`. An id is never used for anything else again.

/// The daemon serves.
pub(crate) const READY: &str = "3b5fd5df9a1e4e5bb0a2eae00aedad68";
/// The daemon ended with an error.
pub(crate) const STOPPED_BY_ERROR: &str = "ed963525ba3f4101a3f639ec885a7d5d";
/// The daemon's own round trip failed, so that the watchdog is not fed.
pub(crate) const UNHEALTHY: &str = "3fbb109f6a704969bae842a6bdf0d057";
/// The daemon was told to stop and had not finished when its time was over.
pub(crate) const CUT_OFF: &str = "2d29f0ca6e9948049d72fc08f35a0b33";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_id_is_explained_once() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../units/k3s-rs.catalog");
        let text = std::fs::read_to_string(file).unwrap();
        let explained: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        let known = BTreeSet::from([READY, STOPPED_BY_ERROR, UNHEALTHY, CUT_OFF]);
        assert_eq!(known, explained.iter().copied().collect());
        assert_eq!((4, 4), (known.len(), explained.len()));
    }
}
