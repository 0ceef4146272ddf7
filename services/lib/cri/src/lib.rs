//! The container runtime interface, v1: generated messages and a client.
