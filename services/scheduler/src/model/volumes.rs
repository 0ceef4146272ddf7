//! What a pod says of volumes.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Error;
use serde_json::value::RawValue;

/// A claim a pod uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeUse {
    /// The claim's name.
    pub(crate) claim: String,
    /// Whether the claim is made for this pod.
    pub(crate) ephemeral: bool,
}

/// A disk named in a pod, which two pods of a node cannot (always) both have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// What the two must have in common.
    pub(crate) id: (&'static str, String),
    /// Of several names one in common is enough; none for disks with one name.
    pub(crate) monitors: Vec<String>,
    /// Two readers may share it.
    pub(crate) shareable: bool,
}

/// A volume as it is written. Most are of kinds that matter to nobody here.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct VolumeSpec<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    persistent_volume_claim: Option<&'a RawValue>,
    ephemeral: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) image: Option<&'a RawValue>,
    #[serde(borrow)]
    gce_persistent_disk: Option<&'a RawValue>,
    #[serde(borrow)]
    aws_elastic_block_store: Option<&'a RawValue>,
    #[serde(borrow)]
    iscsi: Option<&'a RawValue>,
    #[serde(borrow)]
    rbd: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSource {
    claim_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ImageSource {
    reference: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DiskSource {
    pd_name: String,
    #[serde(rename = "volumeID")]
    volume_id: String,
    iqn: String,
    monitors: Vec<String>,
    pool: String,
    image: String,
    read_only: bool,
}

impl VolumeSpec<'_> {
    /// # Upstream
    /// `k8s.io/component-helpers/storage/ephemeral/ephemeral.go` `VolumeClaimName`
    pub(super) fn claim(&self, pod: &str) -> Result<Option<VolumeUse>, Error> {
        if let Some(source) = self.persistent_volume_claim {
            let ClaimSource { claim_name: claim } = serde_json::from_str(source.get())?;
            return Ok(Some(VolumeUse { claim, ephemeral: false }));
        }
        let ephemeral = || VolumeUse { claim: format!("{pod}-{}", self.name), ephemeral: true };
        Ok(self.ephemeral.is_some().then(ephemeral))
    }

    /// The image it mounts.
    pub(super) fn image(&self) -> Result<Option<String>, Error> {
        let Some(source) = self.image else { return Ok(None) };
        let ImageSource { reference } = serde_json::from_str(source.get())?;
        Ok(Some(reference))
    }

    /// # Upstream
    /// `pkg/scheduler/framework/plugins/volumerestrictions/volume_restrictions.go` `isVolumeConflict`
    pub(super) fn disk(&self) -> Result<Option<Disk>, Error> {
        let sources = [
            ("gce", self.gce_persistent_disk),
            ("aws", self.aws_elastic_block_store),
            ("iscsi", self.iscsi),
            ("rbd", self.rbd),
        ];
        let Some((kind, source)) = sources.iter().find_map(|(kind, source)| Some((*kind, (*source)?))) else {
            return Ok(None);
        };
        let source: DiskSource = serde_json::from_str(source.get())?;
        let (name, shareable) = match kind {
            "gce" => (source.pd_name, source.read_only),
            "aws" => (source.volume_id, false),
            "iscsi" => (source.iqn, source.read_only),
            _ => {
                let pool = if source.pool.is_empty() { "rbd" } else { &source.pool };
                (format!("{pool}/{}", source.image), source.read_only)
            }
        };
        Ok(Some(Disk { id: (kind, name), monitors: source.monitors, shareable }))
    }
}

impl Disk {
    /// Whether both cannot be on one node.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let met = self.monitors.is_empty() || self.monitors.iter().any(|m| other.monitors.contains(m));
        self.id == other.id && met && !(self.shareable && other.shareable)
    }
}
