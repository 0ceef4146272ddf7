# services.k3s-rs: the units of the package, a settings file for each daemon, and the targets of a role.
#
# Option names and types follow services.k3s where they mean the same.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.k3s-rs;
  json = pkgs.formats.json { };
  server = cfg.role == "server";
  daemons = [
    "kubelet"
    "proxy"
    "flannel"
  ]
  ++ lib.optionals server [
    "datastore"
    "apiserver"
    "controller"
  ];
in
{
  options.services.k3s-rs = {
    enable = lib.mkEnableOption "k3s-rs, a small Kubernetes";
    package = lib.mkPackageOption pkgs "k3s-rs" { };
    role = lib.mkOption {
      type = lib.types.enum [
        "server"
        "agent"
      ];
      default = "server";
      description = "Whether this machine is a control plane and a node, or a node only.";
    };
    settings = lib.mkOption {
      type = lib.types.attrsOf json.type;
      default = { };
      example = lib.literalExpression ''{ apiserver.serviceClusterIPRange = "10.43.0.0/16"; }'';
      description = ''
        Settings of each daemon, by its name. `k3s-rs-<daemon> --dump-config` prints every key with its default.
      '';
    };
    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Open the API server's, the kubelet's and the pod network's ports.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = lib.all (name: lib.elem name daemons) (lib.attrNames cfg.settings);
        message = "services.k3s-rs.settings: a ${cfg.role} runs ${lib.concatStringsSep ", " daemons}; got ${lib.concatStringsSep ", " (lib.attrNames cfg.settings)}";
      }
    ];
    environment.systemPackages = [ cfg.package ];
    systemd.packages = [ cfg.package ];
    systemd.tmpfiles.packages = [ cfg.package ];
    services.dbus.packages = [ cfg.package ];
    systemd.targets."k3s-rs-${cfg.role}".wantedBy = [ "multi-user.target" ];
    systemd.services = lib.listToAttrs (
      map (
        name:
        lib.nameValuePair "k3s-rs-${name}" {
          wantedBy = [
            (if lib.elem name [ "kubelet" "proxy" "flannel" ] then "k3s-rs-agent.target" else "k3s-rs-server.target")
          ];
          restartTriggers = [ config.environment.etc."k3s-rs/${name}.json".source ];
          serviceConfig.ExecStart = [
            ""
            "${cfg.package}/libexec/k3s-rs/k3s-rs-${name} --config /etc/k3s-rs/${name}.json"
          ];
        }
      ) daemons
    );
    environment.etc = lib.listToAttrs (
      map (
        name:
        lib.nameValuePair "k3s-rs/${name}.json" {
          source = json.generate "k3s-rs-${name}.json" (cfg.settings.${name} or { });
        }
      ) daemons
    );
    users.groups.k3s-rs = { };
    users.users = lib.listToAttrs (
      map (
        name:
        lib.nameValuePair "k3s-rs-${name}" {
          isSystemUser = true;
          group = "k3s-rs";
        }
      ) (lib.remove "kubelet" daemons)
    );
    boot.kernel.sysctl = {
      "net.ipv4.ip_forward" = lib.mkDefault 1;
      "net.bridge.bridge-nf-call-iptables" = lib.mkDefault 1;
    };
    boot.kernelModules = [
      "br_netfilter"
      "overlay"
      "vxlan"
    ];
    networking.firewall = lib.mkIf cfg.openFirewall {
      allowedTCPPorts = [ 10250 ] ++ lib.optional server 6443;
      allowedUDPPorts = [ 8472 ];
    };
  };
}
