# Evaluates the module without nixpkgs: `nix-instantiate --eval --strict --json nix/check`. The answer is a list of what is wrong.
let
  lib = import ./lib.nix;
  pkgs = {
    k3s-rs = "/pkg";
    kmod = "/kmod";
    formats.yaml = _: {
      type = "yaml";
      generate = name: value: "/store/${name}-${builtins.hashString "sha256" (builtins.toJSON value)}";
    };
    formats.json = pkgs.formats.yaml;
  };
  defaults = options: builtins.mapAttrs (_: option: option.default or null) options;
  evaluate =
    given:
    let
      module = import ../module {
        inherit lib pkgs;
        config.services.k3s-rs = final;
      };
      options = module.options.services.k3s-rs;
      unknown = builtins.filter (name: !(options ? ${name})) (builtins.attrNames given);
      plain = defaults options // given;
      manifest = name: value: defaults (options.manifests.type.of.module { inherit name; }).options // value;
      final = plain // {
        manifests = builtins.mapAttrs manifest plain.manifests;
      };
    in
    if unknown != [ ] then throw "no option ${toString unknown}" else module.config;
  failed = given: map (a: a.message) (builtins.filter (a: !a.assertion) (evaluate given).assertions);
  check = name: condition: if condition then [ ] else [ name ];

  server = evaluate {
    enable = true;
    manifests.absent = {
      enable = false;
      content = { };
    };
    manifests.several.content = [ { kind = "Namespace"; } ];
    manifests.foo = {
      target = "foo-namespace.yaml";
      source = /etc/hostname;
    };
    images = [ { name = "a.tar.zst"; outPath = "/store/a"; } ];
    charts.web = "/store/web.tgz";
    extraFlags = "--write-kubeconfig-mode 0644";
    environmentFile = "/run/env";
    openFirewall = true;
  };
  rules = server.systemd.tmpfiles.settings."10-k3s-rs";
  agent = {
    enable = true;
    role = "agent";
    serverAddr = "https://a:6443";
    tokenFile = "/run/token";
  };
  data = "/var/lib/rancher/k3s";
in
check "nothing without enable" (evaluate { } == { })
++ check "manifests" (
  builtins.attrNames rules == [
    "${data}/agent/images/a.tar.zst"
    "${data}/server/manifests/foo-namespace.yaml"
    "${data}/server/manifests/several.yaml"
    "${data}/server/static/charts/web.tgz"
  ]
)
++ check "flags" (builtins.elem "/pkg/bin/k3s-rs bootstrap server --write-kubeconfig-mode 0644" server.systemd.services.k3s-rs-bootstrap.serviceConfig.ExecStart)
++ check "environment" (server.systemd.services.k3s-rs-bootstrap.serviceConfig.EnvironmentFile == "/run/env")
++ check "firewall" (server.networking.firewall.allowedTCPPorts == [ 10250 6443 ])
++ check "agent" (failed agent == [ ] && (evaluate agent).networking.firewall == { })
++ check "agent's target" (builtins.attrNames (evaluate agent).systemd.targets == [ "k3s-rs-agent" ])
++ check "agent without token" (builtins.length (failed { enable = true; role = "agent"; }) == 1)
++ check "token in the store" (builtins.length (failed { enable = true; token = "x"; }) == 1)
++ check "clusterInit on an agent" (builtins.length (failed (agent // { clusterInit = true; })) == 1)
++ check "manifest without content" (builtins.length (failed { enable = true; manifests.x = { }; }) == 1)
++ check "warnings" (builtins.length (evaluate (agent // { charts.x = "/x"; })).warnings == 1)
