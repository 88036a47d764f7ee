"""The server of the pages: on 127.0.0.1 only, for whoever has the token, and without anything that changes a thing."""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from flask import Flask, Response, abort, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server
from werkzeug.wrappers import Response as AnyResponse

from s3envelope.cli.failures import explain
from s3envelope.cli.output import printable, size
from s3envelope.cli.ui.pages import Pages, Place

__all__ = ["Place", "make_app", "serving"]

_HOST = "127.0.0.1"
_HEADERS = {
    # INVARIANT: nothing runs in these pages and nothing is loaded from elsewhere, whatever the name of an object is.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_PUBLIC = frozenset({"enter", "static"})


def make_app(pages: Pages, token: str, cookie: str) -> Flask:
    """Return the application.

    Args:
        token: What the printed address holds; whoever does not have it gets nothing.
        cookie: Name of the cookie that carries it then; another one for each server, as ports share cookies.
    """
    app = Flask(__name__, static_folder="static", template_folder="templates")
    app.jinja_env.filters.update(shown=_shown, bytes=_bytes, moment=_moment)

    @app.before_request
    def check() -> None:
        # A name that resolves to this machine makes a foreign page's requests "same origin"; the host tells.
        host, _, _ = request.host.rpartition(":")
        if host not in (_HOST, "localhost"):
            abort(400, "this server answers to 127.0.0.1 only")
        if request.method not in ("GET", "HEAD"):
            abort(405)
        if request.endpoint not in _PUBLIC and not _is_known(request.cookies.get(cookie, "")):
            abort(403, "open the address that the command printed")

    def _is_known(given: str) -> bool:
        return hmac.compare_digest(given.encode(), token.encode())

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    @app.get("/enter")
    def enter() -> AnyResponse:
        if not _is_known(request.args.get("token", "")):
            abort(403, "this address is not the one that the command printed last")
        answer = make_response(redirect(pages.first))
        answer.set_cookie(cookie, token, httponly=True, samesite="Strict")
        return answer

    @app.get("/")
    def buckets() -> str:
        return render_template("buckets.html", **pages.buckets())

    @app.get("/objects")
    def objects() -> str:
        return render_template("objects.html", **pages.objects(request.args))

    @app.get("/object")
    def one_object() -> str:
        return render_template("object.html", **pages.one_object(request.args))

    @app.get("/keys")
    def keys() -> str:
        return render_template("keys.html", **pages.keys(request.args))

    @app.get("/audit")
    def audit() -> str:
        return render_template("audit.html", **pages.audit(request.args))

    @app.errorhandler(HTTPException)
    def of_http(error: HTTPException) -> tuple[str, int]:
        return render_template("error.html", message=error.description or error.name), error.code or 500

    @app.errorhandler(Exception)
    def other(error: Exception) -> tuple[str, int]:
        # As the other commands tell it: what S3 or KMS answered, and never a traceback.
        return render_template("error.html", message=explain(error).line), 502

    @app.context_processor
    def common() -> dict[str, object]:
        return {"has_audit": pages.has_audit, "home": url_for("buckets")}

    return app


def _shown(text: object) -> str:
    """Return foreign text without control characters and without letters that turn the direction of others."""
    return printable(str(text))


def _bytes(count: int | None) -> str:
    return "" if count is None else size(count)


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


@contextmanager
def serving(place: Place, port: int) -> Iterator[str]:
    """Serve the pages while the block runs, and yield the address that lets one in.

    Raises:
        OSError: The port is taken.
    """
    token = secrets.token_urlsafe(32)
    pages = Pages(place)
    # Werkzeug logs every address, and the first one holds the token.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = make_app(pages, token, f"s3envelope-{secrets.token_hex(4)}")
    server = make_server(_HOST, port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_port}/enter?token={token}"
    finally:
        server.shutdown()
        thread.join()
        pages.close()
        server.server_close()
