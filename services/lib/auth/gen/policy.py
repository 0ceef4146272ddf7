#!/usr/bin/env python3
"""Writes src/rbac/policy.json: upstream's bootstrap roles and bindings, one object a line, facts only.

Run by hand when the Kubernetes version changes:  gen/policy.py DIR > src/rbac/policy.json
DIR is plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata of the k8s.io/kubernetes module.
Needs PyYAML.
"""
import json, pathlib, sys, yaml

FILES = ["cluster-roles", "cluster-role-bindings", "controller-roles", "controller-role-bindings", "namespace-roles", "namespace-role-bindings"]
print("[")
lines = []
for name in FILES:
    for item in yaml.safe_load((pathlib.Path(sys.argv[1]) / f"{name}.yaml").read_text())["items"]:
        item["metadata"].pop("creationTimestamp", None)
        lines.append(json.dumps(item, sort_keys=True, separators=(",", ":")))
print(",\n".join(lines))
print("]")
