# A server whose data folder k3s left behind: its authorities, keys, accounts and token are kept and used.
# machines: server
# needs: installation

KUBECTL = "kubectl --kubeconfig /etc/rancher/k3s/k3s.yaml"
TLS = "/var/lib/rancher/k3s/server/tls"

start_all()

with subtest("what k3s writes: keys of the older forms, an account, a token file"):
    server.succeed(f"mkdir -p {TLS}/etcd /var/lib/rancher/k3s/server/cred /etc/rancher/k3s && chmod 700 /var/lib/rancher/k3s/server")
    for name, subject in (("client-ca", "k3s-client-ca@1"), ("server-ca", "k3s-server-ca@1"), ("request-header-ca", "k3s-request-header-ca@1")):
        server.succeed(f"openssl ecparam -name prime256v1 -genkey -noout -out {TLS}/{name}.key")
        server.succeed(f"openssl req -x509 -new -key {TLS}/{name}.key -days 3650 -subj '/CN={subject}' -out {TLS}/{name}.crt")
    server.succeed(f"openssl genrsa -traditional -out {TLS}/service.key 2048 && cp {TLS}/service.key {TLS}/service.current.key")
    server.succeed("printf 'f00,node,node,k3s:agent\\nf00,server,server,k3s:server\\n' > /var/lib/rancher/k3s/server/cred/passwd")
    server.succeed("echo '{\"write-kubeconfig-mode\": \"0644\"}' > /etc/rancher/k3s/config.yaml")
before = server.succeed(f"sha256sum {TLS}/*-ca.crt {TLS}/*-ca.key {TLS}/service.key")

with subtest("it starts, and all of it is as it was"):
    server.succeed("systemctl start k3s-rs-server.target", timeout=180)
    server.wait_until_succeeds(f"{KUBECTL} wait --for=condition=Ready node --all --timeout=1s", timeout=240)
    t.assertEqual(before, server.succeed(f"sha256sum {TLS}/*-ca.crt {TLS}/*-ca.key {TLS}/service.key"))
    digest = server.succeed(f"sha256sum {TLS}/server-ca.crt").split()[0]
    t.assertEqual(f"K10{digest}::server:f00", server.succeed("cat /var/lib/rancher/k3s/server/token").strip())
    t.assertIn("subject=CN = system:admin" .replace(" ", ""), server.succeed(f"openssl x509 -noout -subject -in {TLS}/client-admin.crt | tr -d ' '").replace("O=system:masters,", ""))

with subtest("tokens of accounts are signed by k3s's key"):
    token = server.succeed(f"{KUBECTL} create token default").strip()
    head = server.succeed(f"echo {token} | cut -d. -f1 | tr '_-' '/+' | base64 -d 2>/dev/null || true")
    t.assertIn("RS256", head)
    server.succeed(f"{KUBECTL} --token={token} auth whoami")

with subtest("another token than the one of old is refused"):
    server.succeed("echo '{\"token\": \"other\"}' > /etc/rancher/k3s/config.yaml")
    status, text = server.execute("k3s-rs bootstrap server", check_return=False)
    t.assertEqual(78, status, text)
    t.assertIn("token: differs from the one this server was started with", text)
