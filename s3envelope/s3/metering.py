"""What a client counts itself: the bodies of its requests and answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from s3envelope.core.measures import Meter
from s3envelope.core.segments import SEALED_SEGMENT_SIZE, SEGMENT_OVERHEAD
from s3envelope.engine.streams import VerifiedStream
from s3envelope.formats import names
from s3envelope.formats.s3ec.model import TAG_SIZE
from s3envelope.s3.bodies import PlaintextStream
from s3envelope.s3.calls import Call
from s3envelope.s3.config import EnvelopeConfig


@dataclass(frozen=True, slots=True)
class Metering:
    """Counts for one client.

    Args:
        write_format: What the bodies of its requests are sealed as.
    """

    meter: Meter
    write_format: str

    @classmethod
    def of(cls, config: EnvelopeConfig) -> Metering | None:
        """Return what counts for a client; `None` if nothing does."""
        return None if config.metrics is None else cls(Meter(config.metrics), config.write_format)

    def sent(self, call: Call) -> None:
        """Count the body of a call that S3 has answered; the end of an upload, which nobody gave, is none."""
        if call.body is None or call.inner:
            return
        size = len(call.body)
        if self.write_format == names.SE1:
            # A run: full segments, and a shorter one at its end.
            segment_count = -(-size // SEALED_SEGMENT_SIZE)
            self.meter.sealed(size - SEGMENT_OVERHEAD * segment_count, segment_count, self.write_format)
        else:
            plaintext_size = size - TAG_SIZE if call.plaintext_size is None else call.plaintext_size
            self.meter.sealed(plaintext_size, 0, self.write_format)

    def counting(self, stream: PlaintextStream | None, format_name: str) -> Callable[[int], None]:
        """Return what is to be called with the size that was released, when a body was read or is closed."""

        def count(released_size: int) -> None:
            segment_count = stream.opened_count if isinstance(stream, VerifiedStream) else 0
            self.meter.opened(released_size, segment_count, format_name)

        return count
