# The power goes amid writers, again and again: every write that was acknowledged is in the store, revisions never go back.
# K3S_RS_BIN is a folder with k3s-rs-datastore and store (of tests/contract); K3S_RS_CUTS how often (20).
# backend: qemu
# slow

import os

programs, cuts = os.environ["K3S_RS_BIN"], int(os.environ.get("K3S_RS_CUTS", "20"))
disk, endpoint = "/var/lib/machine-disk", "unix:///run/store.sock"
store = f"{disk}/store"

start_all()
for program in ("k3s-rs-datastore", "store"):
    machine.copy_from_host(f"{programs}/{program}", f"{disk}/{program}")
    machine.succeed(f"chmod +x {disk}/{program}")
machine.write_file(f"{disk}/config.json", '{"socket": "/run/store.sock", "path": "%s/db/store.db"}' % disk)
machine.succeed(f"touch {disk}/ledger && sync")

for cut in range(cuts + 1):
    with subtest(f"after {cut} power cuts"):
        machine.succeed(f"systemd-run --unit=store {disk}/k3s-rs-datastore --config {disk}/config.json")
        print(machine.succeed(f"{store} verify {endpoint} {disk}/ledger", timeout=300))
        if cut < cuts:
            before = int(machine.succeed(f"stat -c %s {disk}/ledger"))
            machine.succeed(f"systemd-run --unit=writers {store} write {endpoint} 50 {disk}/ledger")
            machine.wait_until_succeeds(f"test $(stat -c %s {disk}/ledger) -gt {before + 2000 + cut * 100}", timeout=300)
            machine.crash()
            machine.start()
