//! The rules for object names; `prefix` means a trailing dash is taken as part of a generated name.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/api/validation/generic.go`

use std::borrow::Cow;

use meta::content;

pub use meta::content::{label_value, qualified_name};

/// Problems of `name` as a DNS subdomain.
pub fn dns_subdomain(name: &str, prefix: bool) -> Vec<String> {
    content::dns1123_subdomain(&masked(name, prefix))
}

/// Problems of `name` as a DNS label.
pub fn dns_label(name: &str, prefix: bool) -> Vec<String> {
    content::dns1123_label(&masked(name, prefix))
}

/// Problems of `name` as a DNS label that starts with a letter.
pub fn dns1035_label(name: &str, prefix: bool) -> Vec<String> {
    content::dns1035_label(&masked(name, prefix))
}

/// Problems of `name` as one segment of a path.
pub fn path_segment(name: &str, prefix: bool) -> Vec<String> {
    content::path_segment(name, prefix)
}

/// Problems of `name` as a CRD's or APIService's; their validation checks more.
pub fn any(_name: &str, _prefix: bool) -> Vec<String> {
    Vec::new()
}

/// Problems of `name` as an IP address in its canonical form.
///
/// # Upstream
/// `pkg/apis/networking/validation/validation.go` `ValidateIPAddressName`
pub fn ip_address(name: &str, _prefix: bool) -> Vec<String> {
    match name.parse::<std::net::IpAddr>() {
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
        Ok(address) if address.to_string() != name => {
            vec![format!("must be in canonical form ({:?})", address.to_string())]
        }
        Ok(_) => Vec::new(),
    }
}

fn masked(name: &str, prefix: bool) -> Cow<'_, str> {
    if prefix && name.len() > 1 && name.ends_with('-') && name.is_ascii() {
        return Cow::Owned(format!("{}a", &name[..name.len() - 2]));
    }
    Cow::Borrowed(name)
}
