//! One contract suite for every store: etcd first, then ours.
