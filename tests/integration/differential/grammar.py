"""Random commands: for each command of the server a maker of its arguments, right and wrong.

Which commands there are is asked of the server (COMMAND). One that has no maker here gets arguments
by its arity and the places of its keys, so that a new command is met without a change.

Nothing here may depend on the clock: times are far in the future or the past (words.py), and what
would expire, wait or sleep during a stream is thrown away by depends_on_clock().
"""

import random

from . import words

WRONG = 0.15  # of all commands have something wrong on purpose
HOT = 0.7  # of all commands are of the groups that work on keys

# Never sent: they end the server or the connection's use, or Redis would wait for its disk.
NEVER = {b'shutdown', b'monitor', b'save', b'bgsave', b'config|rewrite', b'config|resetstat'}
# Ours alone, or with texts of our own: see KNOWN in compare.py and docs/commands.md.
NOT_COMPARED = {b'debug', b'command|docs'}

SETTINGS = {
    b'timeout': [b'0', b'100000', b'-1', b'abc', b''],
    b'slowlog-max-len': [b'0', b'128', b'-1', b'1.5', b'9223372036854775808'],
    b'tcp-keepalive': [b'0', b'300', b'-1', b'abc'],
    b'maxmemory-policy': [b'noeviction', b'NOEVICTION', b'foo', b''],
    b'maxmemory-samples': [b'5', b'10', b'abc'],
    b'lazyfree-lazy-expire': [b'yes', b'no', b'YES', b'maybe', b''],
    b'proto-max-bulk-len': [b'512mb', b'1', b'1mb', b'1gb', b'abc', b'-1'],
    b'hash-max-listpack-entries': [b'128', b'abc', b'512'],
    b'nothing': [b'1', b''],
    b'no\r\nthing': [b'1'],
}


