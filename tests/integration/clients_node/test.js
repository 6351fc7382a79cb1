// Node's libraries against a server: test.js PORT DIRECTORY-OF-NODE_MODULES
// The newest ones open with HELLO 3, the ones before them with RESP2. Prints what failed; exits with 1 then.
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { createRequire } = require('node:module');

const port = Number(process.argv[2]);
const load = createRequire(path.join(path.resolve(process.argv[3]), 'index.js'));

const range = (count) => Array.from({ length: count }, (_, i) => i);

// ----- ioredis: methods in lower case, options as words -----

async function withIoredis(Redis, options, body) {
  const client = new Redis({ port, host: '127.0.0.1', maxRetriesPerRequest: 2, ...options });
  client.on('error', () => {});
  try {
    await body(client);
  } finally {
    client.disconnect();
  }
}

function ioredisTests(Redis) {
  const use = (body, options) => () => withIoredis(Redis, options, body);
  return {
    'strings': use(async (c) => {
      assert.equal(await c.set('k', 'v'), 'OK');
      assert.equal(await c.get('k'), 'v');
      assert.equal(await c.set('k', 'w', 'EX', 1000, 'NX'), null);
      assert.equal(await c.set('k', 'w', 'PX', 100000, 'XX', 'GET'), 'v');
      assert.ok(await c.ttl('k') > 0);
      assert.equal(await c.get('missing'), null);
      assert.equal(await c.mset({ a: 1, b: 2 }), 'OK');
      assert.deepEqual(await c.mget('a', 'b', 'c'), ['1', '2', null]);
      assert.equal(await c.incrby('a', 41), 42);
      assert.equal(Number(await c.incrbyfloat('b', 0.5)), 2.5);
      assert.equal(await c.append('k', 'xyz'), 4);
      assert.equal(await c.getrange('k', 1, 2), 'xy');
      assert.equal(await c.del('k', 'a', 'b', 'c'), 3);
    }),
    'binary keys and values': use(async (c) => {
      const key = Buffer.from([0, 255, 13, 10]);
      const value = Buffer.alloc(100000, 0xfe);
      await c.set(key, value);
      assert.ok(value.equals(await c.getBuffer(key)));
    }),
    'a pipeline': use(async (c) => {
      const pipeline = c.pipeline();
      range(1000).forEach((i) => pipeline.set(`k${i}`, i).get(`k${i}`));
      const replies = await pipeline.exec();
      assert.equal(replies.length, 2000);
      assert.deepEqual(replies[2 * 77 + 1], [null, '77']);
    }),
    'automatic pipelines': use(async (c) => {
      await Promise.all(range(1000).map((i) => c.set(`k${i}`, i)));
      const values = await Promise.all(range(1000).map((i) => c.get(`k${i}`)));
      assert.deepEqual(values, range(1000).map(String));
    }, { enableAutoPipelining: true }),
    'a scan stream': use(async (c) => {
      await c.mset(Object.fromEntries(range(500).map((i) => [`user:${i}`, i])));
      const found = new Set();
      for await (const keys of c.scanStream({ match: 'user:*', count: 50 })) {
        keys.forEach((key) => found.add(key));
      }
      assert.equal(found.size, 500);
    }),
    'errors': use(async (c) => {
      await c.set('s', 'x');
      await assert.rejects(c.incr('s'), /not an integer/);
      await assert.rejects(c.call('NOSUCH'), /unknown command/);
      assert.equal(await c.ping(), 'PONG');
    }),
    'the server and its clients': use(async (c) => {
      assert.match(await c.info(), /redis_version:\d/);
      assert.equal((await c.config('GET', 'maxclients')).length ?? 2, 2);
      await c.client('SETNAME', 'me');
      assert.equal(await c.client('GETNAME'), 'me');
      assert.match(await c.client('LIST'), /name=me/);
      assert.ok(await c.command('COUNT') > 50);
    }, { connectionName: 'named' }),
    'another database': use(async (c) => {
      await c.set('k', 'three');
      await c.select(0);
      assert.equal(await c.get('k'), null);
    }, { db: 3 }),
    'a monitor': use(async (c) => {
      const monitor = await c.monitor();
      const seen = new Promise((resolve) => monitor.on('monitor', (time, args) => {
        if (args[1] === 'watched') resolve(args);
      }));
      await c.set('watched', 'v');
      assert.equal((await seen)[2], 'v');
      monitor.disconnect();
    }),
    'connecting again after a kill': use(async (c) => {
      await c.set('k', 'v');
      await c.client('KILL', 'SKIPME', 'no', 'ID', await c.client('ID')).catch(() => {});
      assert.equal(await c.get('k'), 'v');
    }),
  };
}

