#!/usr/bin/python3
"""python3-redis, as Debian has it, works with the server.

    clients_test.py SERVER [Python.test_name ...]

Node's libraries are tested by clients_node_test.py.
"""

import datetime
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

import redis  # noqa: E402
from support.case import ServerCase, run  # noqa: E402


class Python(ServerCase):
    options = {'shards': 2}

    def setUp(self):
        super().setUp()
        self.redis = redis.Redis(port=self.server.port)

    def tearDown(self):
        self.redis.close()
        super().tearDown()

    def test_strings(self):
        r = self.redis
        self.assertTrue(r.set('k', 'v'))
        self.assertEqual(b'v', r.get('k'))
        self.assertIsNone(r.set('k', 'w', nx=True))
        self.assertEqual(b'v', r.set('k', 'w', xx=True, get=True))
        self.assertTrue(r.set('k', b'\x00\xff', ex=datetime.timedelta(hours=1)))
        self.assertEqual(b'\x00\xff', r['k'])
        self.assertEqual(b'\x00\xff', r.getex('k', persist=True))
        self.assertEqual(-1, r.ttl('k'))
        self.assertEqual(b'\x00\xff', r.getdel('k'))
        self.assertTrue(r.mset({'a': 1, 'b': 2, 'c': 3}))
        self.assertFalse(r.msetnx({'c': 4, 'd': 5}))
        self.assertEqual([b'1', b'2', b'3', None], r.mget('a', 'b', 'c', 'd'))
        self.assertEqual(11, r.incr('a', 10))
        self.assertEqual(10, r.decr('a'))
        self.assertEqual(10.5, r.incrbyfloat('a', 0.5))
        self.assertEqual(6, r.append('b', 'hello'))
        self.assertEqual(b'ell', r.getrange('b', 2, 4))
        self.assertEqual(9, r.setrange('b', 5, 'worl'))
        self.assertEqual(9, r.strlen('b'))
        self.assertEqual(b'2hellworl', r.getset('b', 'new'))
        self.assertTrue(r.setex('e', 100, 'v') and r.psetex('f', 100000, 'v') and r.setnx('g', 'v'))

    def test_keys_and_expiry(self):
        r = self.redis
        r.mset({'a': 1, 'b': 2})
        self.assertEqual(2, r.exists('a', 'b', 'c'))
        self.assertTrue(r.expire('a', 1000) and r.pexpire('b', 1000000))
        self.assertIn(r.ttl('a'), range(1, 1001))
        self.assertIn(r.pttl('b'), range(1, 1000001))
        when = datetime.datetime.now() + datetime.timedelta(days=2)
        self.assertTrue(r.expireat('a', when) and r.pexpireat('b', when))
        self.assertTrue(r.persist('a'))
        self.assertTrue(r.rename('a', 'c'))
        self.assertFalse(r.renamenx('b', 'c'))
        self.assertTrue(r.copy('b', 'd') and r.copy('b', 'a', destination_db=1))
        self.assertEqual(b'string', r.type('c'))
        self.assertEqual(2, r.touch('b', 'c'))
        self.assertEqual(2, r.delete('b', 'c'))
        self.assertEqual(1, r.unlink('d'))
        self.assertIsNone(r.randomkey())
        self.assertTrue(r.swapdb(0, 1))
        self.assertEqual([b'a'], r.keys())
        self.assertEqual(1, r.dbsize())
        self.assertTrue(r.flushdb(asynchronous=True) and r.flushall())

    def test_scan(self):
        r = self.redis
        r.mset({f'user:{i}': i for i in range(500)})
        r.mset({f'other:{i}': i for i in range(500)})
        self.assertEqual(1000, len(list(r.scan_iter())))
        self.assertEqual(
            {b'user:%d' % i for i in range(500)},
            set(r.scan_iter(match='user:*', count=100, _type='string')),
        )

    def test_decoded_replies(self):
        with redis.Redis(port=self.server.port, decode_responses=True, db=3) as r:
            r.set('ключ', 'значение')
            self.assertEqual('значение', r.get('ключ'))
            self.assertEqual(['ключ'], r.keys())

    def test_pipelines(self):
        pipeline = self.redis.pipeline(transaction=False)
        for i in range(2000):
            pipeline.set(f'k{i}', i).get(f'k{i}').incr(f'k{i}')
        replies = pipeline.execute()
        self.assertEqual([True, b'7', 8], replies[21:24])
        self.assertEqual(6000, len(replies))
        pipeline.set('s', 'x').incr('s').get('s')
        replies = pipeline.execute(raise_on_error=False)
        self.assertIsInstance(replies[1], redis.ResponseError)
        self.assertEqual(b'x', replies[2])

    def test_errors(self):
        self.redis.set('s', 'x')
        with self.assertRaisesRegex(redis.ResponseError, 'not an integer'):
            self.redis.incr('s')
        with self.assertRaisesRegex(redis.ResponseError, 'unknown command'):
            self.redis.execute_command('NOSUCH', 'a')
        self.assertTrue(self.redis.ping())

    def test_what_is_asked_about_the_server(self):
        r = self.redis
        info = r.info()
        self.assertEqual('7.2.5', info['redis_version'])
        self.assertEqual('standalone', info['redis_mode'])
        self.assertEqual('master', r.info('replication')['role'])
        self.assertEqual(0, info['loading'])
        self.assertEqual('noeviction', info['maxmemory_policy'])
        r.set('k', 'v')
        self.assertEqual(1, r.info('keyspace')['db0']['keys'])
        self.assertGreater(r.info('stats')['total_commands_processed'], 0)
        self.assertIn('maxmemory', r.config_get('max*'))
        self.assertTrue(r.config_set('slowlog-max-len', 100))
        self.assertTrue(r.config_resetstat())
        self.assertIsInstance(r.lastsave(), datetime.datetime)
        self.assertEqual(2, len(r.time()))
        self.assertGreater(r.memory_usage('k'), 0)
        self.assertEqual(b'embstr', r.object('encoding', 'k'))
        self.assertGreater(r.command_count(), 50)
        self.assertEqual(2, r.command()['get']['arity'])
        self.assertEqual(['a', 'b'], r.command_getkeys('MSET', 'a', 1, 'b', 2))
        self.assertTrue(r.save() and r.bgsave())
        self.assertIsInstance(r.slowlog_get(), list)
        self.assertTrue(r.slowlog_reset())

    def test_clients(self):
        r = self.redis
        with r.client() as one:
            one.client_setname('worker')
            self.assertEqual('worker', one.client_getname())
            mine = one.client_id()
            self.assertIn(str(mine), [entry['id'] for entry in r.client_list()])
            self.assertEqual(
                ['worker'], [entry['name'] for entry in r.client_list(client_id=[str(mine)])]
            )
            self.assertEqual('worker', one.client_info()['name'])
            self.assertEqual(1, r.client_kill_filter(_id=mine))
            with self.assertRaises(redis.ConnectionError):
                one.ping()
        self.assertTrue(r.client_pause(1) and r.client_unpause())
        self.assertEqual(0, r.client_unblock(mine))

    def test_monitor(self):
        with self.redis.monitor() as monitor:
            self.redis.set('k', 'v')
            seen = monitor.next_command()
            while seen['command'] != 'SET k v':
                seen = monitor.next_command()
            self.assertEqual(0, seen['db'])

    def test_password(self):
        self.redis.config_set('requirepass', 'secret')
        try:
            with self.assertRaises(redis.AuthenticationError):
                redis.Redis(port=self.server.port).ping()
            with self.assertRaisesRegex(redis.ResponseError, 'WRONGPASS'):
                redis.Redis(port=self.server.port, password='wrong').ping()
            for user in (None, 'default'):
                with redis.Redis(port=self.server.port, username=user, password='secret') as r:
                    self.assertTrue(r.ping())
        finally:
            self.redis.config_set('requirepass', '')

    def test_many_threads_share_a_pool(self):
        errors = []

        def work(number):
            try:
                for i in range(100):
                    self.redis.set(f'{number}:{i}', i)
                    assert self.redis.get(f'{number}:{i}') == b'%d' % i
                    self.redis.incr('total')
            except Exception as error:  # shown below
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], errors)
        self.assertEqual(b'1600', self.redis.get('total'))

    def test_connections_outlive_a_restart(self):
        with redis.Redis(port=self.server.port, retry_on_timeout=True) as r:
            r.set('k', 'v')
        self.client.close()
        self.server.restart()
        self.client = self.server.client()
        self.redis = redis.Redis(port=self.server.port)
        self.assertEqual(b'v', self.redis.get('k'))


class UnixSocket(ServerCase):
    options = {'shards': 2, 'unixsocket': 'socket'}

    def test_a_client_over_the_socket(self):
        path = os.path.join(self.server.directory, 'socket')
        with redis.Redis(unix_socket_path=path) as r:
            self.assertTrue(r.set('k', 'v'))
            self.assertEqual(b'v', r.get('k'))
            self.assertEqual(1000, len(r.echo('x' * 1000)))


if __name__ == '__main__':
    run()
