//! Join tokens: `server/cred/passwd` and the token files.
//!
//! # Upstream
//! k3s `pkg/passwd/passwd.go`, `pkg/daemons/control/deps/deps.go` `genUsers`, `pkg/server/server.go` `writeToken`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    files::put(&file, render(&accounts).as_bytes(), 0o600, Owner::ROOT)?;
    let long = |user: &str, password: &str| long(authorities.server.certificate(), user, password);
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

/// Why the server's token cannot be exchanged.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// Files cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system gives no randomness.
    #[error("making a token")]
    Random(#[from] pki::PkiError),
    /// There is no user to hand it to.
    #[error("handing it to the API server")]
    Handover(#[from] BootstrapError),
    /// This machine never was a server.
    #[error("there is no token in {0}: this is a command for servers")]
    NoServer(PathBuf),
    /// The token given as the present one is another.
    #[error("not authorized: the given token is not this server's")]
    Unauthorized,
    /// The new token cannot be one.
    #[error("invalid token format: a new token is a password of its own, without comma, colon or blank")]
    Format,
}

/// Exchanges the server's token, and the agents' where it is the same, at once: the API server reads the accounts again
/// by itself. Gives the new token, whole.
///
/// # Upstream
/// k3s `pkg/server/handlers/token.go` `tokenRotate`
///
/// # Errors
/// `old` is not the present token; files cannot be read or written.
pub fn rotate_token(places: &Places, old: Option<&str>, new: Option<&str>) -> Result<String, RotateError> {
    let file = places.server("cred/passwd");
    let mut accounts = read(&file)?;
    let Some((present, _)) = accounts.get("server").cloned() else {
        return Err(RotateError::NoServer(file));
    };
    if old.is_some_and(|old| Token::parse(old).is_none_or(|old| old.password != present)) {
        return Err(RotateError::Unauthorized);
    }
    let new = new.map_or_else(|| random_hex(16), |new| Ok(new.to_owned()))?;
    if new.is_empty() || new.starts_with("K10") || new.contains([',', ':', ' ', '\n']) {
        return Err(RotateError::Format);
    }
    for (password, _) in accounts.values_mut().filter(|(password, _)| *password == present) {
        password.clone_from(&new);
    }
    let text = render(&accounts);
    let token = long(&files::need(&places.tls("server-ca.crt"))?, "server", &new);
    files::put(&file, text.as_bytes(), 0o600, Owner::ROOT)?;
    files::put(&places.server("token"), token.as_bytes(), 0o600, Owner::ROOT)?;
    let owner = crate::handover::owner_of("apiserver")?;
    files::put(&places.daemon("apiserver").join("passwd"), text.as_bytes(), 0o400, owner)?;
    Ok(token.trim().to_owned())
}

/// The file's text.
fn render(accounts: &Accounts) -> String {
    let line = |(user, (password, group)): (&String, &(String, String))| {
        format!("{password},{user},{user},{group}\n")
    };
    accounts.iter().map(line).collect()
}

/// A token in its long form, as its file has it.
fn long(authority: &str, user: &str, password: &str) -> String {
    let token =
        Token { authority_hash: authority_hash(authority), user: user.into(), password: password.into() };
    format!("{token}\n")
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