class Maker:
    """Commands by chance, the same for the same seed and the same table of commands."""

    def __init__(self, seed, table):
        self.chance = random.Random(seed)
        self.table = table
        self.hot = [name for name in table if name in KEY_MAKERS]

    # ----- words -----

    def one(self, *choices):
        return self.chance.choice(choices)

    def maybe(self, probability, group):
        return group if self.chance.random() < probability else []

    def some(self, *groups):
        """Some of the groups of words, in any order, now and then one of them twice."""
        taken = [group for group in groups if self.chance.random() < 0.35]
        if taken and self.chance.random() < 0.1:
            taken.append(self.chance.choice(taken))
        self.chance.shuffle(taken)
        return [self.cased(word) for group in taken for word in group]

    def cased(self, word):
        return word.lower() if self.chance.random() < 0.1 else word

    def key(self):
        return self.chance.choice(words.KEYS if self.chance.random() < 0.95 else words.MISSING)

    def keys(self):
        return [self.key() for _ in range(self.chance.randint(1, 5))]

    def value(self):
        return self.chance.choice(words.VALUES if self.chance.random() < 0.93 else words.LONG)

    def integer(self):
        return self.chance.choice(
            words.INTEGERS if self.chance.random() < 0.8 else words.NOT_INTEGERS
        )

    def number(self):
        return self.chance.choice(words.FLOATS + words.INTEGERS + words.NOT_INTEGERS)

    def offset(self):
        if self.chance.random() < 0.05:
            return self.chance.choice(words.NOT_INTEGERS)
        return self.chance.choice(words.OFFSETS)

    def pattern(self):
        return self.chance.choice(words.PATTERNS)

    def junk(self):
        return self.chance.choice(words.JUNK)

    def database(self):
        return self.integer() if self.chance.random() < 0.1 else self.one(*words.DATABASES)

    # ----- times -----

    def from_now(self, forever, unit):
        """Never the same twice, so that GT and LT don't depend on the moment."""
        if self.chance.random() < 0.2:
            return self.chance.choice(forever + words.BEFORE[1:] + words.NOT_INTEGERS[:4])
        return b'%d' % (self.chance.randint(10**5, 10**7) * unit)

    def at(self, after):
        if self.chance.random() < 0.05:
            return self.chance.choice(words.NOT_INTEGERS)
        return self.chance.choice(after if self.chance.random() < 0.75 else words.BEFORE)

    def expiry(self):
        return self.one(
            [b'EX', self.from_now(words.FOREVER_S, 1)],
            [b'PX', self.from_now(words.FOREVER_MS, 1000)],
            [b'EXAT', self.at(words.AFTER_S)],
            [b'EXAT', self.at(words.AFTER_S)],
            [b'PXAT', self.at(words.AFTER_MS)],
            [b'PXAT', self.at(words.AFTER_MS)],
        )

    def conditions(self):
        return self.some([b'NX'], [b'XX'], [b'GT'], [b'LT'])

    def pairs(self):
        return [word for key in self.keys() for word in (key, self.value())]

    # ----- commands -----

    def command(self):
        """A list of words, as bytes; the clock has no part in what it does."""
        while True:
            args = self._command()
            if not depends_on_clock(args) and not is_too_large(args):
                return args

    def _command(self):
        if self.chance.random() < 0.01:
            return [self.junk() for _ in range(self.chance.randint(1, 4))]
        hot = self.hot if self.chance.random() < HOT else list(self.table)
        name = self.chance.choice(hot)
        if name in (b'flushall', b'flushdb', b'quit', b'reset') and self.chance.random() < 0.7:
            name = b'set'
        args = name.split(b'|') + self.arguments(name)
        if self.chance.random() < WRONG:
            args = self.without_long_keys(self.broken(name, args))
        if self.chance.random() < 0.05:
            args[0] = self.one(args[0].upper(), args[0].title())
        return args

    @staticmethod
    def without_long_keys(args):
        """A word at the wrong place may be a key, and one of more than 1536 bytes is refused."""
        return [arg[:1536] for arg in args]

    def arguments(self, name):
        if name in KEY_MAKERS:
            return KEY_MAKERS[name](self)
        if name in OTHER_MAKERS:
            return OTHER_MAKERS[name](self)
        return self.by_table(*self.table[name], len(name.split(b'|')))

    def by_table(self, arity, first, last, step, named):
        count = abs(arity) - named + (self.chance.randint(0, 3) if arity < 0 else 0)
        places = range(first, (last if last >= 0 else count + last + named) + 1, step or 1)
        return [
            self.key() if first and place + named in places else self.junk()
            for place in range(count)
        ]

    def broken(self, name, args):
        """Words too few, too many, twice, at each other's place, or others."""
        args = list(args)
        start = 1 if b'|' not in name else 2
        how = self.chance.randrange(6 if name in KEY_MAKERS else 2)
        if how == 0:
            return args[: self.chance.randint(1, len(args))]
        if how == 1 or len(args) <= start:
            return args + [self.junk() for _ in range(self.chance.randint(1, 2))]
        place = self.chance.randrange(start, len(args))
        if how == 2:
            args.insert(place, args[place])
        elif how == 3:
            other = self.chance.randrange(start, len(args))
            args[place], args[other] = args[other], args[place]
        elif how == 4:
            del args[place]
        else:
            args[place] = self.junk()
        return args


def _int(word):
    try:
        return int(word)
    except ValueError:
        return 0


def depends_on_clock(args):
    """Whether something would expire, sleep or wait while the stream runs."""
    name, rest = args[0].upper(), [arg.upper() for arg in args[1:]]
    if name in (b'SET', b'GETEX'):
        spans = [(rest[i], _int(rest[i + 1])) for i in range(len(rest) - 1)]
        return any(
            (unit == b'EX' and 0 < span < 10**4) or (unit == b'PX' and 0 < span < 10**7)
            for unit, span in spans
        )
    if name in (b'SETEX', b'EXPIRE', b'PSETEX', b'PEXPIRE') and len(rest) > 1:
        return 0 < _int(rest[1]) < (10**7 if name[:1] == b'P' else 10**4)
    if name == b'WAIT':
        return len(rest) == 2 and _int(rest[0]) > 0
    if name == b'CLIENT' and rest[:1] == [b'PAUSE']:
        return len(rest) > 1 and _int(rest[1]) > 0
    return False


def is_too_large(args):
    """A SETRANGE that would make Redis fill hundreds of megabytes with zeros."""
    if args[0].upper() != b'SETRANGE' or len(args) < 4:
        return False
    return 10**6 < _int(args[2]) < 2**29


