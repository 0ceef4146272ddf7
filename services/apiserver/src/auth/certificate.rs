//! Client certificates: the subject's common name is the user, its organizations are the groups.

use super::{Authenticator, BoxFuture, Credentials, User};
use crate::errors::{self, Result};

/// Judges client certificates by a bundle of authorities.
pub struct Certificates {
    ca: web::ClientCa,
}

impl Certificates {
    /// Trusts the authorities of a file, which is followed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(file: &std::path::Path) -> std::result::Result<Self, web::TlsError> {
        Ok(Self { ca: web::ClientCa::from_file(file)? })
    }
}

impl Authenticator for Certificates {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials<'a>) -> BoxFuture<'a, Result<Option<User>>> {
        let verified = match credentials.peer.certificates.as_slice() {
            [] => Ok(None),
            chain => self.ca.verify(chain).map(Some),
        };
        let answer = match verified {
            Ok(None) => Ok(None),
            Ok(Some(identity)) => {
                let credential = vec![format!("X509SHA256={}", identity.fingerprint)];
                Ok(Some(User {
                    name: identity.common_name,
                    groups: identity.organizations,
                    extra: [("authentication.kubernetes.io/credential-id".to_owned(), credential)].into(),
                    ..User::default()
                }))
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a client certificate was refused");
                Err(errors::unauthorized())
            }
        };
        Box::pin(std::future::ready(answer))
    }
}
