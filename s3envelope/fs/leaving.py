"""Whether a file is closed because a `with` block is left by an exception.

fsspec closes files in `__exit__` without saying why, and so do `io.TextIOWrapper`, compressors and pandas: a file whose
writer failed would be committed as if it were whole. Python itself knows: the frame of the `with` statement is at the
instruction that hands the exception to `__exit__`.
"""

from __future__ import annotations

import opcode
import sys

_HANDS_EXCEPTION_TO_EXIT = opcode.opmap["WITH_EXCEPT_START"]


def blocks_left_by_exceptions() -> int:
    """Return the number of `with` blocks of this thread that an exception leaves just now.

    A file that is opened, and closed when there are more of them, is closed by one of them. A `close()` in an `except`
    or `finally` clause is none: there it is the program that decides.
    """
    count = 0
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == _HANDS_EXCEPTION_TO_EXIT:
            count += 1
        frame = frame.f_back  # type: ignore[assignment]
    return count
