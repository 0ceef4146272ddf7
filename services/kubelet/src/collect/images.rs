//! Images nobody uses go when their file system fills up, or when they have been idle for too long.
//!
//! # Upstream
//! `pkg/kubelet/images/image_gc_manager.go`

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cri::v1;

use crate::Kubelet;
use crate::events::Kind;
use crate::node::machine;

/// When an image was first seen, and when it was last seen in use.
#[derive(Debug, Clone, Copy)]
struct Known {
    first: Instant,
    used: Instant,
}

/// What is known of images; lost with the daemon, which only makes them younger.
#[derive(Debug, Default)]
pub struct Ages(Mutex<HashMap<String, Known>>);

/// An image that could go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    used: Instant,
    first: Instant,
    id: String,
    size: i64,
}

/// Why space was not freed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Runtime(#[from] cri::Error),
    #[error("the images' file system")]
    Disk(#[from] std::io::Error),
    #[error("invalid capacity 0 on image filesystem")]
    Capacity,
    #[error(
        "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {found} bytes eligible to free."
    )]
    TooLittle { wanted: i64, found: i64 },
}

/// A regular look.
pub async fn run(kubelet: &Kubelet) {
    if let Err(error) = look(kubelet).await {
        let text = crate::chain(&error);
        let reason = match error {
            Error::Capacity => "InvalidDiskCapacity",
            Error::TooLittle { .. } => "FreeDiskSpaceFailed",
            _ => "ImageGCFailed",
        };
        kubelet.events.node(Kind::Warning, reason, &text);
        tracing::warn!(error = text, "Collecting images");
    }
}

/// Frees all it can, because the node is short of space.
pub async fn remove_unused(kubelet: &Kubelet) {
    let removed = async {
        let candidates = candidates(kubelet).await?;
        remove(kubelet, candidates, i64::MAX, Duration::ZERO).await
    };
    if let Err(error) = removed.await {
        tracing::warn!(error = crate::chain(&error), "Removing images nobody uses");
    }
}

async fn look(kubelet: &Kubelet) -> Result<(), Error> {
    let settings = &kubelet.settings;
    let mut candidates = candidates(kubelet).await?;
    let oldest = settings.image_maximum_gc_age;
    if !oldest.is_zero() {
        let (old, rest) = candidates.into_iter().partition(|c| c.used.elapsed() > oldest);
        remove(kubelet, old, i64::MAX, Duration::ZERO).await?;
        candidates = rest;
    }
    let disk = machine::disk(&crate::eviction::image_path(kubelet).await)?;
    if disk.size == 0 {
        return Err(Error::Capacity);
    }
    let (high, low) = (settings.image_gc_high_threshold_percent, settings.image_gc_low_threshold_percent);
    let Some(wanted) = excess(disk, high, low) else { return Ok(()) };
    tracing::info!(bytes = wanted, "Disk usage on image filesystem is over the high threshold");
    let found = remove(kubelet, candidates, wanted, settings.image_minimum_gc_age).await?;
    if found < wanted { Err(Error::TooLittle { wanted, found }) } else { Ok(()) }
}

/// Bytes to free, if too much of a disk is used. Pure.
fn excess(disk: machine::Disk, high: i64, low: i64) -> Option<i64> {
    let free = i64::try_from(i128::from(disk.free) * 100 / i128::from(disk.size)).unwrap_or(100);
    let kept = i128::from(disk.size) * i128::from(100 - low) / 100;
    (100 - free >= high).then(|| i64::try_from(kept).unwrap_or(i64::MAX) - disk.free)
}

/// Images nobody uses and nobody pinned, those unused longest first.
async fn candidates(kubelet: &Kubelet) -> Result<Vec<Candidate>, Error> {
    let listed = kubelet.runtime.list_images(v1::ListImagesRequest { filter: None }).await?.images;
    let request = v1::ListContainersRequest { filter: None };
    let containers = kubelet.runtime.list_containers(request).await?.containers;
    let in_use: HashSet<_> = containers.into_iter().flat_map(|c| [c.image_id, c.image_ref]).collect();
    let mut ages = kubelet.image_ages.0.lock().unwrap_or_else(PoisonError::into_inner);
    ages.retain(|id, _| listed.iter().any(|i| i.id == *id));
    let now = Instant::now();
    let mut out = Vec::new();
    for image in listed {
        let known = ages.entry(image.id.clone()).or_insert(Known { first: now, used: now });
        if in_use.contains(&image.id) {
            known.used = now;
        } else if !image.pinned {
            let size = i64::try_from(image.size).unwrap_or(i64::MAX);
            out.push(Candidate { used: known.used, first: known.first, id: image.id, size });
        }
    }
    out.sort_by(|a, b| (a.used, a.first).cmp(&(b.used, b.first)));
    Ok(out)
}

/// Removes images until so much is freed: how much it was.
async fn remove(
    kubelet: &Kubelet,
    all: Vec<Candidate>,
    wanted: i64,
    min_age: Duration,
) -> Result<i64, Error> {
    let mut freed = 0;
    for image in all.into_iter().filter(|i| i.first.elapsed() >= min_age) {
        if freed >= wanted {
            break;
        }
        let spec = v1::ImageSpec { image: image.id.clone(), ..v1::ImageSpec::default() };
        kubelet.runtime.remove_image(v1::RemoveImageRequest { image: Some(spec) }).await?;
        freed += image.size;
        tracing::info!(image = image.id, bytes = image.size, "Removed an unused image");
    }
    Ok(freed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_freed_down_to_the_lower_mark() {
        let disk = |free| machine::Disk { size: 1000, free, ..machine::Disk::default() };
        for (free, wanted) in [(500, None), (151, Some(49)), (160, None), (150, Some(50)), (0, Some(200))] {
            assert_eq!(excess(disk(free), 85, 80), wanted, "{free} free");
        }
    }
}
