"""`s3envelope ui`: a page on this machine that shows a bucket, its envelopes, its keys and the audit log."""
