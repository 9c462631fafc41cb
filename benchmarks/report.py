"""The Markdown table of what was seen."""

import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.jobs import MEGABYTE, Row, Target
from benchmarks.measure import Cost, Failed, Outcome

COLUMNS = (
    *("row", "work", "compared with", "CPU s (user + system), ours", "theirs"),
    *("wall s, ours", "theirs", "peak MB, ours", "theirs", "ratio", "target", "verdict"),
)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a row showed. `differs` is set where two files should be equal and are not."""

    row: Row
    ours: Outcome
    peer: Outcome
    differs: str = ""


def machine() -> str:
    """One line on where and when the figures were taken."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return (
        f"{day}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}, Node {node or 'not found'}, load {os.getloadavg()[0]:.1f}"
    )


def head() -> str:
    return f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def line(seen: Seen) -> str:
    """One row of the table."""
    ratio = _ratio(seen)
    sides = (seen.ours, seen.peer)
    cells = (
        *(f"`{seen.row.name}`", seen.row.work, seen.row.peer_name),
        *(_cpu(side) for side in sides),
        *(_figure(side, lambda cost: f"{cost.wall_seconds:.2f}") for side in sides),
        *(_figure(side, lambda cost: f"{cost.peak_bytes / MEGABYTE:.0f}") for side in sides),
        f"{ratio:.2f}×" if ratio is not None else "–",
        _aims(seen.row),
        "; ".join(faults(seen)) or "met",
    )
    return f"| {' | '.join(cells)} |"


def faults(seen: Seen) -> list[str]:
    """Everything that falls short in a row; an empty list when nothing does."""
    found = []
    if isinstance(seen.ours, Failed):
        found.append("ours failed")
    if isinstance(seen.peer, Failed) and not seen.row.peer_may_fail:
        found.append("the peer failed")
    ratio = _ratio(seen)
    if ratio is not None and seen.row.target is not None and not seen.row.target.met_by(ratio):
        found.append("ratio missed")
    limit = seen.row.memory_limit_bytes
    if limit is not None and isinstance(seen.ours, Cost) and seen.ours.peak_bytes > limit:
        found.append("memory missed")
    if ratio is not None and seen.differs:
        found.append(seen.differs)
    return found


def _ratio(seen: Seen) -> float | None:
    if not (isinstance(seen.ours, Cost) and isinstance(seen.peer, Cost)):
        return None
    target = seen.row.target or Target(ratio="peer/ours", bound=1)
    ours, peer = (_measured(cost, target.of) for cost in (seen.ours, seen.peer))
    return peer / ours if target.ratio == "peer/ours" else ours / peer


def _measured(cost: Cost, what: str) -> float:
    figures = {"cpu": cost.cpu_seconds, "memory": float(cost.peak_bytes), "wall": cost.wall_seconds}
    return figures[what]


def _cpu(side: Outcome) -> str:
    if isinstance(side, Failed):
        return f"fails: {_short(side)}"
    return f"{side.cpu_seconds:.2f} ({side.user_seconds:.2f} + {side.system_seconds:.2f})"


def _figure(side: Outcome, text: Callable[[Cost], str]) -> str:
    return text(side) if isinstance(side, Cost) else "–"


def _short(side: Failed) -> str:
    return side.reason[:120].replace("|", "\\|")


def _aims(row: Row) -> str:
    aims: Sequence[str] = (
        *([str(row.target)] if row.target else []),
        *([f"≤ {row.memory_limit_bytes / MEGABYTE:.0f} MB"] if row.memory_limit_bytes else []),
        *(["same bytes"] if row.same_bytes else []),
    )
    return ", ".join(aims) or "–"
