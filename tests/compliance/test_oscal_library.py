"""The OSCAL document, read by the library whose classes are made from the published schema.

`pip install 's3envelope[oscal]'` in an environment of its own, with Python 3.11 or newer, and
`pytest -m slow tests/compliance/test_oscal_library.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from s3envelope.compliance.model import Status
from s3envelope.compliance.oscal import as_oscal
from tests.support.compliant_assessment import assessment, hostile_assessment

# The library refuses members that the schema does not have. In a process of its own: it warns while it is imported.
_READER = """
import sys
from pathlib import Path
from trestle.oscal.assessment_results import AssessmentResults
found = AssessmentResults.oscal_read(Path(sys.argv[1]))
print(len(found.results[0].observations), len(found.results[0].findings))
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("trestle") is None, reason="needs the extra [oscal], which is large"),
]


def read(document: Any, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have the library read a document."""
    file = folder / "assessment-results.json"
    file.write_text(json.dumps(document))
    command = [sys.executable, "-W", "ignore", "-c", _READER, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    "made",
    [assessment(), assessment(kms_reencrypt=Status.NOT_ASSESSED, bucket_tls=Status.FAILED), hostile_assessment()],
    ids=["good", "mixed", "hostile"],
)
def test_oscal_when_the_library_reads_it_is_valid(made: Any, tmp_path: Path) -> None:
    done = read(as_oscal(made, os.urandom), tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(len(made.results)), str(len(made.controls))]


@pytest.mark.parametrize("name", ["uuid", "metadata", "import-ap", "results", "more"])
def test_oscal_when_it_is_not_as_the_schema_says_is_refused(name: str, tmp_path: Path) -> None:
    document = as_oscal(assessment(), os.urandom)
    if name == "more":
        document["assessment-results"]["results"][0]["more"] = "x"
    else:
        del document["assessment-results"][name]

    assert read(document, tmp_path).returncode != 0
