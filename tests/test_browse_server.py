"""The local server: byte ranges, and nothing but the session's files to this machine alone."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from finished import write_fasta, write_run
from hypothesis import given
from hypothesis import strategies as st

from pgf_genome.browser import LocalServer, Resource, find_library, page_routes, read_scene
from pgf_genome.browser.server import served_range
from pgf_genome.errors import ResourceError, UsageError

BODY = bytes(range(256)) * 1000


@contextmanager
def serving(routes: dict[str, Resource]) -> Iterator[LocalServer]:
    with LocalServer(routes) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    path = tmp_path / "data.bin"
    path.write_bytes(BODY)
    (tmp_path / "secret.txt").write_text("secret")
    routes = {
        "/files/0/data.bin": Resource(path),
        "/files/1/a b#é.bin": Resource(path),
        "/": Resource(b"page", "text/html", {"X-More": "yes"}),
        "/gone": Resource(tmp_path / "gone"),
    }
    with serving(routes) as running:
        yield running


def ask(
    server: LocalServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; the path, behind the server's word, goes out as it is."""
    return ask_exactly(server, f"/{server.word}{path}", method, **headers)


def ask_exactly(
    server: LocalServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    port = server.server_address[1]
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def test_a_file_is_served_whole(server: LocalServer) -> None:
    status, headers, body = ask(server, "/files/0/data.bin")
    assert (status, body) == (200, BODY)
    assert headers["Content-Length"] == str(len(BODY))
    assert headers["Accept-Ranges"] == "bytes"


def test_a_range_is_partial_content(server: LocalServer) -> None:
    status, headers, body = ask(server, "/files/0/data.bin", Range="bytes=5-9")
    assert (status, body) == (206, BODY[5:10])
    assert headers["Content-Range"] == f"bytes 5-9/{len(BODY)}"
    assert headers["Content-Length"] == "5"


def test_a_range_past_the_end_cannot_be_satisfied(server: LocalServer) -> None:
    status, headers, body = ask(server, "/files/0/data.bin", Range=f"bytes={len(BODY)}-")
    assert (status, body) == (416, b"")
    assert headers["Content-Range"] == f"bytes */{len(BODY)}"


def test_head_tells_the_same_without_the_body(server: LocalServer) -> None:
    for headers in ({}, {"Range": "bytes=5-9"}):
        status, told, body = ask(server, "/files/0/data.bin", "HEAD", **headers)
        assert body == b""
        wanted = ask(server, "/files/0/data.bin", **headers)
        assert (status, told["Content-Length"]) == (wanted[0], wanted[1]["Content-Length"])


def test_one_connection_answers_many_requests(server: LocalServer) -> None:
    port = server.server_address[1]
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        for first in range(0, 50, 10):
            headers = {"Range": f"bytes={first}-{first + 9}"}
            connection.request("GET", f"/{server.word}/files/0/data.bin", headers=headers)
            assert connection.getresponse().read() == BODY[first : first + 10]


def test_bytes_in_memory_are_served_with_their_headers(server: LocalServer) -> None:
    status, headers, body = ask(server, "/?query#fragment", Range="bytes=-2")
    assert (status, body) == (206, b"ge")
    assert (headers["Content-Type"], headers["X-More"]) == ("text/html", "yes")


def test_a_name_is_found_however_it_is_encoded(server: LocalServer) -> None:
    assert ask(server, "/files/1/a%20b%23%c3%a9.bin", Range="bytes=0-0")[0] == 206


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt",
        "/files/",
        "/files/0/",
        "/files/0/../../secret.txt",
        "/files/0/%2e%2e/%2e%2e/secret.txt",
        "/files/0/data.bin/../secret.txt",
        "//etc/passwd",
        "/etc/passwd",
        "/files/0/data.bin%00",
        "/gone",
        "/files/0/data.bin;x",
    ],
)
def test_nothing_else_is_reachable(server: LocalServer, path: str) -> None:
    status, _, body = ask(server, path)
    assert status == 404
    assert b"secret" not in body


@pytest.mark.parametrize(
    "path",
    ["/", "/files/0/data.bin", "//", "/wrong/files/0/data.bin", "http://127.0.0.1/etc/passwd", "*"],
)
def test_without_its_word_the_server_answers_nobody(server: LocalServer, path: str) -> None:
    status, _, body = ask_exactly(server, path)
    assert status == 404
    assert b"page" not in body


def test_every_server_has_another_word(tmp_path: Path) -> None:
    with LocalServer({}) as one, LocalServer({}) as other:
        assert len(one.word) > 20
        assert one.word != other.word


