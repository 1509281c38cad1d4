// Fastify before BullMQ: the body is checked against a JSON schema, and the answer waits for Redis.
const fastify = require('fastify');
const { Queue } = require('bullmq');

const connection = { host: '127.0.0.1', port: Number(new URL(process.env.BENCH_REDIS_URL).port) };
const queue = new Queue('bench', { connection });
const app = fastify();
const text = { type: 'string' };
const schema = {
  body: {
    type: 'object',
    required: ['n', 'to', 'subject', 'text'],
    properties: { n: { type: 'integer' }, to: text, subject: text, text },
  },
  response: { 202: { type: 'object', properties: { id: text } } },
};

app.post('/jobs', { schema }, async (request, reply) => {
  const job = await queue.add('noop', request.body);
  reply.code(202);
  return { id: job.id };
});

queue.waitUntilReady().then(() => app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' }));
