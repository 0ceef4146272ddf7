"""The requests: `.http` files with steps of their own, and steps every kind goes through, made from its sample in `kinds/`.

An `.http` file is one case; its steps start with `### title`. After it `# @name made` names the answer for later
`{{made.metadata.uid}}`, and `# @until 20 exceeded quota` repeats the request until its answer has that text, for 20 seconds
at most: what a server learns from its own watches it knows a little later. Then the request line, headers, an empty line,
the body. `{{ns}}` is the case's own namespace.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@dataclass
class Step:
    """One request; `verb` is what the matrix counts it under."""

    title: str
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    name: str = ""
    verb: str = ""
    until: tuple[float, str] | None = None
    """Seconds, and the text that ends the wait."""


@dataclass
class Case:
    """Steps that run one after another in a namespace of their own."""

    name: str
    steps: list[Step]
    kind: str = ""
    alone: bool = False
    """Changes what other cases see, so that it runs when they are done."""

    @property
    def namespace(self) -> str:
        """The namespace, as a DNS label."""
        return ("p-" + re.sub("[^a-z0-9]+", "-", self.name.lower()).strip("-"))[:60].rstrip("-")


def all_cases() -> list[Case]:
    """Every case, files first."""
    written = [parse(path) for path in sorted((HERE / "cases").rglob("*.http"))]
    return written + [of_kind(path) for path in sorted((HERE / "kinds").glob("*.json"))]


def parse(path: Path) -> Case:
    """Reads an .http file."""
    name = str(path.relative_to(HERE / "cases").with_suffix(""))
    blocks = re.split(r"^### *", path.read_text(), flags=re.MULTILINE)[1:]
    return Case(name, [parse_step(block) for block in blocks])


def parse_step(block: str) -> Step:
    """Reads one step: title, name and condition, request line, headers, body."""
    title, _, rest = block.partition("\n")
    lines = rest.split("\n")
    name, until = "", None
    while lines and (not lines[0].strip() or lines[0].startswith("#")):
        line = lines.pop(0)
        if line.startswith("# @name "):
            name = line.removeprefix("# @name ").strip()
        elif line.startswith("# @until "):
            seconds, _, text = line.removeprefix("# @until ").strip().partition(" ")
            until = float(seconds), text
    method, _, target = lines.pop(0).partition(" ")
    headers = {}
    while lines and lines[0].strip():
        key, _, value = lines.pop(0).partition(":")
        headers[key.strip()] = value.strip()
    return Step(title.strip(), method, target.strip(), headers, "\n".join(lines).strip(), name, "written", until)


def of_kind(path: Path) -> Case:
    """The steps every kind goes through; the sample says which of them it has."""
    sample = json.loads(path.read_text())
    steps = Steps(sample)
    steps.create()
    steps.read()
    steps.write()
    steps.apply()
    steps.mistakes()
    steps.delete()
    return Case(f"kind/{path.stem}", [step for step in steps.made if step.verb not in sample.get("without", [])], path.stem, sample.get("alone", False))


class Steps:
    """Writes the steps of one kind."""

    def __init__(self, sample: dict):
        self.collection: str = sample["path"]
        self.object: dict = sample["object"]
        self.change: dict = sample.get("change", {"metadata": {"labels": {"changed": "yes"}}})
        name = self.object["metadata"]["name"]
        self.item = f"{self.collection}/{name}"
        self.made: list[Step] = []

    def add(self, verb: str, title: str, method: str, path: str, body: object = None, **more: str) -> None:
        """One step; `accept` and `type` are headers, `name` keeps the answer."""
        headers = {"Accept": more.get("accept", JSON)}
        text = ""
        if body is not None:
            headers["Content-Type"] = more.get("type", JSON)
            # compact, as every client writes: raw fields keep their blanks in upstream's store (cases/write/raw.http)
            text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
        self.made.append(Step(title, method, path, headers, text, more.get("name", ""), verb))

    def variant(self, **metadata: object) -> dict:
        """The sample with other metadata."""
        return self.object | {"metadata": self.object["metadata"] | metadata}

    def create(self) -> None:
        self.add("dry-run", "create, dry run", "POST", f"{self.collection}?dryRun=All", self.object)
        self.add("create", "create", "POST", f"{self.collection}?fieldManager=parity", self.object, name="made")
        self.add("create", "create again", "POST", self.collection, self.object)
        labels = {"metadata": {"labels": {"parity": "x"}}}
        self.add("patch-merge", "a label", "PATCH", self.item, labels, type="application/merge-patch+json")

    def read(self) -> None:
        self.add("get", "get", "GET", self.item)
        self.add("get-table", "get as a table", "GET", self.item, accept=TABLE)
        self.add("get-partial", "get its metadata", "GET", self.item, accept=PARTIAL)
        self.add("get-protobuf", "get as protobuf", "GET", self.item, accept=PROTOBUF)
        selected = f"{self.collection}?labelSelector=parity%3Dx"
        self.add("list", "list by label", "GET", selected)
        self.add("list-table", "list as a table", "GET", f"{selected}&includeObject=Object", accept=TABLE)
        self.add("list-partial", "list metadata", "GET", selected, accept=PARTIAL_LIST)
        self.add("list-protobuf", "list as protobuf", "GET", selected, accept=PROTOBUF)
        self.add("list-field", "list by name", "GET", f"{selected}&fieldSelector=metadata.name%3D{self.object['metadata']['name']}")
        self.add("list-field", "list by an unknown field", "GET", f"{self.collection}?fieldSelector=spec.nothing%3Dx")
        self.add("watch", "watch from now on, with what is there", "GET", f"{selected}&watch=1&timeoutSeconds=1&resourceVersion=0")
        self.add("watch-table", "watch as a table", "GET", f"{selected}&watch=1&timeoutSeconds=1&resourceVersion=0", accept=TABLE)

    def write(self) -> None:
        self.add("get", "read it", "GET", self.item, name="read")
        self.add("update", "put what was read", "PUT", self.item, "{{read}}")
        self.add("update", "put the sample without a version", "PUT", self.item, self.object)
        self.add("update", "put with an old version", "PUT", self.item, self.variant(resourceVersion="1"))
        self.add("update", "put another name", "PUT", self.item, self.variant(name="another-name"))
        self.add("patch-merge", "merge patch", "PATCH", f"{self.item}?fieldManager=merger", self.change, type="application/merge-patch+json")
        self.add("patch-strategic", "strategic patch", "PATCH", self.item, {"metadata": {"annotations": {"a": "b"}}},
                 type="application/strategic-merge-patch+json")
        self.add("patch-strategic", "strategic patch that deletes", "PATCH", self.item, {"metadata": {"annotations": {"$patch": "delete", "a": None}}},
                 type="application/strategic-merge-patch+json")
        patch = [{"op": "test", "path": "/metadata/labels/parity", "value": "x"}, {"op": "add", "path": "/metadata/labels/json", "value": "1"}]
        self.add("patch-json", "JSON patch", "PATCH", self.item, patch, type="application/json-patch+json")
        self.add("patch-json", "JSON patch whose test fails", "PATCH", self.item, [{"op": "test", "path": "/metadata/labels/parity", "value": "z"}],
                 type="application/json-patch+json")
        self.add("patch-merge", "merge patch with an old version", "PATCH", self.item, {"metadata": {"resourceVersion": "1"}},
                 type="application/merge-patch+json")
        self.add("patch-merge", "merge patch with a uid that is not its own", "PATCH", self.item, {"metadata": {"uid": "x"}},
                 type="application/merge-patch+json")

    def apply(self) -> None:
        kind = {"apiVersion": self.object["apiVersion"], "kind": self.object["kind"]}
        name = {"name": self.object["metadata"]["name"]}
        yaml = "application/apply-patch+yaml"
        self.add("apply", "apply a label", "PATCH", f"{self.item}?fieldManager=one", kind | {"metadata": name | {"labels": {"applied": "1"}}}, type=yaml)
        self.add("apply", "apply the same again", "PATCH", f"{self.item}?fieldManager=one", kind | {"metadata": name | {"labels": {"applied": "1"}}}, type=yaml)
        self.add("apply", "apply in conflict", "PATCH", f"{self.item}?fieldManager=two", kind | {"metadata": name | {"labels": {"applied": "2"}}}, type=yaml)
        self.add("apply", "apply by force", "PATCH", f"{self.item}?fieldManager=two&force=true", kind | {"metadata": name | {"labels": {"applied": "2"}}},
                 type=yaml)
        self.add("apply", "apply nothing, giving up what was owned", "PATCH", f"{self.item}?fieldManager=two", kind | {"metadata": name}, type=yaml)
        self.add("apply", "apply without a manager", "PATCH", self.item, kind | {"metadata": name}, type=yaml)

    def mistakes(self) -> None:
        strict = self.variant(name="strict-one") | {"nonsense": 1}
        self.add("validate", "unknown field, strict", "POST", f"{self.collection}?fieldValidation=Strict", strict)
        self.add("validate", "unknown field, warned of", "POST", f"{self.collection}?fieldValidation=Warn&dryRun=All", strict)
        self.add("validate", "no kind", "POST", f"{self.collection}?dryRun=All", {"metadata": {"name": "nothing"}})
        self.add("validate", "nothing but a name", "POST", f"{self.collection}?dryRun=All",
                 {"apiVersion": self.object["apiVersion"], "kind": self.object["kind"], "metadata": {"name": "nothing"}})
        self.add("validate", "a bad name", "POST", f"{self.collection}?dryRun=All", self.variant(name="Not a Name!"))
        self.add("validate", "bad labels", "POST", f"{self.collection}?dryRun=All", self.variant(labels={"-": "?"}, annotations={"/x/y": "1"}))
        self.add("validate", "a kind that is not this one", "POST", self.collection, self.object | {"kind": "Nothing"})
        self.add("validate", "text where metadata should be", "POST", self.collection, self.object | {"metadata": "x"})
        self.add("validate", "half an object", "POST", self.collection, '{"kind": "')
        self.add("get", "get what is not there", "GET", f"{self.collection}/not-there")
        self.add("update", "put what is not there", "PUT", f"{self.collection}/not-there?dryRun=All", self.variant(name="not-there"))
        self.add("patch-merge", "patch what is not there", "PATCH", f"{self.collection}/not-there", {}, type="application/merge-patch+json")
        self.add("patch-merge", "patch of no type", "PATCH", self.item, {}, type="text/plain")
        self.add("delete", "delete what is not there", "DELETE", f"{self.collection}/not-there")

    def delete(self) -> None:
        self.add("delete", "delete with a uid that is not its own", "DELETE", self.item,
                 {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "x"}})
        self.add("delete", "delete with an unknown policy", "DELETE", f"{self.item}?propagationPolicy=Sometimes")
        self.add("delete", "delete, dry run", "DELETE", f"{self.item}?dryRun=All")
        self.add("patch-merge", "a finalizer", "PATCH", self.item, {"metadata": {"finalizers": ["parity.example/one"]}}, type="application/merge-patch+json")
        self.add("delete", "delete, held by the finalizer", "DELETE", self.item)
        self.add("patch-merge", "the finalizer goes", "PATCH", self.item, {"metadata": {"finalizers": None}}, type="application/merge-patch+json")
        self.add("delete", "delete at once", "DELETE", f"{self.item}?gracePeriodSeconds=0")
        self.add("get", "get what is gone", "GET", self.item)
        self.add("deletecollection", "delete what is left", "DELETE", f"{self.collection}?labelSelector=parity%3Dx")
