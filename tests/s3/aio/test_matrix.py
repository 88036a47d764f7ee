"""The scenarios of the synchronous client give a program the same with an asynchronous one.

The command is in `tests/s3/aio/__init__.py`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

import boto3
import pytest

pytest.importorskip("aiobotocore", reason="the extra [async] is not installed")

from s3envelope import KmsKeyring
from tests.s3.aio.driven import DrivenSession
from tests.s3.matrix.copying_scenarios import CUSTOMER_KEY
from tests.s3.matrix.harness import Differs
from tests.s3.matrix.test_matrix import (
    is_slow,
    lane,
    test_scenario_when_run_with_both_clients_gives_the_same_and_shows_no_plaintext,
)

__all__ = ["is_slow", "lane", "test_scenario_when_run_with_both_clients_gives_the_same_and_shows_no_plaintext"]


@pytest.fixture(scope="module")
def sealed_session(keyring: KmsKeyring) -> boto3.session.Session:
    """Return a session whose clients are asynchronous ones that are driven."""
    return DrivenSession(keyring=keyring)


@pytest.fixture(scope="module")
def more_differs() -> Mapping[str, Differs]:
    """Return what differs because aiobotocore reads answers in another way than botocore."""
    digest = base64.b64encode(hashlib.md5(CUSTOMER_KEY["SSECustomerKey"], usedforsecurity=False).digest()).decode()
    # The answers of a scenario whose headers say it twice.
    twice = {
        "reading.get_with_a_key_of_the_customer": (1, 2, 3),
        "copying.copy_with_a_key_of_the_customer": (4,),
        "copying.managed_copy_with_a_key_of_the_customer": (2,),
    }
    reason = "this server sends the header twice: botocore joins the values, aiobotocore takes the last one"
    return {
        name: Differs(reason, {f"[{index}].SSECustomerKeyMD5": digest for index in indexes}, on=("seaweedfs",))
        for name, indexes in twice.items()
    }
