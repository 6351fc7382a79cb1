"""Plays a stream of commands to two servers at once, up to the first reply that differs.

A stream is a list of steps. A step is one command on one of the stream's connections; steps of the
same group, on the same connection, go out as one piece of bytes that is cut at random places. All
else goes in lockstep: the next command is sent when both servers have answered.

Before a stream both servers are emptied, and its connections are new.

What is compared: the bytes, or else by the rules of compare.py, and these:
 - SCAN is a whole walk, from the cursor 0 that it began with to the cursor 0 it ends with; keys are
   compared as a set, because a walk may meet one twice.
 - RANDOMKEY: both have none, or each has one of its keys.
 - DBSIZE: before it Redis is walked with SCAN, because it counts keys that have expired until it
   comes across them.
 - EXPIRETIME and PEXPIRETIME: of a time span that began at another moment, near; else the same.
"""

import random
import re

from support.resp import Client, Closed, Error, encode, shown

from . import compare

SENTINEL = b'0f9c2d71'
CLOSED = ('closed', b'')
SCAN_STEPS_MAX = 10000
# Absolute times in words.py are later than this, spans end before it.
SPANS_END_S = 10**10
NEAR_S = 60
RESETS = [
    ['FLUSHALL'],
    ['CONFIG', 'SET', 'slowlog-log-slower-than', '-1', 'slowlog-max-len', '128', 'timeout', '0'],
    ['CONFIG', 'SET', 'proto-max-bulk-len', '512mb'],
    ['SLOWLOG', 'RESET'],
]


class Step:
    def __init__(self, args, connection='a', group=None, inline=False):
        self.args = args
        self.connection = connection
        self.group = group
        self.inline = inline
        self.rule = None  # for compare.same

    def name(self):
        return self.args[0].upper() if self.args else b''

    def encoded(self):
        if not self.inline:
            return encode(*self.args)
        return b' '.join(inline_word(arg) for arg in self.args) + b'\r\n'

    def __str__(self):
        words = ' '.join(inline_word(arg).decode('latin-1') for arg in self.args)
        notes = [f'connection {self.connection}'] if self.connection != 'a' else []
        notes += [f'pipeline {self.group}'] if self.group is not None else []
        notes += ['inline'] if self.inline else []
        return words + (f'    # {", ".join(notes)}' if notes else '')


def inline_word(word):
    """As redis-cli and an inline command take it."""
    if re.fullmatch(rb'[\w:.,{}|*+-]+', word):
        return word
    body = b''.join(
        bytes([byte]) if 32 <= byte < 127 and byte not in b'"\\' else b'\\x%02x' % byte
        for byte in word
    )
    return b'"' + body + b'"'


class Side:
    """One of the two servers with its connections of this stream."""

    def __init__(self, server):
        self.server = server
        self.clients = {}

    def client(self, name):
        if name not in self.clients:
            self.clients[name] = Client(self.server.port)
        return self.clients[name]

    def drop(self, name):
        if name in self.clients:
            self.clients.pop(name).close()

    def close(self):
        for name in list(self.clients):
            self.drop(name)

    def send(self, name, data):
        try:
            self.client(name).send_raw(data)
        except ConnectionError:
            pass  # the reader will notice

    def read(self, name):
        client = self.client(name)
        try:
            return client.read(), client.last_raw()
        except (Closed, ConnectionError):
            self.drop(name)
            return CLOSED

    def read_all(self, name):
        """Replies up to the sentinel's, or to the end of the connection."""
        replies = []
        while not replies or (replies[-1] != CLOSED and replies[-1][0] != SENTINEL):
            replies.append(self.read(name))
        return replies

    def ask(self, name, *args):
        self.send(name, encode(*args))
        return self.read(name)

    def walk(self, name, args):
        """A whole SCAN: the set of the keys, or the reply that ended it."""
        keys, cursor = set(), args[1]
        for _ in range(SCAN_STEPS_MAX):
            reply = self.ask(name, args[0], cursor, *args[2:])
            if reply == CLOSED or isinstance(reply[0], Error):
                return reply
            cursor = reply[0][0]
            keys.update(reply[0][1])
            if int(cursor) == 0:
                found = sorted(keys)
                return found, repr(found).encode()
        return 'endless', b'a SCAN that does not end'


def keys_now(side, name):
    reply = side.ask(name, 'KEYS', '*')[0]
    return reply if isinstance(reply, list) else []


class Difference(Exception):
    def __init__(self, index, step, theirs, ours):
        super().__init__(
            f'{shown(step.args)}\n    redis {theirs[:400]!r}\n    ours  {ours[:400]!r}'
        )
        self.index = index
        self.step = step
        self.theirs = theirs
        self.ours = ours

    def alike(self, other):
        """The same command refused, or answered, in the same two ways: good enough to shrink by."""

        def kind(reply):
            return reply if reply[:1] == b'-' else reply[:1]

        return (
            other is not None
            and self.step.name() == other.step.name()
            and kind(self.theirs) == kind(other.theirs)
            and kind(self.ours) == kind(other.ours)
        )


