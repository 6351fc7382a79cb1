#!/usr/bin/python3
"""Pipelines over several shards: replies in order, own writes seen, and rude ends.

    pipeline_test.py SERVER [Pipeline.test_name ...]

Each client has keys of its own, spread over four shards, and a model of them. Pipelines are made at
random; the seed is printed, and ELOQSTORE_TEST_SEED=n repeats a run.
"""

import os
import random
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support.case import ServerCase, run  # noqa: E402
from support.model import NOT_INTEGER, Model  # noqa: E402
from support.resp import Closed  # noqa: E402

SEED = int(os.environ.get('ELOQSTORE_TEST_SEED', random.SystemRandom().randrange(1 << 32)))
ROUNDS = int(os.environ.get('ELOQSTORE_TEST_ROUNDS', '150'))
CLIENTS = 4
KEYS = 12
COMMANDS_MAX = 60
LINE = re.compile(rb'\d+\.\d{6} \[')


class Session(Model):
    """The model, with what a connection knows besides."""

    def do_ping(self, text):
        return text

    def do_incr(self, key):
        if len(self.state.get(key, (b'0', 0))[0]) > 18:
            return NOT_INTEGER
        return super().do_incr(key)

    def do_reset(self):
        self.current = 0
        return b'RESET'

    def do_monitor(self):
        return b'OK'

    def copy(self):
        return Session(self.databases, self.current)


class Player:
    """A client with its keys, its model, and random pipelines."""

    def __init__(self, server, number, seed):
        self.server = server
        self.number = number
        self.random = random.Random(seed)
        self.generation = 0
        self.begin()

    def begin(self):
        """With a new connection, and keys that nobody has used."""
        self.generation += 1
        prefix = b'%d:%d:' % (self.number, self.generation)
        self.keys = [prefix + b'%d' % i for i in range(KEYS)]
        self.client = self.server.client()
        self.id = self.client.call('CLIENT', 'ID')
        self.model = Session()

    def some(self, most):
        return self.random.sample(self.keys, self.random.randint(1, most))

    def command(self):
        pick = self.random
        key, other = pick.sample(self.keys, 2)
        value = b'%d' % pick.randrange(1000)
        return pick.choice((
            lambda: [b'GET', key],
            lambda: [b'GET', key],
            lambda: [b'MGET'] + self.some(5),
            lambda: [b'SET', key, value],
            lambda: [b'SET', key, value * 700],
            lambda: [b'MSET'] + [word for name in self.some(5) for word in (name, value)],
            lambda: [b'MSETNX', key, value, other, value],
            lambda: [b'DEL'] + self.some(3),
            lambda: [b'DEL', key],
            lambda: [b'INCR', key],
            lambda: [b'APPEND', key, b'7'],
            lambda: [b'GETDEL', key],
            lambda: [b'RENAME', key, other],
            lambda: [b'COPY', key, other, b'REPLACE'],
            lambda: [b'PING', value],
        ))()

    def pipeline(self):
        return [self.command() for _ in range(self.random.randint(1, COMMANDS_MAX))]

    def check(self, test, command, reply):
        test.assertEqual(reply, self.model.run(command), (self.number, command))

    def play(self, test):
        commands = self.pipeline()
        self.client.send_many(commands)
        for command in commands:
            self.check(test, command, self.client.read())

    def play_reset(self, test):
        """SELECT, MONITOR and RESET in the middle: no line comes behind RESET's reply."""
        select = [b'SELECT', self.random.randrange(2)]
        before = [select] + self.pipeline() + [[b'MONITOR']] + self.pipeline()
        after = self.pipeline()
        self.client.send_many(before + [[b'RESET']] + after)
        for command in before + [[b'RESET']]:
            reply = self.client.read()
            while isinstance(reply, bytes) and LINE.match(reply):
                reply = self.client.read()
            self.check(test, command, reply)
        for command in after:
            self.check(test, command, self.client.read())

    def play_quit(self, test):
        """What stands before QUIT is done and answered, what stands behind is not."""
        commands = self.pipeline()
        self.client.send_many(commands + [[b'QUIT']] + self.pipeline())
        for command in commands:
            self.check(test, command, self.client.read())
        test.assertEqual(self.client.read(), b'OK')
        test.assertTrue(self.client.at_end())
        self.client.close()
        self.client = self.server.client()
        self.id = self.client.call('CLIENT', 'ID')
        self.model.do_reset()
        test.assertEqual(self.state(), self.shown(self.model))

    def state(self):
        return self.client.call('MGET', *self.keys)

    def shown(self, model):
        return model.do_mget(*self.keys)

    def play_killed(self, test, killer):
        """Killed at any moment: all that was answered is there, and a prefix of the rest."""
        commands = self.pipeline()
        self.client.send_many(commands)
        killer.call('CLIENT', 'KILL', 'ID', self.id)
        answered = 0
        try:
            for command in commands:
                reply = self.client.read()
                self.check(test, command, reply)
                answered += 1
        except Closed:
            pass
        self.client.close()
        allowed = [self.shown(self.model)]
        for command in commands[answered:]:
            self.model.run(command)
            allowed.append(self.shown(self.model))
        self.client = self.server.client()
        # What was under way at another shard may still come.
        for _ in range(1000):
            state = self.state()
            if state in allowed:
                break
        test.assertIn(state, allowed, (self.number, commands))
        self.client.close()
        self.begin()


