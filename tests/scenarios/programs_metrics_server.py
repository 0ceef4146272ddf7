# metrics-server as a pod behind an APIService: the aggregated API is found, answers, is asked in the user's name, goes and comes back.
# machines: server
# needs: cluster
# slow

import json
import sys

from machines import paths

sys.path.insert(0, str(paths.HERE.parent / "programs"))
import provide  # noqa: E402

SERVICE = "v1beta1.metrics.k8s.io"


def kubectl(command, timeout=120):
    return server.succeed(f"kubectl {command}", timeout=timeout)


def condition():
    (found,) = json.loads(kubectl(f"get apiservice {SERVICE} -o json"))["status"]["conditions"]
    return found["status"], found["reason"], found["message"]


def becomes(status, reason, timeout=90):
    text = f"get apiservice {SERVICE} -o jsonpath='{{.status.conditions[0].status}} {{.status.conditions[0].reason}}'"
    server.wait_until_succeeds(f"test \"$(kubectl {text})\" = '{status} {reason}'", timeout=timeout)


host = server.succeed("hostname").strip()
account = "      serviceAccountName: metrics-server\n"
# on the node that has the image
manifest = (provide.HERE / "metrics-server.yaml").read_text().replace(account, f"{account}      nodeSelector: {{kubernetes.io/hostname: {host}}}\n")
image = provide.image(server, "metrics-server")
t.assertIn(image, manifest)
server.write_file("/root/metrics-server.yaml", manifest)
server.succeed("kubectl delete -f /root/metrics-server.yaml --ignore-not-found --timeout=60s")

with subtest("our own groups have APIServices of their own"):
    local = json.loads(kubectl("get apiservice v1.apps -o json"))
    t.assertEqual(("apps", 17800, 15), tuple(local["spec"][key] for key in ("group", "groupPriorityMinimum", "versionPriority")))
    t.assertEqual("Local", local["status"]["conditions"][0]["reason"])

with subtest("an APIService without its Service is not available, and says why"):
    part = manifest.split("\n---\n")[-1]
    t.assertIn("APIService", part)
    server.write_file("/root/apiservice.yaml", part)
    kubectl("apply -f /root/apiservice.yaml")
    becomes("False", "ServiceNotFound")
    t.assertEqual('service/metrics-server in "kube-system" is not present', condition()[2])
    text = server.fail("kubectl get --raw /apis/metrics.k8s.io/v1beta1 2>&1")
    t.assertIn("the server is currently unable to handle the request", text)

with subtest("with its Service and pod it becomes available"):
    kubectl("apply -f /root/metrics-server.yaml")
    becomes("False", "MissingEndpoints", timeout=30)
    kubectl("-n kube-system rollout status deployment/metrics-server --timeout=120s")
    becomes("True", "Passed")
    t.assertEqual("all checks passed", condition()[2])

with subtest("discovery has it, in both forms"):
    server.wait_until_succeeds("kubectl api-resources --api-group=metrics.k8s.io -o name | grep -x pods.metrics.k8s.io", timeout=30)
    group = json.loads(kubectl("get --raw /apis/metrics.k8s.io"))
    t.assertEqual(("APIGroup", "metrics.k8s.io/v1beta1"), (group["kind"], group["preferredVersion"]["groupVersion"]))
    names = [group["name"] for group in json.loads(kubectl("get --raw /apis"))["groups"]]
    t.assertEqual("metrics.k8s.io", names[-1])

with subtest("kubectl top"):
    server.wait_until_succeeds("kubectl top nodes --no-headers | grep -E '^[a-z0-9]+ +[0-9]+m +[0-9]+% +[0-9]+Mi +[0-9]+%'", timeout=90)
    server.wait_until_succeeds("kubectl top pods -n kube-system --no-headers | grep -E '^metrics-server.* [0-9]+m +[0-9]+Mi'", timeout=90)
    t.assertRegex(kubectl("top pods -A --containers --no-headers"), r"kube-system +metrics-server-\S+ +metrics-server +\d+m +\d+Mi")
    t.assertRegex(kubectl("get podmetrics -n kube-system --no-headers"), r"metrics-server-\S+ +\S+")

with subtest("it is asked in the user's name"):
    text = server.fail("kubectl get podmetrics -n kube-system --as=nobody 2>&1")
    t.assertIn('User "nobody" cannot list resource "pods" in API group "metrics.k8s.io" in the namespace "kube-system"', text)
    kubectl("create role reader -n kube-system --verb=list --resource=pods.metrics.k8s.io --dry-run=client -o yaml | kubectl apply -f -")
    kubectl("create rolebinding reader -n kube-system --role=reader --user=nobody --dry-run=client -o yaml | kubectl apply -f -")
    server.wait_until_succeeds("kubectl get podmetrics -n kube-system --as=nobody --no-headers | grep metrics-server", timeout=30)
    kubectl("delete -n kube-system role/reader rolebinding/reader")

with subtest("gone and back"):
    kubectl("-n kube-system scale deployment/metrics-server --replicas=0")
    becomes("False", "MissingEndpoints")
    server.fail("kubectl top nodes 2>&1")
    # what this server answers itself is not disturbed
    kubectl("get deployments -A")
    kubectl("-n kube-system scale deployment/metrics-server --replicas=1")
    becomes("True", "Passed")
    server.wait_until_succeeds("kubectl top nodes --no-headers", timeout=90)

with subtest("deleted, its group is gone"):
    kubectl("delete -f /root/metrics-server.yaml --timeout=60s")
    server.wait_until_fails("kubectl get --raw /apis | grep metrics.k8s.io", timeout=30)
    t.assertIn("NotFound", server.fail("kubectl get --raw /apis/metrics.k8s.io/v1beta1 2>&1"))
