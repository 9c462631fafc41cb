"""Timestamps cut to the hour, the day or the month."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from auditkit.errors import InvalidOptionError
from auditkit.rules import utc

if TYPE_CHECKING:
    import pyarrow as pa

Step = Literal["hour", "day", "month"]
STEPS = {"hour": "h", "day": "D", "month": "M"}


def coarsened_one(timestamp: str | None, step: Step) -> str | None:
    """One timestamp as `coarsened` gives it; missing stays missing."""
    import pyarrow as pa

    text: str | None = coarsened(pa.array([timestamp], pa.string()), step)[0].as_py()
    return text


def coarsened(timestamps: pa.Array, step: Step) -> pa.Array:
    """Checked timestamps as the beginning of their hour, day or month in UTC: `2024-01-15T00:00:00Z`.

    Raises
    ------
    InvalidOptionError
        If one of them is, in UTC, not within the years 0 to 9999.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = pc.is_null(timestamps).to_numpy(zero_copy_only=False)
    counted = pc.fill_null(utc(timestamps).cast(pa.int64()), 0).to_numpy()
    instants = counted.view("datetime64[us]")
    years = instants.astype("datetime64[Y]").astype(np.int64) + 1970
    if len(years) and not (years.min() >= 0 and years.max() <= 9999):
        raise InvalidOptionError(
            "A timestamp is, in UTC, not within the years 0 to 9999. Leave coarsen_timestamps out."
        )
    cut = instants.astype(f"datetime64[{STEPS[step]}]").astype("datetime64[s]")
    texts = np.char.add(np.datetime_as_string(cut), "Z")
    return pa.array(texts, pa.string(), mask=missing)
