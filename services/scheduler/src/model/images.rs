//! Images by hash: a node names fifty, and a name is only ever compared.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The hash of an image's name, a missing tag being `latest`.
///
/// # Upstream
/// `pkg/scheduler/framework/plugins/imagelocality/image_locality.go` `normalizedImageName`
pub fn image_hash(name: &str) -> u64 {
    if name.rfind(':') <= name.rfind('/') {
        return image_hash(&format!("{name}:latest"));
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::image_hash;

    #[test]
    fn tags() {
        for (a, b, same) in [
            ("nginx", "nginx:latest", true),
            ("registry:5000/nginx", "registry:5000/nginx:latest", true),
            ("nginx:1", "nginx", false),
        ] {
            assert_eq!(image_hash(a) == image_hash(b), same, "{a} {b}");
        }
    }
}
