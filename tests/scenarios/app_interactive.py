# The commands that look into pods and talk with them: logs, exec, attach, cp, port-forward, describe, explain, events, wait, debug.
# machines: server agent
# needs: cluster

import json

TALKER = """
apiVersion: v1
kind: Pod
metadata: {name: talker, labels: {app: talker}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: talk
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo line $i; sleep 1; done']
  - name: serve
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'mkdir /page; echo hello from the pod > /page/index.html; exec httpd -f -p 8080 -h /page']
  - name: listen
    image: busybox
    imagePullPolicy: IfNotPresent
    stdin: true
    command: [cat]
"""


def kubectl(command, timeout=300):
    return server.succeed(f"kubectl {command}", timeout=timeout)


server.write_file("/root/talker.yaml", TALKER)
server.wait_until_succeeds("kubectl get serviceaccount default", timeout=240)
kubectl("apply -f /root/talker.yaml")

with subtest("wait"):
    t.assertEqual("pod/talker condition met\n", kubectl("wait pod/talker --for=condition=Ready --timeout=240s"))
    text = server.fail("kubectl wait pod/talker --for=jsonpath={.status.phase}=Failed --timeout=1s")
    t.assertIn("timed out waiting for the condition on pods/talker", text)

with subtest("logs: whole, the last lines, followed, by label, of a container that is not there"):
    server.wait_until_succeeds("kubectl logs talker -c talk | grep -x 'line 2'", timeout=240)
    t.assertEqual(1, len(kubectl("logs talker -c talk --tail=1").splitlines()))
    followed = server.succeed("(timeout 60 kubectl logs -f talker -c talk --since=1s || true) | head -n 4").splitlines()
    numbers = [int(line.removeprefix("line ")) for line in followed]
    t.assertEqual(list(range(numbers[0], numbers[0] + 4)), numbers)
    t.assertRegex(kubectl("logs talker -c talk --timestamps --tail=1"), r"^\d{4}-\d\d-\d\dT\S+ line \d+\n$")
    t.assertIn("[pod/talker/talk] line ", kubectl("logs -l app=talker --all-containers --prefix --tail=1"))
    t.assertIn("error: container nobody is not valid for pod talker", server.fail("kubectl logs talker -c nobody"))
    t.assertIn("Defaulted container \"talk\" out of: talk, serve, listen", kubectl("logs talker --tail=1"))

with subtest("exec: output, input, status, both streams"):
    t.assertEqual("talker\n", kubectl("exec talker -c talk -- hostname"))
    t.assertEqual("through\n", kubectl("exec -i talker -c talk -- cat <<< through"))
    status, text = server.execute("kubectl exec talker -c talk -- sh -c 'echo oops >&2; exit 7'", check_return=False)
    t.assertEqual((7, True, True), (status, "oops" in text, "command terminated with exit code 7" in text))
    big = server.succeed("kubectl exec talker -c talk -- dd if=/dev/zero bs=1M count=20 2>/dev/null | wc -c")
    t.assertEqual(20 << 20, int(big))

with subtest("exec -it: a terminal of the size of ours, and what is typed"):
    command = "script -qec 'stty rows 33 cols 77; kubectl exec -it talker -c talk -- sh -c \"until stty size 2>/dev/null | grep .; do sleep 0.1; done; tty; read line; echo got \\$line\"' /dev/null <<< typed"
    text = server.succeed(command).replace("\r", "")
    t.assertRegex(text, r"33 77\n/dev/pts/\d+\n(typed\n)?got typed")

with subtest("attach"):
    heard = "until grep -q 'into the container' /run/heard; do sleep 0.2; done"
    server.succeed(f": > /run/heard; (echo into the container; {heard}) | timeout 60 kubectl attach -i talker -c listen > /run/heard")

with subtest("cp: a file there and back, a folder with many"):
    server.succeed("head -c 3000000 /dev/urandom > /root/random; rm -rf /root/many; mkdir /root/many; for i in $(seq 200); do echo $i > /root/many/$i; done")
    kubectl("cp /root/random talker:/tmp/random -c talk")
    kubectl("cp talker:/tmp/random /root/random2 -c talk")
    server.succeed("cmp /root/random /root/random2")
    kubectl("cp /root/many talker:/tmp/many -c talk")
    t.assertEqual("200\n", kubectl("exec talker -c talk -- sh -c 'ls /tmp/many | wc -l'"))

with subtest("port-forward"):
    server.succeed("systemd-run --unit=forward --setenv=HOME=/root --setenv=PATH=$PATH kubectl port-forward pod/talker 18080:8080")
    server.wait_for_open_port(18080, timeout=20)
    for _ in range(5):
        t.assertEqual("hello from the pod\n", server.succeed("curl -sf --max-time 5 http://127.0.0.1:18080/"))
    server.succeed("systemctl stop forward")

