"""Scripts and styles of the widgets: contrast by computation, no markup from text, nothing from outside."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from children import python, succeed
from tools import require

from auditkit.widgets import DeviationExplorer, DeviationTable, ExportPanel, RunPicker
from auditkit.widgets.assets import script, style
from auditkit.widgets.base import AuditWidget

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "auditkit" / "widgets" / "static"
SCRIPTS = sorted(STATIC.glob("*.js"))
STYLES = sorted(STATIC.glob("*.css"))
WIDGETS = {
    RunPicker: "picker.js",
    DeviationTable: "table.js",
    DeviationExplorer: "explorer.js",
    ExportPanel: "panel.js",
}
SVG = "http://www.w3.org/2000/svg"
THEMES = ("no theme", "light", "dark", "dark-high-contrast")
LAB_THEMES = Path(sys.prefix) / "share" / "jupyter" / "lab" / "themes" / "@jupyterlab"

# WCAG 2.1: 1.4.3 asks for 4.5 for text, 1.4.11 for 3 for graphics, borders of controls and focus.
TEXT, GRAPHIC = 4.5, 3.0
BEHIND = (
    "--ak-surface",
    "--ak-raised",
    "--ak-marked",
)  # the page; heads and hovered rows; marked rows, chips
TYPES = ("--ak-none", "--ak-minor", "--ak-major", "--ak-critical")
ACTIONS = ("--ak-allow", "--ak-flag_for_review", "--ak-escalate", "--ak-override", "--ak-undecided")
PAIRS = {
    **dict.fromkeys(itertools.product(("--ak-text", "--ak-quiet", "--ak-accent"), BEHIND), TEXT),
    ("--ak-error", "--ak-surface"): TEXT,
    ("--ak-on-accent", "--ak-accent"): TEXT,
    ("--ak-edge", "--ak-surface"): GRAPHIC,
    **dict.fromkeys(itertools.product(TYPES, BEHIND), GRAPHIC),
    **dict.fromkeys(itertools.product(ACTIONS, BEHIND[:1]), GRAPHIC),
}
TURNED = ("mix-blend-mode", "difference")
"""What is white becomes the opposite of what it is drawn on."""
DECORATION = {"--ak-line"}
"""Lines between what stands apart without them."""


# --- reading colours ------------------------------------------------------------------------------------


def declarations(css: str) -> Iterator[tuple[str, str, str, str]]:
    """Around (`@media …` or nothing), selector, property and value of everything that a style sheet says."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    around = selector = ""
    depth = 0
    for part in re.findall(r"[^{};]+[{;]|[^{};]*\}", css):
        text, end = part[:-1].strip(), part[-1]
        if end == "{":
            depth += 1
            if text.startswith("@"):
                around = text
            else:
                selector = " ".join(text.split())
            continue
        name, colon, value = text.partition(":")
        if colon:
            yield around, selector, name.strip(), value.strip()
        if end == "}":
            depth -= 1
            around = around if depth else ""
    assert depth == 0


def theme_colours(theme: str) -> dict[str, str]:
    """The variables of a theme of JupyterLab; none where the page has no such theme."""
    if theme == "no theme":
        return {}
    css = (LAB_THEMES / f"theme-{theme}-extension" / "index.css").read_text(encoding="utf-8")
    found = re.findall(r"(--jp-(?:layout|ui-font|border)-color\d):([^;}]+)", css)
    assert found
    return dict(found)


def our_colours(theme: str) -> dict[str, str]:
    """The variables of base.css under a theme."""
    colours: dict[str, str] = {}
    for _, selector, name, value in declarations((STATIC / "base.css").read_text(encoding="utf-8")):
        dark = selector == '[data-jp-theme-light="false"] .ak'
        if name.startswith("--") and (selector == ".ak" or (dark and theme.startswith("dark"))):
            colours[name] = value
    return colours


def rgba(value: str, variables: dict[str, str]) -> tuple[float, float, float, float]:
    """A colour of CSS as red, green, blue of 255, and how opaque it is."""
    value = value.strip()
    if match := re.fullmatch(r"var\((--[\w-]+)(?:,\s*(.+))?\)", value):
        name, usual = match.groups()
        return rgba(variables.get(name) or usual, variables)
    value = {"white": "#ffffff", "black": "#000000"}.get(value, value)
    if match := re.fullmatch(r"#([0-9a-fA-F]{3})", value):
        value = "#" + "".join(letter * 2 for letter in match[1])
    if match := re.fullmatch("#([0-9a-fA-F]{6})", value):
        red, green, blue = bytes.fromhex(match[1])
        return red, green, blue, 1.0
    match = re.fullmatch(r"rgba\(([\d.]+), ?([\d.]+), ?([\d.]+), ?([\d.]+)\)", value)
    assert match, value
    red, green, blue, alpha = map(float, match.groups())
    return red, green, blue, alpha


