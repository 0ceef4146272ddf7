{
  lib,
  rustPlatform,
  pkg-config,
  systemd,
}:
rustPlatform.buildRustPackage {
  pname = "k3s-rs";
  version = (lib.importTOML ../Cargo.toml).workspace.package.version;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../services
      ../tests
      ../units
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;
  buildType = "dist";
  nativeBuildInputs = [ pkg-config ];
  buildInputs = [ systemd ];
  # whole nodes need root and namespaces: they are tested by nixos-tests and by xtask
  doCheck = false;

  postInstall = ''
    rm -f $out/bin/xtask
    install -Dm644 -t $out/lib/systemd/system units/*.service units/*.socket units/*.target units/*.timer units/*.slice
    install -Dm644 -t $out/lib/sysusers.d units/sysusers.d/*
    install -Dm644 -t $out/lib/tmpfiles.d units/tmpfiles.d/*
    install -Dm644 -t $out/share/dbus-1/system.d units/dbus-1/system.d/*
    install -Dm644 -t $out/share/dbus-1/interfaces units/dbus-1/interfaces/*
    install -Dm644 -t $out/lib/modules-load.d units/modules-load.d/*
    install -Dm644 -t $out/share/k3s-rs/manifests services/controller/manifests/*
    $out/bin/k3s-rs generate $out/share
    mkdir -p $out/libexec/k3s-rs
    mv $out/bin/k3s-rs-* $out/libexec/k3s-rs/
    substituteInPlace $out/lib/systemd/system/*.service --replace-quiet /usr/libexec/ $out/libexec/ --replace-quiet /usr/bin/k3s-rs $out/bin/k3s-rs
  '';

  meta = {
    description = "A small Kubernetes as a systemd-native service suite";
    license = lib.licenses.asl20;
    platforms = lib.platforms.linux;
  };
}
