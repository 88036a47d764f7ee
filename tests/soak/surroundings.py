"""The proxy and the KMS of a soak, in a process of their own: what the soak measures is its clients alone.

It is told a command per line, and answers each with a line of JSON; it ends with its input.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from typing import Any

from s3envelope.testing.local_kms import LocalKms
from s3envelope.testing.s3_proxy import Answer, RecordedRequest, S3Proxy, matching
from tests.soak.faults import FaultyWeather

_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")
_LOOK_SECONDS = 0.5
_NO_CONTENT, _NOT_FOUND = 204, 404


class UploadsWatch:
    """Knows which multipart uploads may stay although every client did what it could."""

    def __init__(self) -> None:
        self._created: dict[int, str] = {}
        self.request_count = 0
        self.failed_aborts: set[str] = set()
        self.lost_answers: set[str] = set()

    def on_created(self, answer: Answer) -> Answer:
        """Remember what an upload was called, in case the client never learns it."""
        if (match := _UPLOAD_ID.search(answer.body)) is not None:
            self._created[answer.request.number] = match.group(1).decode()
        return answer

    def take(self, requests: list[RecordedRequest]) -> None:
        """Look at requests that are over."""
        for request in requests:
            self.request_count += 1
            name = self._created.pop(request.number, None)
            if name is not None and request.status is None:
                self.lost_answers.add(name)
            if request.method == "DELETE" and "uploadId=" in request.query:
                upload_id = request.query.partition("uploadId=")[2].partition("&")[0]
                if request.status in (_NO_CONTENT, _NOT_FOUND):
                    self.failed_aborts.discard(upload_id)
                else:
                    self.failed_aborts.add(upload_id)


class Surroundings:
    """Everything between the clients and the storage."""

    def __init__(self, proxy: S3Proxy, kms: LocalKms, seed: int) -> None:
        self._proxy, self._kms = proxy, kms
        self._weather = FaultyWeather(proxy, seed)
        self._uploads = UploadsWatch()
        self._key_id = kms.create_key()
        proxy.on_response(matching(method="POST", contains="?uploads"), self._uploads.on_created)
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        threading.Thread(target=self._keep_small, daemon=True).start()

    def answer(self, command: str) -> dict[str, Any]:
        """Do what a command says."""
        self._drain()
        if command in ("calm", "stormy"):
            self._weather.is_quiet = command == "calm"
        return {
            "url": self._proxy.url,
            "kms_url": self._kms.endpoint_url,
            "key_id": self._key_id,
            "faults": self._weather.counts,
            "requests": self._uploads.request_count,
            "failed_aborts": sorted(self._uploads.failed_aborts),
            "lost_answers": sorted(self._uploads.lost_answers),
        }

    def _keep_small(self) -> None:
        while not self._is_over.wait(_LOOK_SECONDS):
            self._drain()

    def _drain(self) -> None:
        with self._lock:
            self._uploads.take(self._proxy.take_requests())
            self._kms.clear_calls()


def main() -> None:
    """Serve until the input ends."""
    storage_url, seed = sys.argv[1], int(sys.argv[2])
    with LocalKms() as kms, S3Proxy(storage_url) as proxy:
        surroundings = Surroundings(proxy, kms, seed)
        print(json.dumps(surroundings.answer("")), flush=True)
        for line in sys.stdin:
            print(json.dumps(surroundings.answer(line.strip())), flush=True)


if __name__ == "__main__":
    main()
