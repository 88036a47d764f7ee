"""The page about logs and metrics: its tables are those of the code, and its code runs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import pytest

from s3envelope import Instrument, Occurrence
from s3envelope.core.measures import INSTRUMENTS, Meter
from s3envelope.errors import KeyAccessError
from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "s3envelope/spec/OBSERVABILITY.md").read_text()
LEVELS = ("debug", "info", "warning")
REGION = "eu-west-1"


def rows(first_column: str) -> dict[str, list[str]]:
    """Return the rows of a table of the page by what stands in their first column."""
    table = PAGE.split(f"| {first_column} |")[1].split("\n\n")[0]
    found = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in table.splitlines()[2:] if "|" in line]
    return {row[0].strip("`"): row[1:] for row in found}


class _Attributes:
    """Metrics that remember the names of attributes."""

    def __init__(self) -> None:
        self.names: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, instrument: Instrument, amount: int, attributes: Mapping[str, str]) -> None:
        self.names[instrument.name].update(attributes)

    def record(self, instrument: Instrument, value: float, attributes: Mapping[str, str]) -> None:
        self.names[instrument.name].update(attributes)


def test_table_of_loggers_when_compared_has_those_of_the_code_with_their_levels() -> None:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "s3envelope").rglob("*.py"):
        code = path.read_text()
        # The command only listens.
        for name in re.findall(r'getLogger\("(s3envelope\.[a-z.]+)"\)', code) if "/cli/" not in str(path) else ():
            found[name].update(re.findall(r"_(?:LOGGER|log)\.(debug|info|warning|error|exception|critical)\(", code))
    # Its level is an argument of the sink.
    found["s3envelope.audit.events"] = {"info"}

    table = {
        name: {level for level, cell in zip(LEVELS, cells, strict=True) if cell}
        for name, cells in rows("logger").items()
    }

    assert table == dict(found)


def test_table_of_instruments_when_compared_is_that_of_the_code() -> None:
    seen = _Attributes()
    meter, error = Meter(seen), KeyAccessError("denied")
    meter.sealed(1, 1, "se1")
    meter.opened(1, 1, "se1")
    for failure in (None, "ThrottlingException"):
        meter.key_service_called("Decrypt", 0.1, retry_count=1, error_type=failure)
    meter.occurred(Occurrence(operation="seal", outcome="failed", error=error, details=(("call", "PutObject"),)))
    meter.occurred(Occurrence(operation="refuse", outcome="refused", error=error, details=(("call", "GetObject"),)))
    meter.occurred(
        Occurrence(operation="authenticate", outcome="failed", error=error, details=(("call", "GetObject"),))
    )
    meter.occurred(Occurrence(operation="decrypt", source="offline"))
    meter.occurred(Occurrence(operation="evict", details=(("reason", "full"),)))

    table = rows("instrument")

    assert {name: [row[0], row[1].strip("`"), row[3]] for name, row in table.items()} == {
        each.name: [each.kind, each.unit, each.description] for each in INSTRUMENTS
    }
    assert {name: set(re.findall(r"`([^`]+)`", row[2])) for name, row in table.items()} == dict(seen.names)


@pytest.mark.parametrize(("begin", "printed"), [("", ""), ("main(['--version'])", "read offline\n")])
def test_warning_when_nobody_configured_a_log_is_printed_by_the_command_alone(begin: str, printed: str) -> None:
    warn = "import logging; logging.getLogger('s3envelope.cache').warning('read %s', 'offline')"
    program = f"from s3envelope.cli.main import main\n{begin}\n{warn}"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stderr == printed


@pytest.fixture
def cloud(moto_s3: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the bucket and the key of the page behind the default endpoints."""
    with LocalKms() as kms:
        client = kms.client(region_name=REGION)
        client.create_alias(AliasName="alias/orders", TargetKeyId=client.create_key()["KeyMetadata"]["KeyId"])
        storage = moto_s3.client()
        if "orders" not in [bucket["Name"] for bucket in storage.list_buckets()["Buckets"]]:
            storage.create_bucket(Bucket="orders")
        storage.close()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto_s3.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.endpoint_url)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        yield


@pytest.mark.usefixtures("cloud")
def test_python_blocks_when_run_in_order_do_what_the_text_says() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3

    # They configure the logging and the metrics of a process.
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert '"name": "s3envelope.sealed.bytes"' in done.stdout


@pytest.mark.usefixtures("cloud")
def test_prometheus_block_when_run_serves_the_numbers() -> None:
    if importlib.util.find_spec("opentelemetry.exporter") is None:
        pytest.skip("opentelemetry-exporter-prometheus is not installed: pip install it to run this")
    indented = next(
        text for text in re.findall(r"(?:^    .*\n|^\n)+", PAGE, re.MULTILINE) if "prometheus_client" in text
    )
    program = textwrap.dedent(indented) + (
        "import urllib.request\nprint(urllib.request.urlopen('http://127.0.0.1:9464/metrics').read().decode())"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)

    names = set(re.findall(r"^(s3envelope_\w+)\{", done.stdout, re.MULTILINE))
    shown = set(re.findall(r"s3envelope_[a-z_]+_(?:total|count)\b", PAGE))
    assert {"s3envelope_sealed_bytes_total", "s3envelope_kms_duration_seconds_count"} <= names & shown
    assert shown <= {each.name.replace(".", "_") + "_total" for each in INSTRUMENTS} | names
