"""Requests that nobody means: safetensors bodies that were changed, and what schemathesis makes of
the OpenAPI schema. Each function returns the status of every answer; 0 where the line was cut.
"""

from __future__ import annotations

import http.client
import json
import random
import struct
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress

from deft.priors.remote.wire import MEDIA_TYPE

CHECKS = ("not_a_server_error", "content_type_conformance", "status_code_conformance")


def mutated(url: str, token: str, good: bytes, count: int, seed: int) -> list[int]:
    """Valid bodies with one thing changed: lengths, types, shapes, offsets, values, what is cut or
    added, and the token.
    """
    draw = random.Random(seed)
    names = list(CHANGES)
    return [
        post(url, *CHANGES[names[k % len(names)]](good, draw), token=token) for k in range(count)
    ]


def post(url: str, body: bytes, headers: Mapping[str, str], *, token: str) -> int:
    """The status of one answer."""
    line = http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)
    usual = {"Content-Type": MEDIA_TYPE, "Authorization": f"Bearer {token}"}
    try:
        line.request("POST", "/denoise", body, {**usual, **headers})
        answer = line.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        line.close()


def generated(url: str, token: str, count: int, seed: int = 0) -> list[int]:
    """`count` requests by schemathesis from the schema that the server gives."""
    import hypothesis
    import schemathesis
    from schemathesis.checks import CHECKS as known

    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers)
    operations = [found.ok() for found in schema.get_all_operations()]
    checks = [known.get_one(name) for name in CHECKS]
    statuses: list[int] = []
    for k, operation in enumerate(operations):
        each = count // len(operations) + (k < count % len(operations))
        for mode in schemathesis.GenerationMode:
            share = each // 2 if mode.name == "POSITIVE" else each - each // 2
            if share:
                statuses += _called(operation, mode, share, seed, headers, checks, hypothesis)
    return statuses


def _called(operation, mode, count, seed, headers, checks, hypothesis) -> list[int]:  # type: ignore[no-untyped-def]
    statuses: list[int] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def call(case) -> None:  # type: ignore[no-untyped-def]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = case.call(headers=headers)
        statuses.append(answer.status_code)
        case.validate_response(answer, checks=checks)

    with suppress(hypothesis.errors.Unsatisfiable):
        call()
    return statuses


Changed = tuple[bytes, dict[str, str]]


def _parts(good: bytes) -> tuple[dict[str, dict], bytes]:
    size = struct.unpack("<Q", good[:8])[0]
    return json.loads(good[8 : 8 + size]), good[8 + size :]


def _whole(table: object, content: bytes) -> bytes:
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + content


def _header(change: Callable[[dict, random.Random], None]) -> Callable[..., Changed]:
    def changed(good: bytes, draw: random.Random) -> Changed:
        table, content = _parts(good)
        change(table, draw)
        return _whole(table, content), {}

    return changed


def _length(good: bytes, draw: random.Random) -> Changed:
    size = draw.choice([0, 1, 7, len(good), 1 << 31, (1 << 64) - 1, draw.randrange(1 << 20)])
    return struct.pack("<Q", size) + good[8:], {}


def _numbers(good: bytes, draw: random.Random) -> Changed:
    value = draw.choice([float("nan"), float("inf"), -float("inf"), 3e38, -1e30])
    place = len(good) - 4 * draw.randrange(1, 8)
    return good[:place] + struct.pack("<f", value) + good[place + 4 :], {}


def _bytes(good: bytes, draw: random.Random) -> Changed:
    changed = bytearray(good)
    for _ in range(draw.randrange(1, 5)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed), {}


def _entry(table: dict, draw: random.Random) -> dict:
    found: dict = table[draw.choice(sorted(table))]
    return found


def _offset(table: dict, draw: random.Random) -> None:
    _entry(table, draw)["data_offsets"][draw.randrange(2)] += draw.choice([-8, -1, 1, 4, 1 << 40])


def _shape(table: dict, draw: random.Random) -> None:
    shape = _entry(table, draw)["shape"]
    shape[draw.randrange(len(shape))] = draw.choice([0, -1, 2, 1 << 31, 1 << 62, 10**30, 1.5, "1"])


def _dtype(table: dict, draw: random.Random) -> None:
    _entry(table, draw)["dtype"] = draw.choice(["F64", "F16", "I32", "BOOL", "U8", "", None, 3])


def _name(table: dict, draw: random.Random) -> None:
    old = draw.choice(sorted(table))
    table[draw.choice(["", "x_0", "class_labels", "\0", "x" * 5000])] = table.pop(old)


CHANGES: dict[str, Callable[[bytes, random.Random], Changed]] = {
    "as it is": lambda good, draw: (good, {}),
    "length of the header": _length,
    "type": _header(_dtype),
    "shape": _header(_shape),
    "offsets": _header(_offset),
    "name": _header(_name),
    "numbers": _numbers,
    "bytes": _bytes,
    "cut": lambda good, draw: (good[: draw.randrange(len(good))], {}),
    "longer": lambda good, draw: (good + draw.randbytes(draw.randrange(1, 5000)), {}),
    "oversized": lambda good, draw: (good + bytes(1 << 20), {}),
    "nested": lambda good, draw: (_whole([[]], b"").replace(b"[[]]", b"[" * 4000), {}),
    "token": lambda good, draw: (good, {"Authorization": f"Bearer {draw.randbytes(9).hex()}"}),
    "kind": lambda good, draw: (good, {"Content-Type": draw.choice(["text/plain", "", "a/b;c"])}),
}
