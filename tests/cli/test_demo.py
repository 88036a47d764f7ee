"""`s3envelope demo`, as a process of its own: it holds on honest servers, and fails where a promise is broken."""

from __future__ import annotations

import re
import resource
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from s3envelope.testing.s3_proxy import Answer, S3Proxy, matching
from tests.cli.commands import Place, run_process
from tests.conftest import ProxyFactory

STEP_COUNT = 13
SHORT = ("--size", "2")


def _held(*arguments: str, changes: Mapping[str, str | None] | None = None) -> str:
    """Run a demonstration that must hold; return what it printed."""
    done = run_process("demo", *arguments, changes=changes)
    shown = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b""), shown
    assert (shown.count("\n✓ "), shown.count("✗")) == (STEP_COUNT, 0)
    assert "every step held" in shown
    return shown


def _failed(*arguments: str) -> list[str]:
    """Run a demonstration that must fail; return the sentences of the steps that did not hold."""
    done = run_process("demo", *arguments)
    shown = done.stdout.decode()
    assert (done.returncode, done.stderr) == (1, b""), shown
    assert "did not hold" in shown
    return re.findall(r"^✗ (.*)$", shown, re.MULTILINE)


def test_demo_when_run_alone_holds_every_step() -> None:
    shown = _held(*SHORT)

    assert "SegmentAuthenticationError" in shown
    assert "TruncatedObjectError after 0 bytes" in shown
    assert "ContextMismatchError after 0 bytes" in shown
    assert "1 Decrypt, 2 DescribeKey, 1 GenerateDataKey" in shown
    assert re.search(r"KMS calls answered meanwhile\W+0\s", shown)
    assert "KeyServiceUnavailableError" in shown


@pytest.mark.slow
def test_demo_when_run_alone_at_full_size_holds_within_half_a_minute() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    shown = _held()

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "64.0 MiB" in shown
    # Of the processors, so that what else they do at the time does not count.
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 30


def test_demo_when_the_user_has_an_aws_configuration_is_not_disturbed(tmp_path: Path) -> None:
    broken = tmp_path / "config"
    broken.write_text("this is no configuration [")
    changes = {
        "AWS_PROFILE": "absent",
        "AWS_CONFIG_FILE": str(broken),
        "AWS_SHARED_CREDENTIALS_FILE": str(broken),
        "AWS_ACCESS_KEY_ID": None,
        "AWS_SECRET_ACCESS_KEY": None,
        "AWS_DEFAULT_REGION": "eu-central-2",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_CA_BUNDLE": str(tmp_path / "absent"),
        "AWS_MAX_ATTEMPTS": "1",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "S3ENVELOPE_KMS_KEY_ID": "alias/somebody-elses",
        "S3ENVELOPE_CONTEXT": '{"tenant": "globex"}',
        "S3ENVELOPE_PART_SIZE": "no number",
    }

    _held(*SHORT, changes=changes)


def test_demo_when_the_output_has_no_check_marks_uses_words() -> None:
    done = run_process("demo", "--size", "1", changes={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})

    assert done.returncode == 0
    assert done.stdout.decode("ascii").count("\nok ") == STEP_COUNT


def test_demo_when_given_a_bucket_and_a_key_leaves_the_bucket_as_it_was(place: Place) -> None:
    place.put_plain("s3envelope-demo-neighbour", b"stays")

    shown = _held(*SHORT, *place.options, "--bucket", place.bucket)

    assert place.endpoint.url in shown
    assert place.kms.endpoint_url in shown
    assert place.keys() == ["s3envelope-demo-neighbour"]


def test_demo_when_the_bucket_keeps_versions_removes_all_of_its_own(place: Place) -> None:
    client = place.endpoint.client()
    client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})

    _held(*SHORT, *place.options, "--bucket", place.bucket)

    listing = client.list_object_versions(Bucket=place.bucket)
    client.close()
    assert (listing.get("Versions", []), listing.get("DeleteMarkers", [])) == ([], [])


