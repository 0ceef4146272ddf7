//! `cargo run -- <api.proto of k8s.io/cri-api> <output folder>`: writes `runtime.v1.rs`.

use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(proto), Some(output)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: generator <api.proto> <output folder>");
    };
    let folder = proto.parent().map(PathBuf::from).unwrap_or_default();
    let files = protox::compile([&proto], [&folder])?;
    prost_build::Config::new()
        .out_dir(output)
        .disable_comments(["."])
        .default_package_filename("api")
        .compile_fds(files)?;
    Ok(())
}
