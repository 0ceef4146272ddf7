//! Bearer tokens: of service accounts and of bootstrap.

use std::collections::BTreeMap;
use std::sync::Arc;

use auth::token::{Claims, Issue, Private, PublicKeys, SigningKey};
use base64::Engine;

use super::{Authenticator, BoxFuture, Credentials, User};
use crate::errors::{self, Result};
use crate::registry::Registry;
use crate::settings::Settings;
use crate::store::Store;
use crate::store::cache::ResourceCache;
use crate::store::entry::Entry;

/// The keys of service account tokens.
pub struct Tokens {
    signing: Option<SigningKey>,
    /// The public keys; `None` without any.
    pub public: Option<PublicKeys>,
    /// The issuer.
    pub issuer: String,
    /// Audiences of this server.
    pub audiences: Vec<String>,
}

impl Tokens {
    /// Reads the keys.
    ///
    /// # Errors
    /// A file cannot be read or holds no usable key.
    pub fn from_settings(settings: &Settings) -> anyhow::Result<Self> {
        let read = |file: &Option<std::path::PathBuf>| file.as_ref().map(std::fs::read_to_string).transpose();
        let (signing, public) =
            (read(&settings.service_account_signing_key_file)?, read(&settings.service_account_key_file)?);
        let pems: Vec<&str> = [&public, &signing].into_iter().flatten().map(String::as_str).collect();
        let public = if pems.is_empty() { None } else { Some(PublicKeys::from_pems(pems)?) };
        Ok(Self {
            signing: signing.as_deref().map(SigningKey::from_pem).transpose()?,
            public,
            issuer: settings.service_account_issuer.clone(),
            audiences: settings.audiences(),
        })
    }

    /// Signs a token.
    pub fn issue(
        &self,
        private: Private,
        audiences: Vec<String>,
        seconds: i64,
        warn: Option<i64>,
    ) -> Result<(String, Claims)> {
        let Some(key) = &self.signing else {
            return Err(errors::internal("no service account signing key is configured"));
        };
        let claims = auth::token::issue(Issue {
            issuer: self.issuer.clone(),
            audiences,
            private,
            seconds,
            warn_after_seconds: warn,
            id: uuid::Uuid::new_v4().to_string(),
            now: jiff::Timestamp::now().as_second(),
        });
        let token = key.sign(&claims).map_err(errors::internal)?;
        Ok((token, claims))
    }
}

/// Judges bearer tokens, looking up what they are bound to.
pub struct TokenAuthenticator {
    tokens: Tokens,
    store: Arc<Store>,
    accounts: Arc<ResourceCache>,
    pods: Arc<ResourceCache>,
    secrets: Arc<ResourceCache>,
    nodes: Arc<ResourceCache>,
}

impl TokenAuthenticator {
    /// Looks at the built-in resources tokens are bound to; `None` when the registry lacks them.
    pub fn new(tokens: Tokens, store: &Arc<Store>, registry: &Registry) -> Option<Self> {
        let cache = |plural: &str| Some(store.cache.add(&registry.find("", "v1", plural)?.resource));
        Some(Self {
            tokens,
            store: store.clone(),
            accounts: cache("serviceaccounts")?,
            pods: cache("pods")?,
            secrets: cache("secrets")?,
            nodes: cache("nodes")?,
        })
    }

