//! The etcd v3 API over SQLite, PostgreSQL or MySQL.
