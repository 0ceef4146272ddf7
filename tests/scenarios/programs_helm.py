# Helm, of both majors, with a chart of ours: install, upgrade, test, rollback, uninstall, hooks and waiting.
# machines: server
# needs: cluster
# slow

import json
import sys

from machines import paths

sys.path.insert(0, str(paths.HERE.parent / "programs"))
import provide  # noqa: E402

CHART = paths.HERE.parent / "programs/chart"


def kubectl(command, timeout=120):
    return server.succeed(f"kubectl {command}", timeout=timeout)


def played(helm):
    """A release from its beginning to its end."""

    def run(command, timeout=240):
        return server.succeed(f"{provide.BIN}/{helm} {command} -n {helm}", timeout=timeout)

    def history():
        return [(entry["revision"], entry["status"]) for entry in json.loads(run("history web -o json"))]

    def page():
        return kubectl(f"-n {helm} exec deployment/web -- cat /page/index.html")

    with subtest(f"{helm}: install with a hook, waiting until all is ready"):
        out = run("install web /root/chart --create-namespace --wait --timeout 120s --set replicas=2")
        t.assertIn("STATUS: deployed", out)
        t.assertIn("web says hello.", out)
        t.assertEqual("2", kubectl(f"-n {helm} get deployment web -o jsonpath={{.status.readyReplicas}}"))
        t.assertEqual("1", kubectl(f"-n {helm} get job web-pre-install -o jsonpath={{.status.succeeded}}"))
        t.assertEqual("hello from revision 1\n", page())
        t.assertEqual("helm.sh/release.v1", kubectl(f"-n {helm} get secret sh.helm.release.v1.web.v1 -o jsonpath={{.type}}"))

    with subtest(f"{helm}: list, status and what it made"):
        (release,) = json.loads(run("list -o json"))
        t.assertEqual(("web", "1", "deployed", "greeter-1.0.0"), tuple(release[key] for key in ("name", "revision", "status", "chart")))
        t.assertIn("kind: Deployment", run("get manifest web"))
        t.assertEqual({"replicas": 2}, json.loads(run("get values web -o json")))

    with subtest(f"{helm}: the chart's test"):
        out = run("test web --logs --timeout 60s")
        t.assertIn("Phase:          Succeeded", out)
        t.assertIn("hello from revision 1", out)

    with subtest(f"{helm}: upgrade and the page with it"):
        run("upgrade web /root/chart --wait --timeout 120s --reuse-values --set greeting=moin")
        kubectl(f"-n {helm} rollout status deployment/web --timeout=60s")
        t.assertEqual("moin from revision 2\n", page())
        t.assertEqual([(1, "superseded"), (2, "deployed")], history())

    with subtest(f"{helm}: an upgrade whose hook fails changes nothing"):
        text = server.fail(f"{provide.BIN}/{helm} upgrade web /root/chart -n {helm} --reuse-values --set before='exit 3',greeting=never --timeout 60s 2>&1")
        t.assertIn("pre-upgrade hooks failed", text)
        t.assertEqual("moin from revision 2\n", page())
        t.assertEqual((3, "failed"), history()[-1])

    with subtest(f"{helm}: values the schema refuses"):
        text = server.fail(f"{provide.BIN}/{helm} upgrade web /root/chart -n {helm} --set replicas=-1 2>&1")
        t.assertIn("replicas", text)

    with subtest(f"{helm}: rollback"):
        run("rollback web 1 --wait --timeout 120s")
        kubectl(f"-n {helm} rollout status deployment/web --timeout=60s")
        t.assertEqual("hello from revision 1\n", page())
        t.assertEqual((4, "deployed"), history()[-1])

    with subtest(f"{helm}: the Service answers"):
        address = kubectl(f"-n {helm} get service web -o jsonpath={{.spec.clusterIP}}")
        server.wait_until_succeeds(f"curl -sf --max-time 5 http://{address}/ | grep -q 'hello from'", timeout=30)

    with subtest(f"{helm}: uninstall takes all of it away"):
        t.assertIn('release "web" uninstalled', run("uninstall web --wait --timeout 60s"))
        t.assertEqual("", kubectl(f"-n {helm} get deployments,services,secrets -l app.kubernetes.io/instance=web -o name"))
        t.assertEqual([], json.loads(run("list -o json")))
        kubectl(f"delete namespace {helm} --timeout=60s")


provide.go("helm", "helm4")
server.copy_from_host(str(CHART), "/root/chart")
for helm in ("helm", "helm4"):
    played(helm)
