"""`VERIFY.txt`: one page for a reader without Python, with the commands that check a bag."""

from __future__ import annotations

from collections.abc import Iterable

_TITLE = """\
AUDIT EVIDENCE, AND HOW TO CHECK IT

This folder is a BagIt bag (RFC 8493) with {runs}.
A run holds scores that people and an AI gave, and what was done about their
difference. data/ has every run in every format, datapackage.json says what is
in each file, and {findings} where a run contradicts itself.
Run these commands in this folder.
"""

_WHOLE = """\
WHOLE AND UNCHANGED? Both must say OK for every file, and nothing else:
    sha256sum --strict -c manifest-sha256.txt
    sha256sum --strict -c tagmanifest-sha256.txt
(macOS: shasum -a 256 -c instead.) This proves that no file was damaged.
It does not prove that nobody changed a file and the manifests with it.
"""

_COMPLETE = """\
NOTHING ADDED? The first two must print the same number, the third nothing, the
fourth {count}:
    find data -type f | wc -l
    wc -l < manifest-sha256.txt
    find . ! -type f ! -path . ! -path ./data
    ls -A | wc -l
"""

_SIGNED = """\
WHO VOUCHES FOR IT? From the signer, not with this bag, get the public key; put
it into a file as the line: IDENTITY KEY
    ssh-keygen -Y verify -f FILE -I IDENTITY -n auditkit \\
        -s tagmanifest-sha256.txt.sig < tagmanifest-sha256.txt
"Good signature" proves, with all checks above, that the holder of that key
signed just these files. It does not prove when, nor that a record is true.
"""

_UNSIGNED = """\
WHO VOUCHES FOR IT? Nobody signed this bag. Compare the output of
    sha256sum tagmanifest-sha256.txt
with what the exporter tells you, or with tagmanifest_sha256 in their log.
"""

_LOGGED = """\
IN THE EXPORTER'S LOG? With their export-log.jsonl, get the number N of a line:
    M=$(sha256sum < manifest-sha256.txt | cut -c 1-64)
    grep -n "$M" export-log.jsonl | grep '"event":"begin"' | cut -d : -f 1
Then this must print the Log-Head that stands in bag-info.txt:
    sed -n Np export-log.jsonl | sha256sum
This proves that the log has the bag. It does not prove that the log is whole;
compare it with a copy, or with a head of it, that was kept elsewhere.
"""

_ENCRYPTED = """\
ENCRYPTED. Whoever holds the secret KEY of a recipient reads a file with
    age -d -i KEY -o OUTPUT data/NAME.age
The checks above need no key. In the clear stand names, sizes, hashes and the
number of results; sums of scores and columns of tables are left out.
"""

_PSEUDONYMISED = """\
PSEUDONYMISED, not anonymised: who holds the key, or knows enough about a case,
can tell who is meant. What was changed stands in datapackage.json, under
"auditkit:pseudonymised".
"""

_TOTALS = """\
CONTROL TOTALS: bag-info.txt gives the number of results, and the exact sums of
User Score, AI Score and Deviation over all runs, each run counted once.
"""


def instructions(
    *, runs: int, files: int, signed: bool, encrypted: bool, logged: bool, pseudonymised: bool
) -> bytes:
    """The page, with the sections that apply.

    Parameters
    ----------
    runs : int
        How many runs the bag holds.
    files : int
        How many names stand in the folder, `data` included.
    """
    sections = [
        _TITLE.format(
            runs="1 audit run" if runs == 1 else f"{runs:,} audit runs",
            findings="findings.csv.age" if encrypted else "findings.csv",
        ),
        _WHOLE,
        _COMPLETE.format(count=files),
        _SIGNED if signed else _UNSIGNED,
        *_where(_LOGGED, logged),
        *_where(_ENCRYPTED, encrypted),
        *_where(_TOTALS, not encrypted),
        *_where(_PSEUDONYMISED, pseudonymised),
    ]
    return "\n".join(sections).encode("ascii")


def _where(section: str, applies: bool) -> Iterable[str]:
    return [section] if applies else []
