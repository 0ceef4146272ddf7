//! The etcd v3 protocol: generated messages and services, and the [`Kv`] client the API server uses.
//!
//! [`Kv`] is a cheap handle over one HTTP/2 connection that is made when needed and made again when lost. Its calls
//! are Kubernetes' own transactions (create, update if, delete if), so that a caller never writes compares by hand.
//! The generated code is in [`rpc`] and [`mvccpb`]; `generator/` writes it anew.

mod channel;
mod endpoint;
mod error;
#[expect(missing_docs, reason = "generated; the protocol's own documentation applies")]
mod generated;
mod kv;
mod watch;

pub use channel::Channel;
pub use endpoint::{Endpoint, EndpointError};
pub use error::Error;
pub use generated::{etcdserverpb as rpc, mvccpb};
pub use kv::{Kv, Outcome, Page, Range};
pub use mvccpb::KeyValue;
pub use watch::{Watch, WatchEvent, WatchMessage, WatchOptions};

/// The end of the range of all keys that begin with `prefix`, as etcd counts it: the last byte below 0xff counted
/// up, what follows it cut off; `\0` (every key) when there is none.
///
/// # Upstream
/// `go.etcd.io/etcd/client/v3/op.go` `GetPrefixRangeEnd`
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    #[test]
    fn prefix_ends() {
        let cases: [(&[u8], &[u8]); 5] =
            [(b"/a/", b"/a0"), (b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"", b"\0")];
        for (prefix, end) in cases {
            assert_eq!(super::prefix_end(prefix), end, "{prefix:?}");
        }
    }
}
