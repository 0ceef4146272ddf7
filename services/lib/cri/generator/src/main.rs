//! `cargo run -- <proto> <output file> [<message>…]`: writes the messages of a `.proto` of `k8s.io/cri-api`,
//! `k8s.io/kubelet` or the CSI specification; with names only those messages, for a file of which little is needed.

use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(proto), Some(output)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        anyhow::bail!("usage: generator <proto> <output file> [<message>…]");
    };
    let wanted: Vec<String> = arguments.map(|a| a.to_string_lossy().into_owned()).collect();
    let folder = proto.parent().map(PathBuf::from).unwrap_or_default();
    let mut files = protox::compile([&proto], [&folder])?;
    let own = files.file.pop().ok_or_else(|| anyhow::anyhow!("an empty file"))?;
    let package = own.package().to_owned();
    files.file = vec![own];
    for file in &mut files.file {
        if !wanted.is_empty() {
            file.message_type.retain(|m| wanted.iter().any(|w| w == m.name()));
            file.enum_type.clear();
            file.dependency.clear();
        }
        file.extension.clear();
        file.service.clear();
    }
    let folder = std::env::temp_dir().join(format!("cri-generator-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    prost_build::Config::new()
        .out_dir(&folder)
        .disable_comments(["."])
        .default_package_filename("api")
        .compile_fds(files)?;
    let made = folder.join(format!("{}.rs", if package.is_empty() { "api" } else { &package }));
    std::fs::copy(&made, &output)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
