"""Takes out of an answer what no two servers share: uids, times, versions, what was chosen at random.

A value becomes a symbol by the order in which a server first showed it within a case, so that two fields that were
equal stay equal, and two that differed stay different.
"""

import json
import re
from dataclasses import dataclass, field

UID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
TIME = re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+")
SERVICE_ADDRESS = re.compile(r"\b10\.43\.\d+\.\d+\b")
RANDOM = re.compile(r"\b(kube-api-access-)[a-z0-9]{5}\b")
CREDENTIAL = re.compile(r"\bX509SHA256=[0-9a-f]{64}\b")
REVISION = re.compile(r"\bcurrent: \d+")
VERSION = re.compile(r"\b(resourceVersion[\W]{1,8})[1-9]\d*\b")    # in YAML, and in JSON that a message quotes
GENERATED = re.compile(r'"generateName": ?"([^"]+)"')
AGE = re.compile(r"^(\d+[smhdy])+$|^<unknown>$|^<invalid>$")
HEADERS = ("Content-Type", "Cache-Control", "Warning", "Location", "Www-Authenticate", "Retry-After", "X-Content-Type-Options", "Allow", "Vary")
PRESENT = ("Audit-Id", "X-Kubernetes-Pf-Flowschema-Uid", "X-Kubernetes-Pf-Prioritylevel-Uid", "Etag", "Date")
NODE_PORTS = range(30000, 32768)


