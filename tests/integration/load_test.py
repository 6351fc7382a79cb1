#!/usr/bin/python3
"""The load that memtier_benchmark makes by default, with every value checked.

    load_test.py SERVER [Load.test_name ...]

memtier sends no command of its own before its load. That is one SET to ten GETs of keys drawn at
random, by many connections, each with so many requests under way as --pipeline says. Here a
connection sets only keys of its own, so that it knows their values; of another's key it may find
any value that was or came to be there while the request was under way.
"""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support.case import ServerCase, run  # noqa: E402

CONNECTIONS = 16
KEYS = 2000
GETS_PER_SET = 10
EVICT_EVERY = 10  # rounds


class Connection:
    """One connection: what it asks for in a round, and what it may get."""

    def __init__(self, client, number, rng):
        self.client = client
        self.number = number
        self.rng = rng
        self.sets = 0
        self.requests = 0

    def make(self, count, values, seen):
        """Sends the next requests. `values`: what all keys hold before the round, which its sets
        change; `seen`: key -> all that it holds in the course of the round."""
        self.commands = []
        self.exact = []
        for _ in range(count):
            self.requests += 1
            key = self.rng.randrange(KEYS)
            if self.requests % (GETS_PER_SET + 1) == 0:
                key -= key % CONNECTIONS - self.number
                self.sets += 1
                value = b'%02d:%029d' % (self.number, self.sets)
                values[key] = value
                seen.setdefault(key, []).append(value)
                self.commands.append(('SET', key, value))
            else:
                self.commands.append(('GET', key))
            self.exact.append(values.get(key))
        self.client.send_many(
            [(words[0], b'memtier-%d' % words[1]) + words[2:] for words in self.commands]
        )

    def check(self, test, before, seen):
        for words, exact in zip(self.commands, self.exact):
            reply = self.client.read()
            if words[0] == 'SET':
                test.assertEqual(b'OK', reply)
            elif words[1] % CONNECTIONS == self.number:
                test.assertEqual(exact, reply, words)
            else:
                test.assertIn(reply, [before.get(words[1])] + seen.get(words[1], []), words)


class Load(ServerCase):
    options = {'shards': 2}

    def load(self, pipeline, rounds, evict=False):
        clients = [self.server.client() for _ in range(CONNECTIONS)]
        connections = [
            Connection(client, i, random.Random(pipeline * 1000 + i))
            for i, client in enumerate(clients)
        ]
        values = {}
        for i in range(rounds):
            before, seen = dict(values), {}
            if evict and i % EVICT_EVERY == 0:
                self.client.call('DEBUG', 'EVICT')
            for connection in connections:
                connection.make(pipeline, values, seen)
            for connection in connections:
                connection.check(self, before, seen)
        for client in clients:
            client.close()
        self.assertEqual(len(values), self.client.call('DBSIZE'))
        for key, value in values.items():
            self.assertEqual(value, self.client.call('GET', b'memtier-%d' % key))

    def test_pipeline_1(self):
        self.load(1, 200)

    def test_pipeline_16(self):
        self.load(16, 50)

    def test_from_the_disk(self):
        self.load(1, 60, evict=True)
        self.client.call('FLUSHALL')
        self.load(16, 25, evict=True)


class LoadOfOneShard(Load):
    options = {'shards': 1}


if __name__ == '__main__':
    run()
