"""The comparison itself: it must find every difference that is not declared, and every declaration that is idle."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from s3envelope.errors import UnsupportedOperationError
from tests.s3.matrix.harness import check
from tests.s3.matrix.terms import ABSENT, Terms, client_error, differences

THEIRS = [{"Size": 5, "Metadata": {"a": "b"}}, client_error("NoSuchKey", 404, "GetObject", raised="NoSuchKey")]


@pytest.mark.parametrize(
    "ours",
    [
        [{"Size": 6, "Metadata": {"a": "b"}}, THEIRS[1]],
        [{"Size": 5, "Metadata": {}}, THEIRS[1]],
        [{"Size": 5, "Metadata": {"a": "b"}, "More": 1}, THEIRS[1]],
        [THEIRS[0], client_error("404", 404, "GetObject")],
        [THEIRS[0]],
        [True, THEIRS[1]],
    ],
)
def test_outcomes_when_they_differ_undeclared_then_fail(ours: object) -> None:
    with pytest.raises(AssertionError, match="what it must be"):
        check(ours, THEIRS, {})


@pytest.mark.parametrize(
    ("ours", "declared"),
    [
        ([{"Size": 6, "Metadata": {"a": "b"}}, THEIRS[1]], {"[0].Size": 6}),
        ([{"Size": 5, "Metadata": {}}, THEIRS[1]], {"[0].Metadata.a": ABSENT}),
        ([THEIRS[0], "refused"], {"[1]": "refused"}),
        ("refused", {"": "refused"}),
    ],
)
def test_outcomes_when_they_differ_as_declared_then_pass(ours: object, declared: dict[str, object]) -> None:
    check(ours, THEIRS, declared)


@pytest.mark.parametrize("declared", [{"[0].Size": 5}, {"[1]": THEIRS[1]}, {"": THEIRS}])
def test_declaration_when_nothing_differs_then_fails(declared: dict[str, object]) -> None:
    with pytest.raises(AssertionError, match="the same on both sides"):
        check(THEIRS, THEIRS, declared)


def test_declaration_when_ours_is_something_else_then_fails() -> None:
    with pytest.raises(AssertionError, match="what it must be"):
        check([{"Size": 7, "Metadata": {"a": "b"}}, THEIRS[1]], THEIRS, {"[0].Size": 6})


def test_true_and_1_when_compared_are_different() -> None:
    assert differences({"a": True}, {"a": 1}) == {"a": (True, 1)}


def test_versions_when_put_into_terms_are_told_apart_and_found_again() -> None:
    terms = Terms({"my-bucket": "<bucket>"})

    found = [terms.value({"VersionId": name, "Key": "my-bucket/k"}) for name in ("x", "y", "x", "null")]

    assert [answer["VersionId"] for answer in found] == ["<version 1>", "<version 2>", "<version 1>", "null"]
    assert found[0]["Key"] == "<bucket>/k"
    assert terms.value(found) == found


def test_errors_when_put_into_terms_have_class_code_and_status() -> None:
    def fail(error: Exception) -> None:
        raise error

    terms = Terms({})
    answer = {"Error": {"Code": "SlowDown", "Message": "later"}, "ResponseMetadata": {"HTTPStatusCode": 503}}

    assert terms.of(lambda: fail(ClientError(answer, "PutObject"))) == client_error("SlowDown", 503, "PutObject")  # type: ignore[arg-type]
    assert terms.of(lambda: fail(UnsupportedOperationError("x is refused: y"))) == (
        "UnsupportedOperationError: x is refused"
    )
