"""`tests/s3/test_secrecy.py` with asynchronous clients; the command is in `tests/s3/aio/__init__.py`."""

import pytest

pytest.importorskip("aiobotocore", reason="the extra [async] is not installed")

from tests.s3.test_secrecy import *  # noqa: F403

# A source is read once here, so none is found to have changed; see test_retries.py.
del test_errors_when_shown_then_have_no_plaintext  # noqa: F821
