"""What the package offers is what its design says, documented, and nothing else."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import setuptools
from children import python, succeed

import auditkit as ak
from auditkit import schema
from auditkit.run import RunHeader

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "auditkit"
MODULES = sorted(PACKAGE.rglob("*.py"))

# DESIGN §5, and what evidence needs
FUNCTIONS = (
    "cleanup_old_exports", "decrypt_export", "export_audit_run", "export_checkpoint", "export_evidence",
    "export_multiple_runs", "export_results", "find_results", "get_export_stats", "hold_export",
    "init_database", "iter_results", "k_anonymity", "list_available_runs", "load_failures",
    "load_into_database", "load_results", "load_run", "load_runs", "make_key", "open_source",
    "read_export_log", "verify_bag", "verify_exports", "verify_file",
)  # fmt: skip
CLASSES = (
    "AuditRun", "BagReceipt", "BagReport", "BatchFailure", "BatchResult", "ExportLog", "ExportReceipt",
    "ExportStats", "FileReport", "Filter", "KeyFiles", "LoadReport", "Pseudonymizer", "SmallestGroup",
    "Source", "SqlExportLog", "VerificationReport",
)  # fmt: skip

# DESIGN §5: the errors, and the builtin that a caller would expect
ERRORS = {
    "AuditkitError": Exception,
    "RunNotFoundError": LookupError,
    "InvalidRunError": ValueError,
    "InvalidRunIdError": ValueError,
    "InvalidOptionError": ValueError,
    "UnknownFormatError": ValueError,
    "NoSourceError": ValueError,
    "ExportExistsError": FileExistsError,
    "MissingExtraError": ImportError,
    "InvalidKeyError": ValueError,
    "DecryptionError": ValueError,
    "VerificationError": Exception,
    "BatchError": Exception,
    "DatabaseError": OSError,
    "WorkerDiedError": RuntimeError,
}

# The tables of DESIGN §2, copied by hand: key, column, label, kind, required, allowed, ordered.
BANDS = ("none", "minor", "major", "critical")
ACTIONS = ("allow", "flag_for_review", "escalate", "override")
LEVELS = ("easy", "medium", "hard", "expert")
STATUSES = ("completed", "failed", "running")
RESULT_FIELDS = [
    ("id", "result_id", None, "text", True, (), False),
    ("submissionId", "submission_id", "Submission ID", "text", True, (), False),
    ("userId", "user_id", "User ID", "text", True, (), False),
    ("userScore", "user_score", "User Score", "number", True, (), False),
    ("aiScore", "ai_score", "AI Score", "number", True, (), False),
    ("deviation", "deviation", "Deviation", "number", True, (), False),
    ("deviationType", "deviation_type", "Deviation Type", "category", True, BANDS, True),
    ("suggestedAction", "suggested_action", "Suggested Action", "category", True, ACTIONS, False),
    ("actionTaken", "action_taken", "Action Taken", "category", False, ACTIONS, False),
    ("taskTitle", "task_title", "Task Title", "text", True, (), False),
    ("skillArea", "skill_area", "Skill Area", "text", True, (), False),
    ("taskDifficulty", "task_difficulty", "Difficulty", "category", True, LEVELS, True),
    ("timestamp", "timestamp", "Timestamp", "timestamp", True, (), False),
    ("reviewer", "reviewer", "Reviewer", "text", False, (), False),
    ("notes", "notes", "Notes", "text", False, (), False),
]
RUN_FIELDS = [
    ("id", "run_id", "Audit Run ID", "text", True, (), False),
    ("reviewer", "run_reviewer", None, "text", True, (), False),
    ("startedAt", "started_at", "Audit Started", "timestamp", True, (), False),
    ("completedAt", "completed_at", "Audit Completed", "timestamp", False, (), False),
    ("taskTitle", "run_task_title", None, "text", True, (), False),
    ("taskDifficulty", "run_task_difficulty", None, "category", True, LEVELS, True),
    ("skillArea", "run_skill_area", None, "text", True, (), False),
    ("status", "status", "Audit Status", "category", True, STATUSES, False),
    ("totalSubmissions", "total_submissions", "Total Submissions", "count", True, (), False),
    ("averageDeviation", "average_deviation", "Average Deviation", "number", False, (), False),
    ("criticalFlags", "critical_flags", "Critical Flags", "count", True, (), False),
]
ATTRIBUTES = (
    "id", "reviewer", "started_at", "completed_at", "task_title", "task_difficulty", "skill_area", "status",
    "total_submissions", "average_deviation", "critical_flags",
)  # fmt: skip
# spec/audit-run-exporter.md, "CSV Format" and "JSON Format (Flattened)"
CSV_HEADER = (
    "Audit Run ID,Submission ID,User ID,Task Title,Skill Area,Difficulty,User Score,AI Score,Deviation,"
    "Deviation Type,Suggested Action,Action Taken,Reviewer,Timestamp,Notes,Audit Status,Total Submissions,"
    "Average Deviation,Critical Flags,Audit Started,Audit Completed"
)
AUDIT_KEYS = {
    "auditRunId": "run_id",
    "auditReviewer": "run_reviewer",
    "auditStartedAt": "started_at",
    "auditCompletedAt": "completed_at",
    "auditStatus": "status",
    "auditTotalSubmissions": "total_submissions",
    "auditAverageDeviation": "average_deviation",
    "auditCriticalFlags": "critical_flags",
}


# --- names ----------------------------------------------------------------------------------------------


def test_the_public_names_are_those_of_the_design() -> None:
    assert sorted(ak.__all__) == sorted(["__version__", "errors", *FUNCTIONS, *CLASSES])


def test_every_public_name_is_there_and_is_what_it_is_called() -> None:
    for name in FUNCTIONS:
        assert inspect.isfunction(getattr(ak, name)), name
        assert getattr(ak, name).__name__ == name
    for name in CLASSES:
        assert inspect.isclass(getattr(ak, name)), name
        assert getattr(ak, name).__name__ == name
    assert ak.errors is importlib.import_module("auditkit.errors")


def test_dir_and_star_give_the_public_names_and_nothing_else(tmp_path: Path) -> None:
    assert dir(ak) == sorted(ak.__all__)
    script = """
        before = set(dir())
        from auditkit import *
        print(sorted(set(dir()) - before - {"before"}))
    """
    assert ast.literal_eval(succeed(python("-c", textwrap.dedent(script), cwd=tmp_path))) == sorted(
        ak.__all__
    )


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"auditkit.*verify_exportz"):
        ak.verify_exportz  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(ak, "export_log")


def test_no_module_is_named_like_a_public_function() -> None:
    modules = {module.name.rpartition(".")[2] for module in pkgutil.walk_packages(ak.__path__, "auditkit.")}
    assert not modules & set(ak.__all__) - {"errors"}
    assert not modules & {"utils", "helpers", "common", "misc", "manager"}


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert ak.__version__ == version("auditkit")


def test_every_error_derives_from_ours_and_from_the_builtin_that_is_expected() -> None:
    from auditkit import errors

    found = {name: value for name, value in vars(errors).items() if _is_an_error_of_ours(value)}
    assert set(found) == set(ERRORS)
    for name, builtin in ERRORS.items():
        assert issubclass(found[name], errors.AuditkitError), name
        assert issubclass(found[name], builtin), name
        assert found[name].__doc__


def _is_an_error_of_ours(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception) and value.__name__ not in dir(builtins)


# --- documentation --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_a_public_name_says_what_it_is_in_one_line(name: str) -> None:
    text = inspect.getdoc(getattr(ak, name))
    assert text
    first, _, rest = text.partition("\n")
    assert first.endswith(".")
    assert len(first) <= 110
    assert not rest or rest.startswith("\n")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_documents_every_parameter(name: str) -> None:
    function = getattr(ak, name)
    text = documentation(function)
    for parameter in inspect.signature(function).parameters:
        if parameter != "source":  # everywhere as for open_source
            assert re.search(rf"(?m)^(?:\w+, )*{parameter}(?:, \w+)*(?: :|$)", text), parameter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_shows_how_it_is_used(name: str) -> None:
    assert re.search(rf"(?m)^>>> .*\bak\.{name}\(", inspect.getdoc(getattr(ak, name)) or "")


def documentation(function: Any) -> str:
    """Its docstring, and that of the function to which it refers for the other parameters."""
    text = inspect.getdoc(function) or ""
    if "The other parameters are those of `export_audit_run`." in text:
        text += inspect.getdoc(ak.export_audit_run) or ""
    return text


def test_the_exporting_functions_share_their_options_and_defaults() -> None:
    shared = {
        "source": None,
        "output_dir": "exports",
        "include_metadata": True,
        "flatten_results": False,
        "formula_guard": True,
        "excel": False,
        "compression": None,
        "if_exists": "version",
        "encrypt_to": None,
        "pseudonymizer": None,
        "checksum": False,
        "log": None,
        "group_readable": False,
    }
    for name in ("export_audit_run", "export_multiple_runs", "export_results"):
        parameters = inspect.signature(getattr(ak, name)).parameters
        assert {key: parameters[key].default for key in shared} == shared
        assert all(parameters[key].kind is inspect.Parameter.KEYWORD_ONLY for key in shared)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_says_in_its_first_line_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 300
    documented = ast.get_docstring(ast.parse(text))
    assert documented
    first = documented.splitlines()[0]
    assert first.endswith((".", ":"))
    assert text.splitlines()[0].startswith(f'"""{first}')


