//! The repository's rules as tests; see `tests/tidy/main.rs`.
