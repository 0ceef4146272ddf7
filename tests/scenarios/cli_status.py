# `k3s-rs status` and what it reads: each component on the bus as its interface says, its log level changed at run time.
# machines: server
# needs: installation

import xml.etree.ElementTree as ElementTree


def properties(text):
    """Name, type and access of Component1's properties in an introspection text."""
    interface = next(i for i in ElementTree.fromstring(text).iter("interface") if i.get("name") == "org.k3s_rs.Component1")
    return {(p.get("name"), p.get("type"), p.get("access")) for p in interface.iter("property")}


server.succeed("systemctl start k3s-rs-server.target", timeout=240)
server.wait_until_succeeds("k3s-rs kubectl get --raw /readyz", timeout=240)

with subtest("status shows every unit ready, and ends with 0"):
    text = server.wait_until_succeeds("k3s-rs status", timeout=240)
    for name in ("datastore", "apiserver", "controller", "scheduler", "kubelet", "proxy", "flannel"):
        t.assertRegex(text, rf"k3s-rs-{name}.service +active +yes ")

with subtest("Component1 and LogControl1 are on the bus"):
    for name in ("Datastore", "Apiserver", "Controller", "Scheduler", "Kubelet", "Proxy", "Flannel"):
        service = f"org.k3s_rs.{name} /org/k3s_rs/{name}"
        t.assertEqual("b true\n", server.succeed(f"busctl get-property {service} org.k3s_rs.Component1 Ready"))
        live = server.succeed(f"busctl introspect --xml-interface {service}")
        t.assertEqual(properties(server.succeed("cat /usr/share/dbus-1/interfaces/org.k3s_rs.Component1.xml")), properties(live))

with subtest("the log level is changed while it runs"):
    server.succeed("systemctl service-log-level k3s-rs-controller debug")
    t.assertEqual("debug\n", server.succeed("systemctl service-log-level k3s-rs-controller"))
    server.succeed("systemctl service-log-level k3s-rs-controller info")

with subtest("others than root may look and not more"):
    look = "busctl get-property org.k3s_rs.Kubelet /org/k3s_rs/Kubelet org.k3s_rs.Component1 Ready"
    server.succeed(f"setpriv --reuid=65534 --regid=65534 --clear-groups {look}")
    change = "busctl set-property org.k3s_rs.Kubelet /org/freedesktop/LogControl1 org.freedesktop.LogControl1 LogLevel s debug"
    server.fail(f"setpriv --reuid=65534 --regid=65534 --clear-groups {change}")

with subtest("a stopped component is shown, and the status is 1"):
    server.succeed("systemctl stop k3s-rs-scheduler.socket k3s-rs-scheduler.service")
    t.assertRegex(server.execute("k3s-rs status", check_return=False)[1], r"k3s-rs-scheduler.service +inactive")
    server.succeed("systemctl start k3s-rs-scheduler.socket k3s-rs-scheduler.service")

with subtest("completions and man pages are there"):
    server.succeed("test -s /usr/share/bash-completion/completions/k3s-rs -a -s /usr/share/man/man8/k3s-rs-kubelet.8 -a -s /usr/share/man/man5/k3s-rs-config.5")
    t.assertIn("check-config", server.succeed("k3s-rs --help"))
