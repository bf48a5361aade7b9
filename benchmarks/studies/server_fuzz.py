"""A server of a prior under requests that nobody means.

    python benchmarks/studies/server_fuzz.py [--generated 10000] [--changed 2000] [--prior NAME]

Starts `deft serve-prior` as a process and sends it what schemathesis makes of its OpenAPI schema
(`generated`), safetensors bodies with one thing changed (`mutated`), and slow clients. Prints and
keeps how often each status came, the resident memory of the process before and after, and how far
its answers are from those of the local prior afterwards. A status of 0 is a line that was cut.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
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
    """`count` requests by schemathesis from the schema that the server gives: an eighth of them of
    each GET, as far as there are different ones, and the rest of POST /denoise.
    """
    import schemathesis

    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers)
    operations = {found.ok().path: found.ok() for found in schema.get_all_operations()}
    last = operations.pop("/denoise")
    statuses: list[int] = []
    for operation in operations.values():
        for mode in schemathesis.GenerationMode:
            if mode.name != "ALL":
                statuses += _called(operation, mode, max(count // 16, 1), seed, headers)
    while len(statuses) < count:
        few = min(count - len(statuses), 500)
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            statuses += _called(last, mode, max(few // 2, 1), seed, headers)
        seed += 1
    return statuses


def _called(operation, mode, count, seed, headers) -> list[int]:  # type: ignore[no-untyped-def]
    import hypothesis
    from schemathesis.checks import CHECKS as known

    checks = [known.get_one(name) for name in CHECKS]
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


def slow(url: str, good: bytes, count: int) -> list[socket.socket]:
    """Connections that send a part of a request, and then nothing."""
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /denoise HTTP/1.1\r\nHost: {host}\r\nContent-Type: {MEDIA_TYPE}\r\n"
    begun = (b"", head.encode(), f"{head}Content-Length: {len(good)}\r\n\r\n".encode())
    lines = [socket.create_connection((host, int(port))) for _ in range(count)]
    for k, line in enumerate(lines):
        line.sendall(begun[k % len(begun)])
    return lines


def resident(process: int) -> float:
    """Resident memory of a process, in MB."""
    with open(f"/proc/{process}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    import torch

    from deft.priors.remote import RemotePrior, wire
    from deft.priors.resolve import load

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prior", default="digits-32")
    parser.add_argument("--generated", type=int, default=10_000)
    parser.add_argument("--changed", type=int, default=2_000)
    parser.add_argument("--slow", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="benchmarks/results/server_fuzz.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    token = secrets.token_urlsafe()
    command = [sys.executable, "-m", "deft.cli", "serve-prior", "--prior", arguments.prior]
    with tempfile.TemporaryFile("w+") as said:
        server = subprocess.Popen(
            [*command, "--port", "0", "--timeout", "20"],
            env={**os.environ, "DEFT_TOKEN": token},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            local, prior = load(arguments.prior), RemotePrior(url, token=token)
            x_t = torch.randn(4, *local.event_shape, generator=torch.Generator().manual_seed(0))
            t = torch.linspace(0.1, 0.9, 4)
            good = wire.packed({"x_t": x_t[:1], "t": t[:1]})
            usual = mutated(url, token, good, 300, arguments.seed + 1)  # until memory is settled
            usual += generated(url, token, 300, arguments.seed + 1)
            before = resident(server.pid)
            lines = slow(url, good, arguments.slow)
            changed = mutated(url, token, good, arguments.changed, arguments.seed)
            made = generated(url, token, arguments.generated, arguments.seed)
            for line in lines:
                line.close()
            after, alive = resident(server.pid), server.poll() is None
            difference = float((prior.denoise(x_t, t) - local.denoise(x_t, t)).abs().max())
        finally:
            server.terminate()
            server.wait()
        said.seek(0)
        complaints = [line for line in said.read().splitlines() if "Traceback" in line]
    result = {
        "prior": arguments.prior,
        "seed": arguments.seed,
        "before": {"requests": len(usual)},
        "changed": dict(sorted(Counter(map(str, changed)).items())),
        "generated": dict(sorted(Counter(map(str, made)).items())),
        "slow_clients": arguments.slow,
        "answers_of_5xx": sum(status >= 500 for status in (*usual, *changed, *made)),
        "tracebacks": len(complaints),
        "alive": alive,
        "exit_status": server.returncode,
        "resident_mb": {"before": round(before, 1), "after": round(after, 1)},
        "growth": round(after / before - 1, 4),
        "largest_difference_afterwards": difference,
    }
    text = json.dumps(result, indent=1)
    print(text)
    os.makedirs(os.path.dirname(arguments.out) or ".", exist_ok=True)
    with open(arguments.out, "w") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    main()
