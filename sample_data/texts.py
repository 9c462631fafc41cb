"""The texts of the sample runs: tasks, notes, and what run-004 puts in their place.

Everything invisible, bidirectional or outside ASCII is escaped, so that this file shows what it holds.
`.invalid` is reserved (RFC 2606): no link here leads anywhere.
"""

from typing import Any

TASKS = {
    "frontend": {
        "easy": "Create an accessible modal dialog",
        "medium": "Build a responsive navigation bar",
        "hard": "Implement a virtualised data table",
        "expert": "Write a collaborative text editor with undo",
    },
    "backend": {
        "easy": "Add pagination to a REST endpoint",
        "medium": "Implement token refresh for an OAuth client",
        "hard": "Design a rate limiter for a public API",
        "expert": "Build an idempotent payment webhook",
    },
    "data": {
        "easy": "Clean a CSV of customer addresses",
        "medium": "Report monthly active users in SQL",
        "hard": "Deduplicate an event stream",
        "expert": "Backfill a slowly changing dimension",
    },
    "devops": {
        "easy": "Write a Dockerfile for a Node service",
        "medium": "Set up a CI pipeline with caching",
        "hard": "Roll out a blue-green deployment",
        "expert": "Recover a PostgreSQL cluster to a point in time",
    },
    "security": {
        "easy": "Store passwords with a modern hash",
        "medium": "Fix an injection flaw in a search form",
        "hard": "Threat-model a file upload service",
        "expert": "Find the flaw in a signed session cookie",
    },
}

CRITICAL = "Critical deviation requires manual review"
HUMAN_ABOVE = (
    "Code quality exceeds AI assessment",
    "AI missed the test suite in a second folder",
    "Readable solution, unusual structure",
    "Edge cases handled; the AI looked for a loop",
    "Destructures with map(({id},{score}) => ...), which the AI read as broken",
)
HUMAN_BELOW = (
    "Passes the tests, but the logic is copied from the task text",
    "AI did not notice the hard-coded answer",
    "No error handling, so below the AI's score",
    "Naming and comments need work",
)
AGREED = ("Scores agree", "Checked by hand, no change", "Clear solution", "Nothing to add")

# run-004: what people, spreadsheets, browsers and parsers trip over. None takes a key away.

LONG_NOTE = ("Each point of the rubric is listed with its reason; " * 200)[:10_239] + "."

HOSTILE_RUN: dict[str, Any] = {
    "reviewer": '=HYPERLINK("http://example.invalid/reviewer","admin-1")',
    "taskTitle": 'Fix "the" form,\nthen; test it\t| \u200f\u05e2\u05d1\u05e8 \U0001f9d1\u200d\U0001f4bb',
    "pipeline": {
        "name": "nightly",
        "seed": 98765432109876543210,
        "temperature": 1.0,
        "results": [{"id": "inner"}],
    },
}

