# services.k3s-rs: the package's units, k3s's configuration file, and the target of a role.
#
# Option names and types are those of services.k3s where they mean the same; everything becomes config.yaml or files that
# k3s has too, and k3s-rs-bootstrap.service reads them.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.k3s-rs;
  server = cfg.role == "server";
  yaml = pkgs.formats.yaml { };
  json = pkgs.formats.json { };
  data = "/var/lib/rancher/k3s";

  optional = name: value: lib.optionalAttrs (value != null && value != "" && value != [ ] && value != false) { ${name} = value; };
  settings =
    optional "server" cfg.serverAddr
    // optional "token-file" cfg.tokenFile
    // optional "agent-token-file" cfg.agentTokenFile
    // optional "cluster-init" cfg.clusterInit
    // optional "disable-agent" cfg.disableAgent
    // optional "disable" cfg.disable
    // optional "node-name" cfg.nodeName
    // optional "node-ip" cfg.nodeIP
    // optional "node-external-ip" cfg.nodeExternalIP
    // optional "node-label" cfg.nodeLabel
    // optional "node-taint" cfg.nodeTaint
    // optional "selinux" cfg.selinux
    // cfg.settings;
  configFile = if cfg.configPath != null then cfg.configPath else yaml.generate "k3s-rs-config.yaml" settings;
  flags = if builtins.isList cfg.extraFlags then cfg.extraFlags else lib.splitString " " cfg.extraFlags;

  manifest = name: value: if value.source != null then value.source else json.generate "${name}.json" (
    if builtins.isList value.content then
      {
        apiVersion = "v1";
        kind = "List";
        items = value.content;
      }
    else
      value.content
  );
  enabled = lib.filterAttrs (_: value: value.enable) cfg.manifests;
  links =
    lib.mapAttrs' (
      name: value: lib.nameValuePair "${data}/server/manifests/${value.target}" { "L+".argument = toString (manifest name value); }
    ) enabled
    // lib.mapAttrs' (
      name: chart: lib.nameValuePair "${data}/server/static/charts/${name}.tgz" { "L+".argument = toString chart; }
    ) cfg.charts
    // lib.listToAttrs (
      map (image: lib.nameValuePair "${data}/agent/images/${image.name}" { "L+".argument = toString image; }) cfg.images
    );

  text = default: description: lib.mkOption {
    type = lib.types.nullOr lib.types.str;
    inherit default description;
  };
  texts = description: lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = [ ];
    inherit description;
  };
  switch = description: lib.mkOption {
    type = lib.types.bool;
    default = false;
    inherit description;
  };
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
    serverAddr = lib.mkOption {
      type = lib.types.str;
      default = "";
      example = "https://10.0.0.10:6443";
      description = "The server to join.";
    };
    token = lib.mkOption {
      type = lib.types.str;
      default = "";
      description = "Not offered: it would be readable for everybody in the store. Use `tokenFile`.";
    };
    tokenFile = text null "A file with the token, as a string so that it is not copied to the store.";
    agentTokenFile = text null "A file with the token of agents, when it is another one.";
    clusterInit = switch "Start a new cluster of servers with etcd.";
    disableAgent = switch "Run no node on this server.";
    disable = texts "Packaged components and manifests that shall not be there.";
    extraFlags = lib.mkOption {
      type = lib.types.either lib.types.str (lib.types.listOf lib.types.str);
      default = [ ];
      description = "Flags of k3s, after everything else.";
    };
    environmentFile = text null "A file with variables such as K3S_TOKEN.";
    configPath = text null "A config.yaml of your own, in place of the one made from these options.";
    settings = lib.mkOption {
      type = yaml.type;
      default = { };
      example = lib.literalExpression ''{ write-kubeconfig-mode = "0640"; cluster-cidr = "10.52.0.0/16"; }'';
      description = "Further keys of config.yaml.";
    };
    nodeName = text null "The node's name.";
    nodeIP = text null "The node's address.";
    nodeExternalIP = text null "The address others reach the node at.";
    nodeLabel = texts "Labels of the node at its first registration.";
    nodeTaint = texts "Taints of the node at its first registration.";
    selinux = switch "Let containerd set SELinux labels.";
    manifests = lib.mkOption {
      type = lib.types.attrsOf (
        lib.types.submodule (
          { name, ... }:
          {
            options = {
              enable = lib.mkOption {
                type = lib.types.bool;
                default = true;
                description = "Whether it is there.";
              };
              target = lib.mkOption {
                type = lib.types.str;
                default = "${name}.yaml";
                description = "Its file name.";
              };
              content = lib.mkOption {
                type = lib.types.nullOr (lib.types.either lib.types.attrs (lib.types.listOf lib.types.attrs));
                default = null;
                description = "An object, or several.";
              };
              source = lib.mkOption {
                type = lib.types.nullOr lib.types.path;
                default = null;
                description = "A file in place of content.";
              };
            };
          }
        )
      );
      default = { };
      description = "Manifests the cluster applies.";
    };
    charts = lib.mkOption {
      type = lib.types.attrsOf (lib.types.either lib.types.path lib.types.package);
      default = { };
      description = "Charts served at /static/charts.";
    };
    images = lib.mkOption {
      type = lib.types.listOf lib.types.package;
      default = [ ];
      description = "Archives of images imported at start.";
    };
    openFirewall = switch "Open the API server's, the kubelet's and the pod network's ports.";
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.token == "";
        message = "services.k3s-rs.token: use tokenFile, a token in the store is readable for everybody";
      }
      {
        assertion = server || cfg.configPath != null || (cfg.serverAddr != "" && (cfg.tokenFile != null || cfg.environmentFile != null));
        message = "services.k3s-rs: an agent needs serverAddr and tokenFile (or configPath)";
      }
      {
        assertion = server || !(cfg.clusterInit || cfg.disableAgent);
        message = "services.k3s-rs: clusterInit and disableAgent are for servers";
      }
      {
        assertion = lib.all (value: (value.content == null) != (value.source == null)) (lib.attrValues enabled);
        message = "services.k3s-rs.manifests: each needs either content or source";
      }
    ];
    warnings =
      lib.optional (!server && (cfg.manifests != { } || cfg.charts != { } || cfg.agentTokenFile != null)) "services.k3s-rs: manifests, charts and agentTokenFile have no effect on an agent"
      ++ lib.optional (cfg.disableAgent && cfg.images != [ ]) "services.k3s-rs: images are not imported where disableAgent is set";
    environment.systemPackages = [ cfg.package ];
    environment.etc."rancher/k3s/config.yaml".source = configFile;
    systemd.packages = [ cfg.package ];
    systemd.tmpfiles.packages = [ cfg.package ];
    systemd.tmpfiles.settings."10-k3s-rs" = links;
    services.dbus.packages = [ cfg.package ];
    systemd.targets."k3s-rs-${cfg.role}".wantedBy = [ "multi-user.target" ];
    systemd.services.k3s-rs-bootstrap = {
      restartTriggers = [ configFile ];
      path = [ pkgs.kmod ];
      serviceConfig =
        lib.optionalAttrs (cfg.environmentFile != null) { EnvironmentFile = cfg.environmentFile; }
        // lib.optionalAttrs (flags != [ ]) {
          ExecStart = [
            ""
            "${cfg.package}/bin/k3s-rs bootstrap ${cfg.role} ${lib.escapeShellArgs flags}"
          ];
        };
    };
    users.groups.k3s-rs = { };
    users.users = lib.listToAttrs (
      map
        (
          name:
          lib.nameValuePair "k3s-rs-${name}" {
            isSystemUser = true;
            group = "k3s-rs";
          }
        )
        [
          "apiserver"
          "controller"
          "datastore"
          "flannel"
          "proxy"
          "scheduler"
        ]
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