class Pipeline(ServerCase):
    options = {'shards': '4', 'partitions': '16'}

    def spread_keys(self, count=32):
        return [b'spread:%d' % i for i in range(count)]

    def test_random_pipelines_agree_with_a_model_whatever_happens_to_their_connections(self):
        print(f'ELOQSTORE_TEST_SEED={SEED}', file=sys.stderr)
        errors = []

        def body(number):
            try:
                player = Player(self.server, number, SEED * CLIENTS + number)
                with self.server.client() as other:
                    for _ in range(ROUNDS):
                        player.random.choice((
                            lambda: player.play(self),
                            lambda: player.play(self),
                            lambda: player.play(self),
                            lambda: player.play_reset(self),
                            lambda: player.play_quit(self),
                            lambda: player.play_killed(self, other),
                            lambda: other.call('DEBUG', 'EVICT'),
                            lambda: other.call('CLIENT', 'PAUSE', 3, 'WRITE'),
                            lambda: other.call('CLIENT', 'PAUSE', 3, 'ALL'),
                        ))()
                player.client.close()
            except BaseException as error:  # raised again below
                errors.append(error)

        threads = [threading.Thread(target=body, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def test_a_write_behind_reads_in_a_pipeline_is_paused(self):
        """Also if it would travel to its shard together with them."""
        keys = self.spread_keys()
        clients = [self.server.client() for _ in keys]
        self.client.call('CLIENT', 'PAUSE', 1000000, 'WRITE')
        self.addCleanup(self.server.call, 'CLIENT', 'UNPAUSE')
        for client, key in zip(clients, keys):
            client.send_many([[b'GET', key], [b'SET', key, b'x'], [b'GET', key]])
            self.assertIsNone(client.read())
        # The reads of the next pipeline come behind whatever the first one sent to other shards.
        self.assertEqual(self.client.call('MGET', *keys), [None] * len(keys))
        self.client.call('CLIENT', 'UNPAUSE')
        for client in clients:
            self.assertEqual([client.read(), client.read()], [b'OK', b'x'])
            client.close()

    def test_a_connection_that_kills_itself_gets_the_replies_so_far(self):
        keys = self.spread_keys()
        client = self.server.client()
        own = client.call('CLIENT', 'ID')
        kill = [b'CLIENT', b'KILL', b'ID', b'%d' % own, b'SKIPME', b'no']
        client.send_many([[b'SET', key, b'x'] for key in keys] + [[b'GET', key] for key in keys]
                         + [kill] + [[b'DEL', key] for key in keys])
        self.assertEqual([client.read() for _ in range(2 * len(keys))],
                         [b'OK'] * len(keys) + [b'x'] * len(keys))
        self.assertEqual(client.read(), 1)
        self.assertTrue(client.at_end())
        client.close()
        self.assertEqual(self.client.call('EXISTS', *keys), len(keys))


if __name__ == '__main__':
    run()
