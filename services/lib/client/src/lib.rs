//! A thin Kubernetes client: connection, list and watch, patch, and caches of projections.
