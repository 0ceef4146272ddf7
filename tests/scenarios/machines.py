# The machines themselves: systemd runs, the network joins them, files and commands go in and out.
# machines: first second

start_all()

with subtest("systemd is up on both"):
    for machine in machines:
        machine.wait_for_unit("multi-user.target", timeout=60)
        machine.fail("systemctl is-active no-such.service")

with subtest("they reach each other, and not when the cable is pulled"):
    address = second.succeed("ip -4 -o addr show eth0 | awk '{print $4}'").split("/")[0]
    first.wait_until_succeeds(f"ping -c 1 -W 1 {address}", timeout=30)
    second.succeed("ip link set eth0 down")
    first.fail(f"ping -c 1 -W 1 {address}")
    second.succeed("ip link set eth0 up")
    first.wait_until_succeeds(f"ping -c 1 -W 1 {address}", timeout=30)

with subtest("a port opens and closes"):
    first.succeed("systemd-run --unit=listener socat TCP-LISTEN:4444,fork,reuseaddr EXEC:cat")
    first.wait_for_unit("listener.service", timeout=30)
    first.wait_for_open_port(4444, timeout=30)
    first.succeed("systemctl stop listener.service")
    first.wait_for_closed_port(4444, timeout=30)

with subtest("a file written is read back"):
    second.write_file("/var/lib/scenario/text", "line\n", mode=0o600)
    t.assertEqual("line\n", second.succeed("cat /var/lib/scenario/text"))
    t.assertEqual("600", second.succeed("stat -c %a /var/lib/scenario/text").strip())

with subtest("a unit that fails ends the wait at once"):
    second.execute("systemd-run --wait --unit=broken false")
    with t.assertRaisesRegex(Exception, "broken.service is (failed|inactive)"):
        second.wait_for_unit("broken.service", timeout=60)