@dataclass
class Normaliser:
    """One server's symbols during one case."""

    address: str
    sent: str = ""
    symbols: dict[str, str] = field(default_factory=dict)

    def symbol(self, sort: str, value: str) -> str:
        """The symbol of a value; what the request itself named stays."""
        if value and value in self.sent:
            return value
        known = sum(1 for symbol in self.symbols.values() if symbol.startswith(f"<{sort}-"))
        return self.symbols.setdefault(value, f"<{sort}-{known + 1}>")

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> dict:
        """A whole answer as a tree that may be compared."""
        kept = {name: self.text(headers[name]) for name in HEADERS if name in headers}
        kept |= {name: "<present>" for name in PRESENT if name in headers}
        return {"status": status, "headers": kept, "body": self.body(headers.get("Content-Type", ""), body)}

    def body(self, kind: str, body: bytes) -> object:
        """By its media type: JSON, a stream of JSON lines, protobuf, or text."""
        if "protobuf" in kind:
            return self.frames(body) if "stream=watch" in kind else self.protobuf(body)
        if "json" in kind:
            lines = [line for line in body.decode().split("\n") if line.strip()]
            try:
                values = [self.value(json.loads(line)) for line in lines]
            except json.JSONDecodeError:
                values = [self.value(json.loads(body))]
            values = [event for event in values if not by_chance(event)]
            return values[0] if len(values) == 1 else values
        return self.text(body.decode(errors="replace"))

    def value(self, value: object, key: str = "") -> object:
        """A JSON value; keys say what numbers and short strings mean."""
        if isinstance(value, dict):
            if value.get("kind") == "Table":
                value = self.table(value)
            return {self.text(name): self.value(one, name) for name, one in value.items()}
        if key == "managedFields" and isinstance(value, list):
            # upstream orders them by time first, and which second it was is chance
            value = sorted(value, key=lambda entry: [entry.get(part, "") for part in ("operation", "manager", "subresource", "apiVersion")])
        if key in ("resourceRules", "nonResourceRules") and isinstance(value, list):
            value = sorted(value, key=json.dumps)    # roles come out of a map
        if isinstance(value, list):
            return [self.value(one, key) for one in value]
        if isinstance(value, str):
            return self.string(value, key)
        if key in ("nodePort", "healthCheckNodePort") and value in NODE_PORTS and str(value) not in self.sent:
            return "<port>"
        return value

    def table(self, table: dict) -> dict:
        """Ages in the cells of a table depend on the second."""
        rows = []
        for row in table.get("rows") or []:
            rows.append(row | {"cells": ["<age>" if isinstance(cell, str) and AGE.match(cell) else cell for cell in row["cells"]]})
        return table | {"rows": rows} if "rows" in table else table

    def string(self, value: str, key: str) -> str:
        """A string of a field."""
        if key in ("resourceVersion", "continue", "storageVersionHash", "hash") and value:
            return "<version>" if value.isdigit() and value != "0" else value if value == "0" else f"<{key}>"
        return self.text(value)

    def text(self, value: str) -> str:
        """What may stand in any text."""
        value = UID.sub(lambda found: self.symbol("uid", found[0]), value)
        value = TIME.sub("<time>", value)
        value = VERSION.sub(r"\1<version>", REVISION.sub("current: <version>", TOKEN.sub("<token>", value)))
        for prefix in GENERATED.findall(self.sent):
            value = re.sub(rf"\b{re.escape(prefix)}[a-z0-9]{{5}}\b", f"{prefix}<random>", value)
        value = RANDOM.sub(r"\1<random>", CREDENTIAL.sub("<credential>", value))
        value = SERVICE_ADDRESS.sub(lambda found: found[0] if found[0] in self.sent else "<service-address>", value)
        return value.replace(self.address, "<server>")

    def protobuf(self, body: bytes) -> object:
        """The envelope's magic and its fields."""
        if not body.startswith(b"k8s\0"):
            return {"not": "protobuf", "text": self.text(body.decode(errors="replace"))}
        return self.message(body[4:])

    def frames(self, body: bytes) -> list[object]:
        """The events of a watch: each has its length before it."""
        events, at = [], 0
        while at + 4 <= len(body):
            size = int.from_bytes(body[at : at + 4], "big")
            events.append(self.message(body[at + 4 : at + 4 + size]))
            at += 4 + size
        return events

    def message(self, data: bytes) -> object:
        """Fields by number, without a schema: a length-delimited one is a message if it reads as one, else text."""
        if data.startswith(b"k8s\0"):
            return self.message(data[4:])
        fields = fields_of(data)
        if fields is None:
            return self.scalar(data)
        tree: dict[str, list] = {}
        for number, value in fields:
            shown = self.message(value) if isinstance(value, bytes) else "<time>" if 1_600_000_000 < value < 4_000_000_000 else value
            tree.setdefault(str(number), []).append(shown)
        return tree

    def scalar(self, data: bytes) -> str:
        """Bytes that are no message."""
        text = data.decode(errors="backslashreplace")
        return "<digits>" if text.isdigit() and text not in self.sent else self.text(text)


def by_chance(event: object) -> bool:
    """A bookmark that is sent when time has gone by, not to end the initial events."""
    return isinstance(event, dict) and event.get("type") == "BOOKMARK" and "annotations" not in event["object"]["metadata"]


def fields_of(data: bytes) -> list[tuple[int, int | bytes]] | None:
    """The fields of a message; None if the bytes are none, or read better as text."""
    if not data:
        return []
    if len(data) > 2 and all(32 <= byte < 127 for byte in data):
        return None
    fields, at = [], 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag is None or not 0 < tag >> 3 < 4096:
            return None
        value, at = field_value(tag & 7, data, at)
        if value is None or at > len(data):
            return None
        fields.append((tag >> 3, value))
    return fields


def field_value(wire: int, data: bytes, at: int) -> tuple[int | bytes | None, int]:
    """A field's value by its wire type, and where it ends; None if there is none."""
    if wire == 0:
        return varint(data, at)
    size: int | None = {1: 8, 5: 4}.get(wire)
    if wire == 2:
        size, at = varint(data, at)
    return (None, at) if size is None else (data[at : at + size], at + size)


def varint(data: bytes, at: int) -> tuple[int | None, int]:
    """A number and where it ends; None if it does not end."""
    value = shift = 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at
    return None, at
