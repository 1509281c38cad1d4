// Express before BullMQ: the JSON body is read, its fields are looked at, and the answer waits for Redis.
const express = require('express');
const { Queue } = require('bullmq');

const connection = { host: '127.0.0.1', port: Number(new URL(process.env.BENCH_REDIS_URL).port) };
const queue = new Queue('bench', { connection });
const app = express();

const isNote = (body) =>
  Number.isInteger(body?.n) && ['to', 'subject', 'text'].every((field) => typeof body[field] === 'string');

app.post('/jobs', express.json(), async (request, response) => {
  if (!isNote(request.body)) return response.status(422).json({ error: 'not a note' });
  const job = await queue.add('noop', request.body);
  return response.status(202).json({ id: job.id });
});

queue.waitUntilReady().then(() => app.listen(Number(process.env.PORT), '127.0.0.1'));