# The commands that work on keys. Arguments after the name, right ones and some that are not.
KEY_MAKERS = {
    b'set': lambda m: [m.key(), m.value()]
    + m.maybe(0.5, m.some([m.one(b'NX', b'XX')], [b'GET'], [b'KEEPTTL'], m.expiry())),
    b'get': lambda m: [m.key()],
    b'getdel': lambda m: [m.key()],
    b'getex': lambda m: [m.key()] + m.some([b'PERSIST'], m.expiry(), m.expiry()),
    b'getset': lambda m: [m.key(), m.value()],
    b'setnx': lambda m: [m.key(), m.value()],
    b'setex': lambda m: [m.key(), m.from_now(words.FOREVER_S, 1), m.value()],
    b'psetex': lambda m: [m.key(), m.from_now(words.FOREVER_MS, 1000), m.value()],
    b'append': lambda m: [m.key(), m.value()],
    b'strlen': lambda m: [m.key()],
    b'getrange': lambda m: [m.key(), m.offset(), m.offset()],
    b'substr': lambda m: [m.key(), m.offset(), m.offset()],
    b'setrange': lambda m: [m.key(), m.offset(), m.value()],
    b'incr': lambda m: [m.key()],
    b'decr': lambda m: [m.key()],
    b'incrby': lambda m: [m.key(), m.integer()],
    b'decrby': lambda m: [m.key(), m.integer()],
    b'incrbyfloat': lambda m: [m.key(), m.number()],
    b'mset': lambda m: m.pairs(),
    b'msetnx': lambda m: m.pairs(),
    b'mget': lambda m: m.keys(),
    b'del': lambda m: m.keys(),
    b'unlink': lambda m: m.keys(),
    b'exists': lambda m: m.keys(),
    b'touch': lambda m: m.keys(),
    b'type': lambda m: [m.key()],
    b'expire': lambda m: [m.key(), m.from_now(words.FOREVER_S, 1)] + m.conditions(),
    b'pexpire': lambda m: [m.key(), m.from_now(words.FOREVER_MS, 1000)] + m.conditions(),
    b'expireat': lambda m: [m.key(), m.at(words.AFTER_S)] + m.conditions(),
    b'pexpireat': lambda m: [m.key(), m.at(words.AFTER_MS)] + m.conditions(),
    b'ttl': lambda m: [m.key()],
    b'pttl': lambda m: [m.key()],
    b'expiretime': lambda m: [m.key()],
    b'pexpiretime': lambda m: [m.key()],
    b'persist': lambda m: [m.key()],
    b'rename': lambda m: [m.key(), m.key()],
    b'renamenx': lambda m: [m.key(), m.key()],
    b'copy': lambda m: [m.key(), m.key()] + m.some([b'REPLACE'], [b'DB', m.database()]),
    b'keys': lambda m: [m.pattern()],
    b'scan': lambda m: [m.one(b'0', b'0', b'0', m.one(b'', b'abc', b'1.5', b'0x0'))]
    + [b'COUNT', m.one(b'1000', b'100000', m.integer())]
    + m.some([b'MATCH', m.pattern()], [b'TYPE', m.one(b'string', b'STRING', b'list', b'')]),
    b'randomkey': lambda m: [],
    b'dbsize': lambda m: [],
    b'object|encoding': lambda m: [m.key()],
    b'object|refcount': lambda m: [m.key()],
    b'object|idletime': lambda m: [m.key()],
    b'object|freq': lambda m: [m.key()],
    b'select': lambda m: [m.database()],
    b'swapdb': lambda m: [m.database(), m.database()],
}

_HOW_TO_FLUSH = ([], [], [b'ASYNC'], [b'sync'], [b'FOO'], [b'ASYNC', b'SYNC'], [b''])


def _getkeys(maker):
    if maker.chance.random() < 0.1:
        return [maker.junk() for _ in range(maker.chance.randint(1, 4))]
    name = maker.chance.choice(maker.hot)
    return name.split(b'|') + maker.arguments(name)


def _settings(maker):
    names = [maker.chance.choice(list(SETTINGS)) for _ in range(maker.one(1, 1, 1, 2))]
    return [word for name in names for word in (name, maker.chance.choice(SETTINGS[name]))]


def _hello(maker):
    return maker.one([], [b'2'], [b'3'], [b'2'], [b'3'], [b'4'], [maker.integer()]) + maker.maybe(
        0.3, maker.some([b'SETNAME', maker.one(b'me', b'a b', b'')], [b'AUTH', b'default', b'x'])
    )


