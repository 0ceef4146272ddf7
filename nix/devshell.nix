{
  mkShell,
  cargo,
  clippy,
  rustc,
  rustfmt,
  pkg-config,
  systemd,
  go,
  python3,
}:
mkShell {
  nativeBuildInputs = [
    cargo
    clippy
    rustc
    rustfmt
    pkg-config
    go
    python3
  ];
  buildInputs = [ systemd ];
}
