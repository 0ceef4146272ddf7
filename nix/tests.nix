# nixos-tests that run the scenario files of tests/scenarios as they are: the machines' names are those in a file's head.
{ pkgs, module }:
let
  inherit (pkgs) lib;
  scenarios = {
    addons = {
      file = ../tests/scenarios/addons_manifests.py;
      machines = [ "server" ];
    };
    status = {
      file = ../tests/scenarios/cli_status.py;
      machines = [ "server" ];
    };
  };
  machine = {
    imports = [ module ];
    # the scenario writes the configuration and starts the target
    services.k3s-rs = {
      enable = true;
      openFirewall = true;
    };
    systemd.targets.k3s-rs-server.wantedBy = lib.mkForce [ ];
    environment.etc."rancher/k3s/config.yaml".enable = false;
    virtualisation = {
      memorySize = 1536;
      diskSize = 4096;
    };
  };
in
lib.mapAttrs (
  name: scenario:
  pkgs.testers.runNixOSTest {
    name = "k3s-rs-${name}";
    nodes = lib.genAttrs scenario.machines (_: machine);
    testScript = builtins.readFile scenario.file;
  }
) scenarios
