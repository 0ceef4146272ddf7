//! What can go wrong with the kernel.

/// Why the kernel did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket cannot be opened, written or read.
    #[error("netlink socket: {what}")]
    Socket {
        /// The step.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel refused a message.
    #[error("kernel refused message {index}")]
    Refused {
        /// Which message of the batch, from 0.
        index: u32,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel's answer cannot be read.
    #[error("kernel's answer is malformed")]
    Malformed,
    /// A request about links, routes or neighbours failed.
    #[error("{what}")]
    Route {
        /// The step.
        what: &'static str,
        /// Why.
        source: rtnetlink::Error,
    },
    /// A device is not there.
    #[error("no network device {0:?}")]
    NoDevice(String),
}

impl Error {
    /// Whether the thing asked about does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.raw_os_error() == Some(nix::libc::ENOENT))
    }
}
