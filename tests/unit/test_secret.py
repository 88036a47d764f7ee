"""Key bytes: wiped, never printed, copied or pickled by accident."""

from __future__ import annotations

import base64
import binascii
import copy
import gc
import pickle
import weakref

import pytest

from s3envelope.core.secret import SecretBytes, overwrite_bytes

KEY = bytes(range(1, 33))


def test_secret_when_made_then_it_holds_a_copy() -> None:
    material = bytearray(KEY)
    secret = SecretBytes(material)

    material[0] = 0

    assert bytes(secret.view()) == KEY
    assert len(secret) == 32


def test_secret_when_it_takes_a_buffer_then_the_buffer_is_wiped() -> None:
    material = bytearray(KEY)

    secret = SecretBytes.take(material)

    assert material == bytes(32)
    assert bytes(secret.view()) == KEY


def test_view_when_written_to_then_it_is_refused() -> None:
    view = SecretBytes(KEY).view()

    with pytest.raises(TypeError):
        view[0] = 0


def test_secret_when_wiped_then_its_bytes_are_zero_and_reading_it_is_refused() -> None:
    secret = SecretBytes(KEY)
    view = secret.view()

    secret.wipe()
    secret.wipe()

    assert bytes(view) == bytes(32)
    with pytest.raises(ValueError, match="wiped"):
        secret.view()
    with pytest.raises(ValueError, match="wiped"):
        secret.copy()


def test_secret_when_its_block_ends_then_it_is_wiped() -> None:
    with SecretBytes(KEY) as secret:
        view = secret.view()

    assert bytes(view) == bytes(32)


def test_secret_when_its_block_fails_then_it_is_wiped() -> None:
    secret = SecretBytes(KEY)
    view = secret.view()

    with pytest.raises(RuntimeError), secret:
        raise RuntimeError

    assert bytes(view) == bytes(32)


def test_secret_when_collected_then_it_is_wiped() -> None:
    secret = SecretBytes(KEY)
    view, alive = secret.view(), weakref.ref(secret)

    del secret
    gc.collect()

    assert alive() is None
    assert bytes(view) == bytes(32)


def test_copy_when_made_then_each_is_wiped_on_its_own() -> None:
    secret = SecretBytes(KEY)
    twin = secret.copy()

    secret.wipe()

    assert bytes(twin.view()) == KEY


@pytest.mark.parametrize("text", [repr, str, "{}".format])
def test_secret_when_printed_then_only_its_length_shows(text: type[str]) -> None:
    assert text(SecretBytes(KEY)) == "<SecretBytes of 32 bytes>"


def test_secret_when_pickled_or_copied_by_the_library_then_it_is_refused() -> None:
    secret = SecretBytes(KEY)

    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be copied"):
            attempt(secret)


def test_secret_when_compared_or_hashed_then_it_equals_secrets_only_and_has_no_hash() -> None:
    secret = SecretBytes(KEY)

    assert secret == SecretBytes(KEY)
    assert secret != SecretBytes(KEY[:-1] + b"x")
    assert secret != KEY
    with pytest.raises(TypeError):
        hash(secret)


@pytest.mark.parametrize("size", [0, 1, 2, 32])
def test_bytes_when_overwritten_leave_those_of_the_interpreter_alone(size: int) -> None:
    material = binascii.a2b_base64(base64.b64encode(b"A" * size))

    overwrite_bytes(material)

    # The interpreter has one object for each single byte, also in the literals here: only numbers tell.
    assert list(bytes([65])) == [65]
    assert list(material) == ([65] * size if size < 2 else [0] * size)
