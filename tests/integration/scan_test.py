#!/usr/bin/python3
"""SCAN returns every key that was there from its start to its end, whatever happens meanwhile.

    scan_test.py SERVER [Scan.test_name ...]

Also: cursors that are not known any more, prefixes, KEYS, RANDOMKEY, and DBSIZE, which is exact.
"""

import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support.case import ServerCase, run  # noqa: E402
from support.resp import Error, encode  # noqa: E402

STAYING = 20000
BATCH = 500
WAIT_S = 120  # a limit for hangs, not an expectation


def fill(client, names, value=b'v'):
    names = list(names)
    for start in range(0, len(names), BATCH):
        client.call_many([('SET', name, value) for name in names[start : start + BATCH]])


def scan(client, *options):
    """All names of a whole SCAN, with repetitions, and the number of calls."""
    cursor, names, calls = b'0', [], 0
    while True:
        cursor, some = client.call('SCAN', cursor, *options)
        names += some
        calls += 1
        if cursor == b'0':
            return names, calls


class Disturber(threading.Thread):
    """Calls step(client, chance) again and again on a connection of its own until it is stopped."""

    def __init__(self, server, seed, step):
        super().__init__()
        self.client = server.client()
        self.chance = random.Random(seed)
        self.step = step
        self.stopping = threading.Event()
        self.steps = 0
        self.error = None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step(self.client, self.chance)
                self.steps += 1
        except Exception as error:  # shown by the test
            self.error = error

    def stop(self):
        self.stopping.set()
        self.join()
        self.client.close()
        if self.error is not None:
            raise self.error


def overwrite(client, chance):
    """Values of other lengths, so that leaves split and shrink."""
    some = [b'stay:%d' % chance.randrange(STAYING) for _ in range(100)]
    client.call_many([('SET', name, b'x' * chance.choice((1, 50, 500))) for name in some])


def come_and_go(client, chance):
    some = [b'go:%d' % chance.randrange(STAYING) for _ in range(100)]
    client.call_many([('SET', name, b'y' * 100) for name in some])
    client.call_many([('DEL', name) for name in some[:80]])


def checkpoint(client, chance):
    client.call('DEBUG', chance.choice(('CHECKPOINT', 'EVICT')))


