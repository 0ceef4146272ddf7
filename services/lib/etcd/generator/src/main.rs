//! `cargo run -- <folder of the Go module go.etcd.io/etcd/api/v3> <output folder>`: writes `etcdserverpb.rs` and
//! `mvccpb.rs`.
//!
//! Only the wire contract is wanted, so gateway, OpenAPI and Go annotations, comments and the Auth service (which
//! neither Kubernetes nor our datastore speaks) are dropped before compiling.

use std::fs;
use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(module), Some(output)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: generator <go.etcd.io/etcd/api/v3> <output folder>");
    };
    let stripped = tempfile::tempdir()?;
    let root = stripped.path().join("etcd/api");
    for name in ["mvccpb/kv.proto", "etcdserverpb/rpc.proto"] {
        let target = root.join(name);
        fs::create_dir_all(target.parent().unwrap_or(&root))?;
        fs::write(target, strip(&fs::read_to_string(module.join(name))?))?;
    }
    let files = protox::compile(["etcd/api/etcdserverpb/rpc.proto"], [stripped.path()])?;
    let mut config = prost_build::Config::new();
    config.out_dir(&output).disable_comments(["."]).bytes(["."]);
    tonic_prost_build::configure()
        .build_transport(false)
        .out_dir(&output)
        .compile_fds_with_config(files, config)?;
    Ok(())
}

/// Removes comments, foreign imports, every option, and what belongs to Auth alone.
fn strip(proto: &str) -> String {
    let text: String = proto.lines().map(|l| l.split("//").next().unwrap_or_default()).fold(String::new(), |a, l| a + l + "\n");
    let mut out = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let trimmed = rest.trim_start();
        out.push_str(&rest[..rest.len() - trimmed.len()]);
        rest = trimmed;
        let foreign = rest.starts_with("import ") && !rest.starts_with("import \"etcd/api/mvccpb");
        let auth = rest.starts_with("service Auth") || rest.starts_with("message Auth");
        if foreign || auth || rest.starts_with("option ") {
            rest = skip_statement(rest);
        } else if rest.starts_with("[(") {
            rest = rest.split_once(']').map_or("", |(_, after)| after);
        } else {
            // one word at a time
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let end = rest.find("[(").map_or(end, |bracket| bracket.min(end)).max(usize::from(!rest.is_empty()));
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out
}

/// What follows a statement that ends with `;` or with its closing brace.
fn skip_statement(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    let after = text[at + 1..].trim_start();
                    return after.strip_prefix(';').unwrap_or(after);
                }
            }
            ';' if depth == 0 => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}
