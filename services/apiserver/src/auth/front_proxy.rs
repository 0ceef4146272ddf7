//! The front proxy: a client with its certificate says by header whom it speaks for.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/authentication/request/headerrequest/requestheader.go`

use std::collections::BTreeMap;
use std::path::Path;

use super::{Authenticator, BoxFuture, Credentials, User};
use crate::errors::{self, Result};
use crate::request::info::percent_decode;

const USER: &str = "x-remote-user";
const UID: &str = "x-remote-uid";
const GROUP: &str = "x-remote-group";
const EXTRA: &str = "x-remote-extra-";

/// Believes the headers of clients that have the front proxy's certificate.
pub struct FrontProxy {
    ca: web::ClientCa,
    names: Vec<String>,
}

impl FrontProxy {
    /// Trusts the authorities of a file, which is followed; `names` empty takes any name they vouch for.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(file: &Path, names: Vec<String>) -> std::result::Result<Self, web::TlsError> {
        Ok(Self { ca: web::ClientCa::from_file(file)?, names })
    }

    fn identify(&self, credentials: &Credentials<'_>) -> Result<Option<User>> {
        let chain = credentials.peer.certificates.as_slice();
        let named = values(credentials.headers, USER).into_iter().next();
        let Some(name) = named.filter(|_| !chain.is_empty()) else { return Ok(None) };
        // another authority's certificate is for another authenticator to judge
        let Ok(proxy) = self.ca.verify(chain) else { return Ok(None) };
        if !self.names.is_empty() && !self.names.contains(&proxy.common_name) {
            tracing::debug!(name = proxy.common_name, "a front proxy of this name is not allowed");
            return Err(errors::unauthorized());
        }
        Ok(Some(User {
            name,
            uid: values(credentials.headers, UID).into_iter().next().unwrap_or_default(),
            groups: values(credentials.headers, GROUP),
            extra: extra(credentials.headers),
        }))
    }
}

fn values(headers: &http::HeaderMap, name: &str) -> Vec<String> {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

fn extra(headers: &http::HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if let (Some(key), Ok(text)) = (name.as_str().strip_prefix(EXTRA), value.to_str()) {
            found.entry(percent_decode(key, false)).or_default().push(text.to_owned());
        }
    }
    found
}

/// Takes away what only a front proxy may say, before a request is passed on.
pub fn clear(headers: &mut http::HeaderMap) {
    for name in [USER, UID, GROUP] {
        headers.remove(name);
    }
    let extra: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(EXTRA)).cloned().collect();
    for name in extra {
        headers.remove(name);
    }
}

impl Authenticator for FrontProxy {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials<'a>) -> BoxFuture<'a, Result<Option<User>>> {
        Box::pin(std::future::ready(self.identify(credentials)))
    }
}
