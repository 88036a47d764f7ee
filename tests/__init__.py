"""The tests run without awscrt, also where it is installed: it changes who reads a body and how often.

botocore decides about it while it is imported, which is after this. `tests/s3/edge_cases/test_crt.py` runs processes
with it.
"""

import os

os.environ.setdefault("BOTO_DISABLE_CRT", "true")
