# StatefulSet, DaemonSet, Job, CronJob: each does what it is for, with stock kubectl.
# machines: server agent
# needs: cluster
# slow

import json

BUSYBOX = {"image": "busybox", "imagePullPolicy": "IfNotPresent"}


def kubectl(command, timeout=300):
    return server.succeed(f"kubectl {command}", timeout=timeout)


def get(what):
    return json.loads(kubectl(f"get {what} -o json"))


def apply(*objects):
    server.write_file("/root/objects.yaml", "\n---\n".join(map(json.dumps, objects)))
    return kubectl("apply -f /root/objects.yaml")


def template(name, script, **spec):
    container = {"name": "c", **BUSYBOX, "command": ["sh", "-c", script]}
    return {"metadata": {"labels": {"app": name}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}}


def thing(kind, name, spec, version="apps/v1"):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


server.wait_until_succeeds("kubectl get serviceaccount default", timeout=240)
kubectl("delete --ignore-not-found --timeout=240s statefulset/db service/db daemonset/agent job/five job/never job/now cronjob/minute")  # of a run before

with subtest("a StatefulSet comes up in order, keeps its names, rolls from the last"):
    labels = {"matchLabels": {"app": "db"}}
    service = thing("Service", "db", {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 80}]}, "v1")
    spec = {"serviceName": "db", "replicas": 3, "selector": labels, "template": template("db", "exec sleep 1000")}
    apply(service, thing("StatefulSet", "db", spec))
    kubectl("rollout status statefulset/db --timeout=240s")
    pods = sorted(get("pods -l app=db")["items"], key=lambda pod: pod["metadata"]["name"])
    t.assertEqual(["db-0", "db-1", "db-2"], [pod["metadata"]["name"] for pod in pods])
    starts = [pod["metadata"]["creationTimestamp"] for pod in pods]
    t.assertEqual(sorted(starts), starts)
    t.assertEqual("db-1\n", kubectl("exec db-1 -- hostname"))
    before = pods[1]["metadata"]["uid"]
    kubectl("delete pod db-1 --grace-period=1")
    kubectl("wait pod/db-1 --for=condition=Ready --timeout=240s")
    t.assertNotEqual(before, get("pod db-1")["metadata"]["uid"])
    kubectl("set env statefulset/db VERSION=2")
    kubectl("rollout status statefulset/db --timeout=240s")
    t.assertEqual("2\n", kubectl("exec db-0 -- sh -c 'echo $VERSION'"))
    t.assertEqual(2, len(get("controllerrevisions -l app=db")["items"]))
    kubectl("rollout undo statefulset/db")
    kubectl("rollout status statefulset/db --timeout=240s")
    kubectl("scale statefulset/db --replicas=1")
    server.wait_until_succeeds("test \"$(kubectl get pods -l app=db -o name)\" = pod/db-0", timeout=240)
    kubectl("delete statefulset/db service/db --timeout=240s")

with subtest("a DaemonSet has a pod on each node, also one that says it is tainted"):
    apply(thing("DaemonSet", "agent", {"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent", "exec sleep 1000")}))
    kubectl("rollout status daemonset/agent --timeout=240s")
    nodes = {item["metadata"]["name"] for item in get("nodes")["items"]}
    t.assertEqual(nodes, {pod["spec"]["nodeName"] for pod in get("pods -l app=agent")["items"]})
    kubectl("set env daemonset/agent VERSION=2")
    kubectl("rollout status daemonset/agent --timeout=240s")
    t.assertRegex(kubectl("rollout history daemonset/agent"), r"1 +<none>\n2 +<none>")
    kubectl("rollout undo daemonset/agent")
    kubectl("rollout status daemonset/agent --timeout=240s")
    kubectl("delete daemonset/agent --timeout=240s")

with subtest("a Job with five of five, two at a time; its logs; gone after its time"):
    job = {"completions": 5, "parallelism": 2, "completionMode": "Indexed"}
    apply(thing("Job", "five", {**job, "template": template("five", "echo part $JOB_COMPLETION_INDEX", restartPolicy="Never")}, "batch/v1"))
    kubectl("wait job/five --for=condition=Complete --timeout=240s")
    said = {kubectl(f"logs {pod['metadata']['name']}") for pod in get("pods -l job-name=five")["items"]}
    t.assertEqual({f"part {index}\n" for index in range(5)}, said)
    kubectl("""patch job five -p '{"spec":{"ttlSecondsAfterFinished":1}}'""")
    kubectl("wait job/five --for=delete --timeout=240s")

with subtest("a Job that fails stops at its limit"):
    apply(thing("Job", "never", {"backoffLimit": 1, "template": template("never", "exit 3", restartPolicy="Never")}, "batch/v1"))
    kubectl("wait job/never --for=condition=Failed --timeout=240s")
    condition = next(c for c in get("job never")["status"]["conditions"] if c["type"] == "Failed")
    t.assertEqual(("BackoffLimitExceeded", "Job has reached the specified backoff limit"), (condition["reason"], condition["message"]))
    kubectl("delete job/never")

with subtest("a CronJob starts a Job each minute, by hand at once, and none while suspended"):
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template("minute", "echo tick", restartPolicy="Never")}}}
    apply(thing("CronJob", "minute", spec, "batch/v1"))
    t.assertEqual("job.batch/now created\n", kubectl("create job now --from=cronjob/minute"))
    kubectl("wait job/now --for=condition=Complete --timeout=240s")
    t.assertEqual("tick\n", kubectl("logs job/now"))
    server.wait_until_succeeds("kubectl get jobs -o name | grep -E 'job.batch/minute-[0-9]+'", timeout=240)
    server.wait_until_succeeds("kubectl get cronjob minute -o jsonpath={.status.lastSuccessfulTime} | grep Z", timeout=240)
    kubectl("""patch cronjob minute -p '{"spec":{"suspend":true}}'""")
    t.assertRegex(kubectl("get cronjob minute"), r"minute +\* \* \* \* \* +<none> +True ")
    kubectl("delete cronjob/minute --timeout=240s")
    kubectl("wait job/now --for=delete --timeout=240s")
    server.wait_until_succeeds("test -z \"$(kubectl get jobs,pods -l app=minute -o name)\"", timeout=240)
