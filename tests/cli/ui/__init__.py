"""The pages of `s3envelope ui`."""
