"""Decode aws-chunked bodies (SigV4 streaming and trailing checksums) as they pass."""

from collections.abc import Callable

_LONGEST_LINE = 8 * 1024


class AwsChunkedDecoder:
    """Take an aws-chunked body in pieces; hand its payload and its framing to two receivers.

    A body that breaks the framing is handed over as payload from there on: nothing stays unseen.
    """

    def __init__(self, on_payload: Callable[[bytes], None], on_framing: Callable[[bytes], None]) -> None:
        self._on_payload = on_payload
        self._on_framing = on_framing
        self._line = b""
        self._payload_left = 0
        self._in_trailer = False
        self._is_broken = False

    def feed(self, piece: bytes) -> None:
        """Decode the next piece of the body."""
        position = 0
        while position < len(piece):
            if self._is_broken:
                self._on_payload(piece[position:])
                return
            if self._payload_left:
                payload = piece[position : position + self._payload_left]
                self._payload_left -= len(payload)
                position += len(payload)
                self._on_payload(payload)
                continue
            newline = piece.find(b"\n", position)
            end = newline + 1 if newline >= 0 else len(piece)
            self._line += piece[position:end]
            position = end
            if newline >= 0 or len(self._line) > _LONGEST_LINE:
                self._take_line()

    def _take_line(self) -> None:
        line, self._line = self._line, b""
        text = line.strip()
        if self._in_trailer or not text:
            # An empty line ends the chunk before it, or the trailer.
            self._on_framing(line)
            return
        try:
            size = int(text.partition(b";")[0], 16)
        except ValueError:
            self._is_broken = True
            self._on_payload(line)
            return
        self._on_framing(line)
        self._payload_left = size
        self._in_trailer = size == 0
