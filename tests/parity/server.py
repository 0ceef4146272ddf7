"""A server under comparison: a store and an API server as plain processes, and nothing that changes objects."""

import http.client
import json
import re
import time
from collections.abc import Callable

from spine.plane import Plane

from .corpus import Case, Step
from .normal import Normaliser

VARIABLE = re.compile(r"\{\{([\w.\-\[\]]+)\}\}")
TIMEOUT = 30
PAUSE = 0.05
Answer = tuple[int, dict[str, str], bytes]


class Server:
    """An API server over its own store, as its administrator sees it."""

    def __init__(self, plane: Plane, make: str):
        daemon = plane.apiserver(make, plane.store(make))
        self.name = daemon.name
        self.port = int(daemon.endpoint.rsplit(":", 1)[1])
        self.tls = plane.tls()

    def run(self, case: Case) -> list[dict]:
        """The normalised answers of a case's steps, over a connection of its own."""
        session = Session(self)
        session.prepare(case.namespace)
        known: dict[str, object] = {"ns": case.namespace}
        normaliser = Normaliser(f"127.0.0.1:{self.port}")
        answers = []
        for step in case.steps:
            (status, got, data), seen = until(step, lambda step=step: session.step(step, known))
            if step.name:
                known[step.name] = parsed(data)
            normaliser.sent = f"{step.path} {step.body}"
            answers.append(normaliser.answer(status, got, data))
            if not seen:
                # with the port, so that it is a difference also when neither server showed it
                answers[-1]["until"] = f"nothing of it at port {self.port}"
        return answers


def until(step: Step, ask: Callable[[], Answer]) -> tuple[Answer, bool]:
    """A step's answer, asked for again until it has what the step waits for; false if it never had."""
    answer = ask()
    if step.until is None:
        return answer, True
    seconds, text = step.until
    end = time.monotonic() + seconds
    while text.encode() not in answer[2]:
        if time.monotonic() > end:
            return answer, False
        time.sleep(PAUSE)
        answer = ask()
    return answer, True


class Session:
    """One kept connection."""

    def __init__(self, server: Server):
        self.server = server
        self.link: http.client.HTTPSConnection | None = None

    def step(self, step: Step, known: dict[str, object]) -> Answer:
        """A step's request, with earlier answers put in."""
        headers = {name: fill(text, known) for name, text in step.headers.items()}
        return self.request(step.method, fill(step.path, known), headers, fill(step.body, known))

    def request(self, method: str, path: str, headers: dict[str, str], body: str) -> Answer:
        """One request; the connection is opened anew when the server has closed it. Status 0 is no answer."""
        for last in (False, True):
            if self.link is None:
                self.link = http.client.HTTPSConnection("127.0.0.1", self.server.port, context=self.server.tls, timeout=TIMEOUT)
            try:
                self.link.request(method, path, body=body.encode() if body else None, headers={"User-Agent": "parity"} | headers)
                answer = self.link.getresponse()
                names = {name.title(): ", ".join(answer.headers.get_all(name)) for name in answer.headers}
                return answer.status, names, answer.read()
            except (http.client.HTTPException, OSError) as error:
                self.link.close()
                self.link = None
                if last or isinstance(error, TimeoutError):
                    return 0, {}, repr(error).encode()
        raise AssertionError("both attempts return")

    def prepare(self, namespace: str) -> None:
        """The namespace of a case, with the account pods need."""
        for path, value in (
            ("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            (f"/api/v1/namespaces/{namespace}/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}),
        ):
            status, _, body = self.request("POST", path, {"Content-Type": "application/json"}, json.dumps(value))
            if status not in (201, 409):
                raise RuntimeError(f"{self.server.name} did not make {path}: {status} {body.decode()[:300]}")


def parsed(data: bytes) -> object:
    """An answer for later steps; one that is no JSON has no fields."""
    try:
        return json.loads(data)
    except ValueError:
        return {}


def fill(text: str, known: dict[str, object]) -> str:
    """Puts earlier answers in; what is not there stays empty."""
    def found(match: re.Match) -> str:
        value: object = known
        for key in match[1].split("."):
            value = value.get(key, "") if isinstance(value, dict) else value[int(key)] if isinstance(value, list) else ""
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))

    return VARIABLE.sub(found, text)
