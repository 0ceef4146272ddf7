//! What every main does: settings, logging, metrics, health, D-Bus presence, drain.
