# The Python client: objects, pages, refusals, patches and apply, watches, a pod with exec and portforward, deployments.
# machines: server
# needs: cluster
# slow

import sys

from machines import paths

sys.path.insert(0, str(paths.HERE.parent / "programs"))
import provide  # noqa: E402

PROGRAM = provide.HERE / "python/client.py"

server.succeed("kubectl delete namespace python --ignore-not-found --timeout=60s")

with subtest("the client's steps"):
    out = provide.outside(cluster, server, [str(provide.python()), str(PROGRAM), "python", "docker.io/library/busybox:latest"])
    t.assertEqual(["objects", "patches", "watches", "questions", "pod", "deployments", "done"], out.split())

with subtest("nothing stays"):
    server.wait_until_fails("kubectl get namespace python", timeout=60)
