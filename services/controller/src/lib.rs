//! The controllers of the control plane, each a pure plan.
