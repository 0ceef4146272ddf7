//! Levels, versions, and what a namespace's labels say of them.
//!
//! # Upstream
//! `k8s.io/pod-security-admission/api/helpers.go`

use std::fmt;

use meta::field;

/// How much a pod may ask for; later ones allow less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Anything.
    Privileged,
    /// Nothing known to break out.
    Baseline,
    /// Only what hardened pods need.
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "privileged" => Ok(Self::Privileged),
            "baseline" => Ok(Self::Baseline),
            "restricted" => Ok(Self::Restricted),
            _ => Err("must be one of privileged, baseline, restricted".to_owned()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// Which release's standards: a minor version of 1, or whatever is newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(Option<u32>);

impl Version {
    /// The newest.
    pub const LATEST: Self = Self(None);

    fn parse(text: &str) -> Result<Self, String> {
        if text == "latest" {
            return Ok(Self::LATEST);
        }
        let minor = text.strip_prefix("v1.").filter(|minor| *minor == "0" || !minor.starts_with('0'));
        let digits = minor.filter(|minor| minor.chars().all(|c| c.is_ascii_digit()));
        let parsed = digits.and_then(|minor| minor.parse().ok());
        parsed.map(|minor| Self(Some(minor))).ok_or_else(|| "must be \"latest\" or \"v1.x\"".to_owned())
    }

    /// Whether these standards are of 1.`minor` or newer.
    pub(crate) fn since(self, minor: u32) -> bool {
        self.0.is_none_or(|own| own >= minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("latest"),
            Some(minor) => write!(f, "v1.{minor}"),
        }
    }
}

/// A level of a version's standards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelVersion {
    /// The level.
    pub level: Level,
    /// The version.
    pub version: Version,
}

impl LevelVersion {
    const NONE: Self = Self { level: Level::Privileged, version: Version::LATEST };
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level.name(), self.version)
    }
}

/// What a namespace asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Refused beyond this.
    pub enforce: LevelVersion,
    /// Noted in the audit log beyond this.
    pub audit: LevelVersion,
    /// Warned of beyond this.
    pub warn: LevelVersion,
}

const ENFORCE: [&str; 2] =
    ["pod-security.kubernetes.io/enforce", "pod-security.kubernetes.io/enforce-version"];
const AUDIT: [&str; 2] = ["pod-security.kubernetes.io/audit", "pod-security.kubernetes.io/audit-version"];
const WARN: [&str; 2] = ["pod-security.kubernetes.io/warn", "pod-security.kubernetes.io/warn-version"];

impl Policy {
    /// Reads a namespace's labels; labels that cannot be read are named, and leave what is safe: a level that is none
    /// enforces the strictest, and neither warns nor audits.
    pub fn of<'l>(label: impl Fn(&str) -> Option<&'l str>) -> (Self, Vec<field::Error>) {
        let mut policy =
            Self { enforce: LevelVersion::NONE, audit: LevelVersion::NONE, warn: LevelVersion::NONE };
        let mut problems = Vec::new();
        let mut note = |key: &str, value: &str, why: String| {
            problems.push(field::Error::invalid_str(format!("metadata.labels[{key}]"), value, why));
        };
        let mut enforced = false;
        for (mode, keys, otherwise) in [
            (&mut policy.enforce, ENFORCE, Level::Restricted),
            (&mut policy.audit, AUDIT, Level::Privileged),
            (&mut policy.warn, WARN, Level::Privileged),
        ] {
            if let Some(value) = label(keys[0]) {
                mode.level = Level::parse(value).unwrap_or_else(|why| {
                    note(keys[0], value, why);
                    otherwise
                });
                enforced |= keys == ENFORCE && Level::parse(value).is_ok();
            }
            if let Some(value) = label(keys[1]) {
                mode.version = Version::parse(value).unwrap_or_else(|why| {
                    note(keys[1], value, why);
                    Version::LATEST
                });
            }
        }
        if label(WARN[0]).is_none() && enforced && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if label(WARN[1]).is_none() {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, problems)
    }
}