HOSTILE_RESULTS: list[dict[str, Any]] = [
    # Ids that readers like to turn into numbers, dates, truth values or nothing.
    {"id": "007", "submissionId": "1e5", "userId": "NA", "notes": ""},
    {"id": "7", "submissionId": "01e5", "userId": "N/A"},  # no notes, where the one above has empty ones
    {
        "id": "1e5",
        "submissionId": "007",
        "userId": "null",
        "reviewer": None,
        "notes": '=HYPERLINK("http://example.invalid","click")',
    },
    {"id": "NA", "submissionId": "1.0", "userId": "nan", "reviewer": "", "notes": "=cmd|' /C calc'!A0"},
    {"id": "null", "submissionId": "-0", "userId": "None", "reviewer": "NA", "notes": "+1+1"},
    {"id": "TRUE", "submissionId": "2024-01-15", "userId": "0x1F", "notes": "-2+3"},
    {"id": "12345678901234567890", "submissionId": "MARCH1", "userId": "1,5", "notes": "@SUM(A1:A9)"},
    # Formula guards: percent, full width, apostrophes, blanks, and cells inside a cell.
    {"id": "%0A", "userId": "+1+1", "notes": "%0A"},
    {"userId": "\uff1d1\uff0b1", "taskTitle": "\uff20SUM(A1)", "notes": "\uff1d1\uff0b1"},
    {"userId": "'007", "taskTitle": "'Tis the season", "notes": "'=1+1"},
    {"userId": " user-410 ", "taskTitle": "  =1+1", "notes": "\u00a0\u200b\u3000\ufeff =1+1"},
    {
        "reviewer": "@admin-1",
        "taskTitle": "=1+1",
        "skillArea": "=security",
        "notes": "fine, so far;=1+1\t+2+2\n-3+3|@SUM(A1),'=5+5\r=6+6",
    },
    # Quotes, separators, line ends.
    {"id": '"quoted"', "reviewer": 'O\'Brien, "Pat"', "notes": 'She said "ship it", twice: """"'},
    {"id": "a,b;c|d", "taskTitle": "one,two;three\tfour|five", "skillArea": "front;end", "notes": ",;\t|"},
    {"taskTitle": "A title\nin two lines", "notes": "first line\nsecond line\n\nfourth line\n"},
    {"taskTitle": "A title\r\nin two lines", "notes": "first line\r\nsecond line\rthird line"},
    {
        "id": "lines\u2028and\u2029paragraphs",
        "notes": "\u2028 \u2029 \u0085 \u000b \u000c \u001c \u001d \u001e end",
    },
    # JSON inside JSON, and fields nobody declared.
    {
        "notes": 'The payload was [{"id":"a"},{"id":"b"}] and {"results":[{"id":"x"}]}, cut at },{',
        "rubric": {"clarity": 4, "notes": "},{", "results": [{"id": "x"}, {"id": "y"}], "none": None},
    },
    {
        "notes": '"results":[',
        "traceId": 12345678901234567890,
        "weight": 1.0,
        "rate": 1e-07,
        "tags": ["a,b", ""],
    },
    # Browsers and shells.
    {
        "taskTitle": "<script>alert(1)</script>",
        "notes": "<img src=x onerror=alert(1)>",
        "reviewer": "<b>admin-1</b>",
    },
    {
        "userId": "../../etc/passwd",
        "taskTitle": "$x_1$ **bold** [link](javascript:alert(1)) &amp; `code`",
        "notes": "'; DROP TABLE results; -- %s {0} ${HOME} $(id) C:\\new\\table",
    },
    # Scripts: emoji with joiners, skin tone and flags; right to left; marks and two spellings of one name.
    {
        "userId": "\U0001f916",
        "taskTitle": "Ship it \U0001f680",
        "notes": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f44d\U0001f3fd"
        " \U0001f1e9\U0001f1ea"
        "\U0001f1ef\U0001f1f5 \u2764\ufe0f 1\ufe0f\u20e3",
    },
    {
        "reviewer": "\u0645\u0631\u0627\u062c\u0639-\u0663",
        "taskTitle": "\u05d1\u05d3\u05d9\u05e7\u05ea \u05d8\u05d5\u05e4\u05e1",
        "notes": "\u0627\u0644\u062d\u0644 \u062c\u064a\u062f (85%), \u05d8\u05d5\u05d1!",
    },
    {
        "taskTitle": "invoice\u202efdp.exe\u202c",
        "notes": "\u202eread backwards\u202c \u2067isolated\u2069 \u061c",
    },
    {
        "userId": "jose\u0301",
        "taskTitle": "Z\u0351\u036b\u0343\u034ba\u0323\u0308l\u0327\u0301g\u030ao\u0334",
        "notes": "e\u0301 is not \u00e9",
    },
    {
        "userId": "jos\u00e9",
        "skillArea": "s\u00e9curit\u00e9",
        "notes": "\ufb01 \u212b \u00df \u0130 \ufffd \U0010ffff",
    },
    # Control characters, and one very long line.
    {"id": "bell\u0007", "notes": "\u0000\u0001\u0007\u0008\u001b[31mred\u001b[0m\u007f\u009f\u0000"},
    {"notes": LONG_NOTE},
]
