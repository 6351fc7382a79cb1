#!/usr/bin/python3
"""Sends the same command streams to Debian's redis-server and to ours, and compares the replies.

    differential_test.py SERVER [Differential.test_name ...]

The streams are in differential/*.txt, and made from seeds in differential/random_streams.py. Each
stream begins with empty servers and new connections. Ours runs them with one shard, with two, and
with two and every record thrown out of memory before each command, so that all of them also take
the way over another shard and over the disk. What may differ, and why, is in
differential/compare.py.

Read https://redis.io/docs for what a command is meant to do; what this test asks is whether a
client could tell the two servers apart.
"""

import os
import re
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from support.case import ServerCase, run  # noqa: E402
from support.resp import Closed, shown  # noqa: E402
from support.server import REDIS, Server, ServerDied  # noqa: E402
from differential import compare, random_streams, script, wire  # noqa: E402

DIFFERENCES_SHOWN = 40
SHOWN_BYTES = 300


class Session:
    """The connections of one stream to one server."""

    def __init__(self, server, protocol):
        self.server = server
        self.protocol = protocol
        self.clients = {}

    def ask(self, line):
        """(value, bytes) of the reply; ('closed', '') once the server has closed the connection."""
        if line.connection not in self.clients:
            self.clients[line.connection] = self.server.client(self.protocol)
        client = self.clients[line.connection]
        if client is None:
            return 'closed', b''
        try:
            return client.ask(*line.args), client.last_raw()
        except (Closed, ConnectionError):
            client.close()
            self.clients[line.connection] = None
            return 'closed', b''

    def close(self):
        for client in self.clients.values():
            if client is not None:
                client.close()


def run_stream(server, lines, protocol, before_each=None):
    session = Session(server, protocol)
    replies = []
    with server.client() as other:
        other.call('FLUSHALL')
        for line in lines:
            if before_each is not None:
                other.call(*before_each)
            replies.append(session.ask(line))
            if replies[-1][0] == 'closed' and not server.is_running():
                raise ServerDied(f'it ended with {server.wait()} on {shown(line.args)}')
    session.close()
    return replies


def short(data):
    return repr(data[:SHOWN_BYTES])[1:] + (
        f'... ({len(data)} bytes)' if len(data) > SHOWN_BYTES else ''
    )


class Differential(ServerCase):
    """Redis's replies are asked for once and kept; ours are compared with them, way by way."""

    redis = None
    theirs = {}
    known = compare.Known(compare.KNOWN)

    @classmethod
    def setUpClass(cls):
        cls.redis = Server(REDIS)

    @classmethod
    def tearDownClass(cls):
        cls.redis.close()

    def setUp(self):
        pass

    def tearDown(self):
        pass

    def redis_replies(self, name, lines, protocol):
        key = (name, protocol)
        if key not in self.theirs:
            self.theirs[key] = run_stream(self.redis, lines, protocol)
        return self.theirs[key]

    def compare_stream(self, server, name, lines, protocol, before_each):
        """The differences, as texts."""
        theirs = self.redis_replies(name, lines, protocol)
        found = []
        for line, their, our in zip(
            lines, theirs, run_stream(server, lines, protocol, before_each)
        ):
            if compare.same(line, their, our) or self.known.allows(line.args, their[1], our[1]):
                continue
            found.append(
                f'[{name}, RESP{protocol}] {shown(line.args)}\n'
                f'    redis {short(their[1])}\n'
                f'    ours  {short(our[1])}'
            )
        return found

    def compare_all(self, streams, options, before_each=None):
        found = []
        with Server(self.program, options) as server:
            for name, lines in streams.items():
                for protocol in (2, 3):
                    found += self.compare_stream(server, name, lines, protocol, before_each)
        if found:
            more = len(found) - DIFFERENCES_SHOWN
            text = '\n'.join(found[:DIFFERENCES_SHOWN])
            self.fail(
                f'{len(found)} replies differ:\n{text}' + (f'\nand {more} more' if more > 0 else '')
            )


