//! How long things take, in upstream's buckets.
//!
//! # Upstream
//! `pkg/kubelet/metrics/metrics.go`

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Seconds by which starts of pods are told apart.
const STARTS: &[f64] = &[
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0,
    480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];

/// Durations counted by how long they are.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// For each bound how many are no longer, the number of all, and their sum.
    counted: Mutex<(Vec<u64>, u64, f64)>,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counted: Mutex::new((vec![0; bounds.len()], 0, 0.0)) }
    }

    /// One more.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for (bound, within) in self.bounds.iter().zip(&mut counted.0) {
            *within += u64::from(seconds <= *bound);
        }
        counted.1 += 1;
        counted.2 += seconds;
    }

    /// Each bound with how many are no longer; how many there are; how long all of them took.
    pub fn read(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        (self.bounds.iter().copied().zip(counted.0.iter().copied()).collect(), counted.1, counted.2)
    }
}

/// What is measured.
#[derive(Debug)]
pub struct Measures {
    /// One look at a pod that is to run.
    pub sync: Histogram,
    /// One look at a pod that is to end.
    pub terminate: Histogram,
    /// From a pod first seen until all its containers run.
    pub start: Histogram,
}

impl Default for Measures {
    fn default() -> Self {
        let bounds = &cri::BOUNDS;
        Self {
            sync: Histogram::new(bounds),
            terminate: Histogram::new(bounds),
            start: Histogram::new(STARTS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_up() {
        let histogram = Histogram::new(&[0.5, 1.0]);
        for milliseconds in [100, 500, 700, 2000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let (buckets, count, sum) = histogram.read();
        assert_eq!((buckets, count), (vec![(0.5, 2), (1.0, 3)], 4));
        assert!((sum - 3.3).abs() < 1e-9);
    }
}
