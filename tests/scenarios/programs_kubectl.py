# kubectl of the two minors before ours: what people do with it every day, against the same server.
# machines: server
# needs: cluster
# slow

import json
import sys

from machines import paths

sys.path.insert(0, str(paths.HERE.parent / "programs"))
import provide  # noqa: E402

MINORS = ("1.35", "1.34")
POD = """
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: docker.io/library/busybox:latest, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo begun; exec httpd -f -p 8080 -h /srv"], ports: [{containerPort: 8080}],
     volumeMounts: [{name: srv, mountPath: /srv}]}
  volumes: [{name: srv, emptyDir: {}}]
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: docker.io/library/busybox:latest, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}]
"""


def played(minor):
    """A day with kubectl."""
    space = f"old-{minor.replace('.', '-')}"
    program = f"{provide.BIN}/kubectl-{minor}"

    def kubectl(command, timeout=120):
        return server.succeed(f"{program} -n {space} {command}", timeout=timeout)

    server.succeed(f"{program} delete namespace {space} --ignore-not-found --timeout=60s")
    with subtest(f"{minor}: version, api-resources, api-versions, explain"):
        versions = json.loads(kubectl("version -o json 2>/dev/null"))  # two minors older, it warns
        t.assertEqual(minor, ".".join(versions["clientVersion"][key] for key in ("major", "minor")))
        t.assertIn("deployments.apps", kubectl("api-resources -o name").split())
        t.assertRegex(kubectl("api-resources"), r"pods +po +v1 +true +Pod")
        t.assertIn("apps/v1", kubectl("api-versions").split())
        t.assertRegex(kubectl("explain deployment.spec.strategy.type"), r"(?s)KIND: +Deployment.*FIELD: type <string>.*Rolling")
        t.assertIn("terminationGracePeriodSeconds\t<integer>", kubectl("explain pod.spec --recursive"))

    with subtest(f"{minor}: create, get, describe, label, events"):
        kubectl(f"create namespace {space}")
        server.write_file("/root/pod.yaml", POD)
        t.assertEqual("pod/p created\n", kubectl("apply -f /root/pod.yaml"))
        kubectl("wait pod/p --for=condition=Ready --timeout=60s")
        t.assertRegex(kubectl("get pods"), r"NAME +READY +STATUS +RESTARTS +AGE\np +1/1 +Running +0 +\d+s\n")
        t.assertRegex(kubectl("describe pod p"), r"(?s)Status: +Running.*Events:.*Started")
        t.assertEqual("pod/p labeled\n", kubectl("label pod p team=one"))
        t.assertIn("Scheduled", kubectl("events --for pod/p"))
        t.assertEqual("p\n", kubectl("get pod -l team=one --sort-by=.metadata.name -o custom-columns=N:.metadata.name --no-headers"))

    with subtest(f"{minor}: logs, exec, cp, port-forward"):
        t.assertEqual("begun\n", kubectl("logs p"))
        t.assertEqual("42\n", kubectl("exec p -- sh -c 'echo $((6*7))'"))
        status, _ = server.execute(f"{program} -n {space} exec p -- sh -c 'exit 7'", check_return=False)
        t.assertEqual(7, status)
        t.assertEqual("ECHO", server.succeed(f"printf echo | {program} -n {space} exec -i p -- tr a-z A-Z"))
        server.write_file("/root/there", "there and back\n")
        kubectl("cp /root/there p:/srv/index.html")
        kubectl("cp p:/srv/index.html /root/back")
        t.assertEqual("there and back\n", server.succeed("cat /root/back"))
        server.succeed(f"systemd-run --unit=forward -E HOME=/root {program} -n {space} port-forward pod/p 18080:8080")
        server.wait_until_succeeds("curl -sf --max-time 5 http://127.0.0.1:18080/ | grep -x 'there and back'", timeout=20)
        server.succeed("systemctl stop forward")

    with subtest(f"{minor}: server-side apply and a conflict"):
        part = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}
        server.write_file("/root/m.json", json.dumps(part))
        t.assertEqual("configmap/m serverside-applied\n", kubectl("apply --server-side --field-manager=one -f /root/m.json"))
        server.write_file("/root/m.json", json.dumps({**part, "data": {"a": "2"}}))
        t.assertIn('conflict with "one": .data.a', server.fail(f"{program} -n {space} apply --server-side --field-manager=two -f /root/m.json 2>&1"))
        kubectl("apply --server-side --field-manager=two --force-conflicts -f /root/m.json")
        t.assertEqual("2", kubectl("get configmap m -o jsonpath={.data.a}"))
        status, text = server.execute(f"echo '{json.dumps(part)}' | {program} -n {space} diff --server-side --field-manager=one --force-conflicts -f -", check_return=False)
        t.assertEqual(1, status, text)

    with subtest(f"{minor}: rollout, scale, patch, edit by set"):
        server.write_file("/root/web.yaml", WEB)
        t.assertEqual("deployment.apps/web created\n", kubectl("apply -f /root/web.yaml"))
        t.assertEqual("deployment.apps/web unchanged\n", kubectl("apply -f /root/web.yaml"))
        t.assertIn("successfully rolled out", kubectl("rollout status deployment/web --timeout=60s"))
        kubectl("set env deployment/web A=1")
        kubectl("rollout status deployment/web --timeout=60s")
        t.assertRegex(kubectl("rollout history deployment/web"), r"(?m)^2 ")
        kubectl("rollout undo deployment/web")
        kubectl("rollout restart deployment/web")
        kubectl("scale deployment/web --replicas=1")
        kubectl("rollout status deployment/web --timeout=60s")
        kubectl("""patch deployment web --subresource=scale --type=merge -p '{"spec":{"replicas":0}}'""")
        kubectl("autoscale deployment/web --min=1 --max=3")
        t.assertRegex(kubectl("get hpa web --no-headers"), r"Deployment/web")

    with subtest(f"{minor}: may I"):
        t.assertEqual("yes\n", kubectl("auth can-i delete pods"))
        status, text = server.execute(f"{program} -n {space} auth can-i delete pods --as=nobody", check_return=False)
        t.assertEqual((1, "no\n"), (status, text))
        t.assertRegex(kubectl("auth can-i --list --as=nobody"), r"selfsubjectaccessreviews\.authorization\.k8s\.io")
        t.assertIn("system:masters", kubectl("auth whoami"))

    with subtest(f"{minor}: strict about fields, and top says that there are no metrics or gives them"):
        server.write_file("/root/bad.json", json.dumps({**part, "nonsense": 1}))
        text = server.fail(f"{program} -n {space} apply -f /root/bad.json 2>&1")
        t.assertIn('unknown field "nonsense"', text)
        status, text = server.execute(f"{program} top nodes", check_return=False)
        t.assertTrue(status == 0 or "Metrics API not available" in text, text)

    kubectl(f"delete namespace {space} --timeout=60s")


provide.go(*(f"kubectl-{minor}" for minor in MINORS))
for minor in MINORS:
    played(minor)
