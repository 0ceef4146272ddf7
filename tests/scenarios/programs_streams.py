# Streams by WebSocket, of kubectl and its two minors before: translated by the API server, never by falling back to SPDY.
# machines: server
# needs: cluster

import sys

from machines import paths

sys.path.insert(0, str(paths.HERE.parent / "programs"))
import provide  # noqa: E402

OLDER = ("kubectl-1.35", "kubectl-1.34")
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: docker.io/library/busybox:latest, imagePullPolicy: IfNotPresent, command: [sh, -c, "mkdir /srv; echo page > /srv/index.html; exec httpd -f -p 8080 -h /srv"]}
  - {name: listen, image: docker.io/library/busybox:latest, imagePullPolicy: IfNotPresent, stdin: true, command: [cat]}
---
apiVersion: v1
kind: Pod
metadata: {name: over}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: docker.io/library/busybox:latest, imagePullPolicy: IfNotPresent, command: ["true"]}
  - {name: stays, image: docker.io/library/busybox:latest, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}
"""
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: looks}
rules: [{apiGroups: [""], resources: [pods, pods/exec, pods/attach, pods/portforward], verbs: [get]}]
"""
EXEC = "/api/v1/namespaces/streams/pods/p/exec?container=c&command=id&stdout=1"


def played(program):
    """Each kind of stream, with what the program says about the way it took."""
    called = f"{program} -n streams -v=4"

    def asked(command, said="", then=""):
        """What came out; what was said of the way is looked at."""
        text = server.succeed(f"{said} {called} {command} 2> /root/way {then}")
        way = server.succeed("cat /root/way")
        t.assertIn("v5.channel.k8s.io", way)
        t.assertNotIn("fallback", way.lower())
        return text

    with subtest(f"{program}: exec: output, both streams, status"):
        t.assertEqual("42\n", asked("exec p -c c -- sh -c 'echo $((6*7))'"))
        asked("exec p -c c -- sh -c 'echo oops >&2'")
        t.assertIn("oops\n", server.succeed("cat /root/way"))
        status, text = server.execute(f"{called} exec p -c c -- sh -c 'exit 7' 2>&1", check_return=False)
        t.assertEqual((7, True), (status, "command terminated with exit code 7" in text), text)

    with subtest(f"{program}: exec: the end of input alone, much both ways"):
        t.assertEqual("ECHO", asked("exec -i p -c c -- tr a-z A-Z", "printf echo |"))
        t.assertEqual(str(20 << 20), asked("exec -i p -c c -- cat", "head -c 20971520 /dev/zero |", "| wc -c").strip())
        # not more than a runtime keeps: containerd may wait for ever for a process that ended before its input
        t.assertEqual("1\n", asked("exec -i p -c c -- head -n 1", "(seq 1000 || true) |"))

    with subtest(f"{program}: exec: a terminal and its size"):
        typed = f"stty rows 33 cols 77; {called} exec -it p -c c -- sh -c 'until stty size 2>/dev/null | grep 33; do sleep 0.1; done; read line; echo got $line' 2> /root/way"
        server.write_file("/root/typed", typed)
        text = server.succeed("script -qec 'sh /root/typed' /dev/null <<< typed").replace("\r", "")
        t.assertRegex(text, r"33 77\n(typed\n)?got typed")
        t.assertNotIn("fallback", server.succeed("cat /root/way").lower())

    with subtest(f"{program}: attach, cp"):
        heard = "until grep -q 'into it' /root/heard; do sleep 0.2; done"
        server.succeed(f": > /root/heard; (echo into it; {heard}) | timeout 60 {called} attach -i p -c listen > /root/heard 2> /root/way")
        t.assertNotIn("fallback", server.succeed("cat /root/way").lower())
        server.succeed("head -c 3000000 /dev/urandom > /root/random")
        asked("cp /root/random p:/tmp/random -c c")
        asked("cp p:/tmp/random /root/random2 -c c")
        server.succeed("cmp /root/random /root/random2")

    with subtest(f"{program}: port-forward"):
        server.succeed(f"systemd-run --unit=forward -E HOME=/root -p StandardError=truncate:/root/way {called} port-forward pod/p 18081:8080")
        server.wait_until_succeeds("curl -sf --max-time 5 http://127.0.0.1:18081/ | grep -x page", timeout=60)
        for _ in range(20):
            t.assertEqual("page\n", server.succeed("curl -sf --max-time 20 http://127.0.0.1:18081/"))
        server.succeed("systemctl stop forward")
        way = server.succeed("cat /root/way")
        t.assertIn("negotiated protocol: portforward.k8s.io", way)
        t.assertNotIn("fallback", way.lower())


provide.go(*OLDER)
server.succeed("kubectl delete namespace streams --ignore-not-found --timeout=60s", "kubectl create namespace streams")
server.write_file("/root/pods.yaml", PODS)
server.wait_until_succeeds("kubectl -n streams get serviceaccount default", timeout=60)
server.succeed("kubectl -n streams apply -f /root/pods.yaml", "kubectl -n streams wait pod/p --for=condition=Ready --timeout=120s", timeout=150)
for program in ("kubectl", *(f"{provide.BIN}/{older}" for older in OLDER)):
    played(program)

with subtest("what the kubelet refuses is told in the error channel"):
    server.wait_until_succeeds("kubectl -n streams get pod over -o json | grep -q Completed", timeout=120)
    text = server.fail("kubectl -n streams exec over -c c -- true 2>&1")
    t.assertIn('error: Internal error occurred: unable to upgrade connection: container not found ("c")', text)
    text = server.fail("kubectl -n streams exec p -c c -- nothing 2>&1")
    t.assertRegex(text, r"error: Internal error occurred: .*exec: \"nothing\": executable file not found")

with subtest("a stream must be asked for as one, by who may create it"):
    t.assertIn("Upgrade request required", server.fail(f"kubectl get --raw '{EXEC}' 2>&1"))
    server.write_file("/root/role.yaml", ROLE)
    server.succeed("kubectl -n streams apply -f /root/role.yaml", "kubectl -n streams create rolebinding looks --role=looks --user=alice")
    server.wait_until_succeeds("kubectl -n streams auth can-i get pods/exec --as=alice", timeout=30)
    text = server.fail(f"kubectl get --raw '{EXEC}' --as=alice 2>&1")
    t.assertIn('Error from server (Forbidden): pods "p" is forbidden', text)
    t.assertNotIn("cannot get", text)

server.succeed("kubectl delete namespace streams --timeout=60s", timeout=90)
