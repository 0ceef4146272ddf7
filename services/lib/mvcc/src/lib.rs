//! The revisioned key-value engine: a pure core over one seam, `trait Log`.