# --- the table of fields --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"), [(schema.RESULT_FIELDS, RESULT_FIELDS), (schema.RUN_FIELDS, RUN_FIELDS)]
)
def test_the_schema_is_the_table_of_the_design(fields: Any, expected: Any) -> None:
    found = [(f.key, f.column, f.label, f.kind, f.required, f.allowed, f.ordered) for f in fields]
    assert found == expected


def test_the_attributes_of_a_run_are_those_of_the_schema_and_of_the_design() -> None:
    import dataclasses

    assert tuple(field.attribute for field in schema.RUN_FIELDS) == ATTRIBUTES
    names = [field.name for field in dataclasses.fields(RunHeader)]
    assert names == [*ATTRIBUTES, "extra", "absent_fields"]
    assert set(names) <= {field.name for field in dataclasses.fields(ak.AuditRun)}


def test_the_columns_of_a_csv_are_those_of_the_specification() -> None:
    assert ",".join(field.key for field in schema.CSV_FIELDS) == CSV_HEADER
    dropped = ",".join(field.key for field in schema.CSV_RUN_FIELDS)
    assert dropped == CSV_HEADER.partition("Notes,")[2]
    labels = {label: column for _, column, label, *_ in (*RUN_FIELDS, *RESULT_FIELDS) if label}
    assert {field.key: field.column for field in schema.CSV_FIELDS} == labels