def luminance(colour: tuple[float, ...]) -> float:
    """The relative luminance of WCAG 2.1."""
    parts = [value / 255 for value in colour]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(front: str, back: str, variables: dict[str, str]) -> float:
    """The contrast ratio of WCAG 2.1 between a colour and the opaque one behind it."""
    *behind, opaque = rgba(back, variables)
    assert opaque == 1
    *ink, alpha = rgba(front, variables)
    seen = [value * alpha + below * (1 - alpha) for value, below in zip(ink, behind, strict=True)]
    dark, light = sorted((luminance(tuple(seen)), luminance(tuple(behind))))
    return (light + 0.05) / (dark + 0.05)


def everything_said() -> list[tuple[str, str, str, str]]:
    return [one for path in STYLES for one in declarations(path.read_text(encoding="utf-8"))]


# --- contrast -------------------------------------------------------------------------------------------


def test_the_computation_gives_the_published_ratios() -> None:
    assert contrast("#000000", "#ffffff", {}) == pytest.approx(21)
    assert contrast("#777777", "#ffffff", {}) == pytest.approx(4.48, abs=0.005)  # WebAIM
    assert contrast("#767676", "white", {}) == pytest.approx(4.54, abs=0.005)
    assert contrast("rgba(0, 0, 0, 0.5)", "#fff", {}) == pytest.approx(
        contrast("#808080", "#fff", {}), abs=0.03
    )
    assert contrast("var(--a, #fff)", "var(--b)", {"--b": "var(--c,black)"}) == pytest.approx(21)


@pytest.mark.parametrize(("front", "back"), PAIRS)
@pytest.mark.parametrize("theme", THEMES)
def test_colours_have_the_contrast_of_wcag_aa(theme: str, front: str, back: str) -> None:
    colours = our_colours(theme)
    ratio = contrast(colours[front], colours[back], theme_colours(theme) | colours)
    assert ratio >= PAIRS[front, back], f"{front} on {back}: {ratio:.2f}"


@pytest.mark.parametrize("back", ["--ak-surface", "--ak-accent"])
@pytest.mark.parametrize("theme", THEMES)
def test_lines_in_the_opposite_colour_stand_out(theme: str, back: str) -> None:
    variables = theme_colours(theme) | our_colours(theme)
    *ground, _ = rgba(variables[back], variables)
    opposite = "#" + "".join(f"{255 - int(value):02x}" for value in ground)
    assert contrast(opposite, variables[back], variables) >= GRAPHIC


def test_every_colour_has_its_contrast_computed() -> None:
    known = {name for pair in PAIRS for name in pair} | DECORATION
    assert {name for name in our_colours("light") if name.startswith("--ak-")} == known
    assert set(our_colours("light")) == set(our_colours("dark"))


def test_colours_come_from_the_variables_of_base_css_alone() -> None:
    words = {"transparent", "inherit", "none", "currentColor"}
    turned = {selector for _, selector, name, value in everything_said() if (name, value) == TURNED}
    for _, selector, name, value in everything_said():
        if not re.fullmatch(
            "color|background|background-color|fill|stroke|accent-color|border(-.*)?-color", name
        ):
            colours = re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\b(?:white|black|red)\b", value)
            assert not colours or name.startswith("--ak-") or name == "box-shadow", (selector, name, value)
        else:
            known = value in words or re.fullmatch(r"var\(--ak-[\w-]+\)", value)
            assert known or (value == "white" and selector in turned), (selector, name, value)


def test_every_variable_that_is_used_is_set_and_the_other_way_round() -> None:
    said = everything_said()
    used = {name for *_, value in said for name in re.findall(r"var\((--ak-[\w-]+)", value)}
    put = {name for _, _, name, _ in said if name.startswith("--ak-")}
    text = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    put |= set(re.findall(r'["`](--ak-[\w-]+)[":]', text))
    assert "var(--ak-${name}," in text  # by deviation type and by action
    assert used - put == set()
    assert put - used <= {*TYPES, *ACTIONS}