@pytest.mark.parametrize("path", [b"http://[/", b"http://[::1", b"//[x]:80/", b"/\xff%ff%"])
def test_an_address_that_is_none_is_refused(server: LocalServer, path: bytes, capfd) -> None:
    with socket.create_connection(server.server_address[:2], timeout=10) as connection:
        connection.sendall(b"GET " + path + b" HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert connection.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 404")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "",
                                  "[::1", "10.0.0.1"])  # fmt: skip
def test_another_host_name_is_refused(server: LocalServer, host: str) -> None:
    status, _, body = ask(server, "/files/0/data.bin", Host=host)
    assert status == 421
    assert BODY[:50] not in body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9000", "LOCALHOST"])
def test_this_machine_is_served_also_through_a_tunnel(server: LocalServer, host: str) -> None:
    assert ask(server, "/", Host=host)[2] == b"page"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_written(server: LocalServer, method: str) -> None:
    assert ask(server, "/files/0/data.bin", method)[0] == 501


def test_it_listens_on_this_machine_alone(server: LocalServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_address[1]}/{server.word}/"


def test_a_taken_port_is_a_clear_error() -> None:
    with LocalServer({}) as server, pytest.raises(ResourceError, match=r"`port` .*in use"):
        LocalServer({}, server.server_address[1])


@given(
    size=st.integers(0, 50),
    first=st.none() | st.integers(0, 60),
    last=st.none() | st.integers(0, 60),
)
def test_ranges_are_those_of_the_standard(size: int, first: int | None, last: int | None) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    status, start, stop = served_range(header, size)
    if (first is None and last is None) or (None not in (first, last) and last < first):
        assert (status, start, stop) == (HTTPStatus.OK, 0, size)
        return
    if first is None:
        wanted = range(size)[max(size - last, 0) :]
    else:
        wanted = range(size)[first : None if last is None else last + 1]
    if wanted:
        assert (status, start, stop) == (HTTPStatus.PARTIAL_CONTENT, wanted[0], wanted[-1] + 1)
    else:
        assert status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


@pytest.mark.parametrize(
    "header", ["bytes=0-1,4-5", "lines=0-1", "bytes=a-b", "bytes=1", "", "²-3"]
)
def test_ranges_that_are_not_one_range_are_left_alone(header: str) -> None:
    assert served_range(header, 9) == (HTTPStatus.OK, 0, 9)


def test_if_range_asks_for_the_whole(server: LocalServer) -> None:
    found = ask(server, "/files/0/data.bin", Range="bytes=0-1", If_Range='"x"')
    assert (found[0], len(found[2])) == (200, len(BODY))


def test_the_page_answers_for_every_file_of_its_session(tmp_path: Path) -> None:
    prefix = write_run(tmp_path, "a <b> #1", fasta=write_fasta(tmp_path / "g 1.fa"))
    library = tmp_path / "igv.min.js"
    library.write_text("igv")
    with serving(page_routes(read_scene(prefix), library)) as server:
        status, headers, page = ask(server, "/")
        assert status == 200
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert b"a &lt;b&gt; #1" in page
        session = ask(server, "/session.json")[2].decode()
        for path in ["igv.js", "page.js", *re.findall(r'"(files/[^"]+)"', session)]:
            assert ask(server, f"/{path}", Range="bytes=0-0")[0] == 206, path
        assert session.count('"files/') == 6


def test_without_igv_js_the_page_says_where_to_get_it(tmp_path: Path) -> None:
    prefix = write_run(tmp_path, fasta=write_fasta(tmp_path / "g.fa"))
    routes = page_routes(read_scene(prefix), None)
    page = routes["/"].content.decode()
    assert "npm install igv" in page
    assert "--igv-js" in page
    assert "<script" not in page
    assert "/igv.js" not in routes


def test_igv_js_is_found_in_node_modules_above(tmp_path: Path) -> None:
    library = tmp_path / "node_modules" / "igv" / "dist" / "igv.min.js"
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_library(None, below) is None
    library.parent.mkdir(parents=True)
    library.touch()
    assert find_library(None, below) == library
    with pytest.raises(UsageError, match=r"`igv_js` .*none\.js: no such file"):
        find_library(tmp_path / "none.js", below)


def test_command_prints_one_line_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    prefix = write_run(tmp_path, fasta=write_fasta(tmp_path / "g.fa"))
    code = "from pgf_genome.cli import main; main()"
    command = [sys.executable, "-c", code, "browse", str(prefix), "--serve", "--no-open"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/[\w-]+/)\n", line)
        with socket.create_connection(("127.0.0.1", int(match[1])), timeout=10) as connection:
            connection.sendall(f"GET {match[2]} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            assert connection.recv(20).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert "until Ctrl-C" in err
