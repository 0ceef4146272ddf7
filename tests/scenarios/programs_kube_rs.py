# A program written with kube-rs: objects, server-side apply, reflectors (also by streaming lists), events, leases, exec, portforward.
# machines: server
# needs: cluster
# slow

import sys

from machines import paths

sys.path.insert(0, str(paths.HERE.parent / "programs"))
import provide  # noqa: E402

server.succeed("kubectl delete namespace kube-rs --ignore-not-found --timeout=60s")

with subtest("the program's steps"):
    out = provide.outside(cluster, server, [str(provide.rust("kube-rs")), "kube-rs", "docker.io/library/busybox:latest"])
    t.assertEqual(["objects", "apply", "reflector", "streaming list", "events", "leases", "pod", "end of input"], out.splitlines())

with subtest("nothing stays"):
    server.wait_until_fails("kubectl get namespace kube-rs", timeout=60)
