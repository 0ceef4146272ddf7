//! Secrets that hold service account tokens: filled, removed with their account, and cleared away when long unused.
//!
//! # Upstream
//! `pkg/controller/serviceaccount/{tokens_controller,legacy_serviceaccount_token_cleaner}.go`

use std::sync::Arc;
use std::time::Duration;

use auth::token::SigningKey;
use client::{DeleteOptions, Key, Preconditions};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use reconcile::{Ask, Body, Controller, Error, Kind, Need, Permit, Plan, Pod, Watch};
use serde_json::json;

use crate::common::created;

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// An unused token is kept for this long, marked and unmarked each.
const KEPT_SECONDS: i64 = 365 * 24 * 3600;

/// Fills token secrets.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// Signs them; without one nothing is filled.
    pub(crate) key: Option<SigningKey>,
    /// The certificate put beside each, PEM.
    pub(crate) root: Option<String>,
}

/// Clears away tokens nobody uses.
#[derive(Debug)]
pub(crate) struct Cleaner;

fn is_token(secret: &Secret) -> bool {
    secret.type_.as_deref() == Some(TYPE)
}

/// The account a secret names, if that is who exists.
fn account_of<'a>(ask: &Ask<'a>, secret: &Secret) -> Option<&'a Arc<ServiceAccount>> {
    let account = ask.view.named::<ServiceAccount>(secret.namespace(), secret.annotation(ACCOUNT)?)?;
    secret.annotation(ACCOUNT_UID).is_none_or(|uid| uid.is_empty() || uid == account.uid()).then_some(account)
}

fn secrets_of_account() -> Watch {
    Watch::map::<ServiceAccount>(|view, account| {
        let mine = |s: &&Arc<Secret>| is_token(s) && s.annotation(ACCOUNT) == Some(account.name());
        view.list::<Secret>(account.namespace()).filter(mine).map(|s| s.key()).collect()
    })
}

impl Tokens {
    fn fill(&self, key: &SigningKey, secret: &Secret, account: &ServiceAccount) -> Result<Secret, Error> {
        let mut next = secret.clone();
        let data = next.data.get_or_insert_default();
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        if let Some(root) = &self.root {
            data.insert("ca.crt".into(), bytes(root));
        }
        data.entry("namespace".into()).or_insert_with(|| bytes(secret.namespace()));
        if data.get("token").is_none_or(|t| t.0.is_empty()) {
            let claims = json!({
                "iss": "kubernetes/serviceaccount",
                "kubernetes.io/serviceaccount/namespace": secret.namespace(),
                "kubernetes.io/serviceaccount/secret.name": secret.name(),
                "kubernetes.io/serviceaccount/service-account.name": account.name(),
                "kubernetes.io/serviceaccount/service-account.uid": account.uid(),
                "sub": format!("system:serviceaccount:{}:{}", account.namespace(), account.name()),
            });
            let token = key.sign(&claims).map_err(|e| Error::Invalid(format!("signing a token: {e}")))?;
            data.insert("token".into(), bytes(&token));
        }
        if next.data != secret.data {
            let annotations = next.metadata.annotations.get_or_insert_default();
            annotations.insert(ACCOUNT.into(), account.name().into());
            annotations.insert(ACCOUNT_UID.into(), account.uid().into());
        }
        Ok(next)
    }
}

