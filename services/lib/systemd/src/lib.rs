//! What a daemon needs of systemd: readiness, watchdog, sockets handed over, credentials, the journal.
