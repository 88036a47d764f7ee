"""Objects that Amazon's clients for Ruby and Python wrote, and some of Java's cryptography, are read by ours.

They were recorded; README.md in this folder says how. With the others installed, the same is tried with new objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from s3envelope.errors import ContextMismatchError, S3ecDecryptionError, S3EnvelopeError, UnsupportedFormatError
from s3envelope.testing import LocalKms
from tests.interop.reading import Reader, formats_of
from tests.interop.recorded import JAVA_FILE, KMS_SEED, PYTHON_FILE, RUBY_FILE, Recording, StoredObject
from tests.support.endpoints import Endpoint

RECORDINGS = {file.parent.name: Recording.parse(file.read_text()) for file in (RUBY_FILE, JAVA_FILE, PYTHON_FILE)}
ALL = [(name, stored) for name, recording in RECORDINGS.items() for stored in recording.objects]
# The largest object of each form.
LARGEST = [(name, stored) for name, stored in ALL if stored.size == 100]
# One for each set of names that a configuration must have: where neither size nor writer matters.
KINDS = list({formats_of(stored): (name, stored) for name, stored in LARGEST}.values())
WITH_CONTEXT = [(name, stored) for name, stored in LARGEST if stored.context and "put_object" in stored.key]


def label(case: tuple[str, StoredObject]) -> str:
    return f"{case[0]}-{case[1].key}"


def family(name: str, stored: StoredObject) -> list[StoredObject]:
    """Return all objects of a form."""
    form = stored.key.rpartition("-")[0]
    return [one for one in RECORDINGS[name].objects if one.key.rpartition("-")[0] == form]


@pytest.fixture(scope="module")
def seeded_kms() -> Iterator[tuple[LocalKms, str]]:
    """Yield the KMS of the recordings, and its key."""
    with LocalKms(seed=KMS_SEED) as running:
        yield running, running.create_key()


@pytest.fixture
def reader_of(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], seeded_kms: tuple[LocalKms, str]
) -> Iterator[Callable[[str], Reader]]:
    """Yield a maker of readers of a recording."""
    made: list[Reader] = []

    def make(name: str) -> Reader:
        made.append(Reader(RECORDINGS[name], moto_s3, new_bucket(moto_s3), *seeded_kms))
        return made[-1]

    yield make
    for reader in made:
        reader.close()


@pytest.mark.parametrize(("name", "stored"), LARGEST, ids=map(label, LARGEST))
def test_recorded_objects_when_their_form_is_named_are_read_in_every_size(
    reader_of: Callable[[str], Reader], name: str, stored: StoredObject
) -> None:
    reader, objects = reader_of(name), family(name, stored)
    for one in objects:
        reader.store(one)

    assert reader.read_all(objects) == [one.content for one in objects]


@pytest.mark.parametrize(("name", "stored"), KINDS, ids=map(label, KINDS))
def test_recorded_object_when_one_of_its_forms_is_not_named_is_refused(
    reader_of: Callable[[str], Reader], name: str, stored: StoredObject
) -> None:
    reader, needed = reader_of(name), formats_of(stored)
    reader.store(stored)
    reader.kms.clear_calls()

    for missing in needed:
        named = tuple({"se1", *needed} - {missing})
        # Without any of the names an object of another client is one without an envelope.
        with pytest.raises(S3EnvelopeError) as refusal:
            reader.read(stored, named)
        assert isinstance(refusal.value, UnsupportedFormatError) or len(needed) == 1

    assert reader.kms.count("Decrypt") == 0


@pytest.mark.parametrize(("name", "stored"), KINDS, ids=map(label, KINDS))
def test_recorded_object_when_it_is_cut_is_refused(
    reader_of: Callable[[str], Reader], name: str, stored: StoredObject
) -> None:
    reader = reader_of(name)
    reader.store(replace(stored, body=stored.body[:-1]))

    with pytest.raises(S3ecDecryptionError):
        reader.read(stored)


@pytest.mark.parametrize(("name", "stored"), WITH_CONTEXT, ids=map(label, WITH_CONTEXT))
def test_recorded_object_when_its_context_is_not_expected_is_refused(
    reader_of: Callable[[str], Reader], name: str, stored: StoredObject
) -> None:
    reader = reader_of(name)
    reader.store(stored)

    with pytest.raises(ContextMismatchError):
        reader.read(stored, encryption_context={"tenant": "other"})


def test_recordings_when_counted_hold_every_form() -> None:
    assert len(KINDS) == 9
    assert sum(stored.instruction_file is not None for _, stored in ALL) == 6
