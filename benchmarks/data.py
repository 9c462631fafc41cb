"""The made-up run files: made on first use, kept in `build/bench-data`, never committed.

They are made by `generate` in a process of their own: whoever measures must stay small.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "bench-data"
GENERATOR = Path(__file__).with_name("generate.py")


def run_id(results: int) -> str:
    """The id of the run in the file of so many results."""
    return f"bench-{results}"


def run_file(results: int) -> Path:
    """The path of one run file, made now if it is missing or older than the generator."""
    path = CACHE / f"run-{results}.json"
    return _made(path, ["run", str(path), run_id(results), str(results)])


def run_folder(files: int, results: int) -> Path:
    """The path of a folder of run files, made likewise."""
    path = CACHE / f"runs-{files}x{results}"
    return _made(path, ["folder", str(path), str(files), str(results)])


def _made(path: Path, arguments: list[str]) -> Path:
    if not path.exists() or path.stat().st_mtime < GENERATOR.stat().st_mtime:
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / ".gitignore").write_text("*\n")
        print(f"making {path.relative_to(ROOT)}", file=sys.stderr)
        command = [sys.executable, "-m", "benchmarks.generate", *arguments]
        subprocess.run(command, cwd=ROOT, check=True)
    return path
