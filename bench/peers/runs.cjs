// The same record as bench/runs.py: when (CLOCK_MONOTONIC, seconds), and the number of the job.
const fs = require('node:fs');

const handles = {};

function note(variable, number) {
  const path = process.env[variable];
  if (!path) return;
  handles[path] ??= fs.openSync(path, 'a', 0o600);
  const record = Buffer.allocUnsafe(16);
  record.writeDoubleLE(Number(process.hrtime.bigint()) / 1e9, 0);
  record.writeBigUInt64LE(BigInt(number), 8);
  fs.writeSync(handles[path], record);
}

exports.noteRun = (number) => note('BENCH_RUNS_FILE', number);
exports.noteSent = (number) => note('BENCH_SENT_FILE', number);
