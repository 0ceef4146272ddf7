"""What people do with the Python client, each step checked; prints one line a step.

    client.py NAMESPACE IMAGE
"""

import json
import sys
import threading
import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import portforward, stream

NAMESPACE, IMAGE = sys.argv[1:]


def said(text: str) -> None:
    print(text, flush=True)


def expect(wanted, found, what: str) -> None:
    if wanted != found:
        sys.exit(f"{what}: wanted {wanted!r}, found {found!r}")


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"made": "here"}), data=data)


def refused(status: int, reason: str, call) -> None:
    """A call the server must refuse, with that status and reason."""
    try:
        call()
    except ApiException as error:
        expect((status, reason), (error.status, json.loads(error.body)["reason"]), "refusal")
    else:
        sys.exit(f"not refused: {reason}")


def objects(core: client.CoreV1Api) -> None:
    for number in range(7):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"m{number}", n=str(number)))
    refused(409, "AlreadyExists", lambda: core.create_namespaced_config_map(NAMESPACE, config_map("m1")))
    refused(404, "NotFound", lambda: core.read_namespaced_config_map("none", NAMESPACE))
    refused(422, "Invalid", lambda: core.create_namespaced_config_map(NAMESPACE, config_map("No Name")))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="made=here", limit=3, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    expect([f"m{number}" for number in range(7)], names, "pages")
    expect(["m3"], [i.metadata.name for i in core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=m3").items], "field selector")
    said("objects")


def patches(core: client.CoreV1Api, api: client.ApiClient) -> None:
    core.patch_namespaced_config_map("m0", NAMESPACE, {"data": {"n": None, "merged": "yes"}})
    expect({"merged": "yes"}, core.read_namespaced_config_map("m0", NAMESPACE).data, "strategic merge patch")
    core.patch_namespaced_config_map("m0", NAMESPACE, [{"op": "replace", "path": "/data/merged", "value": "json"}])
    expect({"merged": "json"}, core.read_namespaced_config_map("m0", NAMESPACE).data, "JSON patch")
    dyn = dynamic.DynamicClient(api)
    maps = dyn.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
    maps.server_side_apply(body=body, name="applied", namespace=NAMESPACE, field_manager="one")
    try:
        maps.server_side_apply(body={**body, "data": {"a": "2"}}, name="applied", namespace=NAMESPACE, field_manager="two")
    except ApiException as error:
        expect((409, True), (error.status, 'conflict with "one"' in json.loads(error.body)["message"]), "apply conflict")
    else:
        sys.exit("a conflict of appliers was not seen")
    maps.server_side_apply(body={**body, "data": {"a": "2"}}, name="applied", namespace=NAMESPACE, field_manager="two", force_conflicts=True)
    expect("2", maps.get(name="applied", namespace=NAMESPACE).data.a, "forced apply")
    stale = core.read_namespaced_config_map("m1", NAMESPACE)
    core.patch_namespaced_config_map("m1", NAMESPACE, {"data": {"n": "newer"}})
    stale.data = {"n": "stale"}
    refused(409, "Conflict", lambda: core.replace_namespaced_config_map("m1", NAMESPACE, stale))
    said("patches")


def watches(core: client.CoreV1Api) -> None:
    begin = core.list_namespaced_config_map(NAMESPACE, label_selector="made=here").metadata.resource_version
    seen: list[tuple[str, str]] = []
    ready = threading.Event()

    def follow() -> None:
        watcher = watch.Watch()
        ready.set()
        for event in watcher.stream(core.list_namespaced_config_map, NAMESPACE, label_selector="made=here", resource_version=begin, timeout_seconds=60):
            seen.append((event["type"], event["object"].metadata.name))
            if seen[-1] == ("DELETED", "m6"):
                watcher.stop()

    thread = threading.Thread(target=follow)
    thread.start()
    ready.wait()
    core.create_namespaced_config_map(NAMESPACE, config_map("late"))
    core.patch_namespaced_config_map("late", NAMESPACE, {"data": {"x": "1"}})
    core.patch_namespaced_config_map("m5", NAMESPACE, {"metadata": {"labels": {"made": None}}})
    core.delete_namespaced_config_map("m6", NAMESPACE)
    thread.join(90)
    expect([("ADDED", "late"), ("MODIFIED", "late"), ("DELETED", "m5"), ("DELETED", "m6")], seen, "watch")
    said("watches")


def pod(core: client.CoreV1Api) -> None:
    container = client.V1Container(name="c", image=IMAGE, image_pull_policy="IfNotPresent", command=["sh", "-c", "echo begun; exec httpd -f -p 8080 -h /etc"])
    spec = client.V1PodSpec(containers=[container], termination_grace_period_seconds=0)
    core.create_namespaced_pod(NAMESPACE, client.V1Pod(metadata=client.V1ObjectMeta(name="p"), spec=spec))
    for event in watch.Watch().stream(core.list_namespaced_pod, NAMESPACE, field_selector="metadata.name=p", timeout_seconds=120):
        if event["object"].status.phase == "Running":
            break
    expect("begun\n", core.read_namespaced_pod_log("p", NAMESPACE), "log")
    out = stream(core.connect_get_namespaced_pod_exec, "p", NAMESPACE, command=["sh", "-c", "echo out; echo err >&2"], stdout=True, stderr=True, stdin=False, tty=False)
    expect(["err", "out"], sorted(out.split()), "exec")
    talk = stream(core.connect_get_namespaced_pod_exec, "p", NAMESPACE, command=["sh"], stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False)
    talk.write_stdin("echo $((6*7)); exit 5\n")
    talk.run_forever(timeout=30)
    expect("42\n", talk.read_stdout(), "interactive exec")
    expect(5, talk.returncode, "exit status")
    tunnel = portforward(core.connect_get_namespaced_pod_portforward, "p", NAMESPACE, ports="8080")
    line = tunnel.socket(8080)
    line.settimeout(20)
    line.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
    expect(b"HTTP/1", line.recv(6), "portforward")
    tunnel.close()
    core.delete_namespaced_pod("p", NAMESPACE)
    said("pod")


def deployments(api: client.ApiClient, apps: client.AppsV1Api) -> None:
    container = {"name": "c", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "1000"]}
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "d"}}, "template": template}
    utils.create_from_dict(api, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}, namespace=NAMESPACE)
    scale = apps.patch_namespaced_deployment_scale("d", NAMESPACE, {"spec": {"replicas": 2}})
    expect(2, scale.spec.replicas, "scale")
    end = time.monotonic() + 120
    for event in watch.Watch().stream(apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=120):
        if event["object"].status.ready_replicas == 2 or time.monotonic() > end:
            break
    expect(2, apps.read_namespaced_deployment_status("d", NAMESPACE).status.ready_replicas, "ready replicas")
    apps.delete_namespaced_deployment("d", NAMESPACE, propagation_policy="Foreground")
    said("deployments")


def questions(api: client.ApiClient) -> None:
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(
        resource_attributes=client.V1ResourceAttributes(verb="delete", resource="pods", namespace=NAMESPACE)))
    expect(True, client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed, "access review")
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    expect(True, {"apps", "batch", "apiregistration.k8s.io"} <= groups, "groups")
    expect("1", client.VersionApi(api).get_code().major, "version")
    said("questions")


def main() -> None:
    config.load_kube_config()
    api = client.ApiClient()
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    objects(core)
    patches(core, api)
    watches(core)
    questions(api)
    pod(core)
    deployments(api, apps)
    core.delete_namespace(NAMESPACE)
    said("done")


main()
