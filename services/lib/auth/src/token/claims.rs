//! What a service account token says.
//!
//! # Upstream
//! `pkg/serviceaccount/claims.go`

use serde::{Deserialize, Serialize};

/// An object a token names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its uid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// The claims under `kubernetes.io`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Private {
    /// The service account's namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The service account.
    #[serde(default)]
    pub serviceaccount: Reference,
    /// The pod it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// The secret it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The node it is bound to, or its pod's node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    /// After this time a use is worth a warning: the client does not reload its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// The audiences of a token: one string or a list on the wire.
pub mod audiences {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }

    /// Always a list, as upstream writes it.
    ///
    /// # Errors
    /// As the serializer.
    pub fn serialize<S: Serializer>(value: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    /// Either.
    ///
    /// # Errors
    /// As the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        Ok(match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        })
    }
}

/// All claims. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Claims {
    /// For whom.
    #[serde(default, with = "audiences", skip_serializing_if = "Vec::is_empty")]
    pub aud: Vec<String>,
    /// Until when; legacy tokens have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// Since when it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// By whom.
    #[serde(default)]
    pub iss: String,
    /// Its own id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// What it is bound to; legacy tokens have none.
    #[serde(default, rename = "kubernetes.io", skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Private>,
    /// Since when it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// `system:serviceaccount:<namespace>:<name>`.
    #[serde(default)]
    pub sub: String,
}

/// What a token is issued for.
#[derive(Debug, Clone)]
pub struct Issue {
    /// The issuer.
    pub issuer: String,
    /// For whom.
    pub audiences: Vec<String>,
    /// Whom it names and what it is bound to; `warnafter` is set by `issue`.
    pub private: Private,
    /// Seconds it is good for.
    pub seconds: i64,
    /// Seconds after which its use is worth a warning.
    pub warn_after_seconds: Option<i64>,
    /// Its own id.
    pub id: String,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// The claims of a new token.
pub fn issue(what: Issue) -> Claims {
    let mut private = what.private;
    private.warnafter = what.warn_after_seconds.map(|s| what.now + s);
    Claims {
        aud: what.audiences,
        exp: Some(what.now + what.seconds),
        iat: Some(what.now),
        iss: what.issuer,
        jti: what.id,
        sub: format!("system:serviceaccount:{}:{}", private.namespace, private.serviceaccount.name),
        nbf: Some(what.now),
        kubernetes: Some(private),
    }
}

impl Claims {
    /// Whether the token counts at `now`, with upstream's minute of leeway.
    ///
    /// # Errors
    /// It does not; the text is upstream's.
    pub fn valid_at(&self, now: i64) -> Result<(), &'static str> {
        const LEEWAY: i64 = 60;
        if self.nbf.is_some_and(|at| now + LEEWAY < at) {
            return Err("service account token is not valid yet");
        }
        if self.exp.is_some_and(|at| now - LEEWAY > at) {
            return Err("service account token has expired");
        }
        if self.iat.is_some_and(|at| now + LEEWAY < at) {
            return Err("service account token is issued in the future");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PublicKeys, SigningKey};
    use super::*;

    fn claims() -> Claims {
        let reference = |name: &str| Reference { name: name.into(), uid: format!("{name}-uid") };
        let private = Private {
            namespace: "x".into(),
            serviceaccount: reference("sa"),
            pod: Some(reference("pod")),
            ..Private::default()
        };
        issue(Issue {
            issuer: "https://kubernetes.default.svc.cluster.local".into(),
            audiences: vec!["api".into()],
            private,
            seconds: 3600,
            warn_after_seconds: None,
            id: "1".into(),
            now: 1_000_000,
        })
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else() {
        use p256::pkcs8::{EncodePrivateKey, LineEnding};
        let pem = |seed: u8| {
            let key = p256::SecretKey::from_slice(&[seed; 32]).unwrap();
            key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
        };
        let (ours, other) = (pem(1), pem(2));
        let token = SigningKey::from_pem(&ours).unwrap().sign(&claims()).unwrap();
        let keys = PublicKeys::from_pems([other.as_str(), ours.as_str()]).unwrap();
        assert_eq!(keys.verify(&token), Some(claims()));
        assert_eq!(PublicKeys::from_pems([other.as_str()]).unwrap().verify(&token), None);
        assert_eq!(keys.verify(&format!("{token}x")), None);
        assert_eq!(keys.algorithms(), ["ES256"]);
        assert_eq!(keys.jwks()["keys"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn times_have_a_minute_of_leeway() {
        let c = claims();
        assert_eq!(c.valid_at(1_000_000 + 3600 + 60), Ok(()));
        assert_eq!(c.valid_at(1_000_000 + 3600 + 61), Err("service account token has expired"));
        assert_eq!(c.valid_at(1_000_000 - 61), Err("service account token is not valid yet"));
    }
}
