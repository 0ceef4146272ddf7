# As much of nixpkgs' lib as the module calls, so that it can be evaluated where there is no nixpkgs. Types check nothing.
rec {
  optionalAttrs = condition: value: if condition then value else { };
  optional = condition: value: if condition then [ value ] else [ ];
  nameValuePair = name: value: { inherit name value; };
  mapAttrs' = f: set: builtins.listToAttrs (map (name: f name set.${name}) (builtins.attrNames set));
  filterAttrs = f: set: builtins.listToAttrs (map (name: nameValuePair name set.${name}) (builtins.filter (name: f name set.${name}) (builtins.attrNames set)));
  listToAttrs = builtins.listToAttrs;
  attrValues = builtins.attrValues;
  all = builtins.all;
  splitString = separator: text: builtins.filter builtins.isString (builtins.split separator text);
  escapeShellArgs = builtins.concatStringsSep " ";
  mkIf = condition: value: if condition then value else { };
  mkDefault = value: value;
  mkOption = option: option;
  mkEnableOption = description: {
    default = false;
    inherit description;
  };
  mkPackageOption = pkgs: name: _: { default = pkgs.${name}; };
  literalExpression = text: text;
  types = {
    bool = "bool";
    str = "str";
    path = "path";
    package = "package";
    attrs = "attrs";
    enum = values: { inherit values; };
    nullOr = type: type;
    either = type: _: type;
    listOf = type: [ type ];
    attrsOf = type: { of = type; };
    submodule = module: { inherit module; };
  };
}