with subtest("proxy: through the API server to the pod, to the node"):
    t.assertEqual("hello from the pod\n", kubectl("get --raw /api/v1/namespaces/default/pods/talker:8080/proxy/"))
    node = kubectl("get pod talker -o jsonpath={.spec.nodeName}")
    t.assertIn("talker", kubectl(f"get --raw /api/v1/nodes/{node}/proxy/pods"))

with subtest("describe"):
    text = kubectl("describe pod talker")
    for wanted in ("Name:             talker", "QoS Class:                   BestEffort", "Started    ", "Container created", "Successfully assigned default/talker to"):
        t.assertIn(wanted.strip(), text)
    t.assertIn("Non-terminated Pods:", kubectl(f"describe node {node}"))

with subtest("events, by object and sorted"):
    text = kubectl("events --for pod/talker")
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        t.assertIn(reason, text)
    kubectl("get events --sort-by=.lastTimestamp")
    t.assertEqual("pod/talker", kubectl("get events --field-selector involvedObject.name=talker,reason=Scheduled -o jsonpath={.items[0].involvedObject.kind}/{.items[0].involvedObject.name}").lower())

with subtest("explain, api-resources, api-versions, version, cluster-info"):
    t.assertRegex(kubectl("explain pod.spec"), r"containers\s+<\[\]Container> -required-")
    t.assertRegex(kubectl("explain deployment.spec.strategy.rollingUpdate"), r"maxSurge\s+<")
    t.assertIn("FIELD: startupProbe <Probe>", kubectl("explain pod.spec.containers.startupProbe"))
    names = kubectl("api-resources -o name").split()
    for name in ("pods", "deployments.apps", "networkpolicies.networking.k8s.io", "leases.coordination.k8s.io"):
        t.assertIn(name, names)
    t.assertIn("apps/v1", kubectl("api-versions").split())
    t.assertIn("v1.36.3", kubectl("version"))
    t.assertIn("Kubernetes control plane", kubectl("cluster-info"))

with subtest("run, expose, get in every form, custom columns, watch"):
    kubectl("run once --image=busybox --image-pull-policy=IfNotPresent --restart=Never -- sh -c 'echo done'")
    kubectl("wait pod/once --for=jsonpath={.status.phase}=Succeeded --timeout=240s")
    t.assertEqual("done\n", kubectl("logs once"))
    text = kubectl("get pod once -o wide")
    t.assertRegex(text, r"NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES\nonce +0/1 +Completed +0 ")
    t.assertIn("kind: Pod", kubectl("get pod once -o yaml"))
    t.assertEqual("NAME   PHASE\nonce   Succeeded\n", kubectl("get pod once -o custom-columns=NAME:.metadata.name,PHASE:.status.phase"))
    server.succeed("(timeout 60 kubectl get pods -w -o name || true) | grep -m1 -x pod/talker")

with subtest("auth: who am I, may I"):
    t.assertIn("system:masters", kubectl("auth whoami"))
    t.assertEqual("yes\n", kubectl("auth can-i create deployments"))
    status, text = server.execute("kubectl auth can-i create pods --as=nobody", check_return=False)
    t.assertEqual((1, "no\n"), (status, text))

with subtest("debug: an ephemeral container beside the pod's"):
    text = server.execute("timeout 60 kubectl debug talker --image=busybox --image-pull-policy=IfNotPresent --target=talk -- sh -c 'ps | grep -c sleep'", check_return=False)[1]
    t.assertIn("Targeting container \"talk\"", text)
    server.wait_until_succeeds("kubectl get pod talker -o jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode} | grep -x 0", timeout=240)

with subtest("cordon, drain, uncordon"):
    kubectl(f"cordon {node}")
    t.assertIn("SchedulingDisabled", kubectl(f"get node {node}"))
    template = "'{spec: {terminationGracePeriodSeconds: 1, containers: [{name: busybox, imagePullPolicy: IfNotPresent}]}}'"
    server.succeed(f"kubectl create deployment moved --image=busybox --replicas=2 --dry-run=client -o yaml -- sleep 1000 | kubectl patch --local -f - -o yaml -p \"spec: {{template: $(echo {template})}}\" | kubectl create -f -")
    server.wait_until_succeeds(f"test $(kubectl get pods -l app=moved --field-selector=status.phase=Running,spec.nodeName!={node} -o name | wc -l) = 2", timeout=240)
    kubectl(f"uncordon {node}")
    other = kubectl("get pods -l app=moved -o jsonpath={.items[0].spec.nodeName}")
    kubectl(f"drain {other} --pod-selector=app=moved --grace-period=1 --timeout=240s")
    server.wait_until_succeeds(f"test $(kubectl get pods -l app=moved --field-selector=status.phase=Running,spec.nodeName={node} -o name | wc -l) = 2", timeout=240)
    kubectl(f"uncordon {other}")

kubectl("delete pod talker once --grace-period=1 --timeout=240s; kubectl delete deployment moved")
