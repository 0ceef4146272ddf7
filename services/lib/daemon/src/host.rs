//! What this machine is called.

/// The host name. Asked of the kernel, since daemons with `ProcSubset=pid` see no `/proc/sys`.
///
/// # Errors
/// The kernel does not say.
pub fn host_name() -> std::io::Result<String> {
    Ok(nix::unistd::gethostname()?.to_string_lossy().trim().to_owned())
}
