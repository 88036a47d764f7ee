"""The tables "boto3 call: works, differs, refused", made of the rules that the client obeys.

`python -m tests.support.call_table` writes them into README.md and s3envelope/spec/OPERATIONS.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from botocore import xform_name

from s3envelope.s3.operations import METHODS, OPERATIONS, Rule, Treatment

ROOT = Path(__file__).parent.parent.parent
README, PAGE = ROOT / "README.md", ROOT / "s3envelope/spec/OPERATIONS.md"
BEGIN, END = "<!-- calls: begin -->", "<!-- calls: end -->"
_HEAD = ["| boto3 call | | |", "|---|---|---|"]
_ALSO = """\
| waiters, paginators, resources | works | they make the calls above |
| `ETag`, `Checksum*` in answers | differs | those of the ciphertext; where they would mislead they are removed |
| `ContentMD5`, `Checksum*` that you give | differs | verified against the plaintext before sending, and not sent |
| a plain client's `copy` with `SourceClient=` an enveloped one | differs | nobody can read the copy: let ours copy |
| objects of the Amazon clients | differs | read, written and copied \
where `read_formats` and `write_format` say so; parts in sequence; a range costs the whole object once |
| an operation that is new in botocore | refused | until a version of s3envelope knows it |
"""
_PAGE_HEAD = """# Operations

What happens to each operation of the S3 API, and to what boto3 adds to a client. An operation that is not listed is
refused before any request. The source is `s3envelope/s3/operations.py`.

"""


def readme_table() -> str:
    """Return the table of the README: calls with one text in one row, and what passes unchanged as a number."""
    rules = {**_by_method(OPERATIONS), **METHODS}
    listed = [(name, rule) for name, rule in rules.items() if rule.treatment is not Treatment.PASS or rule.note]
    grouped: dict[tuple[str, str], list[str]] = {}
    for name, rule in sorted(listed, key=lambda item: _verdict(item[1]) == "refused"):
        grouped.setdefault((_verdict(rule), _text(rule)), []).append(name)
    rows = [_row(names, verdict, text) for (verdict, text), names in grouped.items()]
    passed = len(rules) - len(listed)
    everything_else = (
        f"| the other {passed} operations: deletes, tags, ACLs, versions, locks, buckets | works | unchanged; "
        "[OPERATIONS.md](s3envelope/spec/OPERATIONS.md) lists them |"
    )
    return "\n".join([*_HEAD, *rows, everything_else]) + "\n" + _ALSO


def page() -> str:
    """Return the page with a row for every operation."""
    rules = sorted({**_by_method(OPERATIONS), **METHODS}.items())
    rows = [_row([name], _verdict(rule), _text(rule) or "unchanged") for name, rule in rules]
    return _PAGE_HEAD + "\n".join([*_HEAD, *rows]) + "\n"


def with_table(readme: str) -> str:
    """Return the text of the README with the table as it must be."""
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    replaced, count = pattern.subn(lambda _: f"{BEGIN}\n{readme_table()}{END}", readme)
    if count != 1:
        raise ValueError(f"README.md needs {BEGIN} and {END} once")
    return replaced


def _by_method(operations: dict[str, Rule]) -> dict[str, Rule]:
    return {xform_name(name): rule for name, rule in operations.items()}


def _verdict(rule: Rule) -> str:
    if rule.treatment is Treatment.REFUSE:
        return "refused"
    return "differs" if rule.differs else "works"


def _text(rule: Rule) -> str:
    if rule.treatment is Treatment.REFUSE:
        return f"{rule.reason}: {rule.alternative}"
    return rule.note


def _row(names: Iterable[str], verdict: str, text: str) -> str:
    return f"| {', '.join(f'`{name}`' for name in names)} | {verdict} | {text} |"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
    PAGE.write_text(page())
