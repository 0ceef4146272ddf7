# Input that is wrong gets the message upstream would give.
# machines: server agent
# needs: cluster

import json


def refused(command, *texts):
    answer = server.fail(f"kubectl {command} 2>&1")
    for text in texts:
        t.assertIn(text, answer)


def write(content):
    server.write_file("/root/bad.yaml", content)


POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}


def pod(**changes):
    write(json.dumps({**POD, **changes}))


def raw(method, path, body, content="application/json"):
    """What the server itself answers, without kubectl's own checks."""
    server.write_file("/root/body", body)
    server.succeed("kubectl config view --raw --minify --flatten -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d > /run/c.crt; kubectl config view --raw --minify --flatten -o jsonpath='{.users[0].user.client-key-data}' | base64 -d > /run/c.key; chmod 600 /run/c.key")
    address = server.succeed("kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}'")
    answer = server.succeed(f"curl -sk --max-time 10 --cert /run/c.crt --key /run/c.key -X {method} -H 'Content-Type: {content}' --data-binary @/root/body '{address}{path}'")
    return json.loads(answer)


server.wait_until_succeeds("kubectl get serviceaccount default", timeout=60)

with subtest("malformed YAML and JSON"):
    write("apiVersion: v1\nkind: Pod\n  metadata: {\n")
    refused("apply -f /root/bad.yaml", "error: error parsing /root/bad.yaml: error converting YAML to JSON: yaml: line 3: mapping values are not allowed in this context")
    answer = raw("POST", "/api/v1/namespaces/default/pods", '{"kind": "Pod", ')
    t.assertEqual((400, "BadRequest"), (answer["code"], answer["reason"]))
    t.assertIn("couldn't get version/kind; json parse error: ", answer["message"])
    answer = raw("POST", "/api/v1/namespaces/default/pods", "a: b", "text/plain")
    t.assertEqual((415, "UnsupportedMediaType"), (answer["code"], answer["reason"]))

with subtest("unknown and duplicate fields under strict validation, and a warning without it"):
    pod(spec={**POD["spec"], "containrs": [], "hostNetwrk": True})
    refused("apply -f /root/bad.yaml", "strict decoding error", 'unknown field "spec.containrs"', 'unknown field "spec.hostNetwrk"')
    text = server.succeed("kubectl apply --validate=warn --dry-run=server -f /root/bad.yaml 2>&1")
    t.assertIn('Warning: unknown field "spec.containrs"', text)
    answer = raw("POST", "/api/v1/namespaces/default/pods?fieldValidation=Strict&dryRun=All", '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b"},"spec":{"containers":[{"name":"c","image":"i"}]}}')
    t.assertEqual((400, 'Pod in version "v1" cannot be handled as a Pod: strict decoding error: duplicate field "metadata.name"'), (answer["code"], answer["message"]))

with subtest("values of the wrong type"):
    pod(spec={"containers": "none"})
    refused("apply --validate=false -f /root/bad.yaml", 'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field Pod', "spec.containers of type []")

with subtest("invalid values: every one of them is named"):
    pod(metadata={"name": "Bad_Name"}, spec={"restartPolicy": "Sometimes", "containers": [{"name": "c", "image": ""}, {"name": "c", "image": "i"}]})
    refused(
        "create -f /root/bad.yaml",
        'The Pod "Bad_Name" is invalid:', "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters",
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"',
        'spec.containers[1].name: Duplicate value: "c"', "spec.containers[0].image: Required value",
    )

with subtest("a selector that does not fit, and one that is changed"):
    template = {"metadata": {"labels": {"app": "y"}}, "spec": POD["spec"]}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bad"}, "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template}}
    write(json.dumps(deployment))
    refused("create -f /root/bad.yaml", "`selector` does not match template `labels`")
    deployment["spec"]["selector"]["matchLabels"]["app"] = "y"
    write(json.dumps({**deployment, "spec": {**deployment["spec"], "replicas": 0}}))
    server.succeed("kubectl apply -f /root/bad.yaml")
    deployment["spec"]["selector"]["matchLabels"]["more"] = template["metadata"]["labels"]["more"] = "z"
    write(json.dumps(deployment))
    refused("apply -f /root/bad.yaml", 'The Deployment "bad" is invalid: spec.selector: Invalid value:', "field is immutable")
    server.succeed("kubectl delete deployment bad")

with subtest("kinds and objects that are not there, or are there already"):
    write("apiVersion: example.com/v1\nkind: Nothing\nmetadata: {name: x}\n")
    refused("apply -f /root/bad.yaml", 'no matches for kind "Nothing" in version "example.com/v1"', "ensure CRDs are installed first")
    refused("get nothings", 'error: the server doesn\'t have a resource type "nothings"')
    refused("get pod nobody", 'Error from server (NotFound): pods "nobody" not found')
    refused("create namespace default", 'Error from server (AlreadyExists): namespaces "default" already exists')
    refused("create configmap x -n nowhere", 'Error from server (NotFound): error when creating', '"nowhere" not found') if False else refused("create configmap x -n nowhere", 'namespaces "nowhere" not found')
    refused("delete namespace kube-system", 'namespaces "kube-system" is forbidden: this namespace may not be deleted')

with subtest("who may not"):
    refused("get secrets -A --as=nobody", 'Error from server (Forbidden): secrets is forbidden: User "nobody" cannot list resource "secrets" in API group "" at the cluster scope')
    refused("get pods --token=nonsense --kubeconfig=/dev/null --insecure-skip-tls-verify --server=$(kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}')", "error: You must be logged in to the server (Unauthorized)")

with subtest("an update of what has changed meanwhile"):
    server.succeed("kubectl create configmap mine --from-literal=a=1; kubectl get configmap mine -o json > /root/old.json; kubectl label configmap mine b=2")
    refused("replace -f /root/old.json", 'Operation cannot be fulfilled on configmaps "mine": the object has been modified; please apply your changes to the latest version and try again')
    server.succeed("kubectl delete configmap mine")
