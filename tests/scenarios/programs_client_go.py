# A controller written with client-go, in a pod with a ServiceAccount: two replicas, one leads; informers, apply, events; the next takes over.
# machines: server
# needs: cluster
# slow

import json
import sys

from machines import paths

sys.path.insert(0, str(paths.HERE.parent / "programs"))
import provide  # noqa: E402

NAMESPACE = "echo"
RULES = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
]


def kubectl(command, timeout=120):
    return server.succeed(f"kubectl {command}", timeout=timeout)


def thing(api, kind, name, **rest):
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, **rest}


def secret(name):
    return kubectl(f"-n {NAMESPACE} get secret {name} -o jsonpath='{{.data.said}}' | base64 -d")


def leader():
    return kubectl(f"-n {NAMESPACE} get lease echo -o jsonpath={{.spec.holderIdentity}}")


image = provide.image(server, "client-go")
field = lambda path: {"valueFrom": {"fieldRef": {"fieldPath": path}}}
container = {
    "name": "c", "image": image, "imagePullPolicy": "Never",
    "env": [{"name": "POD", **field("metadata.name")}, {"name": "NAMESPACE", **field("metadata.namespace")}],
    "securityContext": {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
}
subjects = [{"kind": "ServiceAccount", "name": "echo", "namespace": NAMESPACE}]
reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "echo"}
# the node that has the image
selector = {"kubernetes.io/hostname": server.succeed("hostname").strip()}
template = {"metadata": {"labels": {"app": "echo"}}, "spec": {"nodeSelector": selector, "serviceAccountName": "echo", "terminationGracePeriodSeconds": 10, "containers": [container]}}
objects = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    thing("v1", "ServiceAccount", "echo"),
    thing("rbac.authorization.k8s.io/v1", "Role", "echo", rules=RULES),
    thing("rbac.authorization.k8s.io/v1", "RoleBinding", "echo", subjects=subjects, roleRef=reference),
    thing("apps/v1", "Deployment", "echo", spec={"replicas": 2, "selector": {"matchLabels": {"app": "echo"}}, "template": template}),
]
server.write_file("/root/echo.yaml", "\n---\n".join(map(json.dumps, objects)))
server.succeed(f"kubectl delete namespace {NAMESPACE} --ignore-not-found --timeout=60s")

with subtest("one of two leads"):
    kubectl("apply -f /root/echo.yaml")
    kubectl(f"-n {NAMESPACE} rollout status deployment/echo --timeout=120s")
    server.wait_until_succeeds(f"test -n \"$(kubectl -n {NAMESPACE} get lease echo -o jsonpath={{.spec.holderIdentity}})\"", timeout=60)
    first = leader()
    server.wait_until_succeeds(f"kubectl -n {NAMESPACE} logs {first} | grep -x 'synced with 0'", timeout=30)
    t.assertIn("nodes: forbidden=true", kubectl(f"-n {NAMESPACE} logs {first}"))

with subtest("what it watches it answers, with a Secret and an event"):
    for name, colour in (("a", "red"), ("b", "red"), ("c", "blue")):
        kubectl(f"-n {NAMESPACE} create configmap {name} --from-literal=say=hello-{name}")
        kubectl(f"-n {NAMESPACE} label configmap {name} colour={colour}")
    server.wait_until_succeeds(f"kubectl -n {NAMESPACE} get secret a b c", timeout=30)
    t.assertEqual("hello-b", secret("b"))
    server.wait_until_succeeds(f"kubectl -n {NAMESPACE} get events --field-selector reason=Echoed,involvedObject.name=b | grep 'said hello-b'", timeout=30)

with subtest("a change and a deletion"):
    kubectl(f"""-n {NAMESPACE} patch configmap a -p '{{"data":{{"say":"changed"}}}}'""")
    server.wait_until_succeeds(f"test \"$(kubectl -n {NAMESPACE} get secret a -o jsonpath={{.data.said}} | base64 -d)\" = changed", timeout=30)
    kubectl(f"-n {NAMESPACE} delete configmap c")
    server.wait_until_fails(f"kubectl -n {NAMESPACE} get secret c", timeout=30)

with subtest("the leader ends and hands the lease over at once"):
    kubectl(f"-n {NAMESPACE} delete pod {first} --timeout=60s")
    server.wait_until_succeeds(f"kubectl -n {NAMESPACE} get lease echo -o jsonpath={{.spec.holderIdentity}} | grep -v '^{first}$' | grep .", timeout=12)
    second = leader()
    server.wait_until_succeeds(f"kubectl -n {NAMESPACE} logs {second} | grep -x 'synced with 2'", timeout=30)

with subtest("it goes on after the API server was restarted"):
    server.succeed("systemctl restart k3s-rs-apiserver 2>/dev/null || systemctl restart kube-apiserver")
    server.wait_until_succeeds("kubectl get --raw /readyz", timeout=60)
    kubectl(f"-n {NAMESPACE} create configmap d --from-literal=say=after")
    kubectl(f"-n {NAMESPACE} label configmap d colour=red")
    server.wait_until_succeeds(f"kubectl -n {NAMESPACE} get secret d", timeout=60)
    t.assertEqual("after", secret("d"))

kubectl(f"delete namespace {NAMESPACE} --timeout=60s")
