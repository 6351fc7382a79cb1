#!/usr/bin/python3
"""A command over several keys is one change for everybody, also when its keys are on two shards.

    atomic_test.py SERVER [Atomic.test_name ...]

Writers set groups of keys by one MSET, always to one value; readers must never see two in a group.
"""

import binascii
import os
import random
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support.case import ServerCase, run  # noqa: E402

# Over both shards: names that differ in their last digit alone mostly are on one.
GROUP = [b'key:%d' % i for i in (0, 8, 1, 9, 2, 18, 3, 19)]
ROUNDS = int(os.environ.get('ELOQSTORE_TEST_ROUNDS', '6000'))
PIPELINE = 8


class Worker(threading.Thread):
    """Runs body(client) on a connection of its own; what it raises is raised again by join()."""

    def __init__(self, server, body):
        super().__init__()
        self.client = server.client()
        self.body = body
        self.error = None

    def run(self):
        try:
            self.body(self.client)
        except BaseException as error:  # shown by the test
            self.error = error

    def join(self, timeout=None):
        super().join(timeout)
        self.client.close()
        if self.error is not None:
            raise self.error


class Atomic(ServerCase):
    options = {'shards': 2}

    def race(self, writers, readers):
        """Runs the writers to their end, and the readers until then; each reader at least once."""
        over = threading.Event()

        def repeat(read):
            def body(client):
                while True:
                    last = over.is_set()
                    read(client)
                    if last:
                        return
            return body

        writing = [Worker(self.server, body) for body in writers]
        reading = [Worker(self.server, repeat(body)) for body in readers]
        for worker in reading + writing:
            worker.start()
        try:
            for worker in writing:
                worker.join()
        finally:
            over.set()
            for worker in reading:
                worker.join()

    def msets(self, who, keys=GROUP):
        def body(client):
            for start in range(0, ROUNDS, PIPELINE):
                commands = []
                for i in range(start, start + PIPELINE):
                    value = b'%d:%d' % (who, i)
                    commands.append(['MSET'] + [word for key in keys for word in (key, value)])
                self.assertEqual([b'OK'] * PIPELINE, client.call_many(commands))
        return body

    def reads_one_value(self, keys=GROUP):
        def body(client):
            for values in client.call_many([['MGET'] + keys] * PIPELINE):
                self.assertEqual(1, len(set(values)), f'MGET saw {values}')
        return body

    def evicts(self, client):
        client.call('DEBUG', 'EVICT')

    def test_the_group_lies_on_both_shards(self):
        """Else the others would test little: key -> slot -> one of 64 partitions -> shard."""
        partitions = [binascii.crc_hqx(key, 0) % 16384 // 256 for key in GROUP]
        self.assertEqual({0, 1}, {partition % 2 for partition in partitions})

    # ----- MSET -----

    def test_mset_for_mget(self):
        self.race([self.msets(1), self.msets(2)], [self.reads_one_value(), self.reads_one_value()])
        self.assertEqual(1, len(set(self.client.call('MGET', *GROUP))))

    def test_mset_for_mget_while_keys_go_to_disk(self):
        self.race([self.msets(1), self.msets(2)], [self.reads_one_value(), self.evicts])

    def test_mset_for_mget_in_another_order(self):
        self.race([self.msets(1), self.msets(2, GROUP[::-1])],
                  [self.reads_one_value(), self.reads_one_value(GROUP[::-1])])

    def test_msets_that_overlap(self):
        """Three groups in a ring: their common keys always have a value of one of two writers."""
        groups = [GROUP[0:4], GROUP[2:6], GROUP[4:8] + GROUP[0:2]]

        def reads(client):
            values = client.call('MGET', *GROUP)
            writers = {i: value.split(b':')[0] for i, value in enumerate(values) if value}
            for i, who in writers.items():
                self.assertIn(GROUP[i], groups[int(who) - 1])

        self.race([self.msets(who, group) for who, group in zip((1, 2, 3), groups)], [reads])

    # ----- MSETNX, DEL, RENAME, COPY -----

    def test_msetnx_and_del(self):
        """A group is there as a whole or not at all."""
        def creates(who):
            def body(client):
                for i in range(ROUNDS // 4):
                    value = b'%d:%d' % (who, i)
                    client.call('MSETNX', *[word for key in GROUP for word in (key, value)])
                    client.call('DEL', *GROUP)
            return body

        def counts(client):
            self.assertIn(client.call('EXISTS', *GROUP), (0, len(GROUP)))
            self.assertEqual(1, len(set(client.call('MGET', *GROUP))))

        self.race([creates(1), creates(2)], [counts, counts])

    def test_rename_moves(self):
        """A name goes round; whoever looks finds exactly one of the keys."""
        self.client.call('SET', GROUP[0], 'wanderer')

        def moves(client):
            for i in range(ROUNDS // 2):
                client.call('RENAME', GROUP[i % len(GROUP)], GROUP[(i + 1) % len(GROUP)])

        def looks(client):
            values = client.call('MGET', *GROUP)
            self.assertEqual([b'wanderer'], [value for value in values if value is not None])
            self.assertEqual(1, client.call('EXISTS', *GROUP))

        self.race([moves], [looks, looks])

    def test_copy_keeps_values_whole(self):
        """Copies run against MSETs of one value: every key has a value that a writer gave."""
        self.client.call('MSET', *[word for key in GROUP for word in (key, b'0:0')])

        def copies(client):
            chance = random.Random(3)
            for _ in range(ROUNDS // 2):
                source, target = chance.sample(GROUP, 2)
                client.call('COPY', source, target, 'REPLACE')

        def looks(client):
            for value in client.call('MGET', *GROUP):
                who, number = value.split(b':')
                self.assertTrue(who.isdigit() and number.isdigit(), value)

        self.race([copies, self.msets(1)], [looks])

    # ----- one connection's order -----

    def test_a_connection_sees_its_own_writes(self):
        """Commands of a pipeline take effect in their order, wherever the keys are."""
        def body(who):
            keys = [b'own:%d:%d' % (who, i) for i in range(8)]

            def work(client):
                for i in range(ROUNDS // 4):
                    value = b'%d' % i
                    one = keys[i % 8]
                    replies = client.call_many([
                        ['MSET'] + [word for key in keys for word in (key, value)],
                        ['GET', one], ['APPEND', one, 'x'], ['MGET'] + keys, ['DEL', one],
                        ['EXISTS'] + keys, ['SET', one, value], ['MGET'] + keys])
                    want = [value + b'x' if key == one else value for key in keys]
                    self.assertEqual([b'OK', value, len(value) + 1, want, 1, 7, b'OK', [value] * 8],
                                     replies)
            return work

        self.race([body(1), body(2), body(3)], [self.evicts])

    def test_counting_loses_nothing(self):
        """INCR from many connections, over both shards, while the counter is evicted."""
        each = ROUNDS // 2

        def counts(client):
            for start in range(0, each, PIPELINE):
                client.call_many([('INCR', 'counter')] * min(PIPELINE, each - start))

        self.race([counts] * 4, [self.evicts])
        self.assertEqual(b'%d' % (4 * each), self.client.call('GET', 'counter'))

    def test_flushall_is_one_moment(self):
        """After FLUSHALL a group is set anew: readers see all of it or nothing."""
        def flushes(client):
            for i in range(ROUNDS // 20):
                client.call('FLUSHALL')
                client.call('MSET', *[word for key in GROUP for word in (key, b'%d' % i)])

        def looks(client):
            values = client.call('MGET', *GROUP)
            self.assertEqual(1, len(set(values)), values)

        self.race([flushes], [looks, looks])

    def test_swapdb_is_one_moment(self):
        self.client.call('MSET', *[word for key in GROUP for word in (key, b'zero')])
        self.client.call('SELECT', 1)
        self.client.call('MSET', *[word for key in GROUP for word in (key, b'one')])

        def swaps(client):
            for _ in range(ROUNDS // 20):
                client.call('SWAPDB', 0, 1)

        def looks(client):
            values = client.call('MGET', *GROUP)
            self.assertEqual(1, len(set(values)), values)

        self.race([swaps], [looks, looks])


if __name__ == '__main__':
    run()