def test_inks_stand_on_grounds_on_which_their_contrast_is_computed() -> None:
    grounds = {value for _, _, name, value in everything_said() if name in ("background", "background-color")}
    assert grounds <= {f"var({name})" for name in (*BEHIND, "--ak-accent")} | {"transparent"}


def test_controls_have_an_edge_that_can_be_seen() -> None:
    edges = {
        selector: value
        for _, selector, name, value in everything_said()
        if name == "border"
        and re.search(r"\.ak-(button|input|select|chip|popover)\b(?!.*disabled)", selector)
    }
    assert len(edges) >= 3
    assert all(value.endswith("solid var(--ak-edge)") for value in edges.values()), edges


def test_focus_can_be_seen() -> None:
    outlines = [(sel, value) for _, sel, name, value in everything_said() if name == "outline"]
    assert (".ak :focus-visible", "2px solid var(--ak-accent)") in outlines
    # The one place without: it takes the focus from the mouse alone.
    assert [sel for sel, value in outlines if value == "none"] in ([], [".ak .ak-view:focus-visible"])


def test_deviation_types_differ_in_their_sign_not_in_colour_alone() -> None:
    (signs,) = re.findall(r"SYMBOLS = (\{.*?\})", (STATIC / "grid.js").read_text(encoding="utf-8"))
    by_type = json.loads(re.sub(r"(\w+):", r'"\1":', signs))
    assert sorted(by_type) == ["critical", "major", "minor", "none"]
    assert len(set(by_type.values())) == 4
    severities = re.findall(
        r'(error|warning|info): "([^"]+)"', (STATIC / "table.js").read_text(encoding="utf-8")
    )
    assert len({words for _, words in severities}) == 3


# --- motion ---------------------------------------------------------------------------------------------


def test_nothing_moves_for_those_who_do_not_want_it() -> None:
    moving = [
        (around, selector)
        for around, selector, name, _ in everything_said()
        if re.match("transition|animation|scroll-behavior", name)
    ]
    assert moving
    assert {around for around, _ in moving} == {"@media (prefers-reduced-motion: no-preference)"}
    for path in SCRIPTS:
        assert not re.search(r"\.animate\(|smooth|\.style\.transition", path.read_text(encoding="utf-8")), (
            path
        )


# --- scripts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_makes_no_markup_and_runs_no_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    forbidden = (
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "setHTML",
        "srcdoc",
        "createContextualFragment", "DOMParser", "javascript:", "import(", "XMLHttpRequest", "fetch(",
        "WebSocket",
        "localStorage", "document.cookie",
    )  # fmt: skip
    assert [word for word in forbidden if word in text] == []
    assert not re.search(r'setTimeout\(["`]', text)


@pytest.mark.parametrize("path", [*SCRIPTS, *STYLES], ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\s\"'`)]*", text) in ([], [SVG])
    assert "@import" not in text
    assert not re.search(r"""url\((?!#)""", text)
    assert not re.search(r"""["'(]//\w""", text)


def test_the_search_for_addresses_finds_one() -> None:
    assert re.findall(r"https?://[^\s\"'`)]*", 'x("https://cdn.example/a.js")') == [
        "https://cdn.example/a.js"
    ]


