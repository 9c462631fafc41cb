"""A results frame of any size: the sample runs over and over, with scores and ids of their own."""

import numpy as np
import pandas as pd

import auditkit as ak
from benchmarks.data import ROOT

_SEED = 20240304


def results(rows: int) -> pd.DataFrame:
    """As from `load_results`, of runs of up to 100,000 results."""
    sample = ak.load_results("run-006", source=ROOT / "sample_data" / "runs")
    random = np.random.default_rng(_SEED)
    frame = sample.iloc[random.integers(0, len(sample), rows)].reset_index(drop=True)
    number = np.arange(rows)
    frame["run_id"] = pd.array([f"run-{n:03}" for n in number // 100_000], dtype=frame.run_id.dtype)
    frame["position"] = number % 100_000
    ids = random.permutation(rows)
    frame["submission_id"] = pd.array([f"sub-{n:07}" for n in ids], dtype=frame.submission_id.dtype)
    return frame