COLD = ('DEBUG', 'EVICT')
WAYS = {
    'one_shard': ({'shards': 1}, None),
    'two_shards': ({'shards': 2}, None),
    'cold': ({'shards': 2}, COLD),
}


def load_streams():
    files = {}
    for name in sorted(os.listdir(os.path.join(HERE, 'differential'))):
        if name.endswith('.txt'):
            with open(os.path.join(HERE, 'differential', name), encoding='utf-8') as file:
                files[name[:-4]] = script.parse_file(file.read())
    files['random'] = random_streams.make()
    return files


def add_tests():
    for file, streams in load_streams().items():
        for way, (options, before_each) in WAYS.items():
            if file == 'server' and way == 'cold':
                continue  # it would find DEBUG EVICT in the slow log

            def test(self, streams=streams, options=options, before_each=before_each):
                self.compare_all(streams, options, before_each)

            setattr(Differential, f'test_{file}_{way}', test)


class Wire(ServerCase):
    """The same bytes to both: inline commands, broken requests, pipelines in one piece."""

    def setUp(self):
        pass

    def tearDown(self):
        pass

    def compare_bytes(self, options):
        found = []
        with Server(REDIS) as redis, Server(self.program, options) as ours:
            for name, data in wire.STREAMS.items():
                replies = []
                for server in (redis, ours):
                    server.call('FLUSHALL')
                    replies.append(wire.exchange(server, data))
                if replies[0] != replies[1] and not wire.may_differ(name, *replies):
                    found.append(
                        f'[{name}] {data[:200]!r}\n    redis {short(replies[0])}\n'
                        f'    ours  {short(replies[1])}'
                    )
        self.assertFalse(found, '\n' + '\n'.join(found))

    def test_one_shard(self):
        self.compare_bytes({'shards': 1})

    def test_two_shards(self):
        self.compare_bytes({'shards': 2})


class Monitor(ServerCase):
    """What MONITOR shows of another connection's commands."""

    STREAM = script.parse(
        '''
        SET k v
        get k
        GET "a\\x00b\\r\\n\\xff\\"\\\\"
        MSET a 1 b 2 c 3
        MGET a b c d
        SET k v EX 100000
        GETEX k PERSIST
        INCR k
        FOO bar
        GET
        AUTH secret
        AUTH user secret
        HELLO 2 AUTH default secret SETNAME me
        CONFIG GET maxmemory
        CONFIG SET requirepass ""
        SELECT 3
        SET k v
        DEBUG SLEEP 0
        SLOWLOG LEN
        CLIENT ID
        CLIENT LIST
        COMMAND COUNT
        PING
        DBSIZE
        KEYS *
        FLUSHDB
        RESET
        ECHO end
    '''
    )

    def setUp(self):
        pass

    def tearDown(self):
        pass

    def watch(self, program, options):
        lines = []
        with Server(program, options) as server, server.client() as watcher:
            watcher.call('MONITOR')
            with server.client() as client:
                for line in self.STREAM:
                    client.ask(*line.args)
            while not lines or not lines[-1].endswith(b'"end"'):
                line = re.sub(rb'^[\d.]+ \[(\d+) [^]]*\]', rb'[\1]', watcher.read())
                # Redis shows a command when it has run, we when it is about to.
                lines.append(re.sub(rb'^\[\d\] "(SELECT|RESET)', rb'"\1', line))
        return lines

    def test_one_shard(self):
        self.assertEqual(self.watch(REDIS, {}), self.watch(self.program, {'shards': 1}))

    def test_two_shards(self):
        self.assertEqual(self.watch(REDIS, {}), self.watch(self.program, {'shards': 2}))


class ZKnown(unittest.TestCase):
    """Runs last: a difference that is gone must leave the table."""

    def test_every_known_difference_was_met(self):
        if len(Differential.theirs) < 2 * sum(len(streams) for streams in load_streams().values()):
            self.skipTest('not all streams were run')
        if os.path.basename(ServerCase.program) == 'redis-server':
            self.skipTest('redis-server against itself')
        self.assertEqual([], Differential.known.unmet())


if __name__ == '__main__':
    add_tests()
    run()
