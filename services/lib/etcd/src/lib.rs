//! The etcd v3 protocol: generated messages, the `Kv` client, and what a server needs to speak it.
