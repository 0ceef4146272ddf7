//! Bootstrap tokens: Secrets `bootstrap-token-<id>` in `kube-system`.
//!
//! # Upstream
//! `plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go`

use std::collections::BTreeMap;

/// The type of Secret that holds one.
pub const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";

/// Takes `abcdef.0123456789abcdef` apart into id and secret.
pub fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let word = |s: &str, n| s.len() == n && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (word(id, 6) && word(secret, 16)).then_some((id, secret))
}

/// Judges a token against its Secret's decoded data; gives the groups of `system:bootstrap:<id>`.
///
/// `now_after` says whether an RFC 3339 time is in the past. `None`: not valid for authentication.
pub fn groups(
    id: &str,
    secret: &str,
    kind: &str,
    data: &BTreeMap<String, String>,
    now_after: impl Fn(&str) -> bool,
) -> Option<Vec<String>> {
    let field = |name: &str| data.get(name).map(String::as_str);
    let right_secret = field("token-secret").is_some_and(|s| same(s.as_bytes(), secret.as_bytes()));
    if kind != SECRET_TYPE || !right_secret || field("token-id") != Some(id) {
        return None;
    }
    if field("expiration").is_some_and(|at| !at.is_empty() && now_after(at)) {
        return None;
    }
    if field("usage-bootstrap-authentication") != Some("true") {
        return None;
    }
    let extra =
        field("auth-extra-groups").unwrap_or_default().split(',').map(str::trim).filter(|g| !g.is_empty());
    let mut groups = vec!["system:bootstrappers".to_owned()];
    for group in extra {
        if !group.starts_with("system:bootstrappers:") {
            return None; // upstream refuses the whole token
        }
        groups.push(group.to_owned());
    }
    Some(groups)
}

/// Compares without telling by its time where the difference is.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let tag = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
    tag(a).as_ref() == tag(b).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_judged_by_their_secret() {
        assert_eq!(parse("abcdef.0123456789abcdef"), Some(("abcdef", "0123456789abcdef")));
        assert_eq!(parse("abcdef.0123456789ABCDEF"), None);
        let mut data: BTreeMap<String, String> = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
            ("auth-extra-groups", "system:bootstrappers:k3s"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
        let judge = |data: &_, past: bool| groups("abcdef", "0123456789abcdef", SECRET_TYPE, data, |_| past);
        let expected = vec!["system:bootstrappers".to_owned(), "system:bootstrappers:k3s".to_owned()];
        assert_eq!(judge(&data, true), Some(expected));
        data.insert("expiration".into(), "2020-01-01T00:00:00Z".into());
        assert_eq!(judge(&data, true), None);
        data.insert("token-secret".into(), "x".into());
        assert_eq!(judge(&data, false), None);
    }
}
