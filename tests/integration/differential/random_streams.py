"""Streams made by chance, the same for the same seed: few keys, so that commands meet.

DBSIZE is not among them: Redis counts keys that have expired until it comes across them.
"""

import random

from .script import Line

STREAMS = 24
LINES = 400

KEYS = [b'a', b'b', b'c', b'd', b'{t}e', b'{t}f', b'', b'a\x00b']
SMALL = [
    b'',
    b'0',
    b'1',
    b'-1',
    b'10',
    b'3.5',
    b'-0.1',
    b'abc',
    b'9223372036854775807',
    b'1e3',
    b' 1',
    b'hello world',
    b'\x00\xff\r\n',
    b'x' * 44,
    b'x' * 45,
]
LARGE = [b'y' * 3000, b'z' * 5000, b'0123456789' * 7000]
NUMBERS = [
    b'0',
    b'1',
    b'-1',
    b'5',
    b'100',
    b'-100',
    b'9223372036854775807',
    b'-9223372036854775808',
    b'abc',
    b'',
    b'1.5',
]
OFFSETS = [b'0', b'1', b'-1', b'3', b'-3', b'10', b'-10', b'100', b'5000', b'-5000', b'x']
FLOATS = [b'0.1', b'-0.1', b'1', b'2.5e2', b'1e-5', b'-3', b'inf', b'abc', b'1e300', b'100.25']
AFTER = [b'33177117420', b'33177117421', b'33177117430', b'1', b'0', b'-1', b'abc']
AFTER_MS = [b'33177117420123', b'33177117421999', b'1', b'0', b'abc']
PATTERNS = [b'*', b'a*', b'[ab]', b'?', b'', b'{t}*', b'*e', b'zzz']


class Maker:
    def __init__(self, seed):
        self.chance = random.Random(seed)

    def key(self):
        return self.chance.choice(KEYS)

    def keys(self):
        return [self.key() for _ in range(self.chance.randint(1, 4))]

    def value(self):
        return self.chance.choice(SMALL if self.chance.random() < 0.9 else LARGE)

    def one(self, *choices):
        return self.chance.choice(choices)

    def some(self, *groups):
        """Some of the groups of words, in any order."""
        taken = [group for group in groups if self.chance.random() < 0.35]
        self.chance.shuffle(taken)
        return [word for group in taken for word in group]

    def expiry(self):
        return self.one(
            [b'EXAT', self.chance.choice(AFTER)], [b'PXAT', self.chance.choice(AFTER_MS)]
        )

    def pairs(self):
        return [word for key in self.keys() for word in (key, self.value())]

    def command(self):
        """Most often what changes or reads one string; weights are how often a name stands here."""
        pick = self.chance.choice
        return pick(MAKERS)(self, pick)


MAKERS = [
    lambda m, pick: [b'SET', m.key(), m.value()],
    lambda m, pick: [b'SET', m.key(), m.value()],
    lambda m, pick: [b'SET', m.key(), m.value()]
    + m.some([m.one(b'NX', b'XX')], [b'GET'], [b'KEEPTTL'], m.expiry()),
    lambda m, pick: [b'GET', m.key()],
    lambda m, pick: [b'GET', m.key()],
    lambda m, pick: [b'GETEX', m.key()] + m.some([b'PERSIST'], m.expiry()),
    lambda m, pick: [m.one(b'GETDEL', b'STRLEN', b'TYPE', b'PERSIST'), m.key()],
    lambda m, pick: [m.one(b'EXPIRETIME', b'PEXPIRETIME'), m.key()],
    lambda m, pick: [m.one(b'GETSET', b'SETNX', b'APPEND'), m.key(), m.value()],
    lambda m, pick: [m.one(b'GETRANGE', b'SUBSTR'), m.key(), pick(OFFSETS), pick(OFFSETS)],
    lambda m, pick: [b'SETRANGE', m.key(), pick(OFFSETS), m.value()],
    lambda m, pick: [m.one(b'INCR', b'DECR'), m.key()],
    lambda m, pick: [m.one(b'INCRBY', b'DECRBY'), m.key(), pick(NUMBERS)],
    lambda m, pick: [b'INCRBYFLOAT', m.key(), pick(FLOATS)],
    lambda m, pick: [m.one(b'MSET', b'MSETNX')] + m.pairs(),
    lambda m, pick: [b'MGET'] + m.keys(),
    lambda m, pick: [m.one(b'DEL', b'UNLINK', b'EXISTS', b'TOUCH')] + m.keys(),
    lambda m, pick: [b'EXPIREAT', m.key(), pick(AFTER)]
    + m.some([b'NX'], [b'XX'], [b'GT'], [b'LT']),
    lambda m, pick: [b'PEXPIREAT', m.key(), pick(AFTER_MS)] + m.some([b'XX'], [b'GT'], [b'LT']),
    lambda m, pick: [m.one(b'RENAME', b'RENAMENX'), m.key(), m.key()],
    lambda m, pick: [b'COPY', m.key(), m.key()]
    + m.some([b'REPLACE'], [b'DB', m.one(b'0', b'1', b'2', b'99')]),
    lambda m, pick: [b'OBJECT', b'ENCODING', m.key()],
    lambda m, pick: [b'KEYS', pick(PATTERNS)],
    lambda m, pick: [b'SELECT', m.one(b'0', b'0', b'1', b'2', b'99')],
    lambda m, pick: [m.one(b'SWAPDB', b'SWAPDB', b'FLUSHDB'), b'0', b'1']
    if m.chance.random() < 0.3
    else [b'MGET'] + m.keys(),
    lambda m, pick: [b'FLUSHDB'] if m.chance.random() < 0.1 else [b'GET', m.key()],
]


def everything():
    """What is in the databases at the end."""
    lines = []
    for database in (b'0', b'1', b'2'):
        lines += [[b'SELECT', database], [b'KEYS', b'*'], [b'MGET'] + KEYS]
        lines += [[b'PEXPIRETIME', key] for key in KEYS]
    return lines


def make():
    streams = {}
    for seed in range(STREAMS):
        maker = Maker(seed)
        commands = [maker.command() for _ in range(LINES)] + everything()
        streams[f'seed {seed}'] = [Line('a', None, args) for args in commands]
    return streams