OTHER_MAKERS = {
    b'flushdb': lambda m: m.one(*_HOW_TO_FLUSH),
    b'flushall': lambda m: m.one(*_HOW_TO_FLUSH),
    b'ping': lambda m: m.maybe(0.5, [m.value()]),
    b'echo': lambda m: [m.value()],
    b'hello': _hello,
    b'auth': lambda m: [m.one(b'x', b'default', b'', m.junk())] + m.maybe(0.5, [m.junk()]),
    b'quit': lambda m: [],
    b'reset': lambda m: [],
    b'time': lambda m: [],
    b'lastsave': lambda m: [],
    b'wait': lambda m: [m.one(b'0', b'0', m.integer()), m.integer()],
    b'info': lambda m: m.one([], [b'server'], [b'SERVER', b'clients'], [b'all'], [b'keyspace']),
    b'command': lambda m: [],
    b'command|count': lambda m: [],
    b'command|info': lambda m: [m.chance.choice(list(m.table)) for _ in range(m.one(1, 1, 3))],
    b'command|list': lambda m: m.one(
        [],
        [b'FILTERBY', b'PATTERN', m.one(b'msetn?', b'sete?', b'', b'[')],
        [b'FILTERBY', b'MODULE', m.junk()],
        [b'FILTERBY', m.junk(), m.junk()],
        [b'FILTERBY'],
    ),
    b'command|getkeys': _getkeys,
    b'command|getkeysandflags': _getkeys,
    b'config|get': lambda m: [m.chance.choice(list(SETTINGS))]
    + m.maybe(0.2, [m.one(b'timeout', b'slowlog-max-le?', b'nothing', b'[', b'')]),
    b'config|set': _settings,
    b'client|setname': lambda m: [m.one(b'me', b'', b'a b', b'a\nb', b'\xff', m.junk())],
    b'client|reply': lambda m: [m.one(b'ON', b'on', b'FOO', b'')],
    b'client|kill': lambda m: m.one(
        [b'127.0.0.1:1'],
        [m.junk()],
        [b'ID', m.one(b'999999999', b'0', b'-1', b'abc', b'', b'9223372036854775808')],
        [b'ADDR', b'127.0.0.1:1'] + m.some([b'SKIPME', m.one(b'yes', b'no', b'x')]),
        [b'TYPE', m.one(b'pubsub', b'replica', b'slave', b'master', b'foo')],
        [b'USER', m.one(b'nobody', b'', b'a b')],
        [b'LADDR', b'x', b'MAXAGE', m.integer()],
        [b'FOO', b'bar'],
    ),
    b'client|list': lambda m: m.one(
        [],
        [b'TYPE', m.one(b'normal', b'pubsub', b'replica', b'foo', b'')],
        [b'ID', m.one(b'999999999', b'0', b'-1', b'abc', b''), b'999999998'],
        [b'ID', m.integer()],
        [m.junk()],
        [b'TYPE', b'normal', b'ID', b'1'],
    ),
    b'client|pause': lambda m: [m.one(b'0', b'-1', m.integer())]
    + m.maybe(0.5, [m.one(b'WRITE', b'ALL', b'all', b'FOO')]),
    b'client|no-evict': lambda m: [m.one(b'ON', b'off', b'FOO')],
    b'client|unblock': lambda m: [m.one(b'999999', m.integer())]
    + m.maybe(0.5, [m.one(b'TIMEOUT', b'error', b'FOO')]),
    b'slowlog|get': lambda m: m.maybe(0.8, [m.integer()]),
    b'memory|usage': lambda m: [m.key()] + m.maybe(0.5, [m.one(b'SAMPLES', b'FOO'), m.integer()]),
    b'latency|reset': lambda m: m.maybe(0.3, [m.junk()]),
    b'function|flush': lambda m: m.one([], [b'ASYNC'], [b'SYNC'], [b'FOO']),
    b'script|flush': lambda m: m.one([], [b'ASYNC'], [b'SYNC'], [b'FOO']),
}


def table_of(reply):
    """COMMAND's reply as a dict: name -> (arity, first key, last key, step); "parent|sub" too."""
    table = {}
    for entry in reply:
        name, subcommands = entry[0], entry[9] if len(entry) > 9 else []
        table[name] = (entry[1], entry[3], entry[4], entry[5])
        table.update(table_of(subcommands))
    return {
        name: places
        for name, places in sorted(table.items())
        if name not in NEVER
        and not any(name.split(b'|')[0] == n or name == n for n in NOT_COMPARED)
    }