impl Controller for Tokens {
    fn name(&self) -> &'static str {
        "serviceaccount-token-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let tokens =
            Watch::map::<Secret>(|_, secret| if is_token(secret) { vec![secret.key()] } else { Vec::new() });
        vec![tokens, secrets_of_account()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Secret>("patch delete"), Permit::of::<ServiceAccount>("patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(key) = &self.key else { return Ok(plan) };
        let Some(secret) = ask.view.get::<Secret>(ask.key) else {
            // a token that is gone is no longer its account's
            for account in ask.view.list::<ServiceAccount>(&ask.key.namespace) {
                let mut next = ServiceAccount::clone(account);
                if let Some(secrets) = &mut next.secrets {
                    secrets.retain(|s| s.name.as_deref() != Some(&ask.key.name));
                }
                plan.update(account.as_ref(), &next)?;
            }
            return Ok(plan);
        };
        if !is_token(secret) || secret.deleting() {
            return Ok(plan);
        }
        let Some(name) = secret.annotation(ACCOUNT) else { return Ok(plan) };
        let known = account_of(ask, secret).cloned();
        let account = match known {
            Some(account) => account,
            None => {
                // the cache may lag behind: only the server says that there is none
                let path = ServiceAccount::resource().object(&Key::new(secret.namespace(), name), "");
                let Some(answer) = plan.need(ask, Need::read(path)) else { return Ok(plan) };
                let live = match answer {
                    Ok(value) => Some(ServiceAccount::from_value(value)?),
                    Err(refusal) if refusal.is_not_found() => None,
                    Err(refusal) => return Err(Error::Invalid(refusal.to_string())),
                };
                let uid = secret.annotation(ACCOUNT_UID).unwrap_or_default();
                match live.filter(|a| uid.is_empty() || a.uid() == uid) {
                    Some(account) => Arc::new(account),
                    None => {
                        plan.delete(secret.as_ref());
                        return Ok(plan);
                    }
                }
            }
        };
        let next = self.fill(key, secret, &account)?;
        plan.update(secret.as_ref(), &next)?;
        Ok(plan)
    }
}

/// A day as labels hold it.
fn day(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN); // a time of this age is in range
    time.strftime("%Y-%m-%d").to_string()
}

fn is_day(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok()
}

/// Whether a pod names a secret anywhere.
fn mounts(pod: &Pod, name: &str) -> bool {
    pod.spec.image_pull_secrets.iter().any(|s| s.name == name)
        || pod.volumes.iter().flat_map(|v| &v.secrets).any(|secret| secret == name)
}

impl Cleaner {
    /// Since when use has been tracked: midnight after that day.
    fn tracked_since(plan: &mut Plan, ask: &Ask<'_>) -> Result<Option<Timestamp>, Error> {
        let path =
            "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking";
        let Some(answer) = plan.need(ask, Need::read(path)) else { return Ok(None) };
        let map = answer.as_ref().map_err(|refusal| Error::Invalid(refusal.to_string()))?;
        let since = map["data"]["since"].as_str().unwrap_or_default();
        let date: jiff::civil::Date =
            since.parse().map_err(|e| Error::Invalid(format!("error parsing trackedSince time: {e}")))?;
        let next = date.tomorrow().and_then(|d| d.to_zoned(jiff::tz::TimeZone::UTC));
        Ok(Some(next.map_err(|e| Error::Invalid(e.to_string()))?.timestamp()))
    }
}

impl Controller for Cleaner {
    fn name(&self) -> &'static str {
        "legacy-serviceaccount-token-cleaner-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<Secret>(), Watch::read::<ServiceAccount>(), Watch::read::<Pod>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Secret>("patch delete")]
    }

    fn period(&self) -> Option<Duration> {
        Some(Duration::from_secs(24 * 3600))
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(secret) = ask.view.get::<Secret>(ask.key).filter(|s| is_token(s) && !s.deleting()) else {
            return Ok(plan);
        };
        let keep_from = ask.now.as_second() - KEPT_SECONDS;
        if created(secret.as_ref()).as_second() >= keep_from {
            return Ok(plan);
        }
        let used = secret.label(LAST_USED);
        if used.is_some_and(|used| !is_day(used) || *used >= *day(keep_from)) {
            return Ok(plan);
        }
        let account = account_of(ask, secret);
        let made_by_us = account.is_some_and(|a| {
            a.secrets.iter().flatten().any(|reference| reference.name.as_deref() == Some(secret.name()))
        });
        if !made_by_us || ask.view.list::<Pod>(secret.namespace()).any(|p| mounts(p, secret.name())) {
            return Ok(plan);
        }
        match Self::tracked_since(&mut plan, ask)? {
            Some(since) if since.as_second() <= keep_from => {}
            _ => return Ok(plan),
        }
        match secret.label(INVALID_SINCE).filter(|since| is_day(since)) {
            None => {
                let mut next = Secret::clone(secret);
                let labels = next.metadata.labels.get_or_insert_default();
                labels.insert(INVALID_SINCE.into(), day(ask.now.as_second()));
                plan.update(secret.as_ref(), &next)?;
            }
            Some(since) if *since < *day(keep_from) => {
                let revision = secret.metadata.resource_version.clone();
                let preconditions = Preconditions { uid: None, resource_version: revision };
                let options =
                    DeleteOptions { preconditions: Some(preconditions), ..DeleteOptions::default() };
                plan.delete_with(secret.as_ref(), options);
            }
            Some(_) => {}
        }
        Ok(plan)
    }
}
