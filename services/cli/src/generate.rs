//! Man pages and completions, written by the program they describe; `xtask install` calls it.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use config::keys::{For, KEYS, Support};

use crate::Arguments;

/// Daemon, one sentence, what it listens on, what it keeps.
const DAEMONS: [(&str, &str, &str, &str); 7] = [
    (
        "datastore",
        "keeps the cluster's state: the etcd v3 API over SQLite",
        "/run/k3s-rs/datastore.sock",
        "/var/lib/rancher/k3s/server/db",
    ),
    (
        "apiserver",
        "serves the Kubernetes API and what joining nodes ask for",
        "TCP 6443, /run/k3s-rs/apiserver.sock",
        "nothing",
    ),
    (
        "controller",
        "runs the controllers and applies the manifests of /var/lib/rancher/k3s/server/manifests",
        "TCP 10257",
        "nothing",
    ),
    ("scheduler", "chooses a node for each pod", "TCP 10259", "nothing"),
    ("kubelet", "runs the node's pods by containerd", "TCP 10250 and 10248", "/var/lib/kubelet"),
    ("proxy", "makes Services answer, by nftables", "TCP 10249 and 10256", "nothing"),
    ("flannel", "connects the nodes' pod networks", "nothing", "/var/lib/rancher/k3s/agent/etc/cni/net.d"),
];

/// Writes everything below a folder that stands for `/usr/share`.
pub(crate) fn generate(share: &Path) -> Result<ExitCode> {
    let (eight, five) = (share.join("man/man8"), share.join("man/man5"));
    for folder in [&eight, &five] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let command = Arguments::command();
    clap_mangen::generate_to(command, &eight).context("writing the man pages of k3s-rs")?;
    rename_sections(&eight)?;
    for (name, sentence, listens, keeps) in DAEMONS {
        put(&eight.join(format!("k3s-rs-{name}.8")), &daemon_page(name, sentence, listens, keeps))?;
    }
    put(&five.join("k3s-rs-config.5"), &config_page())?;
    for (shell, folder, file) in [
        (Shell::Bash, "bash-completion/completions", "k3s-rs"),
        (Shell::Zsh, "zsh/site-functions", "_k3s-rs"),
        (Shell::Fish, "fish/vendor_completions.d", "k3s-rs.fish"),
    ] {
        let folder = share.join(folder);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "k3s-rs", &mut text);
        fs::write(folder.join(file), text).with_context(|| folder.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// The generator names pages for section 1; these are an administrator's.
fn rename_sections(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "1") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let (head, rest) = text.split_once("\n.TH ").unwrap_or(("", &text));
            put(&path.with_extension("8"), &format!("{head}\n.TH {}", rest.replacen(" 1 ", " 8 ", 1)))?;
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace("\n.", "\n\\&.")
}

fn daemon_page(name: &str, sentence: &str, listens: &str, keeps: &str) -> String {
    format!(
        ".TH K3S-RS-{upper} 8\n.SH NAME\nk3s\\-rs\\-{name} \\- {sentence}\n.SH SYNOPSIS\n\
         .B systemctl status k3s\\-rs\\-{name}\n.br\n.B journalctl \\-u k3s\\-rs\\-{name}\n.SH DESCRIPTION\n\
         A daemon of k3s\\-rs, started by its unit. Its settings are written by k3s\\-rs\\-bootstrap.service from k3s's \
         configuration, see\n.BR k3s\\-rs\\-config (5).\n\
         .B /usr/libexec/k3s\\-rs/k3s\\-rs\\-{name} \\-\\-dump\\-config\nprints them with every default, and\n\
         .B \\-\\-check\\-config\nchecks them.\n.PP\nListens on: {listens}.\n.br\nKeeps: {keeps}.\n\
         .SH SIGNALS\nSIGTERM ends it after running requests. Its log level is changed by\n\
         .B systemctl service\\-log\\-level k3s\\-rs\\-{name} debug\n\
         .SH D-BUS\n.B org.k3s_rs.{component}\nhas the interface org.k3s_rs.Component1, which\n.B k3s\\-rs status\nreads.\n\
         .SH SEE ALSO\n.BR k3s\\-rs (8),\n.BR k3s\\-rs\\-config (5),\n.BR systemctl (1)\n",
        upper = name.to_uppercase(),
        component = name[..1].to_uppercase() + &name[1..],
        sentence = escape(sentence),
        listens = escape(listens),
        keeps = escape(keeps),
    )
}

fn config_page() -> String {
    let mut text = String::from(
        ".TH K3S-RS-CONFIG 5\n.SH NAME\nk3s\\-rs\\-config \\- /etc/rancher/k3s/config.yaml\n.SH DESCRIPTION\n\
         The keys, files, flags and variables are those of k3s. The file is YAML; files of\n\
         .B /etc/rancher/k3s/config.yaml.d\nfollow it in the order of their names and replace its values; a key with\n\
         .B +\nat its end adds to a list instead. Flags win over variables, variables over files.\n\
         .B k3s\\-rs check\\-config\nshows what is wrong, every error at once.\n.SH KEYS\n",
    );
    for key in KEYS {
        let who = match key.role {
            For::Both => "",
            For::Server => "Servers only. ",
            For::Agent => "Agents only. ",
        };
        let default =
            if key.default.is_empty() { String::new() } else { format!("Default: {}. ", key.default) };
        let variable = if key.env.is_empty() { String::new() } else { format!("Variable: {}. ", key.env) };
        let support = match key.support {
            Support::Done => String::new(),
            Support::Ignored(why) => format!("Without effect: {why}"),
            Support::Refused(why) => format!("Refused: {why}"),
        };
        let body = escape(&format!("{who}{default}{variable}{support}"));
        text.push_str(&format!(
            ".TP\n.B {}\n{}\n",
            escape(key.name),
            if body.is_empty() { "As in k3s." } else { &body }
        ));
    }
    text
}
