"""Who gets at the pages: this machine, with the token; and nothing else that a browser brings along."""

from __future__ import annotations

import http.client
import logging
import os
import signal
import socket
import subprocess
import urllib.parse

import pytest

from tests.cli.commands import COMMAND, Place, environment
from tests.cli.ui.conftest import Serve
from tests.cli.ui.visiting import Visitor

PATHS = ["/", "/objects?bucket=b", "/object?bucket=b&key=k", "/keys?bucket=b", "/audit"]


@pytest.mark.parametrize("path", PATHS)
def test_page_without_the_token_is_refused(serve: Serve, path: str) -> None:
    stranger = Visitor(serve().address)

    answer = stranger.get(path)

    assert answer.status == 403
    assert "open the address that the command printed" in answer.text


@pytest.mark.parametrize("token", ["", "wrong", "\u00e9"])
def test_entrance_with_another_token_is_closed(serve: Serve, token: str) -> None:
    stranger = Visitor(serve().address)

    answer = stranger.get("/enter", token=token)

    assert answer.status == 403
    assert list(stranger.cookies) == []


def test_token_when_given_once_is_a_cookie_that_no_page_and_no_other_site_gets(serve: Serve) -> None:
    visitor = serve()

    (cookie,) = visitor.cookies
    token = urllib.parse.parse_qs(urllib.parse.urlsplit(visitor.address).query)["token"][0]

    assert len(token) >= 43
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Strict"
    assert token not in visitor.get("/").page
    assert serve().address.partition("token=")[2] != token


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example:1", "[::1]:80"])
def test_page_under_a_foreign_host_name_is_refused(serve: Serve, host: str) -> None:
    visitor = serve()

    answer = visitor.request("GET", "/", Host=host)

    assert answer.status == 400
    assert "127.0.0.1 only" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_request_that_could_change_something_is_refused(serve: Serve, method: str) -> None:
    assert serve().request(method, "/").status == 405


def test_every_answer_forbids_scripts_frames_and_foreign_content(serve: Serve) -> None:
    visitor = serve()
    stranger = Visitor(visitor.address)

    for answer in (visitor.get("/"), visitor.get("/nowhere"), stranger.get("/"), visitor.get("/static/style.css")):
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_server_listens_on_this_machine_only(serve: Serve) -> None:
    port = urllib.parse.urlsplit(serve().address).port

    assert port is not None
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        # Another address of this machine would be taken too, if the server listened on all.
        other.bind(("127.0.0.2", port))


def test_token_is_in_no_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        visitor = serve()
        visitor.get("/nowhere")

    assert visitor.address.partition("token=")[2] not in caplog.text


def test_command_when_started_prints_the_address_and_ends_with_ctrl_c(place: Place) -> None:
    place.put_sealed("k", b"x" * 1000)
    command = [*COMMAND, "ui", *place.options, place.url("")]

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        visitor = Visitor(process.stdout.readline().strip())
        first = visitor.enter()
        os.kill(process.pid, signal.SIGINT)
        error = process.stderr.read()

    assert process.returncode == 0
    assert "k 1,000 bytes" in first.text
    assert error == f"s3envelope: showing {place.url('')} on this machine only; Ctrl-C ends it\n"
    port = urllib.parse.urlsplit(visitor.address).port
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port).connect()
