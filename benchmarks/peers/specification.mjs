// The export of the specification, as a plain Node script: node specification.mjs RUN_FILE FORMAT OUTPUT_DIR
// FORMAT is csv, nested or flat. No formula guard, no checks, no log: only what the specification says.
import { mkdirSync, openSync, closeSync, readFileSync, writeSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CSV_HEADERS = [
  'Audit Run ID', 'Submission ID', 'User ID', 'Task Title', 'Skill Area', 'Difficulty',
  'User Score', 'AI Score', 'Deviation', 'Deviation Type', 'Suggested Action', 'Action Taken',
  'Reviewer', 'Timestamp', 'Notes', 'Audit Status', 'Total Submissions', 'Average Deviation',
  'Critical Flags', 'Audit Started', 'Audit Completed',
];

const NEEDS_QUOTES = /[",\r\n]/;

function cell(value) {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') return String(value);
  return NEEDS_QUOTES.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

function toCsv(run) {
  const averageDeviation =
    run.averageDeviation == null ? '' : Math.round(run.averageDeviation * 100) / 100;
  const rows = run.results.map((result) =>
    [
      run.id, result.submissionId, result.userId, result.taskTitle, result.skillArea,
      result.taskDifficulty, result.userScore, result.aiScore, result.deviation,
      result.deviationType, result.suggestedAction, result.actionTaken,
      result.reviewer ?? run.reviewer, result.timestamp, result.notes, run.status,
      run.totalSubmissions, averageDeviation, run.criticalFlags, run.startedAt, run.completedAt,
    ].map(cell).join(','),
  );
  rows.unshift(CSV_HEADERS.join(','));
  return rows.join('\n');
}

function toFlatJson(run) {
  const records = run.results.map((result) => ({
    auditRunId: run.id,
    auditReviewer: run.reviewer,
    auditStartedAt: run.startedAt,
    auditCompletedAt: run.completedAt,
    auditStatus: run.status,
    auditTotalSubmissions: run.totalSubmissions,
    auditAverageDeviation: run.averageDeviation,
    auditCriticalFlags: run.criticalFlags,
    id: result.id,
    submissionId: result.submissionId,
    userId: result.userId,
    userScore: result.userScore,
    aiScore: result.aiScore,
    deviation: result.deviation,
    deviationType: result.deviationType,
    suggestedAction: result.suggestedAction,
    actionTaken: result.actionTaken,
    taskTitle: result.taskTitle,
    skillArea: result.skillArea,
    taskDifficulty: result.taskDifficulty,
    timestamp: result.timestamp,
    reviewer: result.reviewer,
    notes: result.notes,
  }));
  return JSON.stringify(records, null, 2);
}

const FORMATS = {
  csv: { suffix: 'csv', write: toCsv },
  nested: { suffix: 'json', write: (run) => JSON.stringify(run, null, 2) },
  flat: { suffix: 'json', write: toFlatJson },
};

const [runFile, formatName, outputDir] = process.argv.slice(2);
const format = FORMATS[formatName];
const run = JSON.parse(readFileSync(runFile, 'utf8'));
const date = new Date().toISOString().split('T')[0];
mkdirSync(outputDir, { recursive: true });
const file = openSync(join(outputDir, `audit-run-${run.id}-${date}.${format.suffix}`), 'w');
writeFileSync(file, format.write(run), 'utf8');
writeSync(file, '\n');
closeSync(file);
