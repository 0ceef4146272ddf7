//! From k3s's configuration to a machine whose daemons can start.