def test_the_audit_keys_of_a_flat_record_are_those_of_the_specification() -> None:
    assert {field.key: field.column for field in schema.AUDIT_FIELDS} == AUDIT_KEYS
    assert [field.key for field in schema.AUDIT_FIELDS] == list(AUDIT_KEYS)
    assert set(AUDIT_KEYS) == schema.AUDIT_KEYS


def test_every_column_has_one_meaning() -> None:
    columns = [column for _, column, *_ in (*RUN_FIELDS, *RESULT_FIELDS)]
    columns += [schema.POSITION, schema.EXTRA]
    assert len(set(columns)) == len(columns)


def test_the_frames_have_the_columns_and_dtypes_of_the_design() -> None:
    dtypes = {"text": "str", "number": "float64", "count": "int64", "category": "category"}
    dtypes["timestamp"] = "datetime64[us, UTC]"
    source = ROOT / "sample_data" / "runs"
    runs, results = ak.load_runs(source=source), ak.load_results("run-006", source=source)
    assert {
        name: str(dtype) for name, dtype in runs.drop(columns="extra", errors="ignore").dtypes.items()
    } == {column: dtypes[kind] for _, column, _, kind, *_ in RUN_FIELDS}
    expected = {"run_id": "str", "position": "int64"} | {
        column: dtypes[kind] for _, column, _, kind, *_ in RESULT_FIELDS
    }
    assert {name: str(dtype) for name, dtype in results.dtypes.items()} == expected
    for frame, fields in ((runs, RUN_FIELDS), (results, RESULT_FIELDS)):
        for _, column, _, kind, _, allowed, ordered in fields:
            if kind == "category":
                assert tuple(frame[column].cat.categories) == allowed
                assert frame[column].cat.ordered == ordered


# --- what is handed over --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_cell_of_a_notebook_was_executed_in_order(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert len(counts) > 3
    assert path.stat().st_size < 100_000
    outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    assert outputs
    assert not any(output["output_type"] == "error" for output in outputs)


def test_the_notebooks_of_the_issue_are_there() -> None:
    names = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert names >= {"01_load_and_inspect", "02_export_evidence", "03_workbench", "04_evidence"}


def test_a_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    tree = tmp_path / "tree"  # a build leaves its traces in the tree
    shutil.copytree(PACKAGE, tree / "auditkit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", tree]
    subprocess.run(command, check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("auditkit/")}
    files = (path.relative_to(ROOT) for path in PACKAGE.rglob("*") if path.is_file())
    assert held == {path.as_posix() for path in files if "__pycache__" not in path.parts}
    assert {"auditkit/py.typed", "auditkit/web/app.ipynb", "auditkit/widgets/static/grid.js"} < held


def test_setuptools_is_told_of_every_package_and_of_the_marker_of_types() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = {
        name.replace(".", "/") for name in setuptools.find_packages(str(ROOT), **options["packages"]["find"])
    }
    assert packages == {str(path.parent.relative_to(ROOT)) for path in MODULES if path.name == "__init__.py"}
    assert packages == {str(path.parent.relative_to(ROOT)) for path in MODULES}  # no folder without __init__
    assert "py.typed" in options["package-data"]["auditkit"]
    assert (PACKAGE / "py.typed").is_file()
