//! Join tokens: `server/cred/passwd` and the token files.
//!
//! # Upstream
//! k3s `pkg/passwd/passwd.go`, `pkg/daemons/control/deps/deps.go` `genUsers`, `pkg/server/server.go` `writeToken`

use std::collections::BTreeMap;
use std::path::Path;

use pki::{Token, authority_hash, random_hex};

use super::Step;
use super::certificates::Authorities;
use crate::files::{self, FileError, Owner};
use crate::{BootstrapError, Places};

/// The accounts: user → (password, group).
type Accounts = BTreeMap<String, (String, String)>;

/// Makes or keeps accounts and token files.
pub(super) fn run(step: &Step<'_>, authorities: &Authorities) -> Result<(), BootstrapError> {
    let places = step.places;
    let file = places.server("cred/passwd");
    let mut accounts = read(&file)?;
    let known = accounts.get("server").map(|(password, _)| password.clone());
    let server = match (password(step.config.token.as_ref())?, known) {
        (Some(given), Some(known)) if given != known => {
            return Err(config::Errors(vec![format!(
                "token: differs from the one this server was started with, which is in {}",
                places.server("token").display()
            )])
            .into());
        }
        (Some(given), _) => given,
        (None, Some(known)) => known,
        (None, None) => random_hex(16)?,
    };
    let agent = password(step.server.agent_token.as_ref())?;
    let own_agent_token = agent.is_some();
    let agent = agent.unwrap_or_else(|| server.clone());
    accounts.insert("node".into(), (agent.clone(), "k3s:agent".into()));
    accounts.insert("server".into(), (server.clone(), "k3s:server".into()));
    let text: String = accounts
        .iter()
        .map(|(user, (password, group))| format!("{password},{user},{user},{group}\n"))
        .collect();
    files::put(&file, text.as_bytes(), 0o600, Owner::ROOT)?;
    let hash = authority_hash(authorities.server.certificate());
    let long = |user: &str, password: &str| {
        let token = Token { authority_hash: hash.clone(), user: user.into(), password: password.into() };
        format!("{token}\n")
    };
    files::put(&places.server("token"), long("server", &server).as_bytes(), 0o600, Owner::ROOT)?;
    files::link(&places.server("node-token"), &places.server("token"))?;
    let agent_file = places.server("agent-token");
    if own_agent_token {
        if agent_file.is_symlink() {
            files::remove(&agent_file)?;
        }
        files::put(&agent_file, long("node", &agent).as_bytes(), 0o600, Owner::ROOT)?;
    } else {
        files::link(&agent_file, &places.server("token"))?;
    }
    Ok(())
}

/// The tokens of a server: the server's and the agents'.
///
/// # Errors
/// The files cannot be read.
pub fn tokens_of(places: &Places) -> Result<(String, String), FileError> {
    let read = |name: &str| files::need(&places.server(name)).map(|t| t.trim().to_owned());
    Ok((read("token")?, read("agent-token")?))
}

/// The password of a token in either form.
fn password(token: Option<&config::Token>) -> Result<Option<String>, BootstrapError> {
    let Some(token) = token else { return Ok(None) };
    match Token::parse(&token.0) {
        Some(token) => Ok(Some(token.password)),
        None => Err(config::Errors(vec!["token: invalid token format".into()]).into()),
    }
}

/// Lines of `password,user,uid,group`.
fn read(file: &Path) -> Result<Accounts, FileError> {
    let text = files::read(file)?.unwrap_or_default();
    let line = |line: &str| {
        let fields: Vec<&str> = line.trim().split(',').collect();
        let [password, user, _, group] = fields.as_slice() else { return None };
        Some(((*user).to_owned(), ((*password).to_owned(), (*group).to_owned())))
    };
    Ok(text.lines().filter_map(line).collect())
}
