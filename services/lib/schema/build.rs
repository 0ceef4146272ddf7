//! Packs the descriptions of types and fields for `src/describe.rs`: the doc comments of the `k8s-openapi` crate, which
//! are upstream's descriptions, found where cargo keeps that crate's source.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crate's folder for the release this is a server of.
const RELEASE: &str = "src/v1_36";

type Texts = BTreeMap<String, String>;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.toml");
    let mut texts = Texts::new();
    read(&source()?.join(RELEASE), &mut texts)?;
    if texts.len() < 3000 {
        return Err(format!("only {} descriptions in k8s-openapi", texts.len()).into());
    }
    let out = PathBuf::from(variable("OUT_DIR")?).join("descriptions.zz");
    let mut packed =
        flate2::write::ZlibEncoder::new(std::fs::File::create(out)?, flate2::Compression::best());
    for (of, text) in texts {
        writeln!(packed, "{of}\t{text}")?;
    }
    packed.finish()?;
    Ok(())
}

fn variable(name: &str) -> Result<OsString, String> {
    std::env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}

/// Where cargo keeps the crate: in its registry, or wherever sources were vendored to.
fn source() -> Result<PathBuf, Box<dyn Error>> {
    let manifest = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    // of the whole workspace: on a fresh machine cargo may still have to get what other members depend on
    let words = ["metadata", "--format-version", "1", "--locked", "--manifest-path"];
    let mut metadata = Command::new(variable("CARGO")?);
    metadata.args(words).arg(manifest).arg("--filter-platform").arg(variable("TARGET")?);
    let answer = metadata.output()?;
    if !answer.status.success() {
        return Err(String::from_utf8_lossy(&answer.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&answer.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("no packages")?;
    let package = packages.iter().find(|p| p["name"] == "k8s-openapi").ok_or("no k8s-openapi")?;
    let manifest = Path::new(package["manifest_path"].as_str().ok_or("no manifest")?);
    Ok(manifest.parent().ok_or("no folder")?.to_owned())
}

fn read(folder: &Path, texts: &mut Texts) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, texts)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            file(&std::fs::read_to_string(&path)?, texts);
        }
    }
    Ok(())
}

/// One file is one type: comments stand before the struct and before each of its fields.
fn file(source: &str, texts: &mut Texts) {
    let Some(kind) = source.lines().next().and_then(|l| l.strip_prefix("// Generated from definition "))
    else {
        return;
    };
    // how fields are called in JSON stands in the decoder
    let names: BTreeMap<&str, &str> = source
        .lines()
        .filter_map(|l| l.trim().strip_prefix('"')?.strip_suffix(',')?.split_once("\" => Field::Key_"))
        .map(|(json, rust)| (rust, json))
        .collect();
    let (mut comment, mut inside): (Vec<&str>, bool) = (Vec::new(), false);
    for line in source.lines() {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("///") {
            comment.push(text.strip_prefix(' ').unwrap_or(text));
            continue;
        }
        let text = comment.join("\u{1}");
        if line.starts_with("pub struct ") {
            texts.insert(format!("{kind}\t"), text);
            inside = true;
        } else if let (true, Some(field)) =
            (inside, line.strip_prefix("pub ").and_then(|l| l.split(':').next()))
        {
            if let Some(json) = names.get(field.trim_start_matches("r#")) {
                texts.insert(format!("{kind}\t{json}"), text);
            }
        } else if line.starts_with("#[") {
            continue;
        } else if inside && line == "}" {
            return;
        }
        comment.clear();
    }
}
