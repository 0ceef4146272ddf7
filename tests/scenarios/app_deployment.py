# An application as a user deploys one, with stock kubectl: apply, look, scale, roll out, undo, apply again, delete.
# machines: server agent
# needs: cluster

import json

APP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "version one\\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
data: {password: cEBzJHcwcmQ=}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: httpd
        image: busybox
        imagePullPolicy: IfNotPresent
        command: [httpd, -f, -v, -p, "8080", -h, /page]
        ports: [{containerPort: 8080, name: http}]
        env:
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: key, key: password}}}
        startupProbe: {httpGet: {path: /, port: http}, periodSeconds: 1, failureThreshold: 30}
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        livenessProbe: {tcpSocket: {port: http}, periodSeconds: 5}
        resources: {requests: {cpu: 10m, memory: 8Mi}, limits: {cpu: 500m, memory: 32Mi}}
        volumeMounts: [{name: page, mountPath: /page}, {name: key, mountPath: /key, readOnly: true}]
      volumes:
      - {name: page, configMap: {name: page}}
      - {name: key, secret: {secretName: key, defaultMode: 0400}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
"""


def kubectl(command, timeout=300):
    return server.succeed(f"kubectl {command}", timeout=timeout)


def get(what):
    return json.loads(kubectl(f"get {what} -o json"))


def revision():
    return get("deployment web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"]


server.write_file("/root/app.yaml", APP)
server.wait_until_succeeds("kubectl get serviceaccount default", timeout=240)
server.succeed("kubectl delete -f /root/app.yaml --ignore-not-found")

with subtest("a deployment with everything rolls out"):
    out = kubectl("apply -f /root/app.yaml")
    t.assertEqual(["configmap/page created", "secret/key created", "deployment.apps/web created", "service/web created"], out.splitlines())
    out = kubectl("rollout status deployment/web --timeout=240s")
    t.assertIn('deployment "web" successfully rolled out', out)
    pods = get("pods -l app=web")["items"]
    t.assertEqual(3, len(pods))
    t.assertEqual({True}, {pod["status"]["containerStatuses"][0]["ready"] for pod in pods})
    t.assertEqual({"Burstable"}, {pod["status"]["qosClass"] for pod in pods})
    t.assertEqual(2, len({pod["spec"]["nodeName"] for pod in pods}))

with subtest("what was mounted and set is there"):
    pod = pods[0]["metadata"]["name"]
    t.assertEqual("version one\n", kubectl(f"exec {pod} -- cat /page/index.html"))
    t.assertEqual("p@s$w0rd", kubectl(f"exec {pod} -- cat /key/password"))
    t.assertEqual("p@s$w0rd\n", kubectl(f"exec {pod} -- sh -c 'echo $PASSWORD'"))
    t.assertEqual("400\n", kubectl(f"exec {pod} -- stat -L -c %a /key/password"))

with subtest("the Service answers with it"):
    address = get("service web")["spec"]["clusterIP"]
    for machine in machines:
        machine.wait_until_succeeds(f"curl -sf --max-time 5 http://{address}/ | grep -x 'version one'", timeout=240)

with subtest("applied twice: unchanged; nothing to see in diff"):
    out = kubectl("apply -f /root/app.yaml")
    t.assertEqual({"unchanged"}, {line.split()[-1] for line in out.splitlines()}, out)
    t.assertEqual("", kubectl("diff -f /root/app.yaml"))

with subtest("diff shows a change and ends with 1"):
    server.write_file("/root/app2.yaml", APP.replace("replicas: 3", "replicas: 2"))
    status, text = server.execute("kubectl diff -f /root/app2.yaml", check_return=False)
    t.assertEqual(1, status, text)
    t.assertIn("-  replicas: 3", text)
    t.assertIn("+  replicas: 2", text)

with subtest("server-side apply: a first time, a second time, a conflict, by force"):
    kubectl("create configmap shared --from-literal=first=1")
    part = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {"other": "x"}}
    server.write_file("/root/part.json", json.dumps(part))
    t.assertEqual("configmap/shared serverside-applied\n", kubectl("apply --server-side --field-manager=mine -f /root/part.json"))
    before = get("configmap shared")["metadata"]["resourceVersion"]
    kubectl("apply --server-side --field-manager=mine -f /root/part.json")
    t.assertEqual(before, get("configmap shared")["metadata"]["resourceVersion"])
    server.write_file("/root/part.json", json.dumps({**part, "data": {"other": "y"}}))
    text = server.fail("kubectl apply --server-side --field-manager=theirs -f /root/part.json")
    t.assertIn('error: Apply failed with 1 conflict: conflict with "mine": .data.other', text)
    kubectl("apply --server-side --field-manager=theirs --force-conflicts -f /root/part.json")
    t.assertEqual({"first": "1", "other": "y"}, get("configmap shared")["data"])
    kubectl("delete configmap shared")

with subtest("scale up and down"):
    t.assertEqual("deployment.apps/web scaled\n", kubectl("scale deployment/web --replicas=5"))
    kubectl("wait deployment/web --for=jsonpath={.status.readyReplicas}=5 --timeout=240s")
    kubectl("scale deployment/web --replicas=2")
    server.wait_until_succeeds("test $(kubectl get pods -l app=web --no-headers | wc -l) = 2", timeout=240)

with subtest("a new version, its history, and back"):
    kubectl("annotate deployment/web kubernetes.io/change-cause='first version'")
    kubectl("set env deployment/web VERSION=2")
    kubectl("annotate --overwrite deployment/web kubernetes.io/change-cause='second version'")
    kubectl("rollout status deployment/web --timeout=240s")
    t.assertEqual("2", revision())
    history = kubectl("rollout history deployment/web")
    t.assertRegex(history, r"1 +first version\n2 +second version")
    t.assertIn("VERSION:\t2", kubectl("rollout history deployment/web --revision=2"))
    t.assertIn("deployment.apps/web rolled back\n", kubectl("rollout undo deployment/web"))
    kubectl("rollout status deployment/web --timeout=240s")
    t.assertEqual("3", revision())
    t.assertNotIn("VERSION", json.dumps(get("deployment web")["spec"]))

with subtest("a broken version waits, and is undone"):
    kubectl("set image deployment/web httpd=busybox:no-such-tag")
    server.wait_until_succeeds("kubectl get pods -l app=web --no-headers | grep -E 'ErrImagePull|ImagePullBackOff'", timeout=240)
    t.assertEqual(2, get("deployment web")["status"]["availableReplicas"])
    text = server.fail("kubectl rollout status deployment/web --timeout=2s")
    t.assertIn("timed out waiting for the condition", text)
    kubectl("rollout undo deployment/web")
    kubectl("rollout status deployment/web --timeout=240s")

with subtest("paused, resumed, restarted"):
    kubectl("rollout pause deployment/web")
    kubectl("set env deployment/web PAUSED=1")
    t.assertEqual("5", revision())
    kubectl("rollout resume deployment/web")
    kubectl("rollout status deployment/web --timeout=240s")
    t.assertEqual("6", revision())
    t.assertEqual("deployment.apps/web restarted\n", kubectl("rollout restart deployment/web"))
    kubectl("rollout status deployment/web --timeout=240s")

with subtest("a changed ConfigMap reaches the mounted files"):
    kubectl("""patch configmap page -p '{"data":{"index.html":"version two\\n"}}'""")
    server.wait_until_succeeds(f"curl -sf --max-time 5 http://{address}/ | grep -x 'version two'", timeout=240)

with subtest("an autoscaler's scale subresource, patches of three kinds, label and annotate"):
    kubectl("""patch deployment web --subresource=scale --type=merge -p '{"spec":{"replicas":1}}'""")
    kubectl("""patch deployment web --type=json -p '[{"op":"add","path":"/metadata/labels/tier","value":"front"}]'""")
    kubectl("label deployment web team=one")
    labels = get("deployment web")["metadata"]["labels"]
    t.assertEqual({"app": "web", "tier": "front", "team": "one"}, labels)

with subtest("delete what was applied"):
    out = kubectl("delete -f /root/app.yaml --timeout=240s")
    t.assertIn('deployment.apps "web" deleted', out)
    server.wait_until_succeeds("test -z \"$(kubectl get pods,rs,endpointslices -l app=web -o name; kubectl get endpointslices -l kubernetes.io/service-name=web -o name)\"", timeout=240)