    /// The object in the cache, or in the store when the cache does not have it with this uid yet.
    async fn lookup(
        &self,
        cache: &ResourceCache,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<Option<Arc<Entry>>> {
        let key = cache.resource.key(namespace, name);
        let right = |e: &Arc<Entry>| e.str_at(&["metadata", "uid"]).is_some_and(|u| u == uid);
        if let Some(entry) = cache.get(&key).filter(right) {
            return Ok(Some(entry));
        }
        Ok(self.store.get_stored(cache, &key, 0).await?.filter(right))
    }

    /// Judges a service account token for audiences.
    pub async fn service_account(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<(User, Vec<String>)>> {
        let Some(claims) = self.tokens.public.as_ref().and_then(|keys| keys.verify(token)) else {
            return Ok(None);
        };
        if claims.iss != self.tokens.issuer {
            return Ok(None);
        }
        let matching: Vec<String> = claims.aud.iter().filter(|a| audiences.contains(a)).cloned().collect();
        let now = jiff::Timestamp::now().as_second();
        let Some(private) = claims.kubernetes.as_ref().filter(|_| !matching.is_empty()) else {
            return Err(errors::unauthorized());
        };
        claims.valid_at(now).map_err(|why| {
            tracing::debug!(why, "a token was refused");
            errors::unauthorized()
        })?;
        self.check_bindings(private).await?;
        Ok(Some((user_of(&claims, private), matching)))
    }

    async fn check_bindings(&self, private: &Private) -> Result<()> {
        let (namespace, account) = (&private.namespace, &private.serviceaccount);
        let mut bound = vec![(&self.accounts, namespace.as_str(), account)];
        bound.extend(private.pod.as_ref().map(|r| (&self.pods, namespace.as_str(), r)));
        bound.extend(private.secret.as_ref().map(|r| (&self.secrets, namespace.as_str(), r)));
        if private.pod.is_none() {
            bound.extend(private.node.as_ref().map(|r| (&self.nodes, "", r)));
        }
        for (cache, namespace, reference) in bound {
            let found = self.lookup(cache, namespace, &reference.name, &reference.uid).await?;
            let gone = |e: &Arc<Entry>| {
                let time = e.str_at(&["metadata", "deletionTimestamp"]);
                time.and_then(|t| t.parse::<jiff::Timestamp>().ok()).is_some_and(|at| {
                    // what is being deleted keeps its tokens for a minute
                    jiff::Timestamp::now().duration_since(at).as_secs() > 60
                })
            };
            if found.is_none_or(|e| gone(&e)) {
                return Err(errors::unauthorized());
            }
        }
        Ok(())
    }

    async fn bootstrap(&self, token: &str) -> Result<Option<User>> {
        let Some((id, secret)) = auth::bootstrap_token::parse(token) else { return Ok(None) };
        let key = self.secrets.resource.key("kube-system", &format!("bootstrap-token-{id}"));
        let Some(entry) = self.store.get(&self.secrets, &key, "0").await? else { return Ok(None) };
        let object: serde_json::Value = serde_json::from_slice(&entry.bytes).map_err(errors::internal)?;
        if !object["metadata"]["deletionTimestamp"].is_null() {
            return Ok(None);
        }
        let mut data = BTreeMap::new();
        for (key, value) in object["data"].as_object().into_iter().flatten() {
            let decoded = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or(""));
            if let Some(text) = decoded.ok().and_then(|d| String::from_utf8(d).ok()) {
                data.insert(key.clone(), text);
            }
        }
        let past = |at: &str| at.parse::<jiff::Timestamp>().is_ok_and(|t| t < jiff::Timestamp::now());
        let kind = object["type"].as_str().unwrap_or("");
        let groups = auth::bootstrap_token::groups(id, secret, kind, &data, past);
        Ok(groups.map(|groups| User { name: format!("system:bootstrap:{id}"), groups, ..User::default() }))
    }
}

/// The user a service account token stands for.
pub fn user_of(claims: &Claims, private: &Private) -> User {
    let (namespace, account) = (&private.namespace, &private.serviceaccount);
    let mut extra = BTreeMap::new();
    let mut add = |key: &str, value: &str| {
        extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
    };
    if !claims.jti.is_empty() {
        add("credential-id", &format!("JTI={}", claims.jti));
    }
    if let Some(pod) = &private.pod {
        add("pod-name", &pod.name);
        add("pod-uid", &pod.uid);
    }
    if let Some(node) = &private.node {
        add("node-name", &node.name);
        add("node-uid", &node.uid);
    }
    User {
        name: format!("system:serviceaccount:{namespace}:{}", account.name),
        uid: account.uid.clone(),
        groups: vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")],
        extra,
    }
}

impl Authenticator for Arc<TokenAuthenticator> {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials<'a>) -> BoxFuture<'a, Result<Option<User>>> {
        Box::pin(async move {
            let Some(token) = credentials.bearer() else { return Ok(None) };
            if let Some((user, _)) = self.service_account(&token, &self.tokens.audiences).await? {
                return Ok(Some(user));
            }
            if let Some(user) = self.bootstrap(&token).await? {
                return Ok(Some(user));
            }
            // a token nobody knows is wrong, not absent
            Err(errors::unauthorized())
        })
    }
}