def spans_near(theirs, ours):
    """EXPIRETIME's replies in seconds or milliseconds."""
    for unit in (1, 1000):
        end = SPANS_END_S * unit
        if all(isinstance(time, int) and 10**9 * unit < time < end for time in (theirs, ours)):
            return abs(theirs - ours) <= NEAR_S * unit
    return False


def same(step, theirs, ours):
    if step.name() in (b'EXPIRETIME', b'PEXPIRETIME') and spans_near(theirs[0], ours[0]):
        return True
    rule = compare.random_rule(step.args)
    return compare.same(step, theirs, ours) or (rule is not None and rule(theirs[0], ours[0]))


class Pair:
    """Two servers that ought to answer alike. `known` says what may differ."""

    def __init__(self, redis, ours, known):
        self.controls = [redis.client(), ours.client()]
        self.sides = [Side(redis), Side(ours)]
        self.known = known

    def close(self):
        for end in self.controls + self.sides:
            end.close()

    def reset(self):
        for side, control in zip(self.sides, self.controls):
            side.close()
            for command in RESETS:
                control.call(*command)

    def check(self, index, step, theirs, ours):
        if not same(step, theirs, ours) and not self.known.allows(step.args, theirs[1], ours[1]):
            raise Difference(index, step, theirs[1], ours[1])

    def play_alone(self, index, step):
        name, (redis, _) = step.connection, self.sides
        walks = step.name() == b'SCAN' and step.args[1:2] == [b'0']
        if step.name() == b'DBSIZE':
            redis.walk(name, [b'SCAN', b'0', b'COUNT', b'100000'])
        if walks:
            replies = [side.walk(name, step.args) for side in self.sides]
        else:
            for side in self.sides:
                side.send(name, step.encoded())
            replies = [side.read(name) for side in self.sides]
        if step.name() == b'RANDOMKEY' and all(isinstance(reply[0], bytes) for reply in replies):
            replies = [
                (reply[0] in keys_now(side, name), reply[1] if name not in side.clients else b'')
                for reply, side in zip(replies, self.sides)
            ]
        if step.name() == b'QUIT':
            for side in self.sides:
                side.drop(name)
        self.check(index, step, *replies)

    def play_group(self, index, steps):
        """Steps as one piece of bytes, cut by the chance of the group's number."""
        name, chance = steps[0].connection, random.Random(steps[0].group)
        data = b''.join(step.encoded() for step in steps)
        data += encode('CLIENT', 'REPLY', 'ON') + encode('ECHO', SENTINEL)
        cuts = sorted(chance.sample(range(1, len(data)), min(chance.randint(0, 8), len(data) - 1)))
        for start, end in zip([0] + cuts, cuts + [len(data)]):
            for side in self.sides:
                side.send(name, data[start:end])
        replies = [side.read_all(name) for side in self.sides]
        silent = any(step.name() == b'CLIENT' for step in steps)
        if not silent:
            for offset, step in enumerate(steps):
                pair = [side[offset] if offset < len(side) else CLOSED for side in replies]
                self.check(index + offset, step, *pair)
        whole = [b''.join(raw for _, raw in side) for side in replies]
        if len(replies[0]) != len(replies[1]) or (silent and whole[0] != whole[1]):
            raise Difference(index + len(steps) - 1, steps[-1], *whole)

    def play(self, steps):
        """The first difference, or None."""
        self.reset()
        at = 0
        try:
            while at < len(steps):
                end = at + 1
                while (
                    steps[at].group is not None
                    and end < len(steps)
                    and steps[end].group == steps[at].group
                    and steps[end].connection == steps[at].connection
                ):
                    end += 1
                if steps[at].group is None:
                    self.play_alone(at, steps[at])
                else:
                    self.play_group(at, steps[at:end])
                at = end
        except Difference as difference:
            return difference
        return None


def shrink(pair, steps, difference, plays_max=400):
    """A shorter stream that ends with a difference like this one: whatever can go is left out, in
    halves, quarters and so on down to single steps."""
    steps = steps[: difference.index + 1]
    size = len(steps) // 2
    plays = 0
    while size >= 1 and plays < plays_max:
        start, smaller = 0, False
        while start < len(steps) and plays < plays_max:
            shorter = steps[:start] + steps[start + size :]
            plays += 1
            found = pair.play(shorter) if shorter else None
            if difference.alike(found):
                steps, difference, smaller = shorter[: found.index + 1], found, True
            else:
                start += size
        size = size // 2 if size > 1 or not smaller else 1
    return steps, difference
