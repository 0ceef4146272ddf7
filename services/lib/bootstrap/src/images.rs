//! Images of archives in `agent/images`, imported into containerd when it has started, and kept from being collected.
//!
//! containerd's own `ctr` reads the archives: what it can decompress itself it gets as it is, the others through their
//! decompressor.
//!
//! # Upstream
//! k3s `pkg/agent/containerd/containerd.go` `PreloadImages`

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::files::error;
use crate::{BootstrapError, Places};

const SOCKET: &str = "/run/k3s/containerd/containerd.sock";
const PINNED: &str = "io.cri-containerd.pinned=pinned";
/// Ends of names, and the program that decompresses what `ctr` cannot.
const ENDINGS: [(&str, Option<&str>); 8] = [
    (".tar", None),
    (".tar.gz", None),
    (".tgz", None),
    (".tar.zst", None),
    (".tzst", None),
    (".tar.lz4", Some("lz4")),
    (".tar.bz2", Some("bzip2")),
    (".tbz", Some("bzip2")),
];

/// Imports every archive; one that cannot be is a warning, since the others may be enough. Gives the warnings.
///
/// # Errors
/// The folder cannot be read.
pub fn import_images(places: &Places) -> Result<Vec<String>, BootstrapError> {
    let folder = places.agent("images");
    let mut warnings = Vec::new();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(warnings),
        Err(e) => return Err(error("reading", &folder)(e).into()),
    };
    let mut archives = Vec::new();
    for entry in entries {
        archives.push(entry.map_err(error("reading", &folder))?.path());
    }
    archives.sort();
    for archive in archives {
        let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if name.ends_with(".txt") {
            if let Err(reason) = pull(&archive) {
                warnings.push(format!("{}: {reason}", archive.display()));
            }
            continue;
        }
        let Some((_, program)) = ENDINGS.iter().find(|(end, _)| name.ends_with(end)) else { continue };
        match import(&archive, *program) {
            Ok(()) => tracing::info!(archive = name, "Imported images"),
            Err(reason) => warnings.push(format!("{}: {reason}", archive.display())),
        }
    }
    Ok(warnings)
}

fn ctr() -> Command {
    let mut command = Command::new("ctr");
    command.args(["--address", SOCKET, "--namespace", "k8s.io"]);
    command
}

fn import(archive: &Path, program: Option<&str>) -> Result<(), String> {
    let mut command = ctr();
    command.args(["images", "import", "--label", PINNED]);
    let Some(program) = program else {
        command.arg(archive);
        return run(&mut command);
    };
    let decompressor = Command::new(program).arg("-dc").arg(archive).stdout(Stdio::piped()).spawn();
    let mut decompressor = decompressor.map_err(|e| format!("{program}: {e}"))?;
    let output = decompressor.stdout.take().ok_or_else(|| format!("{program}: no output"))?;
    command.arg("-").stdin(output);
    let said = run(&mut command);
    let status = decompressor.wait().map_err(|e| e.to_string())?;
    said?;
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
}

/// A list of images, one a line, pulled through the runtime.
fn pull(list: &PathBuf) -> Result<(), String> {
    let text = std::fs::read_to_string(list).map_err(|e| e.to_string())?;
    for image in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        run(ctr().args(["images", "pull", image]))?;
        run(ctr().args(["images", "label", image, PINNED]))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("ctr: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
