"""Keys in memory: a process that sealed and opened objects is searched for them, byte by byte."""

from __future__ import annotations

import base64
import functools
import gc
import json
import os
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from s3envelope import KmsKeyring, SecretBytes
from s3envelope.core.envelope import Envelope, open_header
from s3envelope.errors import KeyAccessError, KeyCommitmentError
from tests.conftest import STATE_DIR
from tests.support.caching import CONTEXT, Place, Process
from tests.support.endpoints import Endpoint
from tests.support.enveloped import NewBucket

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="the proof reads /proc/PID/mem, which only Linux has"
)
_REGION = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+\s*(.*)")
_CHUNK_SIZE = 16 << 20
_OVERLAP = 64
NAMES = ("small", "large", "parts", "copy", *(f"many/{number}" for number in range(16)))
# In memory that was freed: what botocore, urllib3 and http.client read from the socket.
_MOST_BASE64_COPIES_PER_KEY = 4


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets of one object."""

    data_key: bytes
    object_key: bytes
    body_key: bytes


@contextmanager
def _idle_child(place: Place, endpoint: Endpoint, bucket: str, *, wipes: bool) -> Iterator[tuple[int, set[bytes]]]:
    """Run the child until it is idle; yield its process id and the secrets that it told of."""
    reading, writing = os.pipe()
    told = bytearray()

    def listen() -> None:
        while piece := os.read(reading, 65_536):
            told.extend(piece)

    listener = threading.Thread(target=listen)
    listener.start()
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": endpoint.access_key, "S3ENVELOPE_STATE_DIR": STATE_DIR.name}
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.memory_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[writing],
        env=environment,
    )
    os.close(writing)
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        job = {"s3": endpoint.url, "kms": place.kms.endpoint_url, "arn": place.arn, "bucket": bucket}
        child.stdin.write(json.dumps({**job, "descriptor": writing, "wipes": wipes}) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "idle\n"
        listener.join(20)
        yield child.pid, {bytes(told[start : start + 32]) for start in range(0, len(told), 32)} - {bytes(32)}
    finally:
        child.communicate(timeout=30)
        listener.join(20)
        os.close(reading)


def _regions(process_id: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{process_id}/maps").read_text().splitlines():
        match = _REGION.match(line)
        if match is not None and match[3] not in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
            yield int(match[1], 16), int(match[2], 16)


def _pieces(memory: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    """Yield the content of a region in pieces that overlap."""
    for position in range(start, end, _CHUNK_SIZE):
        memory.seek(position)
        try:
            yield memory.read(min(_CHUNK_SIZE + _OVERLAP, end - position))
        except OSError:
            # A region that is there but cannot be read, such as one of a device.
            return


def _halves(secrets: set[bytes]) -> set[bytes]:
    """Return both halves of secrets: an allocator writes its own notes over the first bytes of what was freed."""
    return {half for secret in secrets for half in (secret[: len(secret) // 2], secret[len(secret) // 2 :])}


def _count(process_id: int, wanted: set[bytes]) -> dict[bytes, int]:
    """Return how often byte strings stand in the readable memory of a process."""
    found = dict.fromkeys(wanted, 0)
    searched = 0
    try:
        memory = open(f"/proc/{process_id}/mem", "rb", buffering=0)  # noqa: SIM115
    except PermissionError:
        pytest.skip("tracing is forbidden here (ptrace_scope, or a container): nobody may read the memory of the child")
    with memory:
        for start, end in _regions(process_id):
            for piece in _pieces(memory, start, end):
                searched += len(piece)
                for text in wanted:
                    found[text] += piece.count(text)
    # It was all of a Python process with boto3.
    assert searched > 20 << 20
    return found


def _keys_of(place: Place, endpoint: Endpoint, bucket: str, name: str) -> Keys:
    metadata = endpoint.client().head_object(Bucket=bucket, Key=name)["Metadata"]
    envelope = Envelope.parse(metadata)
    keyring = KmsKeyring(place.arn, place.kms.client())
    ((_, data_key),) = keyring.decrypt_data_keys(envelope.encrypted_data_keys, envelope.context)
    object_key, body_key = open_header(data_key, envelope.header, envelope.context, name)
    return Keys(bytes(data_key.view()), bytes(object_key.view()), bytes(body_key.key.view()))


def test_memory_when_the_client_is_idle_holds_no_key_of_any_object(
    place: Place, moto_s3: Endpoint, new_bucket: NewBucket, record_property: Callable[[str, object], None]
) -> None:
    bucket = new_bucket(moto_s3)
    with _idle_child(place, moto_s3, bucket, wipes=True) as (process_id, told):
        objects = [_keys_of(place, moto_s3, bucket, name) for name in NAMES]
        secrets = {secret for keys in objects for secret in (keys.data_key, keys.object_key, keys.body_key)}
        # The child has told of all of them, so they were in its memory.
        assert secrets <= told
        encoded = {base64.b64encode(keys.data_key) for keys in objects}
        found = _count(process_id, _halves(told) | {text[-22:] for text in encoded})

    assert {half: found[half] for half in _halves(told) if found[half]} == {}
    copies = [found[text[-22:]] for text in encoded]
    record_property("base64 copies of each data key", str(copies))
    assert max(copies) <= _MOST_BASE64_COPIES_PER_KEY


def test_memory_when_nothing_is_wiped_is_seen_to_hold_keys(
    place: Place, moto_s3: Endpoint, new_bucket: NewBucket
) -> None:
    bucket = new_bucket(moto_s3)
    with _idle_child(place, moto_s3, bucket, wipes=False) as (process_id, told):
        found = _count(process_id, _halves(told))

    assert sum(found.values()) > 0


def test_secret_when_the_interpreter_ends_is_wiped() -> None:
    program = (
        "import atexit\n"
        "from s3envelope.core.secret import SecretBytes\n"
        "secret = SecretBytes(bytes(range(1, 33)))\n"
        "view = secret.view()\n"
        "import threading\n"
        # Registered before the first secret would be too early: it would run after the wipe, as this must.
        "print(bytes(view) == bytes(range(1, 33)))\n"
    )
    after = "import atexit\natexit.register(lambda: print(bytes(view) == bytes(32)))\n"

    done = subprocess.run(
        [sys.executable, "-c", after + program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.split() == ["True", "True"]


@pytest.mark.parametrize("make", [lambda: bytes(bytearray(b"fresh" * 6)), lambda: os.urandom(32)])
def test_fresh_bytes_when_taken_are_overwritten(make: type[bytes]) -> None:
    kept = []

    def once() -> bytes:
        material = make()
        # Not a reference: the address only.
        kept.append((id(material), len(material)))
        return material

    with SecretBytes.take(once()) as secret:
        import ctypes

        address, size = kept[0]
        left = ctypes.string_at(address + bytes.__basicsize__ - 1, size)
        assert bytes(secret.view()) not in (left, bytes(size))


def test_bytes_that_somebody_else_holds_when_taken_are_left_alone() -> None:
    material = b"constant" * 4

    with SecretBytes.take(material), SecretBytes.take(material):
        pass

    assert material == b"constant" * 4


def _shown(error: BaseException | None) -> str:
    """Return what a formatted exception shows of the library's frames, locals and all, and of those of its causes."""
    text = ""
    while error is not None:
        frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), capture_locals=True)
        ours = [frame for frame in frames if "s3envelope" in Path(frame.filename).parts or "botocore" in frame.filename]
        assert ours
        text += repr(error) + "".join(f"{frame.name}: {frame.locals}\n" for frame in ours)
        error = error.__cause__
    return text


