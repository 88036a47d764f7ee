"""What `s3envelope demo` shows."""