@pytest.mark.parametrize("name", WIDGETS.values())
def test_a_script_is_a_module_that_gives_render(name: str, tmp_path: Path) -> None:
    node = require("node")
    joined = tmp_path / "joined.mjs"
    joined.write_text(script(name), encoding="utf-8")
    checked = subprocess.run([node, "--check", joined], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    program = f"import({json.dumps(joined.as_uri())}).then((it) => console.log(typeof it.default.render))"
    ran = subprocess.run([node, "-e", program], capture_output=True, text=True, check=False)
    assert ran.stdout == "function\n", ran.stderr


def test_a_name_that_stands_twice_would_be_noticed(tmp_path: Path) -> None:
    twice = tmp_path / "twice.mjs"
    twice.write_text(script("table.js") + "\nfunction element() {}\n", encoding="utf-8")
    done = subprocess.run([require("node"), "--check", twice], capture_output=True, text=True, check=False)
    assert "has already been declared" in done.stderr


@pytest.mark.parametrize("name", WIDGETS.values())
def test_imported_modules_stand_in_front_once(name: str) -> None:
    text = script(name)
    assert not re.search(r"^\s*import\b", text, re.MULTILINE)
    assert re.findall(r"^export .*", text, re.MULTILINE) == ["export default { render };"]
    modules = [path for path in SCRIPTS if path.read_text(encoding="utf-8").splitlines()[0] in text]
    for path in modules:
        first_line = path.read_text(encoding="utf-8").splitlines()[0]
        assert first_line.startswith("// ")
        assert text.count(first_line) == 1, path.name
        for imported in re.findall(r'from "\./([\w-]+\.js)"', path.read_text(encoding="utf-8")):
            above = (STATIC / imported).read_text(encoding="utf-8").splitlines()[0]
            assert -1 < text.index(above) < text.index(first_line), (imported, path.name)
    assert text.endswith((STATIC / name).read_text(encoding="utf-8")[-200:])


def test_modules_that_are_imported_twice_are_written_out_once() -> None:
    text = script("table.js")  # which imports base.js, and so do grid.js and filters.js
    assert text.count("function element(tag") == text.count("function placeBelow(") == 1
    assert text.index("function element(tag") < text.index("function filterDialog(")
    assert text.index("function filterDialog(") < text.index("function grid(")


def test_every_module_and_style_is_used() -> None:
    joined = "".join(script(name) for name in WIDGETS.values())
    for path in SCRIPTS:
        assert path.read_text(encoding="utf-8").splitlines()[0] in joined, path.name
    styles = "".join(str(widget._css) for widget in WIDGETS)
    for path in STYLES:
        assert style(path.name) in styles, path.name


def test_every_export_is_imported_and_every_import_is_used() -> None:
    imports: dict[str, set[str]] = {path.name: set() for path in SCRIPTS}
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        for names, source in re.findall(r'^import \{([^}]*)\} from "\./([\w-]+\.js)";\n', text, re.MULTILINE):
            for name in filter(None, map(str.strip, names.split(","))):
                imports[source].add(name)
                assert len(re.findall(rf"\b{name}\b", text)) > 1, (path.name, name)
    for path in SCRIPTS:
        exported = re.findall(
            r"^export (?:async )?(?:function|const|class) (\w+)",
            path.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        assert set(exported) == imports[path.name], path.name


@pytest.mark.parametrize(("widget", "name"), WIDGETS.items(), ids=lambda one: getattr(one, "__name__", one))
def test_script_and_python_know_the_same_questions(widget: type[AuditWidget], name: str) -> None:
    asked = set(re.findall(r'\bdo: "(\w+)"', script(name)))
    answered = {method.removeprefix("_do_") for method in dir(widget) if method.startswith("_do_")}
    assert asked == answered


@pytest.mark.parametrize(("widget", "name"), WIDGETS.items(), ids=lambda one: getattr(one, "__name__", one))
def test_a_script_uses_traits_that_are_there_and_synced(widget: type[AuditWidget], name: str) -> None:
    text = script(name)
    used = set(re.findall(r'model\.(?:get|set)\("(\w+)"', text))
    for names in re.findall(r"\bwatch\(\[([^\]]*)\]", text):
        used |= set(re.findall(r'"(\w+)"', names))
    synced = set(widget.class_traits(sync=True))
    assert {"message"} < used <= synced
    for trait in synced & set(vars(widget)) - {"_esm", "_css"}:
        assert re.search(rf"\b{trait}\b", text), trait


@pytest.mark.parametrize("widget", WIDGETS)
def test_script_and_style_are_light(widget: type[AuditWidget]) -> None:
    assert len(str(widget._esm).encode()) + len(str(widget._css).encode()) < 60_000


def test_every_class_of_a_style_is_given_to_something() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    given = set(re.findall(r"\bak-[\w-]+", text)) | {
        f"ak-{name.removesuffix('.js')}" for name in WIDGETS.values()
    }
    made = tuple(re.findall(r"\b(ak-[\w-]*-)\$\{", text))  # such as ak-symbol-${value}
    for _, selector, _, _ in everything_said():
        for name in re.findall(r"\.(ak-[\w-]+)", selector):
            assert name in given or name.startswith(made), f".{name} in {selector}"


def test_every_selector_stays_inside_the_widgets() -> None:
    for _, selector, _, _ in everything_said():
        for one in re.split(r",\s*(?![^(]*\))", selector):
            assert one.startswith((".ak", '[data-jp-theme-light="false"] .ak')), one


NODES = """
globalThis.document = {
  createElement: (tag) => ({
    tag, children: [], value: "", checked: false,
    append(...nodes) { this.children.push(...nodes); },
    setAttribute(name, value) { this[name] = name === "checked" ? true : value; },
    addEventListener() {},
  }),
};
"""
"""As much of a document as the fields of a filter dialog need."""


def applied(tmp_path: Path, kind: str, asked: object, values: object, change: str = "") -> dict[str, Any]:
    """What Apply sends for a column of which `asked` is asked, after a change, and its labels."""
    program = f"""
      const fields = controlsFor({{ kind: {json.dumps(kind)} }}, {json.dumps(asked)}, {json.dumps(values)});
      const all = (node) => [node, ...(node.children ?? []).flatMap(all)];
      const nodes = fields.nodes.flatMap(all);
      const inputs = nodes.filter((node) => node.tag === "input");
      {change}
      const last = nodes.filter((node) => node.tag === "label").map((node) => node.children.at(-1));
      const labels = last.filter((one) => typeof one === "string");
      console.log(JSON.stringify({{ asks: fields.read(), labels }}));
    """
    path = tmp_path / "filters.mjs"
    path.write_text(NODES + script("filters.js") + program, encoding="utf-8")
    done = subprocess.run([require("node"), path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    ("kind", "asked", "values"),
    [
        ("number", [1.5, 20], None), ("number", [None, 0], None), ("count", [-3, None], None),
        ("number", None, None),
        ("timestamp", ["2024-01-15", None], None),
        ("timestamp", ["2024-01-15T10:00:00Z", "2024-02-01"], None),
        ("category", ["minor", None], ["none", "minor", None]), ("category", None, ["none"]),
        ("category", ["minor"], None),
        ("text", "part", ["a", "b"]), ("text", "part", None), ("text", None, None),
        ("text", ["a", None], ["a", "b", None]), ("text", ["", "a"], ["", "a"]), ("text", ["a", "b"], None),
        ("text", ["not here any more"], ["a", "b"]),
    ],
)  # fmt: skip
def test_a_filter_that_is_opened_and_applied_stays_as_it_was(
    tmp_path: Path, kind: str, asked: object, values: object
) -> None:
    assert applied(tmp_path, kind, asked, values)["asks"] == asked


def test_a_filter_is_changed_by_its_fields(tmp_path: Path) -> None:
    day = ["2024-01-15T10:00:00Z", None]
    assert applied(tmp_path, "number", [1, 2], None, 'inputs[1].value = "7.5";')["asks"] == [1, 7.5]
    assert applied(tmp_path, "timestamp", day, None, 'inputs[0].value = "2024-01-16";')["asks"] == [
        "2024-01-16",
        None,
    ]
    assert applied(tmp_path, "timestamp", day, None, 'inputs[0].value = "";')["asks"] is None
    assert applied(tmp_path, "category", ["a"], ["a", "b"], "inputs[1].checked = true;")["asks"] == ["a", "b"]
    assert applied(tmp_path, "category", ["a"], ["a", "b"], "inputs[0].checked = false;")["asks"] is None
    assert applied(tmp_path, "text", ["a"], ["a"], 'inputs[0].value = "part";')["asks"] == "part"


def test_missing_and_empty_are_told_apart_in_a_choice(tmp_path: Path) -> None:
    labels = applied(tmp_path, "text", None, ["", "missing", None])["labels"]
    assert labels[-3:] == ["(empty)", "missing", "missing"]


# --- importing ------------------------------------------------------------------------------------------


def test_the_package_alone_imports_no_widgets_and_no_pandas(tmp_path: Path) -> None:
    program = (
        "import sys, auditkit as ak; ak.Filter(deviation=(1, 2)); ak.open_source('.');"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = set(succeed(python("-c", program, cwd=tmp_path)).split())
    assert loaded & {"pandas", "ipywidgets", "anywidget", "traitlets", "IPython", "pyarrow"} == set()
    program = "import sys, auditkit.widgets; print(*sorted(sys.modules))"
    loaded = set(succeed(python("-c", program, cwd=tmp_path)).split())
    assert {"pandas", "anywidget"} < loaded
    assert loaded & {"auditkit.web", "jupyterlab", "notebook", "voila", "matplotlib"} == set()
