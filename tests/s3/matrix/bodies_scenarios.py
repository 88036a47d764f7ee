"""Bodies of every type that programs give to put_object, and of some that boto3 does not take."""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Callable
from typing import Any

from s3envelope.testing.streams import NonSeekableSource, ShortReadSource
from tests.s3.matrix.harness import BODY, SIZE, SMALL, Differs, Side, each, scenario
from tests.support.enveloped import CANARY, plaintext_of


def _file(side: Side) -> Any:
    return open(side.file(), "rb")  # closed with the folder


def _file_read_partly(side: Side) -> Any:
    file = open(side.file(), "rb")  # noqa: SIM115
    file.seek(0)
    return file


def _unbuffered_file(side: Side) -> Any:
    return open(side.file(), "rb", buffering=0)


def _temporary_file(side: Side) -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(BODY)
    file.seek(0)
    return file


def _spooled_file(side: Side) -> Any:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115
    file.write(BODY)
    file.seek(0)
    return file


def _gzip_reader(side: Side) -> Any:
    return gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(BODY)))


GOOD: dict[str, Callable[[Side], Any]] = {
    "bytes": lambda side: BODY,
    "bytearray": lambda side: bytearray(BODY),
    "empty_bytes": lambda side: b"",
    "text": lambda side: "plain text " * 1000,
    "text_not_ascii": lambda side: "caf\u00e9 \u65e5\u672c " * 1000,
    "empty_text": lambda side: "",
    "stream": lambda side: io.BytesIO(BODY),
    "empty_stream": lambda side: io.BytesIO(b""),
    "buffered_reader": lambda side: io.BufferedReader(io.BytesIO(BODY)),
    "file": _file,
    "unbuffered_file": _unbuffered_file,
    "temporary_file": _temporary_file,
    "spooled_file": _spooled_file,
    "gzip_reader": _gzip_reader,
    "short_reads": lambda side: ShortReadSource(SMALL),
}


@each(GOOD)
def body(side: Side, make: Callable[[Side], Any]) -> Any:
    content = make(side)
    answer = side.tell(lambda: side.put(body=content))
    if hasattr(content, "close"):
        content.close()
    return answer, side.show("get_object"), side.show("list_objects_v2")


BAD: dict[str, Any] = {"none": None, "number": 5, "list": [CANARY], "dict": {"a": CANARY}, "object": object()}


@each(BAD)
def body_of_a_wrong_type(side: Side, content: Any) -> Any:
    # The text of the error has the address of an object.
    return str(side.tell(lambda: side.put(body=content))).partition(" object at ")[0], side.show("head_object")


@scenario()
def body_that_is_read_again(side: Side) -> Any:
    stream = io.BytesIO(SMALL)
    first = side.tell(lambda: side.put(body=stream))
    position = stream.tell()
    stream.seek(0)
    return first, position, side.tell(lambda: side.put("second", stream)), side.read("second"), stream.closed


@scenario()
def body_that_is_changed_after_the_call(side: Side) -> Any:
    content = bytearray(BODY)
    side.put(body=content)
    content[:5] = b"other"
    return side.show("get_object")


def _sealed_first(size: int, name: str = "k") -> tuple[Differs, Differs]:
    """Return the differences where boto3 must read a body twice, and cannot."""
    ours = {
        "[0]": lambda plain: plain.tell(lambda: plain.put(name, plaintext_of(size))),
        "[1]": lambda plain: plain.show("get_object", Key=name),
    }
    reason = "boto3 reads the body twice here, which fails; the library seals it into a temporary file first"
    return Differs(reason, ours, over=("http",)), Differs(reason, ours, on=("juicefs",), over=("https",))


@scenario(*_sealed_first(len(SMALL)))
def body_with_its_length_that_cannot_seek(side: Side) -> Any:
    stream = NonSeekableSource(SMALL)
    return side.tell(lambda: side.put(body=stream, ContentLength=len(SMALL))), side.show("get_object")


@scenario(*_sealed_first(SIZE, "second"))
def body_is_the_body_of_another_answer(side: Side) -> Any:
    side.put()
    source = side.call("get_object")
    answer = side.tell(lambda: side.put("second", source["Body"], ContentLength=SIZE))
    return answer, side.show("get_object", Key="second")


@scenario()
def body_that_is_closed(side: Side) -> Any:
    stream = io.BytesIO(BODY)
    stream.close()
    return side.tell(lambda: side.put(body=stream)), side.show("head_object")
