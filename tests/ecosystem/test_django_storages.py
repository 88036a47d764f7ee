"""django-storages with our session. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from s3envelope.errors import UnsupportedOperationError
from tests.support.enveloped import MIB, plaintext_of

django_conf = pytest.importorskip("django.conf", reason="django is in the extra [ecosystem]")
pytest.importorskip("storages", reason="django-storages is in the extra [ecosystem]")

if not django_conf.settings.configured:
    django_conf.settings.configure(USE_TZ=True)

from django.core.files.base import ContentFile  # noqa: E402  # Django is configured first


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    names = run_block("django-storages")

    assert b"acme" not in stored()["media/letter.txt"]
    assert names["storage"].exists("letter.txt")
    assert names["storage"].listdir("")[1] == ["letter.txt"]


def test_large_file_when_saved_and_written_in_parts_then_is_read_whole(run_block: Any) -> None:
    storage = run_block("django-storages")["storage"]
    storage.file_overwrite = True

    storage.save("saved", ContentFile(plaintext_of(12 * MIB)))
    with storage.open("written", "wb") as file:
        for _ in range(3):
            file.write(plaintext_of(6 * MIB))

    for name, content in (("saved", plaintext_of(12 * MIB)), ("written", plaintext_of(6 * MIB) * 3)):
        assert storage.size(name) == len(content)
        with storage.open(name) as file:
            assert file.read() == content
    storage.delete("saved")
    assert not storage.exists("saved")


def test_url_when_asked_for_then_refused(run_block: Any) -> None:
    storage = run_block("django-storages")["storage"]

    with pytest.raises(UnsupportedOperationError, match="presigned"):
        storage.url("letter.txt")