def test_demo_when_given_servers_only_makes_bucket_and_key_and_takes_them_away(real_place: Place) -> None:
    client = real_place.endpoint.client()
    before = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]

    _held(*SHORT, *real_place.options[:4])

    after = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
    client.close()
    assert after == before
    states = [
        real_place.kms.client().describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] for key in _keys(real_place)
    ]
    assert sorted(states) == ["Enabled", "PendingDeletion"]


def _keys(place: Place) -> list[dict[str, str]]:
    keys = place.kms.perform("ListKeys")["Keys"]
    assert isinstance(keys, list)
    return keys


def test_demo_when_the_key_is_disabled_fails_and_leaves_nothing(place: Place) -> None:
    place.kms.perform("DisableKey", KeyId=place.key_arn)

    failed = _failed(*SHORT, *place.options, "--bucket", place.bucket)

    assert len(failed) == 1
    assert "KeyAccessError" in failed[0]
    assert place.keys() == []


def test_demo_when_decrypt_is_denied_fails_and_leaves_nothing(place: Place) -> None:
    place.kms.perform("PutKeyPolicy", KeyId=place.key_arn, PolicyName="default", Policy=DENY_DECRYPT)

    failed = _failed(*SHORT, *place.options, "--bucket", place.bucket)

    assert "KeyAccessError" in failed[0]
    assert place.keys() == []


DENY_DECRYPT = """{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"},
    {"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"}]}"""


class Repair:
    """Answers every GET of an object with the bytes that its writer stored: later edits are never seen."""

    def __init__(self, proxy: S3Proxy) -> None:
        self._proxy = proxy

    def __call__(self, answer: Answer) -> Answer:
        path = answer.request.path
        puts = [request for request in self._proxy.requests if (request.method, request.path) == ("PUT", path)]
        envelope = puts[-1].header("x-amz-meta-se1-h")
        original = next(put.body for put in puts if put.header("x-amz-meta-se1-h") == envelope) or b""
        content_range = re.match(r"bytes (\d+)-", answer.header("content-range"))
        start = int(content_range.group(1)) if content_range else 0
        honest = answer.without_header("x-amz-checksum-crc32")
        return replace(honest, body=original[start : start + len(answer.body)])


def test_demo_when_a_tampered_byte_is_not_seen_fails(place: Place, http_proxy: ProxyFactory) -> None:
    proxy, endpoint = http_proxy(place.endpoint, keep_bodies=True)
    proxy.on_response(matching(method="GET", contains="orders.bin"), Repair(proxy))
    options = ["--endpoint-url", endpoint.url, *place.options[2:]]

    failed = _failed(*SHORT, *options, "--bucket", place.bucket)

    assert failed == ["the edit was answered with no error at all"]
    assert place.keys() == []


def test_demo_when_a_range_is_ignored_by_the_server_fails(place: Place, http_proxy: ProxyFactory) -> None:
    proxy, endpoint = http_proxy(place.endpoint)
    ranged = matching(method="GET", contains="orders.bin")
    proxy.on_request(
        lambda request: ranged(request) and bool(request.header("range")),
        lambda forwarded: replace(
            forwarded, headers=tuple((name, value) for name, value in forwarded.headers if name.lower() != "range")
        ),
    )
    options = ["--endpoint-url", endpoint.url, *place.options[2:]]

    failed = _failed(*SHORT, *options, "--bucket", place.bucket)

    assert len(failed) == 1


def test_demo_when_the_bucket_is_missing_fails_in_the_first_step(place: Place) -> None:
    failed = _failed(*SHORT, *place.options, "--bucket", "absent-bucket")

    assert failed[0].startswith("the bucket does not exist")


def test_demo_when_no_server_answers_fails_in_the_first_step(place: Place) -> None:
    failed = _failed(*SHORT, "--endpoint-url", "http://127.0.0.1:9", *place.options[2:])

    assert "http://127.0.0.1:9" in failed[0]


@pytest.mark.parametrize("arguments", [["--profile", "a"], ["--region", "a"], ["--size", "0"], ["--size", "5000"]])
def test_demo_when_used_wrongly_starts_nothing(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["demo", *arguments])

    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
