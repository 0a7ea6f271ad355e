"""A web server for this machine only: a table of files, served whole or by byte ranges.

Nothing but the table is reachable: paths are looked up, never joined to a folder. It listens on
127.0.0.1 alone, and answers only requests that name this machine as their host, so that a page of
another site cannot read the files by pointing its own name here (DNS rebinding). Every path begins
with a word that is drawn for each server, so that other users of this machine cannot guess it.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from urllib.parse import unquote, urlsplit

from pgf_genome.errors import ResourceError

ADDRESS = "127.0.0.1"
# any port is accepted with them, for it changes in an ssh tunnel
HOSTS = ("127.0.0.1", "localhost")
PIECE = 1 << 16
IDLE_SECONDS = 60
BYTES = "application/octet-stream"

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True)
class Resource:
    """The answer of the server to a path.

    Attributes
    ----------
    content : bytes or Path
        The bytes, or the file that holds them.
    kind : str
        The media type.
    headers : mapping of str to str
        Further headers of the answer.
    """

    content: bytes | Path
    kind: str = BYTES
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Length of the content in bytes."""
        if isinstance(self.content, bytes):
            return len(self.content)
        return self.content.stat().st_size


class LocalServer(ThreadingTCPServer):
    """A server of a table of resources, which listens from its construction until ``shutdown``.

    Parameters
    ----------
    routes : mapping of str to Resource
        Path (decoded, with its first slash) behind the server's word -> resource.
    port : int
        The port to listen on; 0 is any free one.

    Raises
    ------
    ResourceError
        If the port is taken or may not be used.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, routes: Mapping[str, Resource], port: int = 0) -> None:
        self.word = secrets.token_urlsafe(16)
        self.routes = {f"/{self.word}{path}": answer for path, answer in routes.items()}
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise ResourceError(
                f"`port` {port}: {error.strerror}; choose another, or leave it out for any that "
                "is free"
            ) from error

    @property
    def url(self) -> str:
        """The address of the page for browsers on this machine."""
        return f"http://{ADDRESS}:{self.server_address[1]}/{self.word}/"


def served_range(header: str | None, size: int) -> tuple[HTTPStatus, int, int]:
    """Decide which bytes to send for a ``Range`` header (RFC 9110, section 14).

    Parameters
    ----------
    header : str, optional
        The header. If it is malformed or names several ranges it is ignored.
    size : int
        Length of the content in bytes.

    Returns
    -------
    (HTTPStatus, int, int)
        The status of the answer, and the start and stop of its bytes.
    """
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", header.strip()) if header else None
    if match is None or match[0] == "bytes=-":
        return HTTPStatus.OK, 0, size
    first, last = match.groups()
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return HTTPStatus.OK, 0, size
    if start >= stop:
        return HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, 0
    return HTTPStatus.PARTIAL_CONTENT, start, stop


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "pgf-genome", ""
    timeout = IDLE_SECONDS
    server: LocalServer

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        if not self._for_this_machine():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        try:
            resource = self.server.routes.get(unquote(urlsplit(self.path).path))
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        try:
            if resource is None:
                raise FileNotFoundError
            size = resource.size
            ranged = None if "If-Range" in self.headers else self.headers.get("Range")
            status, start, stop = served_range(ranged, size)
            self._send_head(resource, status, start, stop, size)
            if with_body:
                self._send_body(resource, start, stop)
        except FileNotFoundError:
            self.send_error(HTTPStatus.NOT_FOUND)
        except ConnectionError:
            # browsers close connections whose answer they no longer need
            self.close_connection = True

    def _for_this_machine(self) -> bool:
        host = self.headers.get("Host", "")
        with suppress(ValueError):
            return urlsplit(f"//{host}").hostname in HOSTS
        return False

    def _send_head(
        self, resource: Resource, status: HTTPStatus, start: int, stop: int, size: int
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", resource.kind)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if status == HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        elif status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.send_header("Content-Range", f"bytes */{size}")
        for name, value in resource.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_body(self, resource: Resource, start: int, stop: int) -> None:
        if isinstance(resource.content, bytes):
            self.wfile.write(resource.content[start:stop])
            return
        with resource.content.open("rb") as file:
            file.seek(start)
            while start < stop:
                piece = file.read(min(PIECE, stop - start))
                if not piece:
                    # the file was cut short since its length was sent
                    self.close_connection = True
                    return
                self.wfile.write(piece)
                start += len(piece)

    def log_message(self, format: str, *arguments: object) -> None:
        log.debug(format, *arguments)