class Scan(ServerCase):
    options = {'shards': 2}

    # ----- completeness -----

    def check_whole(self, names, *options):
        found, _ = scan(self.client, *options)
        missing = set(names) - set(found)
        self.assertFalse(missing, f'{len(missing)} names are missing, as {sorted(missing)[:5]}')
        return found

    def test_all_keys_once_when_nothing_changes(self):
        names = {b'key:%d' % i for i in range(5000)} | {b'', b'a\x00b', b'\xff' * 300}
        fill(self.client, names)
        for count in (1, 7, 10, 1000, 100000):
            found = self.check_whole(names, 'COUNT', count)
            self.assertEqual(sorted(names), sorted(found), f'COUNT {count}')

    def test_all_keys_once_from_disk(self):
        names = {b'key:%d' % i for i in range(5000)}
        fill(self.client, names)
        self.client.call('DEBUG', 'EVICT')
        self.assertEqual(sorted(names), sorted(scan(self.client, 'COUNT', 100)[0]))

    def test_all_keys_once_partly_from_disk(self):
        names = {b'key:%d' % i for i in range(5000)}
        fill(self.client, names)
        self.client.call('DEBUG', 'EVICT')
        gone = {b'key:%d' % i for i in range(0, 5000, 3)}
        self.client.call_many([('DEL', name) for name in gone])
        fill(self.client, (b'key:%d' % i for i in range(1, 5000, 3)), b'new')
        fill(self.client, (b'new:%d' % i for i in range(1000)))
        expected = (names - gone) | {b'new:%d' % i for i in range(1000)}
        self.assertEqual(sorted(expected), sorted(scan(self.client, 'COUNT', 100)[0]))

    def test_complete_while_all_changes(self):
        staying = [b'stay:%d' % i for i in range(STAYING)]
        fill(self.client, staying)
        known = set(staying) | {b'go:%d' % i for i in range(STAYING)}
        disturbers = [
            Disturber(self.server, seed, step)
            for seed, step in enumerate((overwrite, come_and_go, checkpoint))
        ]
        for disturber in disturbers:
            disturber.start()
        try:
            for count in (10, 100, 1000):
                found = self.check_whole(staying, 'COUNT', count)
                self.assertFalse(set(found) - known)
                found = self.check_whole(staying, 'MATCH', 'stay:*', 'COUNT', count)
                self.assertFalse(set(found) - set(staying))
        finally:
            for disturber in disturbers:
                disturber.stop()
        for disturber in disturbers:
            self.assertGreater(disturber.steps, 0)

    def test_many_scans_at_once(self):
        names = [b'key:%d' % i for i in range(2000)]
        fill(self.client, names)
        cursors = {i: b'0' for i in range(20)}
        found = {i: set() for i in cursors}
        while cursors:
            for i in list(cursors):
                cursor, some = self.client.call('SCAN', cursors[i], 'COUNT', 50 + i)
                found[i] |= set(some)
                cursors[i] = cursor
                if cursor == b'0':
                    del cursors[i]
        for i, some in found.items():
            self.assertEqual(set(names), some, f'scan {i}')

    # ----- options -----

    def test_match_and_type(self):
        fill(
            self.client,
            [b'user:%d' % i for i in range(300)] + [b'other:%d' % i for i in range(300)],
        )
        found, _ = scan(self.client, 'MATCH', 'user:*', 'COUNT', 50)
        # A name may come twice: a checkpoint may move it in between.
        self.assertEqual({b'user:%d' % i for i in range(300)}, set(found))
        found, _ = scan(self.client, 'MATCH', '*:1?', 'COUNT', 50)
        self.assertEqual(20, len(set(found)))
        self.assertEqual(600, len(set(scan(self.client, 'TYPE', 'string')[0])))
        self.assertEqual([], scan(self.client, 'TYPE', 'hash')[0])

    def test_a_prefix_is_sought(self):
        """With 64 partitions, 10 keys a call, a walk over all would take thousands of calls."""
        fill(self.client, [b'other:%d' % i for i in range(20000)])
        self.client.call('DEBUG', 'EVICT')
        fill(self.client, [b'user:%d' % i for i in range(20)])
        self.client.call('DEBUG', 'EVICT')
        found, calls = scan(self.client, 'MATCH', 'user:*')
        self.assertEqual(20, len(found))
        self.assertLess(calls, 200)

    def test_cursors_are_decimal_below_2_to_the_53(self):
        """node-redis 4 keeps them as doubles."""
        fill(self.client, [b'key:%d' % i for i in range(500)])
        cursor = b'0'
        while True:
            cursor, _ = self.client.call('SCAN', cursor)
            self.assertTrue(cursor.isdigit() and int(cursor) < 2**53, cursor)
            self.assertEqual(str(int(cursor)).encode(), cursor)
            if cursor == b'0':
                break

    # ----- cursors that are not known -----

    def refused(self, cursor):
        reply = self.client.ask('SCAN', cursor)
        self.assertIsInstance(reply, Error, f'SCAN {cursor}')
        self.assertIn('cursor', str(reply))

    def test_cursors_that_never_were(self):
        fill(self.client, [b'key:%d' % i for i in range(100)])
        for cursor in (1, 17, 2**32, 2**63, 2**64 - 1, 2**64, -1, 'x', ''):
            self.refused(cursor)

    def test_a_cursor_of_flushed_contents(self):
        fill(self.client, [b'key:%d' % i for i in range(1000)])
        cursor, _ = self.client.call('SCAN', 0)
        self.client.call('FLUSHALL')
        self.refused(cursor)

    def test_a_cursor_of_another_database(self):
        fill(self.client, [b'key:%d' % i for i in range(1000)])
        cursor, _ = self.client.call('SCAN', 0)
        self.client.call('SELECT', 1)
        self.refused(cursor)

    def test_a_cursor_from_before_a_restart(self):
        fill(self.client, [b'key:%d' % i for i in range(1000)])
        cursor, _ = self.client.call('SCAN', 0)
        self.client.close()
        self.server.restart()
        self.client = self.server.client()
        self.refused(cursor)
        self.assertEqual(1000, len(set(scan(self.client)[0])))

    # ----- KEYS and RANDOMKEY -----

    def test_keys(self):
        names = {b'key:%d' % i for i in range(3000)}
        fill(self.client, names)
        self.client.call('DEBUG', 'EVICT')
        fill(self.client, [b'key:%d' % i for i in range(0, 3000, 2)], b'w')
        self.assertEqual(sorted(names), sorted(self.client.call('KEYS', '*')))
        self.assertEqual(
            sorted(name for name in names if name.startswith(b'key:29')),
            sorted(self.client.call('KEYS', 'key:29*')),
        )

    def test_randomkey_finds_every_key(self):
        names = {b'key:%d' % i for i in range(20)}
        fill(self.client, names)
        for way in ('in memory', 'on disk'):
            found = {self.client.call('RANDOMKEY') for _ in range(2000)}
            self.assertEqual(names, found, way)
            self.client.call('DEBUG', 'EVICT')
        self.client.call('DEL', *names)
        self.assertIsNone(self.client.call('RANDOMKEY'))

    # ----- DBSIZE -----

    def change_by_chance(self, chance, model):
        commands = []
        for _ in range(200):
            name = b'key:%d' % chance.randrange(800)
            kind = chance.random()
            if kind < 0.5:
                commands.append(('SET', name, b'v' * chance.choice((1, 100, 5000))))
                model.add(name)
            elif kind < 0.8:
                commands.append(('DEL', name))
                model.discard(name)
            elif kind < 0.9:
                commands.append(('SET', name, 'v', 'PXAT', 1))
                model.discard(name)
            else:
                other = b'key:%d' % chance.randrange(800)
                commands.append(('MSET', name, 1, other, 2))
                model |= {name, other}
        self.client.call_many(commands)

    def test_dbsize_is_exact(self):
        chance, model = random.Random(1), set()
        for step in range(60):
            self.change_by_chance(chance, model)
            if step % 3 == 1:
                self.client.call('DEBUG', chance.choice(('CHECKPOINT', 'EVICT')))
            self.assertEqual(len(model), self.client.call('DBSIZE'), f'step {step}')
        self.assertEqual(sorted(model), sorted(self.client.call('KEYS', '*')))
        self.client.close()
        self.server.restart()
        self.client = self.server.client()
        self.assertEqual(len(model), self.client.call('DBSIZE'))

    def test_what_has_expired_leaves_dbsize_by_itself(self):
        fill(self.client, [b'key:%d' % i for i in range(100)])
        self.client.call_many([('PEXPIRE', b'key:%d' % i, 1) for i in range(0, 100, 2)])
        self.client.call('DEBUG', 'SLEEP', '0.05')
        self.assertEqual(50, len(self.client.call('KEYS', '*')))
        until = time.monotonic() + WAIT_S
        while self.client.call('DBSIZE') != 50:
            self.assertLess(time.monotonic(), until, self.client.call('DBSIZE'))
            time.sleep(0.05)

    def test_dbsize_without_what_has_expired_and_was_met(self):
        fill(self.client, [b'key:%d' % i for i in range(100)])
        self.client.call_many([('PEXPIRE', b'key:%d' % i, 1) for i in range(0, 100, 2)])
        self.client.call('DEBUG', 'EVICT')
        self.client.call('DEBUG', 'SLEEP', '0.05')
        self.assertEqual(50, self.client.call('EXISTS', *[b'key:%d' % i for i in range(100)]))
        self.assertEqual(50, self.client.call('DBSIZE'))

    def test_each_database_counts_its_own(self):
        for database in range(16):
            self.client.call('SELECT', database)
            fill(self.client, [b'key:%d' % i for i in range(database)])
        for database in range(16):
            self.client.call('SELECT', database)
            self.assertEqual(database, self.client.call('DBSIZE'))
            self.assertEqual(database, len(set(scan(self.client)[0])))


class ScanUnderPipelines(ServerCase):
    """Writers do not wait for replies here: SCAN has to get its turn between them."""

    options = {'shards': 2}

    def test_complete(self):
        staying = [b'stay:%d' % i for i in range(5000)]
        fill(self.client, staying)
        chance = random.Random(2)
        writers = [self.server.client() for _ in range(4)]
        found, cursor = set(), b'0'
        for _ in range(100000):
            for writer in writers:
                some = [b'more:%d' % chance.randrange(5000) for _ in range(20)]
                writer.send_raw(b''.join(encode('SET', name, b'z' * 200) for name in some))
            cursor, names = self.client.call('SCAN', cursor, 'COUNT', 100)
            found |= set(names)
            for writer in writers:
                for _ in range(20):
                    self.assertEqual(b'OK', writer.read())
            if cursor == b'0':
                break
        for writer in writers:
            writer.close()
        self.assertEqual(b'0', cursor)
        self.assertFalse(set(staying) - found)


if __name__ == '__main__':
    run()
