//! Who asks the supervisor: a node by its certificate, or whoever has a join token.
//!
//! # Upstream
//! k3s `pkg/server/auth/auth.go` `HasRole`, `pkg/authenticator/passwordfile`

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use web::{ClientCa, Peer, Reloading};

use super::Settings;
use crate::auth::User;
use crate::errors::{self, Error, Result};
use crate::server::Server;

/// Groups agents are in: by the agents' token, by a node's certificate, by a bootstrap token.
pub(super) const AGENT_GROUPS: [&str; 4] =
    ["k3s:agent", "k3s:server", "system:nodes", "system:bootstrappers:k3s:default-node-token"];

struct Account {
    user: String,
    password: String,
    groups: Vec<String>,
}

/// Reads and judges.
pub(super) struct Accounts {
    passwords: Reloading<Vec<Account>, std::io::Error>,
    nodes: ClientCa,
}

/// 403 that is about no resource of the API.
pub(super) fn forbidden(why: &str) -> Error {
    errors::forbidden(&meta::GroupResource { group: String::new(), resource: String::new() }, "", why)
}

impl Accounts {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let file = settings.passwd_file.clone();
        let passwords =
            Reloading::new(vec![file.clone()], move || std::fs::read_to_string(&file).map(|t| parse(&t)))?;
        Ok(Self { passwords, nodes: ClientCa::from_file(&settings.client_ca_file)? })
    }

    /// Finds out; a certificate that counts no more is as none, so that a token may be shown beside it.
    pub(super) async fn authenticate(
        &self,
        server: &Server,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<Option<User>> {
        if !peer.certificates.is_empty()
            && let Ok(identity) = self.nodes.verify(&peer.certificates)
            && identity.organizations.iter().any(|o| o == "system:nodes")
        {
            return Ok(Some(User {
                name: identity.common_name,
                groups: identity.organizations,
                ..User::default()
            }));
        }
        let Some(value) = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()) else {
            return Ok(None);
        };
        match value.split_once(' ') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => Ok(self.basic(rest.trim())),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => {
                bootstrap(server, rest.trim()).await
            }
            _ => Ok(None),
        }
    }

    fn basic(&self, encoded: &str) -> Option<User> {
        let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?; // not what Basic is
        let (user, password) = decoded.split_once(':')?;
        let accounts = self.passwords.current();
        let same = |a: &Account| {
            a.user == user && auth::bootstrap_token::same(a.password.as_bytes(), password.as_bytes())
        };
        let account = accounts.iter().find(|a| same(a))?;
        Some(User { name: user.to_owned(), groups: account.groups.clone(), ..User::default() })
    }
}

/// A token of a Secret `bootstrap-token-<id>`.
async fn bootstrap(server: &Server, token: &str) -> Result<Option<User>> {
    let Some((id, secret)) = auth::bootstrap_token::parse(token) else { return Ok(None) };
    let Some(object) = server.read("", "secrets", "kube-system", &format!("bootstrap-token-{id}")).await?
    else {
        return Ok(None);
    };
    let endpoint = server.endpoint("", "secrets")?;
    let object: serde_json::Value =
        serde_json::from_slice(&endpoint.schema.encode_json(&object)).map_err(errors::internal)?;
    let text = |value: &serde_json::Value| {
        let bytes = STANDARD.decode(value.as_str()?).ok()?; // the API server encoded it
        String::from_utf8(bytes).ok()
    };
    let data = object["data"].as_object().into_iter().flatten();
    let data = data.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect();
    let past = |time: &str| time.parse::<jiff::Timestamp>().map_or(true, |at| at < jiff::Timestamp::now());
    let kind = object["type"].as_str().unwrap_or_default();
    let groups = auth::bootstrap_token::groups(id, secret, kind, &data, past);
    Ok(groups.map(|groups| User { name: format!("system:bootstrap:{id}"), groups, ..User::default() }))
}

/// Lines of `password,user,uid,group,…`.
fn parse(text: &str) -> Vec<Account> {
    let account = |line: &str| {
        let fields: Vec<&str> = line.trim().split(',').collect();
        let (password, user) = (fields.first()?, fields.get(1)?);
        let groups = fields.iter().skip(3).map(|g| g.trim_matches('"').to_owned()).collect();
        (!password.is_empty()).then(|| Account {
            user: (*user).to_owned(),
            password: (*password).to_owned(),
            groups,
        })
    };
    text.lines().filter_map(account).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn accounts_are_lines() {
        let accounts = super::parse("abc,node,node,k3s:agent\nabc,server,server,k3s:server\n\nbroken\n");
        let found: Vec<_> = accounts.iter().map(|a| (a.user.as_str(), a.groups[0].as_str())).collect();
        assert_eq!(found, [("node", "k3s:agent"), ("server", "k3s:server")]);
    }
}
