"""The formats of the Amazon S3 Encryption Clients: V1, V2 and V3.

`metadata` reads and writes what describes an object, `policy` decides what may be opened, `keys` recovers and makes
data keys, `bodies` opens and seals. None of it does I/O.
"""
