"""Where two normalised answers differ."""

import json
from collections.abc import Iterator


def differences(real: object, ours: object, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Each place with what the real server says and what ours says; `-` is nothing."""
    if isinstance(real, dict) and isinstance(ours, dict):
        for key in sorted(real.keys() | ours.keys()):
            at = f"{path}.{key}" if path else key
            if key not in real:
                yield at, "-", show(ours[key])
            elif key not in ours:
                yield at, show(real[key]), "-"
            else:
                yield from differences(real[key], ours[key], at)
    elif isinstance(real, list) and isinstance(ours, list):
        if len(real) != len(ours) and all(isinstance(one, str) for one in [*real, *ours]):
            yield from ((f"{path}[]", show(one), "-") for one in real if one not in ours)
            yield from ((f"{path}[]", "-", show(one)) for one in ours if one not in real)
            return
        if len(real) != len(ours):
            yield f"{path}.length", str(len(real)), str(len(ours))
        for index, (one, other) in enumerate(zip(real, ours, strict=False)):
            yield from differences(one, other, f"{path}[{index}]")
    elif type(real) is not type(ours) or real != ours:
        yield path, show(real), show(ours)


def show(value: object) -> str:
    """A value on one line of bounded length."""
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 220 else f"{text[:200]}… ({len(text)})"