// ----- node-redis: methods in camel case, options as objects -----

async function withNodeRedis(library, options, body) {
  const client = library.createClient({ socket: { port, host: '127.0.0.1' }, ...options });
  client.on('error', () => {});
  await client.connect();
  try {
    await body(client);
  } finally {
    await (client.close ? client.close() : client.quit());
  }
}

function nodeRedisTests(library) {
  const use = (body, options) => () => withNodeRedis(library, options, body);
  return {
    'strings': use(async (c) => {
      assert.equal(await c.set('k', 'v'), 'OK');
      assert.equal(await c.get('k'), 'v');
      assert.equal(await c.set('k', 'w', { NX: true }), null);
      assert.equal(await c.set('k', 'w', { XX: true, GET: true, EX: 1000 }), 'v');
      assert.ok(await c.ttl('k') > 0);
      assert.equal(await c.get('missing'), null);
      assert.equal(await c.mSet({ a: '1', b: '2' }), 'OK');
      assert.deepEqual(await c.mGet(['a', 'b', 'c']), ['1', '2', null]);
      assert.equal(await c.incrBy('a', 41), 42);
      assert.equal(Number(await c.incrByFloat('b', 0.5)), 2.5);
      assert.equal(await c.append('k', 'xyz'), 4);
      assert.equal(await c.getRange('k', 1, 2), 'xy');
      assert.equal(Boolean(await c.copy('k', 'l')), true);
      assert.equal(Boolean(await c.expire('l', 1000)), true);
      assert.equal(await c.del(['k', 'l', 'a', 'b']), 4);
    }),
    'many at once': use(async (c) => {
      await Promise.all(range(2000).map((i) => c.set(`k${i}`, `${i}`)));
      const values = await Promise.all(range(2000).map((i) => c.get(`k${i}`)));
      assert.deepEqual(values, range(2000).map(String));
      assert.equal(await c.dbSize(), 2000);
    }),
    'a scan': use(async (c) => {
      await c.mSet(Object.fromEntries(range(500).map((i) => [`user:${i}`, `${i}`])));
      const found = new Set();
      for await (const keys of c.scanIterator({ MATCH: 'user:*', COUNT: 50 })) {
        [].concat(keys).forEach((key) => found.add(key));
      }
      assert.equal(found.size, 500);
    }),
    'errors': use(async (c) => {
      await c.set('s', 'x');
      await assert.rejects(c.incr('s'), /not an integer/);
      await assert.rejects(c.sendCommand(['NOSUCH']), /unknown command/);
      assert.equal(await c.ping(), 'PONG');
    }),
    'the server and its clients': use(async (c) => {
      assert.match(await c.info(), /redis_version:\d/);
      assert.equal(Object.keys(await c.configGet('maxclients')).length, 1);
      assert.equal(await c.clientGetName(), 'named');
      assert.ok(await c.clientId() > 0);
      assert.ok(await c.commandCount() > 50);
    }, { name: 'named' }),
    'another database': use(async (c) => {
      await c.set('k', 'three');
      await c.select(0);
      assert.equal(await c.get('k'), null);
    }, { database: 3 }),
  };
}

// ----- running -----

async function main() {
  const suites = {
    'ioredis 6': ioredisTests(load('ioredis')),
    'ioredis 5': ioredisTests(load('ioredis5')),
    'node-redis 6': nodeRedisTests(load('redis')),
    'node-redis 4': nodeRedisTests(load('redis4')),
  };
  let failed = 0;
  for (const [library, tests] of Object.entries(suites)) {
    for (const [name, test] of Object.entries(tests)) {
      await withIoredis(load('ioredis5'), {}, (c) => c.flushall());
      try {
        await test();
        console.log(`ok      ${library}: ${name}`);
      } catch (error) {
        failed++;
        console.log(`FAILED  ${library}: ${name}\n${error.stack}`);
      }
    }
  }
  process.exit(failed > 0 ? 1 : 0);
}

main();
