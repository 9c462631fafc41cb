"""A run of a database as a frame, with pandas: `read_sql URL RUN_ID [OUTPUT_DIR]`; with a folder, as CSV."""

import sys
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

COLUMNS = """result_id, submission_id, user_id, user_score, ai_score, deviation, deviation_type,
    suggested_action, action_taken, task_title, skill_area, task_difficulty, timestamp, reviewer, notes"""
QUERY = f"SELECT run_id, position, {COLUMNS} FROM audit_results WHERE run_id = :run ORDER BY position"

if __name__ == "__main__":
    url, run_id, *output_dir = sys.argv[1:]
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        results = pd.read_sql(sa.text(QUERY), connection, params={"run": run_id})
    if output_dir:
        results.to_csv(Path(output_dir[0], "results.csv"), index=False)
    print(len(results))
