"""`s3e://`: a filesystem for fsspec, and so for pandas, Dask, PyArrow, Zarr and Xarray, over an enveloped client.

Installed with the extra `[fsspec]`, it is found by fsspec itself.
"""

from s3envelope.fs.filesystem import S3EnvelopeFileSystem

__all__ = ["S3EnvelopeFileSystem"]
