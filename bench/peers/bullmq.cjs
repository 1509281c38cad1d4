// BullMQ, one worker with a hundred jobs at a time; results are kept for ever, its default.
//
//   node bullmq.cjs worker
//   node bullmq.cjs enqueue one|bulk COUNT --group 100 --task noop --first 0
//   node bullmq.cjs latency COUNT RATE
//
// The last two are the command line of bench/produce.py. NODE_PATH says where the packages are.
const { Queue, Worker } = require('bullmq');
const { note } = require('./note.cjs');
const { noteRun, noteSent } = require('./runs.cjs');

const connection = { host: '127.0.0.1', port: Number(new URL(process.env.BENCH_REDIS_URL).port) };
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const seconds = () => Number(process.hrtime.bigint()) / 1e9;

async function run(job) {
  noteRun(job.data.n);
  if (job.name === 'wait') await sleep(20);
  return job.data.n;
}

async function enqueue(queue, way, count, { group = 100, task = 'noop', first = 0 }) {
  const began = seconds();
  for (let number = first; number < first + count; number += way === 'one' ? 1 : group) {
    if (way === 'one') {
      await queue.add(task, note(number));
    } else {
      const length = Math.min(group, first + count - number);
      await queue.addBulk(Array.from({ length }, (_, i) => ({ name: task, data: note(number + i) })));
    }
  }
  console.log(JSON.stringify({ jobs: count, seconds: seconds() - began }));
}

async function pace(queue, count, rate) {
  const began = seconds();
  for (let number = 0; number < count; number++) {
    const due = began + number / rate - seconds();
    if (due > 0) await sleep(due * 1000);
    noteSent(number);
    await queue.add('noop', note(number));
  }
}

function optionsOf(words) {
  const options = {};
  for (let i = 0; i < words.length; i += 2) {
    const name = words[i].replace('--', '');
    options[name] = name === 'task' ? words[i + 1] : Number(words[i + 1]);
  }
  return options;
}

async function main([command, ...words]) {
  if (command === 'worker') {
    new Worker('bench', run, { connection, concurrency: 100 });
    return;
  }
  const queue = new Queue('bench', { connection });
  await queue.waitUntilReady();
  if (command === 'enqueue') await enqueue(queue, words[0], Number(words[1]), optionsOf(words.slice(2)));
  else await pace(queue, Number(words[0]), Number(words[1]));
  await queue.close();
}

main(process.argv.slice(2));
