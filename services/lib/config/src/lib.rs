//! k3s's configuration: one typed struct from files, flags and environment.
