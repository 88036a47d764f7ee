"""The page with an example for every library, and the table of the README that says which versions were run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README, PAGE = ROOT / "README.md", ROOT / "s3envelope/spec/ECOSYSTEM.md"
# Heading of the page: (distribution, module of its tests).
LIBRARIES = {
    "fsspec: `s3e://`": ("fsspec", "test_fsspec.py"),
    "pandas": ("pandas", "test_pandas.py"),
    "Dask": ("dask", "test_dask.py"),
    "PyArrow": ("pyarrow", "test_pyarrow.py"),
    "Zarr": ("zarr", "test_zarr.py"),
    "Xarray": ("xarray", "test_xarray.py"),
    "boto3 resources": ("boto3", "test_boto3_resources.py"),
    "smart_open": ("smart_open", "test_smart_open.py"),
    "cloudpathlib": ("cloudpathlib", "test_cloudpathlib.py"),
    "s3path": ("s3path", "test_s3path.py"),
    "django-storages": ("django-storages", "test_django_storages.py"),
    "Airflow": ("apache-airflow-providers-amazon", "test_airflow.py"),
    "awswrangler": ("awswrangler", "test_awswrangler.py"),
}


def headings() -> list[str]:
    """Return the headings of the libraries, in order."""
    return re.findall(r"^## (.*)$", PAGE.read_text(), re.MULTILINE)


def block(heading: str) -> str:
    """Return the block of code below a heading."""
    pattern = rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)"
    section = re.search(pattern, PAGE.read_text(), re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```python\n(.*?)^```", section.group(1) if section else "", re.MULTILINE | re.DOTALL)
    if len(blocks) != 1:
        raise ValueError(f"{PAGE.name} has {len(blocks)} blocks of Python below {heading!r}; one is needed")
    code: str = blocks[0]
    return code
