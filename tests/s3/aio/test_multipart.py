"""`tests/s3/test_multipart.py` with asynchronous clients; the command is in `tests/s3/aio/__init__.py`."""

import pytest

pytest.importorskip("aiobotocore", reason="the extra [async] is not installed")

from tests.s3.test_multipart import *  # noqa: F403
