//! What types and their fields are for, in upstream's words: `kubectl explain`, and the help of table columns.
//!
//! The texts are packed at build time and unpacked when first asked for, as lines in order of type and field.

use std::io::Read;
use std::sync::LazyLock;

use flate2::read::ZlibDecoder;

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.zz"));

/// `type\tfield\ttext`, line by line; a line end within a text is `\u{1}`.
static LINES: LazyLock<(String, Vec<u32>)> = LazyLock::new(|| {
    let mut all = String::new();
    if let Err(error) = ZlibDecoder::new(PACKED).read_to_string(&mut all) {
        unreachable!("what the build packed does not unpack: {error}");
    }
    let mut starts = vec![0];
    // far below 4 GiB
    starts.extend(all.match_indices('\n').map(|(at, _)| at as u32 + 1));
    starts.pop();
    (all, starts)
});

/// The description of a type, by its OpenAPI name; empty when there is none.
pub fn kind(name: &str) -> String {
    field(name, "")
}

/// The description of a type's field, by its JSON name; empty when there is none.
pub fn field(kind: &str, field: &str) -> String {
    let (all, starts) = &*LINES;
    let line = |start: u32| all[start as usize..].split('\n').next().unwrap_or_default();
    let key = |start: &u32| {
        let mut parts = line(*start).splitn(3, '\t');
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    };
    let found = starts.binary_search_by_key(&(kind, field), key);
    let text = found.ok().and_then(|at| line(starts[at]).splitn(3, '\t').nth(2));
    text.map(plain).unwrap_or_default()
}

/// The text without what the crate's documentation tool needs: escaped brackets, and ends of lines in one line.
fn plain(text: &str) -> String {
    let escaped = ['[', ']', '<', '>'];
    let text = text.replace('\u{1}', "\n");
    escaped.iter().fold(text, |text, bracket| text.replace(&format!("\\{bracket}"), &bracket.to_string()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_there_is_found() {
        let pod = "io.k8s.api.core.v1.PodSpec";
        assert!(super::kind(pod).starts_with("PodSpec is a description of a pod"));
        assert!(super::field(pod, "nodeName").contains("node"));
        assert!(super::field(pod, "hostPID").contains("pid namespace"));
        assert!(super::field("io.k8s.api.core.v1.PodStatus", "podIP").contains("IP"));
        let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
        assert!(super::field(meta, "creationTimestamp").contains("UTC.\n\nPopulated by the system"));
        assert_eq!(super::field(pod, "nothing"), "");
    }
}
