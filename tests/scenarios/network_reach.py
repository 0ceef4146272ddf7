# From a pod: names, Services, the other node's pods; from the host: NodePorts; a ServiceAccount may what its role says.
# machines: server agent
# needs: cluster

import json

PODS = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: echo}
spec:
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: httpd
        image: busybox
        imagePullPolicy: IfNotPresent
        command: [sh, -c, 'mkdir /page; hostname > /page/index.html; exec httpd -f -p 8080 -h /page']
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  type: NodePort
  selector: {app: echo}
  ports: [{name: web, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: parts}
spec:
  clusterIP: None
  selector: {app: echo}
  ports: [{name: web, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: echo.default.svc.cluster.local}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: viewer}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: viewer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: viewer, namespace: default}]
---
apiVersion: v1
kind: Pod
metadata: {name: probe, labels: {app: probe}}
spec:
  serviceAccountName: viewer
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}
"""


def kubectl(command, timeout=300):
    return server.succeed(f"kubectl {command}", timeout=timeout)


def inside(command):
    return kubectl(f"exec probe -- {command}")


def resolves(name):
    """The addresses a pod finds under a name."""
    text = inside(f"sh -c 'nslookup {name}; true'").replace("\r", "")
    lines = text.split("\n\n", 1)[-1].splitlines()
    return {line.split()[-1] for line in lines if line.startswith("Address")}


server.write_file("/root/net.yaml", PODS)
server.wait_until_succeeds("kubectl get serviceaccount default", timeout=240)
kubectl("apply -f /root/net.yaml")
kubectl("rollout status daemonset/echo --timeout=240s")
kubectl("wait pod/probe --for=condition=Ready --timeout=240s")
echo = {p["metadata"]["name"]: p["status"]["podIP"] for p in json.loads(kubectl("get pods -l app=echo -o json"))["items"]}
service = json.loads(kubectl("get service echo -o json"))["spec"]
t.assertEqual(2, len(echo))

with subtest("names: a Service, a headless one, another's name, a pod's, the API server's, and one that is not"):
    for name in ("echo", "echo.default", "echo.default.svc.cluster.local"):
        t.assertEqual({service["clusterIP"]}, {address for address in resolves(f"{name}.default.svc.cluster.local" if name == "echo" else name if name.endswith("local") else f"{name}.svc.cluster.local")})
    t.assertEqual(set(echo.values()), resolves("parts.default.svc.cluster.local"))
    t.assertEqual({service["clusterIP"]}, resolves("elsewhere.default.svc.cluster.local"))
    address = next(iter(echo.values()))
    t.assertEqual({address}, resolves(f"{address.replace('.', '-')}.default.pod.cluster.local"))
    t.assertEqual({"10.43.0.1"}, resolves("kubernetes.default.svc.cluster.local"))
    t.assertIn("NXDOMAIN", inside("sh -c 'nslookup nobody.default.svc.cluster.local 2>&1; true'"))
    t.assertRegex(inside("cat /etc/resolv.conf"), r"search default.svc.cluster.local svc.cluster.local cluster.local")

with subtest("the short name, as programs use it"):
    t.assertIn(inside("timeout 5 wget -qO- http://echo/").strip(), echo)

with subtest("a ClusterIP answers from a pod and from each machine, all pods taking part"):
    seen = {inside(f"timeout 5 wget -qO- http://{service['clusterIP']}/").strip() for _ in range(12)}
    t.assertEqual(set(echo), seen)
    for machine in machines:
        t.assertIn(machine.succeed(f"curl -sf --max-time 5 http://{service['clusterIP']}/").strip(), echo)

with subtest("every pod on its node and on the other, from the pod and from each machine"):
    for name, address in echo.items():
        t.assertEqual(f"{name}\n", inside(f"timeout 5 wget -qO- http://{address}:8080/"))
        inside(f"ping -c 1 -W 2 {address}")
        for machine in machines:
            t.assertEqual(f"{name}\n", machine.succeed(f"curl -sf --max-time 5 http://{address}:8080/"))

with subtest("a large transfer to the other node: no packet too large for the tunnel"):
    far = json.loads(kubectl("get pods -l app=echo -o json"))["items"]
    near = json.loads(kubectl("get pod probe -o json"))["spec"]["nodeName"]
    other = next(p for p in far if p["spec"]["nodeName"] != near)
    kubectl(f"exec {other['metadata']['name']} -- dd if=/dev/zero of=/page/big bs=1M count=30")
    t.assertEqual(str(30 << 20), inside(f"sh -c 'timeout 20 wget -qO- http://{other['status']['podIP']}:8080/big | wc -c'").strip())

with subtest("a NodePort answers on every node"):
    port = service["ports"][0]["nodePort"]
    nodes = [a["address"] for n in json.loads(kubectl("get nodes -o json"))["items"] for a in n["status"]["addresses"] if a["type"] == "InternalIP"]
    t.assertEqual(2, len(nodes))
    for machine in machines:
        for node in nodes:
            t.assertIn(machine.succeed(f"curl -sf --max-time 5 http://{node}:{port}/").strip(), echo)

with subtest("the API server through its Service, with the pod's own token"):
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    t.assertEqual("default", inside(f"cat {account}/namespace"))
    token = inside(f"cat {account}/token")
    api = f"curl -s --max-time 5 --cacert /run/net-ca.crt --resolve kubernetes.default.svc:443:10.43.0.1 -H 'Authorization: Bearer {token}' https://kubernetes.default.svc"
    server.write_file("/run/net-ca.crt", inside(f"cat {account}/ca.crt"))
    listed = json.loads(server.succeed(f"{api}/api/v1/namespaces/default/pods"))
    t.assertEqual("PodList", listed["kind"])
    refused = json.loads(server.succeed(f"{api}/api/v1/namespaces/default/configmaps -X POST -H 'Content-Type: application/json' -d '{{\"metadata\":{{\"name\":\"x\"}}}}'"))
    message = 'configmaps is forbidden: User "system:serviceaccount:default:viewer" cannot create resource "configmaps" in API group "" in the namespace "default"'
    t.assertEqual((403, message), (refused["code"], refused["message"]))

with subtest("a Service without pods refuses at once"):
    kubectl("create service clusterip nobody --tcp=80")
    address = kubectl("get service nobody -o jsonpath={.spec.clusterIP}")
    server.wait_until_succeeds(f"curl -s --max-time 3 http://{address}/ || test $? = 7", timeout=20)
    kubectl("delete service nobody")

kubectl("delete -f /root/net.yaml --timeout=240s")
