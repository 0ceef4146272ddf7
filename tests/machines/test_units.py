"""Rules of the cluster description and of judging, without machines: python3 -m unittest machines.test_units (in tests/)."""

import subprocess
import tempfile
import unittest
from argparse import Namespace
from pathlib import Path

from . import conformance, newc, parts, state
from .parts.base import Facts, Node, Unit, quoted
from .shell import Failure

OPTIONS = {"fast": False, "passing": False, "any": False, "focus": "", "skip": "", "sig": []}


class PartsTest(unittest.TestCase):
    """`--parts`."""

    def test_later_words_win(self) -> None:
        """all= sets every part, a part's own word only itself, none named means upstream's."""
        table = {
            "": dict.fromkeys(parts.NAMES, "upstream"),
            "all=upstream,kubelet=ours": {**dict.fromkeys(parts.NAMES, "upstream"), "kubelet": "ours"},
            "all=ours,proxy=none": {**dict.fromkeys(parts.NAMES, "ours"), "proxy": "none"},
        }
        for text, wanted in table.items():
            self.assertEqual(wanted, parts.parse(text), text)

    def test_a_file_says_the_same(self) -> None:
        """@FILE holds the words on lines."""
        with tempfile.NamedTemporaryFile("w", suffix=".parts") as file:
            file.write("# a mix\nall=upstream\nkubelet=ours  # the one looked at\n")
            file.flush()
            self.assertEqual(parts.parse("all=upstream,kubelet=ours"), parts.parse(f"@{file.name}"))
        with self.assertRaisesRegex(Failure, "cannot read"):
            parts.parse("@/nonexistent")

    def test_mistakes_are_named(self) -> None:
        """An unknown part or choice is told with what there is."""
        for text in ("dns=ours", "kubelet=mine", "kubelet"):
            with self.assertRaisesRegex(Failure, "parts are datastore"):
                parts.parse(text)

    def test_every_part_describes_both_kinds(self) -> None:
        """Each part has units for a server, ours name one of the programs the mix says it needs."""
        nodes = [Node("n1", 0, "10.77.0.11", True), Node("n2", 1, "10.77.0.12", False)]
        for choice in ("upstream", "ours"):
            chosen = dict.fromkeys(parts.NAMES, choice)
            facts = Facts(nodes, "10.77.0.1", "10.77.0.0/24", chosen)
            programs = parts.binaries(chosen)
            for part in parts.NAMES:
                units = parts.units(part, choice, facts, nodes[0])
                self.assertTrue(units, part)
                if choice == "ours":
                    self.assertTrue(any(Path(unit.command[0]).name in programs for unit in units), part)
            self.assertFalse(parts.units("apiserver", choice, facts, nodes[1]))

    def test_command_lines_survive_systemd(self) -> None:
        """Words with blanks, percent and dollar signs are kept as they are."""
        self.assertEqual('/bin/sh -c "echo $$A 50%%"', quoted(["/bin/sh", "-c", "echo $A 50%"]))
        self.assertIn("Type=oneshot", Unit("x", ["/bin/true"], oneshot=True).text())


class NamesTest(unittest.TestCase):
    """Names of clusters."""

    def test_only_plain_names(self) -> None:
        """A name is part of file, group and namespace names, so it is kept plain."""
        for name in ("a", "kubelet", "s2"):
            self.assertEqual(name, state.folder(name).name)
        for name in ("", "A", "../x", "a-b", "a" * 21):
            with self.assertRaises(Failure):
                state.folder(name)


class ConformanceTest(unittest.TestCase):
    """Selecting specs and judging results."""

    def test_selection(self) -> None:
        """The reference has all specs; options narrow it; nothing left is an error."""
        self.assertEqual(446, len(conformance.select(Namespace(**OPTIONS))))
        node = conformance.select(Namespace(**{**OPTIONS, "sig": ["node"], "skip": "Slow"}))
        self.assertTrue(node and all("[sig-node]" in spec.name and "Slow" not in spec.name for spec in node))
        self.assertEqual(10, len({spec.sig for spec in conformance.select(Namespace(**{**OPTIONS, "fast": True}))}))
        self.assertEqual(445, len(conformance.select(Namespace(**OPTIONS), [node[0].name])))
        with self.assertRaises(Failure):
            conformance.select(Namespace(**{**OPTIONS, "focus": "no such spec"}))

    def test_names_of_lists(self) -> None:
        """One list per mix of parts."""
        mixes = {"all=ours": "failing.txt", "": "failing-none.txt", "kubelet=ours,proxy=ours": "failing-kubelet+proxy.txt"}
        for text, wanted in mixes.items():
            self.assertEqual(wanted, conformance.list_file(parts.parse(text)).name)

    def test_judging(self) -> None:
        """Unlisted failures count, listed ones do not, and what passes leaves the list."""
        specs = [conformance.Spec(name, 1.0, result) for name, result in (("a", "passed"), ("b", "failed"), ("c", "failed"), ("d", "not run"))]
        with tempfile.TemporaryDirectory() as folder:
            known = Path(folder) / "failing.txt"
            known.write_text("# known\na\nb\n")
            unlisted = conformance.judge(specs, known, update=True)
            self.assertEqual(["c", "d"], [spec.name for spec in unlisted])
            self.assertEqual("# known\nb\n", known.read_text())

    def test_a_pass_on_another_run_does_not_mend(self) -> None:
        """Over several runs the worst result counts."""
        spec = conformance.Spec("a", 1.0)
        for word in ("passed", "failed", "passed"):
            conformance.fill(spec, {"State": word, "RunTime": 1e9, "StartTime": "", "EndTime": ""})
        self.assertEqual("failed", spec.result)


class ArchiveTest(unittest.TestCase):
    """The root archives of QEMU machines."""

    @unittest.skipUnless(subprocess.run(["sh", "-c", "command -v cpio"], capture_output=True, check=False).returncode == 0, "skipped: no cpio")
    def test_cpio_reads_it(self) -> None:
        """cpio lists what was packed."""
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "root"
            (root / "etc").mkdir(parents=True)
            (root / "etc/hostname").write_text("machine\n")
            (root / "init").symlink_to("etc/hostname")
            newc.pack(root, Path(folder) / "archive")
            listed = subprocess.run(["cpio", "-t", "--quiet", "-I", f"{folder}/archive"], capture_output=True, check=True, text=True)
            self.assertEqual(["etc", "etc/hostname", "init"], listed.stdout.split())


if __name__ == "__main__":
    unittest.main()
