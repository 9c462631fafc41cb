"""The columns of a results frame, said again here so that no peer needs auditkit."""

COLUMNS = {
    "id": "result_id",
    "submissionId": "submission_id",
    "userId": "user_id",
    "userScore": "user_score",
    "aiScore": "ai_score",
    "deviation": "deviation",
    "deviationType": "deviation_type",
    "suggestedAction": "suggested_action",
    "actionTaken": "action_taken",
    "taskTitle": "task_title",
    "skillArea": "skill_area",
    "taskDifficulty": "task_difficulty",
    "timestamp": "timestamp",
    "reviewer": "reviewer",
    "notes": "notes",
}
SCORES = ("user_score", "ai_score", "deviation")
CSV_SCORES = ("User Score", "AI Score", "Deviation")
TEXTS = (
    *("result_id", "submission_id", "user_id", "task_title", "skill_area"),
    *("reviewer", "notes"),
)

_ACTIONS = ["allow", "flag_for_review", "escalate", "override"]
# Column: (values in table order, ordered)
CATEGORIES = {
    "deviation_type": (["none", "minor", "major", "critical"], True),
    "suggested_action": (_ACTIONS, False),
    "action_taken": (_ACTIONS, False),
    "task_difficulty": (["easy", "medium", "hard", "expert"], True),
}
