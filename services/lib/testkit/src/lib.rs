//! For tests only: temporary stores, servers and clocks.