def _spellings(secret: bytes) -> list[str]:
    return [repr(secret)[2:-1], secret.hex(), base64.b64encode(secret).decode(), repr(list(secret))[1:-1]]


@pytest.mark.parametrize("operation", ["GenerateDataKey", "Decrypt"])
def test_traceback_when_the_answer_is_refused_shows_no_data_key_in_its_locals(place: Place, operation: str) -> None:
    keys, _ = place.new_keys()
    process, seen = Process(place, place.arn), list[bytes]()

    def spoil(parsed: dict[str, Any], **_: object) -> None:
        seen.append(bytes(parsed["Plaintext"].view()))
        parsed["KeyId"] = f"{place.arn[:-1]}x"

    process.client.meta.events.register(f"after-call.kms.{operation}", spoil)
    ask: Callable[[], object] = functools.partial(process.open, keys)
    if operation == "GenerateDataKey":
        ask = functools.partial(process.manager.data_key_for_sealing, CONTEXT)

    with pytest.raises(KeyAccessError) as caught:
        ask()
    text = _shown(caught.value)

    assert "_check_key" in text
    assert [spelling for spelling in _spellings(seen[0]) if spelling in text] == []


@pytest.mark.parametrize("cached", [False, True])
def test_traceback_when_the_header_does_not_open_shows_no_data_key_in_its_locals(place: Place, cached: bool) -> None:
    keys, data_key = place.new_keys()
    process = Process(place, place.arn)
    if cached:
        process.open(keys)

    def refuse(candidate: SecretBytes) -> None:
        assert len(candidate) == 32
        raise KeyCommitmentError("no")

    with pytest.raises(KeyCommitmentError) as caught:
        process.manager.open_with_data_key(keys, CONTEXT, refuse)
    text = _shown(caught.value)

    assert "open_with_data_key" in text
    assert "SecretBytes" in text or "Candidate" in text
    assert [spelling for spelling in _spellings(data_key) if spelling in text] == []


def test_manager_when_nobody_uses_it_is_freed_at_once_and_wiped(place: Place) -> None:
    keys, data_key = place.new_keys()
    process = Process(place, place.arn)
    process.open(keys)
    ((_, entry),) = process.manager._opened.items()
    view = entry.plaintext.view()
    assert bytes(view) == data_key
    gc.disable()
    try:
        del entry
        process.manager = None  # type: ignore[assignment]

        assert bytes(view) == bytes(32)
    finally:
        gc.enable()


def test_traceback_when_a_data_key_cannot_be_wrapped_shows_none_in_its_locals(place: Place) -> None:
    data_key = bytes(range(100, 132))
    keyring: Any = KmsKeyring(place.arn, place.kms.client())
    place.kms.faults.fail("Encrypt", "AccessDeniedException", 1, status=400)
    secret, seen = SecretBytes(data_key), list[str]()

    def look(params: dict[str, Any], **_: object) -> None:
        seen.append(repr(params))

    keyring._client.meta.events.register("before-parameter-build.kms.Encrypt", look)

    with pytest.raises(KeyAccessError) as caught:
        keyring.encrypt_data_key(secret, CONTEXT)

    # It is overwritten after the call; while that is on its way it must not print either.
    text = _shown(caught.value) + seen[0]
    assert [spelling for spelling in _spellings(data_key) if spelling in text] == []
    assert bytes(secret.view()) == data_key
