"""Every answer of the reference list that lies is refused; the honest ones among them are understood."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from s3envelope.core.ranges import AnswerHead, ByteRange
from s3envelope.engine.opening import Answer, Condition
from s3envelope.errors import S3EnvelopeError
from tests.support.vector_objects import FOLDER, MemoryStorage, load, opener_for, plaintext_of, vector_keyring
from tests.vectors.test_positive import body_of, header_of

VECTORS = {vector["name"]: vector for vector in load("se1_reference.json")}
LIES = json.loads((FOLDER / "se1_reference.json").read_text())["server_lies"]
ETAGS = {"genuine": '"genuine"', "other": '"other"', None: None}


class LyingServer:
    """Gives the answers of a list, in order, whatever it is asked."""

    def __init__(self, answers: list[dict[str, Any]], metadata: dict[str, str], body: bytes) -> None:
        self._answers = list(answers)
        self._metadata = metadata
        self._body = body

    def fetch(self, wanted: ByteRange | None, condition: Condition) -> Answer | None:
        answer = self._answers.pop(0)
        if answer["status"] == 416:
            return None
        head = AnswerHead(
            answer["status"],
            ETAGS[answer["etag"]],
            None,
            answer["content_length"],
            answer["content_range"],
            bool(answer.get("missing_meta")),
        )
        start, end = answer["body"]
        return Answer(head, self._metadata, io.BytesIO(self._body[start:end]))


@pytest.mark.parametrize("lie", [pytest.param(lie, id=lie["name"]) for lie in LIES])
def test_answers_of_a_server_when_read_are_refused_or_honest(lie: dict[str, Any]) -> None:
    vector = VECTORS[lie["object"]]
    plaintext, (_, body_key) = plaintext_of(vector), header_of(vector)
    body = body_of(vector, plaintext, body_key)
    server = LyingServer(lie["answers"], vector["metadata"], body)
    storage = MemoryStorage(vector["metadata"], body)
    storage.fetch = server.fetch  # type: ignore[method-assign]
    opener = opener_for(vector_keyring(vector), storage, vector["key"])
    requested = ByteRange.parse(lie["range"])
    condition = Condition(etag=ETAGS[lie.get("if_match")])
    asks_nothing = requested == ByteRange(None, 0)
    wanted = None if requested is None else requested.to_ciphertext()
    released = bytearray()

    def read() -> bool:
        first = None if asks_nothing else server.fetch(wanted, condition)
        opened = opener.open(first, requested, condition)
        if opened.stream is None:
            return False
        while piece := opened.stream.read(5000):
            released.extend(piece)
        return True

    if lie["expect"] == "refuse":
        with pytest.raises(S3EnvelopeError):
            read()
        start = 0 if requested is None else requested.resolve(len(plaintext))[0]
        assert bytes(released) == plaintext[start : start + len(released)]
    elif lie["expect"] == "InvalidRange":
        assert read() is False
    else:
        assert read() is True
        assert bytes(released) == plaintext[slice(*lie["expect"])]
