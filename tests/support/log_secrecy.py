"""A plugin of pytest: everything is logged at DEBUG, and a test fails in which a key or plaintext was logged.

    python -m pytest -p tests.support.log_secrecy

Looked for is the content of every `SecretBytes` that came into being in the process since it began, which every data
key, object key, derived key, cache key and master key passes through, and the canary in the plaintexts of the tests: as
it is, in `repr`, in hexadecimal, in base64 at any alignment and in both alphabets, and as a list of numbers. The first
12 characters of a spelling are enough. What other processes log is not seen. A test that logs a key itself, or
whose own plain client does, is marked `logs_secrets`.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from s3envelope.core.secret import SecretBytes
from tests.support.enveloped import CANARY

LOGGERS = ("botocore", "boto3", "urllib3", "s3transfer", "s3envelope")
_NOT_SO = {
    "test_memory.py": "it looks for keys in the memory of this process, and would find what the search for them left",
    "test_client_when_audited_leaves_a_whole_log_of_every_use_and_no_secret_in_it": (
        "it looks for values of the encryption context, which are no secrets, and which botocore logs"
    ),
}
_WATCH = pytest.StashKey["LogWatch"]()
_WINDOW = 12
_SHORTEST = 16
_RUNS = re.compile(r"[A-Za-z0-9+/_-]{12,}")
_ESCAPES = re.compile(r"\\(?:x([0-9a-f]{2})|([ntr'\"\\]))")
_NAMED = {"n": "\n", "t": "\t", "r": "\r"}
_NUMBERS = re.compile(r"\d{1,3}(?:, ?\d{1,3}){11,}")


class Secrets:
    """Spellings of what must not be logged."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._encoded: set[str] = set()
        self._raw: set[str] = set()

    def add(self, secret: bytes) -> None:
        """Look for a secret from now on; one of a test that is nearly constant is none."""
        digest = hashlib.sha256(secret).digest()
        if digest in self._seen or len(secret) < _SHORTEST or len(set(secret)) * 2 < len(secret):
            return
        # Beginnings are all that is kept: other tests look for whole keys in the memory of this process.
        self._seen.add(digest)
        self._raw.add(secret[:_WINDOW].decode("latin-1"))
        self._encoded.update((secret.hex()[:_WINDOW], secret.hex()[:_WINDOW].upper()))
        for shift in range(3):
            # The characters that depend on the secret alone.
            text = base64.b64encode(bytes(shift) + secret).decode()[-(-8 * shift // 6) :][:_WINDOW]
            self._encoded.update((text, text.replace("+", "-").replace("/", "_")))

    def __len__(self) -> int:
        return len(self._seen)

    def found_in(self, text: str) -> bool:
        """Tell whether a text has one of them, in any spelling."""
        encoded = (window for run in _RUNS.finditer(text) for window in _windows(run.group()))
        if not self._encoded.isdisjoint(encoded):
            return True
        plain = _ESCAPES.sub(_unescaped, text)
        numbers = (_of_numbers(found.group()) for found in _NUMBERS.finditer(text))
        return any(not self._raw.isdisjoint(_windows(each)) for each in (plain, *numbers))


def _windows(text: str) -> Iterator[str]:
    return (text[start : start + _WINDOW] for start in range(len(text) - _WINDOW + 1))


def _unescaped(found: re.Match[str]) -> str:
    digits, letter = found.groups()
    return chr(int(digits, 16)) if digits is not None else _NAMED.get(letter, letter)


def _of_numbers(text: str) -> str:
    return "".join(chr(int(number)) for number in re.findall(r"\d+", text))


class LogWatch(logging.Handler):
    """Keeps what is logged, as text: message, arguments, what else a record carries, and tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.secrets = Secrets()
        self.secrets.add(CANARY)
        # Most lines of botocore repeat themselves.
        self._lines: dict[str, None] = {}

    @property
    def text(self) -> str:
        """Everything that was logged, each line once."""
        return "\n".join(self._lines)

    def emit(self, record: logging.LogRecord) -> None:
        known = {name: value for name, value in vars(record).items() if name not in ("msg", "message", "exc_info")}
        self._lines[self.format(record)] = None
        self._lines[f"{record.name} {record.msg!r} {known.get('args')!r}"] = None
        extra = known.keys() - vars(logging.makeLogRecord({})).keys() - {"message", "asctime"}
        if extra:
            self._lines[repr({name: known[name] for name in extra})] = None

    def begin(self) -> None:
        """Log everything, and forget what was logged before."""
        self._lines.clear()
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.DEBUG)

    def leaks(self) -> list[str]:
        """Return the beginnings of the lines that have a secret: not more, for this is printed."""
        return [line[:60] for line in self._lines if self.secrets.found_in(line)]


@contextmanager
def watching() -> Iterator[LogWatch]:
    """Watch everything that is logged, and every secret that comes into being, in this block."""
    watch, root = LogWatch(), logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    original: Any = SecretBytes.__init__

    def noting(self: SecretBytes, material: bytes | bytearray | memoryview) -> None:
        # A copy: one more reference to `bytes` would keep them from being overwritten.
        watch.secrets.add(bytes(bytearray(material)))
        original(self, material)

    SecretBytes.__init__ = noting  # type: ignore[method-assign]
    root.addHandler(watch)
    watch.begin()
    try:
        yield watch
    finally:
        root.removeHandler(watch)
        SecretBytes.__init__ = original  # type: ignore[method-assign]
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def pytest_configure(config: pytest.Config) -> None:
    """Watch the whole run. What tests see of the log by themselves is from WARNING on, as always."""
    config.option.log_level = config.option.log_level or "WARNING"
    stack = ExitStack()
    config.stash[_WATCH] = stack.enter_context(watching())
    config.add_cleanup(stack.close)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what cannot run so."""
    for item in items:
        reason = _NOT_SO.get(item.path.name) or _NOT_SO.get(item.name)
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _nothing_secret_is_logged(request: pytest.FixtureRequest) -> Iterable[None]:
    """Fail a test in which a secret was logged, unless it does so on purpose."""
    watch = request.config.stash[_WATCH]
    watch.begin()
    yield
    if request.node.get_closest_marker("logs_secrets") is not None:
        return
    leaks = watch.leaks()
    assert not leaks, f"{len(leaks)} records with a secret were logged, the first begin with {leaks[:3]}"
