"""The soak itself, short and long, and that its model would notice."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError, ConnectionClosedError

from s3envelope.errors import ObjectChangedError, SegmentAuthenticationError
from tests.soak.contents import Content, Contents, joined
from tests.soak.findings import Findings, LostObjectError, WrongReadError, is_clean, tells_of_a_change, was_retried
from tests.soak.measure import rise, share_the_heap
from tests.soak.model import KeyModel
from tests.soak.soak import Plan, Soak
from tests.support.endpoints import Endpoint

# s3transfer forgets the body of an answer that broke off, and leaves its socket to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
OLD, NEW = Content(((0, 5),)), Content(((9, 7),))


def _error(code: str, *, retries: int = 0) -> ClientError:
    answer: dict[str, object] = {"Error": {"Code": code}, "ResponseMetadata": {"RetryAttempts": retries}}
    return ClientError(answer, "PutObject")  # type: ignore[arg-type]


def _soak(storage: Endpoint, plan: Plan, folder: Path) -> None:
    report = Soak(storage, plan, folder, print).run()
    gc.collect()

    print(report.as_table())
    assert report.failures == []
    assert sum(report.faults.values()) > 0
    assert all(report.findings.operations.values())


def test_soak_when_short_then_nothing_wrong_lost_or_left(seaweedfs: Endpoint, tmp_path: Path) -> None:
    _soak(seaweedfs, Plan(warm_up_seconds=1, seconds=5, thread_count=8, key_count=50, seed=1), tmp_path)


@pytest.mark.slow
def test_soak_when_ten_minutes_long_then_nothing_wrong_lost_or_left(seaweedfs: Endpoint, tmp_path: Path) -> None:
    share_the_heap()

    _soak(seaweedfs, Plan(warm_up_seconds=60, seconds=540, thread_count=16, key_count=500, seed=2), tmp_path)


def test_key_when_a_write_succeeds_then_holds_the_new_content_alone() -> None:
    key = KeyModel("k")

    with key.becoming(NEW):
        assert key.possible == {None, NEW}

    assert key.possible == {NEW}
    assert key.certain() == NEW


def test_key_when_a_write_fails_then_holds_either_content() -> None:
    key = KeyModel("k")
    with key.becoming(OLD):
        pass

    with pytest.raises(ConnectionClosedError), key.becoming(NEW):
        raise ConnectionClosedError(endpoint_url="x")

    assert key.possible == {OLD, NEW}
    assert key.certain() is None


def test_key_when_a_write_is_surely_refused_then_holds_the_old_content() -> None:
    key = KeyModel("k")
    with key.becoming(OLD):
        pass

    with pytest.raises(ClientError), key.becoming(NEW, refused=lambda error: not was_retried(error)):
        raise _error("PreconditionFailed")

    assert key.possible == {OLD}


def test_watch_when_the_key_changes_meanwhile_then_has_all_that_may_have_been_seen() -> None:
    key = KeyModel("k")

    with key.watched() as watch:
        with key.becoming(OLD):
            pass
        with key.becoming(NEW):
            pass
    with key.becoming(None):
        pass
    with key.watched() as late:
        pass

    assert watch.states == {None, OLD, NEW}
    assert (watch.may_be_missing, late.states) == (True, {None})


def test_content_when_cut_or_joined_then_is_those_bytes() -> None:
    contents = Contents(1)
    parts = [contents.new(10), contents.new(0), contents.new(7)]
    whole = joined(parts)

    plaintext = contents.read(whole)

    assert plaintext == b"".join(map(contents.read, parts))
    assert (whole.size, whole.slack_size) == (17, 52 * 3 + 4)
    assert contents.read(whole.cut(8, 13)) == plaintext[8:13]
    assert len({contents.read(contents.new(12)) for _ in range(100)}) == 100


@pytest.mark.parametrize("error", [_error("SlowDown"), _error("503"), ConnectionClosedError(endpoint_url="x")])
def test_error_when_faults_explain_it_then_clean(error: Exception) -> None:
    wrapped = S3UploadFailedError("failed")
    wrapped.__context__ = error

    assert is_clean(error)
    assert is_clean(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        _error("AccessDenied"),
        _error("PreconditionFailed"),
        _error("InvalidPart", retries=1),
        SegmentAuthenticationError(),
        AttributeError(),
    ],
)
def test_error_when_faults_do_not_explain_it_then_kept(error: Exception) -> None:
    findings = Findings()

    findings.failed("put_object", error)

    assert not is_clean(error)
    assert findings.bad["unexpected errors"] == 1


@pytest.mark.parametrize(("error", "kind"), [(WrongReadError, "wrong reads"), (LostObjectError, "lost objects")])
def test_finding_when_a_read_is_wrong_then_counted_and_told(error: type[Exception], kind: str) -> None:
    findings = Findings()

    findings.failed("get_object", error("what"))

    assert findings.bad == {kind: 1}
    assert "what" in findings.details[0]


def test_error_when_the_object_was_replaced_then_only_those_that_say_so() -> None:
    assert tells_of_a_change(ObjectChangedError())
    assert tells_of_a_change(_error("412"))
    assert not tells_of_a_change(SegmentAuthenticationError())


def test_rise_when_memory_only_wavers_then_small() -> None:
    assert rise([10.0, 11.0, 10.0] * 5) == 0.0
    assert rise([float(index) for index in range(30)]) == 20.0
    assert rise([1.0]) == 0.0
