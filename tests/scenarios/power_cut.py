# A guest of its own kernel: cgroup v2, modules, and a disk that keeps what was synced when the power goes.
# backend: qemu
# slow

start_all()

with subtest("cgroup v2 and loadable modules"):
    t.assertEqual("cgroup2fs", machine.succeed("stat -f -c %T /sys/fs/cgroup").strip())
    machine.succeed("modprobe dummy && ip link add dummy0 type dummy && ip link del dummy0")

with subtest("what was synced is there after a power cut"):
    machine.succeed("echo kept > /var/lib/machine-disk/file && sync")
    machine.crash()
    machine.start()
    t.assertEqual("kept", machine.succeed("cat /var/lib/machine-disk/file").strip())
