"""Every contract test runs against two independent servers."""

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.contract import kms_servers
from tests.contract.kms_servers import LOCAL_KMS, MOTO, MOTO_DEVIATIONS, KmsServer


@pytest.fixture(scope="session")
def local_kms_server() -> Iterator[KmsServer]:
    """Yield a LocalKms."""
    with kms_servers.local_kms() as server:
        yield server


@pytest.fixture(scope="session")
def moto_kms_server() -> Iterator[KmsServer]:
    """Yield moto's KMS."""
    with kms_servers.moto() as server:
        yield server


@pytest.fixture(params=[LOCAL_KMS, MOTO])
def kms_server(request: pytest.FixtureRequest) -> KmsServer:
    """Return each server in turn; moto's known deviations must fail."""
    test_name = request.function.__name__
    if request.param == MOTO and test_name in MOTO_DEVIATIONS:
        failures = (AssertionError, KeyError, ClientError, pytest.fail.Exception)
        # The reason of each is what moto does otherwise than AWS; LocalKms must pass the same test.
        request.applymarker(pytest.mark.xfail(strict=True, raises=failures, reason=MOTO_DEVIATIONS[test_name]))
    fixture_name = {LOCAL_KMS: "local_kms_server", MOTO: "moto_kms_server"}[request.param]
    server: KmsServer = request.getfixturevalue(fixture_name)
    return server
