//! How many requests are worked on at once.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/server/filters/maxinflight.go` `WithMaxInFlightLimit`

use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderValue, Response, StatusCode, header};
use web::Body;

use super::response;
use crate::auth::User;
use crate::request::RequestInfo;

/// Two budgets: requests that read, and requests that write. Watches and streams are in neither.
#[derive(Debug)]
pub struct InFlight {
    reading: Budget,
    writing: Budget,
}

#[derive(Debug)]
struct Budget {
    most: usize,
    now: AtomicUsize,
}

/// A place taken; given back when dropped.
#[derive(Debug)]
pub struct Place<'a>(Option<&'a Budget>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0 {
            budget.now.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl InFlight {
    /// So many of each; zero is no limit.
    pub fn new(reading: usize, writing: usize) -> Self {
        let budget = |most| Budget { most, now: AtomicUsize::new(0) };
        Self { reading: budget(reading), writing: budget(writing) }
    }

    /// Takes a place; `None` when all are taken.
    pub fn enter(&self, user: &User, info: &RequestInfo) -> Option<Place<'_>> {
        let reads = matches!(info.verb, "get" | "list" | "watch");
        let budget = if reads { &self.reading } else { &self.writing };
        if info.long_running() || budget.most == 0 {
            return Some(Place(None));
        }
        let before = budget.now.fetch_add(1, Ordering::Relaxed);
        let place = Place(Some(budget));
        // who must be able to repair a busy server is let in
        (before < budget.most || user.in_group("system:masters")).then_some(place)
    }
}

/// The answer to a request that finds no place.
pub fn too_many() -> Response<Body> {
    let body = "Too many requests, please try again later.\n";
    let mut answer = response::text(StatusCode::TOO_MANY_REQUESTS, body);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let limits = InFlight::new(1, 0);
        let (user, reads) = (User::anonymous(), RequestInfo { verb: "get", ..RequestInfo::default() });
        let first = limits.enter(&user, &reads);
        assert!(first.is_some());
        assert!(limits.enter(&user, &reads).is_none());
        assert!(limits.enter(&User::server(), &reads).is_some());
        drop(first);
        assert!(limits.enter(&user, &reads).is_some());
        let writes = RequestInfo { verb: "create", ..RequestInfo::default() };
        assert!(limits.enter(&user, &writes).is_some());
    }
}
