#!/usr/bin/python3
"""Values of every size come back as they were: at once, from disk, and after a restart.

    values_test.py SERVER [Values.test_name ...]

With ELOQSTORE_TEST_FULL=1 sizes go up to 512 MiB, the largest there is; by default up to 16 MiB.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support.case import ServerCase, run  # noqa: E402
from support.resp import Error  # noqa: E402

FULL = os.environ.get('ELOQSTORE_TEST_FULL', '') not in ('', '0')
KIB, MIB = 1 << 10, 1 << 20
LARGEST = 512 * MIB
# Around the bounds of what is kept inline, in a leaf, in a page, in one write, in one read.
SIZES = [0, 1, 2, 44, 45, 100, 255, 256, 1000, 2 * KIB - 64, 2 * KIB, 2 * KIB + 1, 4095, 4 * KIB,
         4 * KIB + 1, 8 * KIB - 32, 8 * KIB, 16 * KIB, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 100000,
         256 * KIB - 1, 256 * KIB, 256 * KIB + 1, MIB, MIB + 1, 16 * MIB - 7]
LARGE = [100 * MIB, LARGEST] if FULL else [16 * MIB]


def value_of(size, seed=0):
    """Bytes that differ at every place, so that a part in the wrong place shows."""
    block = b''.join(b'%08x%08x' % (seed, i) for i in range(min(size, 2 * MIB) // 16 + 1))
    return (block * (size // len(block) + 1))[:size]


class Values(ServerCase):
    options = {'shards': 2}

    def check(self, key, value):
        """By assertion on equality alone: what differs is too long to show."""
        found = self.client.call('GET', key)
        self.assertIsNotNone(found, f'{key} is gone')
        if found != value:
            at = next((i for i, pair in enumerate(zip(found, value)) if pair[0] != pair[1]),
                      min(len(found), len(value)))
            self.fail(f'{key}: {len(found)} bytes, {len(value)} expected, differ from {at} on')

    def test_every_size(self):
        values = {b'size:%d' % size: value_of(size) for size in SIZES}
        for key, value in values.items():
            self.assertEqual(b'OK', self.client.call('SET', key, value))
            self.check(key, value)
            self.assertEqual(len(value), self.client.call('STRLEN', key))
        self.client.call('DEBUG', 'EVICT')
        for key, value in values.items():
            self.check(key, value)
        self.client.call('DEBUG', 'EVICT')
        self.client.close()
        self.server.restart()
        self.client = self.server.client()
        for key, value in values.items():
            self.check(key, value)
            self.assertEqual(len(value), self.client.call('STRLEN', key))

    def test_every_size_from_the_log(self):
        """Killed before any checkpoint: what comes back was replayed."""
        values = {b'size:%d' % size: value_of(size, 1) for size in SIZES}
        for key, value in values.items():
            self.client.call('SET', key, value)
        self.client.close()
        self.server.kill()
        self.server.start()
        self.client = self.server.client()
        for key, value in values.items():
            self.check(key, value)

    def test_one_key_through_all_sizes(self):
        for size in SIZES + SIZES[::-1]:
            value = value_of(size, size)
            self.client.call('SET', 'k', value)
            self.check('k', value)
            if size % 3 == 0:
                self.client.call('DEBUG', 'EVICT')
                self.check('k', value)

    def test_keys_of_every_size(self):
        longest = self.longest_key()
        names = [value_of(size, 2) for size in (0, 1, 2, 100, 255, 256, 1000, longest - 1, longest)]
        for way in ('in memory', 'on disk'):
            for name in names:
                self.client.call('SET', name, b'value of %d' % len(name))
            self.client.call('DEBUG', 'EVICT')
            for name in names:
                self.assertEqual(b'value of %d' % len(name), self.client.call('GET', name), way)
        self.assertEqual(sorted(names), sorted(self.client.call('KEYS', '*')))
        self.assertEqual(len(names), self.client.call('DEL', *names))

    def longest_key(self):
        """As the server itself says when a key is too long."""
        reply = self.client.ask('SET', b'x' * MIB, 'v')
        self.assertIsInstance(reply, Error)
        return int(str(reply).split('at most ')[1].split(' ')[0])

    def test_a_key_that_is_too_long(self):
        name = b'x' * (self.longest_key() + 1)
        for command in (['SET', name, 'v'], ['MSET', 'a', 1, name, 2], ['INCR', name],
                        ['APPEND', name, 'x'], ['SETRANGE', name, 0, 'x'], ['RENAME', 'a', name]):
            reply = self.client.ask(*command)
            self.assertIsInstance(reply, Error, command[0])
        self.assertIsNone(self.client.call('GET', name))
        self.assertEqual(0, self.client.call('EXISTS', name, 'a'))
        self.assertEqual(-2, self.client.call('TTL', name))
        self.assertEqual([None, None], self.client.call('MGET', name, 'a'))

    # ----- large ones -----

    def test_large_values(self):
        for size in LARGE:
            value = value_of(size, 3)
            self.assertEqual(b'OK', self.client.call('SET', 'large', value))
            self.check('large', value)
            self.client.call('DEBUG', 'EVICT')
            self.check('large', value)
            self.client.close()
            self.server.restart()
            self.client = self.server.client()
            self.check('large', value)
            self.assertEqual(value[-1000:], self.client.call('GETRANGE', 'large', -1000, -1))

    def test_a_value_that_is_too_large_is_refused(self):
        """The connection lives, and so does what was stored before."""
        limit = LARGEST
        if not FULL:
            limit = 16 * MIB
            self.client.call('CONFIG', 'SET', 'proto-max-bulk-len', limit)
        value = value_of(limit, 4)
        self.client.call('SET', 'k', 'before')
        reply = self.client.ask('SET', 'k', value + b'x')
        self.assertIsInstance(reply, Error)
        self.assertEqual(b'PONG', self.client.call('PING'))
        self.assertEqual(b'before', self.client.call('GET', 'k'))
        self.assertEqual(b'OK', self.client.call('SET', 'k', value))
        for command in (['APPEND', 'k', 'x'], ['SETRANGE', 'k', limit, 'x'],
                        ['SETRANGE', 'k', limit - 1, 'xx']):
            self.assertIsInstance(self.client.ask(*command), Error, command[0])
        self.assertEqual(limit, self.client.call('STRLEN', 'k'))
        self.assertEqual(limit, self.client.call('SETRANGE', 'k', limit - 1, 'x'))
        self.check('k', value[:-1] + b'x')
        self.client.call('CONFIG', 'SET', 'proto-max-bulk-len', LARGEST)

    def test_large_values_among_small_ones(self):
        """Replies keep their order, whatever their sizes and wherever they come from."""
        sizes = [10, 3 * MIB, 100, 20 * KIB, 1, 5 * KIB, 2 * MIB, 0, 300] * 3
        keys = [b'mixed:%d' % i for i in range(len(sizes))]
        values = [value_of(size, i) for i, size in enumerate(sizes)]
        self.client.call('MSET', *[word for pair in zip(keys, values) for word in pair])
        for way in ('in memory', 'on disk', 'again'):
            self.client.send_many([('GET', key) for key in keys])
            for key, value in zip(keys, values):
                self.assertTrue(self.client.read() == value, f'{key} {way}')
            self.assertTrue(self.client.call('MGET', *keys) == values, way)
            if way == 'in memory':
                self.client.call('DEBUG', 'EVICT')

    def test_growing_by_appends(self):
        whole = b''
        for i in range(200):
            part = value_of(i * 37 % 5000, i)
            whole += part
            self.assertEqual(len(whole), self.client.call('APPEND', 'k', part))
            if i % 40 == 39:
                self.client.call('DEBUG', 'EVICT')
        self.check('k', whole)

    def test_writing_into_a_large_value_that_is_being_sent(self):
        """A reply shows the value as it was when its command ran, however slowly it is taken."""
        value = value_of(4 * MIB, 5)
        self.client.call('SET', 'k', value)
        with self.server.client() as slow:
            for _ in range(3):
                slow.send('GET', 'k')
            slow.send('PING')
            with self.server.client() as other:
                for i in range(3):
                    other.call('SETRANGE', 'k', i * MIB, b'#' * 1000)
                other.call('SET', 'k', 'small')
            replies = [slow.read() for _ in range(3)]
            self.assertEqual(b'PONG', slow.read())
        changed = value
        allowed = [value, b'small']
        for i in range(3):
            changed = changed[:i * MIB] + b'#' * 1000 + changed[i * MIB + 1000:]
            allowed.append(changed)
        for reply in replies:
            self.assertTrue(any(reply == one for one in allowed))


if __name__ == '__main__':
    run()
