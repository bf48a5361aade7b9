"""A connection to the server of a prior: requests with retries, counted.

A request that fails (nobody answers, the connection breaks, the server is busy) is sent again after
0, 0.25, 0.5, 1, ... 8 seconds, until `patience` seconds have passed. Redirects are not followed and
no proxy is used: the host that the user typed is contacted, and no other.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from typing import Any, NoReturn, final
from urllib.parse import urlsplit

from deft import signals
from deft.errors import DeftError, DeftWarning, InvalidInput, PriorUnavailable
from deft.priors.remote.wire import MEDIA_TYPE
from deft.storage.bounded_json import parsed

MARK = "Deft-Prior"
"""The header by which every answer says which prior it is of."""
_AGAIN = (408, 429, 500, 502, 503, 504)
_SHORTEST, _LONGEST = 0.25, 8.0  # seconds between two tries
_SLICE = 0.1  # seconds between two looks at signals
_TOKEN = "the token that deft serve-prior was started with"


@final
@dataclass
class Counts:
    """What was asked of a server: `calls` that were answered, the `signals` denoised by them,
    bytes of all bodies, and `retries`.
    """

    calls: int = 0
    signals: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    retries: int = 0


@final
class Connection:
    """A connection to one URL, kept open between requests, and opened again where it broke."""

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        self.url, self.token, self.timeout, self.counts = url, token, timeout, Counts()
        self._scheme, self._host, self._port, self._path = address(url)
        self._open: HTTPConnection | None = None
        if token is not None and self._scheme == "http" and not is_loopback(self._host):
            warnings.warn(
                f"the token goes to {self._host} over http, where others on the way can read it; "
                "put TLS in front of the server, and give its https address.",
                DeftWarning,
                stacklevel=3,
            )

    def __deepcopy__(self, memo: dict[int, object]) -> Connection:
        return self  # a copy of a prior asks the same server, and counts with it

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        longest: int,
        patience: float,
    ) -> tuple[bytes, str | None]:
        """The body of an answer, of at most `longest` bytes, and the prior that it is of.

        Raises `PriorUnavailable` where there is none after `patience` seconds, or one that this
        library does not understand; `InvalidInput` for what the server refuses.
        """
        began, pause, tries = time.monotonic(), 0.0, 0
        while True:
            try:
                status, headers, content = self._once(method, path, body, longest)
            except (OSError, HTTPException) as error:
                self._close()
                reason = str(error) or type(error).__name__
            else:
                if status == 200:
                    self.counts.bytes_sent += len(body or b"")
                    self.counts.bytes_received += len(content)
                    return content, headers.get(MARK.lower())
                if status not in _AGAIN:
                    self._refused(status, headers, content)
                if status == 500 and (said := _said(content)):
                    raise PriorUnavailable(
                        f"{said.what} at {self.url}", given=said.given, expected=said.expected
                    )
                reason = f"it answered {status}"
            left = began + patience - time.monotonic()
            if left <= 0 or signals.pending():
                raise self._gone(reason, patience, tries)
            tries += 1
            self.counts.retries += 1
            if tries == 2:
                warnings.warn(
                    f"the prior at {self.url} does not answer ({reason}); trying again for "
                    f"{patience:g} s.",
                    DeftWarning,
                    stacklevel=4,
                )
            _wait(min(pause, max(left, 0.0)))
            pause = min(max(2 * pause, _SHORTEST), _LONGEST)

    def _once(
        self, method: str, path: str, body: bytes | None, longest: int
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._open is None:
            kind = HTTPSConnection if self._scheme == "https" else HTTPConnection
            self._open = kind(self._host, self._port, timeout=self.timeout)
        headers = {"Content-Type": MEDIA_TYPE} if body is not None else {}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        self._open.request(method, f"{self._path}{path}", body=body, headers=headers)
        response = self._open.getresponse()
        content = _read(response, longest)
        if len(content) > longest:
            self._close()
            raise PriorUnavailable(
                f"the answer of {self.url}",
                given=f"more than {longest:,} bytes",
                expected=f"at most {longest:,}",
            )
        if response.will_close:
            self._close()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, content

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _refused(self, status: int, headers: Mapping[str, str], content: bytes) -> NoReturn:
        if status in (401, 403):
            raise InvalidInput(
                "token",
                given="none" if self.token is None else f"one that {self.url} does not accept",
                expected=_TOKEN,
                advice="set DEFT_TOKEN to it, or DEFT_TOKEN_FILE to a file that holds it",
            )
        if 300 <= status < 400:
            raise InvalidInput(
                "url",
                given=f"{self.url}, which redirects to {headers.get('location', 'elsewhere')}",
                expected="the address of the server itself: redirects are not followed",
            )
        raise _said(content) or no_prior(self.url, f"it answered {status}")

    def _gone(self, reason: str, patience: float, tries: int) -> DeftError:
        if signals.pending():
            return PriorUnavailable(
                f"stopped by a signal while the prior at {self.url} did not answer ({reason})"
            )
        if tries == 0:
            return PriorUnavailable(
                f"there is no answer from {self.url} ({reason})",
                advice="start a server with: deft serve-prior --prior NAME",
            )
        return PriorUnavailable(
            f"the prior at {self.url} did not answer for {patience:g} s ({reason})"
        )


def address(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path of a URL. Raises `InvalidInput` for anything else."""
    expected = "http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:8000"
    parts, port, why = None, None, ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        why = str(error)
    if parts is not None and not why:
        if parts.scheme not in ("http", "https"):
            why = "it begins with neither http:// nor https://"
        elif not parts.hostname or not url.isprintable() or " " in url:
            why = "it names no host"
        elif parts.username is not None or parts.password is not None:
            raise InvalidInput(
                "url",
                given=f"{parts.scheme}://...@{parts.hostname}",
                expected="an address without a user or a password: other users can read it",
                advice="set DEFT_TOKEN, or DEFT_TOKEN_FILE to a file that holds the token",
            )
        elif parts.query or parts.fragment:
            why = "it has a query or a fragment"
    if why or parts is None:
        raise InvalidInput("url", given=url, expected=expected, advice=why)
    return parts.scheme, str(parts.hostname), port, parts.path.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, and can be reached from no other."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def no_prior(url: str, why: str) -> InvalidInput:
    """What to say of something that is no server of a prior."""
    return InvalidInput(
        "url",
        given=f"{url}, where something else is served ({why})",
        expected="the address of a server that deft serve-prior started",
    )


def _said(content: bytes) -> InvalidInput | None:
    """The error that a server sent, in its parts."""
    try:
        error = parsed(content, "answer")
    except InvalidInput:
        return None
    parts: Any = error.get("error") if isinstance(error, dict) else None
    if not isinstance(parts, dict) or not isinstance(parts.get("what"), str):
        return None
    text = {name: str(parts.get(name) or "") for name in ("what", "expected", "advice")}
    given = parts.get("given")
    return InvalidInput(**text, given=None if given is None else str(given))


def error_body(error: DeftError) -> bytes:
    """An error as a server sends it."""
    given = None if error.given is None else str(error.given)[:1000]
    parts = {"given": given, "expected": error.expected, "advice": error.advice}
    return json.dumps({"error": {"what": error.what, **parts}}).encode()


def _read(response: HTTPResponse, longest: int) -> bytes:
    """At most one byte more than `longest`, so that it can be told that there is more."""
    found = bytearray()
    while len(found) <= longest:
        chunk = response.read(min(1 << 20, longest + 1 - len(found)))
        if not chunk:
            break
        found += chunk
    return bytes(found)


def _wait(seconds: float) -> None:
    """Wait, but for a signal that was noted."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not signals.pending():
        time.sleep(min(left, _SLICE))
