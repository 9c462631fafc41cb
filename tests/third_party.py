"""A distribution that brings formats of its own, sound and broken ones, as a third party would."""

from __future__ import annotations

import textwrap
from pathlib import Path

from records import saved

THIRD_PARTY = {
    "thirdparty.py": """
        class Table:
            name = "table"
            suffix = ".table"

            def write(self, run, sink):
                for batch in run.batches():
                    for row in batch.to_pylist():
                        sink.write(f"{run.id}\\t{row['submission_id']}\\t{row['user_score']}\\n".encode())

        class Framed:
            name = "framed"
            suffix = ".framed"

            def write(self, run, sink):
                sink.write(run.results.user_score.sum().astype(str).encode())

        class Odd(Table):
            name = "odd"
            suffix = ".report.txt"

        instance = Table()
        no_format = 5

        class Lacking:
            name = "lacking"

        class Raising:
            name = "raising"
            suffix = ".x"

            def __init__(self):
                raise RuntimeError("not today")

        class Failing:
            name = "failing"
            suffix = ".fail"

            def write(self, run, sink):
                sink.write(b"half")
                raise ZeroDivisionError("in the middle")
    """,
    "brokenparty.py": "import a_module_that_is_nowhere",
    "thirdparty-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n",
    "thirdparty-1.0.dist-info/entry_points.txt": """
        [auditkit.formats]
        table = thirdparty:Table
        framed = thirdparty:Framed
        odd = thirdparty:Odd
        instance = thirdparty:instance
        number = thirdparty:no_format
        lacking = thirdparty:Lacking
        raising = thirdparty:Raising
        failing = thirdparty:Failing
        gone = thirdparty:Gone
        broken = brokenparty:Broken
    """,
}


def install(folder: Path) -> Path:
    """A distribution with formats of its own, as pip would lay it down."""
    for name, text in THIRD_PARTY.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        saved(folder / name, textwrap.dedent(text).lstrip("\n"))
    return folder
