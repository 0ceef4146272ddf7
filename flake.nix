{
  description = "k3s-rs: a small Kubernetes as a systemd-native service suite";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forAllSystems = f: nixpkgs.lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
    in
    {
      packages = forAllSystems (pkgs: rec {
        k3s-rs = pkgs.callPackage ./nix/package.nix { };
        default = k3s-rs;
      });
      overlays.default = final: _prev: { k3s-rs = final.callPackage ./nix/package.nix { }; };
      nixosModules = rec {
        k3s-rs = import ./nix/module;
        default = k3s-rs;
      };
      checks = forAllSystems (
        pkgs:
        import ./nix/tests.nix {
          pkgs = pkgs.extend self.overlays.default;
          module = self.nixosModules.default;
        }
      );
      devShells = forAllSystems (pkgs: { default = pkgs.callPackage ./nix/devshell.nix { }; });
      formatter = forAllSystems (pkgs: pkgs.nixfmt-rfc-style);
    };
}
