//! The plan/apply runtime: caches, queues, retries, expectations, leader checks, once for every loop.
