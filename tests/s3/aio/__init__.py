"""The asynchronous client. These tests need an environment of their own: aiobotocore asks for an older botocore.

python3 -m venv .venv-async && .venv-async/bin/pip install -e '.[test,async]' s3fs pandas pyarrow
.venv-async/bin/pip install --no-deps aioboto3 aiofiles
.venv-async/bin/pytest tests/s3/aio
"""
