"""Clients that load a server which will die, and know what must be there afterwards.

Each worker has a connection, keys of its own and a model of them. It sends random commands in
pipelines and notes which were answered. After the server's end its keys must be what they were
after some command of the worker that is not before the last one answered: nothing acknowledged is
lost, and what was not acknowledged is there as a prefix, so an MSET is there as a whole or not at
all.
"""

import random
import time

from .model import Model
from .resp import Closed, Error, shown

KEYS = 40
PIPELINE = 16
FAR = 33177117420000  # expiries of the distant future, in ms


class Lost(Exception):
    pass


def is_refusal(reply):
    """Such a command has changed nothing."""
    return isinstance(reply, Error) and reply.text.startswith(b'MISCONF ')


class Worker:
    """One connection's commands. `model` is the state after all that were answered."""

    databases = (0,)
    may_be_refused = False  # by a server whose disk is full, or fails

    def __init__(self, number, seed):
        self.number = number
        self.chance = random.Random(seed * 1000 + number)
        self.keys = [b'w%d:%d' % (number, i) for i in range(KEYS)]
        self.model = Model()
        self.open = []  # sent, not answered
        self.sent_ns = 0
        self.answered = 0
        self.refused = 0
        self.error = None

    # ----- commands -----

    def value(self):
        length = self.chance.choice((1, 10, 10, 100, 100, 1000, 1900, 5000))
        if self.chance.random() < 0.005:
            length = 300000
        return b'%d ' % self.chance.randrange(10**9) + b'v' * length

    def command(self):
        key, other = self.chance.sample(self.keys, 2)
        some = self.chance.sample(self.keys, self.chance.randint(2, 8))
        return self.chance.choice(
            (
                lambda: (b'SET', key, self.value()),
                lambda: (b'SET', key, self.value()),
                lambda: (b'SET', key, self.value(), b'PXAT', FAR + self.chance.randrange(10**6)),
                lambda: (b'SET', key, b'%d' % self.chance.randrange(1000)),
                lambda: (b'MSET', *[word for name in some for word in (name, self.value())]),
                lambda: (b'MSET', *[word for name in some for word in (name, self.value())]),
                lambda: (b'MSETNX', *[word for name in some[:2] for word in (name, self.value())]),
                lambda: (b'DEL', *some[:3]),
                lambda: (b'INCR', key),
                lambda: (b'APPEND', key, self.value()[:50]),
                lambda: (b'SETRANGE', key, self.chance.randrange(6000), b'range'),
                lambda: (b'PEXPIREAT', key, FAR + self.chance.randrange(10**6)),
                lambda: (b'PERSIST', key),
                lambda: (b'RENAME', key, other),
                lambda: (b'COPY', key, other, b'REPLACE'),
                lambda: (b'GETDEL', key),
                lambda: (b'GET', key),
                lambda: (b'MGET', *some),
            )
        )()

    # ----- sending -----

    def select(self, client, number):
        self.sent_ns = time.monotonic_ns()
        client.call('SELECT', number)
        self.model.run((b'SELECT', number))
        self.note((b'SELECT', number))

    def step(self, client):
        """A pipeline. Every answer is compared with the model's."""
        self.open = [self.command() for _ in range(self.chance.randint(1, PIPELINE))]
        self.sent_ns = time.monotonic_ns()
        client.send_many(self.open)
        while self.open:
            reply = client.read()
            command = self.open.pop(0)
            if self.may_be_refused and is_refusal(reply):
                self.refused += 1
                continue
            expected = self.model.run(command)
            self.note(command)
            if reply != expected and not (isinstance(expected, Error) and isinstance(reply, Error)):
                raise Lost(
                    f'{shown(command)} was answered with {str(reply)[:200]}, '
                    f'not {str(expected)[:200]}'
                )

    def note(self, command):
        """It has been answered, or was found to have been done."""
        del command
        self.answered += 1

    def work(self, server):
        """Until the server is gone."""
        try:
            with server.client() as client:
                self.select(client, self.databases[0])
                while True:
                    self.step(client)
        except (Closed, ConnectionError, OSError):
            pass
        except BaseException as error:  # raised again by check
            self.error = error

    # ----- comparing -----

    def found(self, client):
        """As Model.everything()."""
        databases = {}
        for number in self.databases:
            client.call('SELECT', number)
            values = client.call('MGET', *self.keys)
            expiries = client.call_many([('PEXPIRETIME', key) for key in self.keys])
            databases[number] = {
                key: (value, max(expiry, 0))
                for key, value, expiry in zip(self.keys, values, expiries)
                if value is not None
            }
        return {number: state for number, state in databases.items() if state}

    def check(self, server):
        """Settles on the state that is found, or raises Lost."""
        if self.error is not None:
            raise self.error
        with server.client() as client:
            found = self.found(client)
        candidate = self.model.copy()
        for done, command in enumerate(self.open + [None]):
            if candidate.everything() == found:
                self.model = candidate
                for one in self.open[:done]:
                    self.note(one)
                self.open = []
                return
            if command is not None:
                candidate.run(command)
        raise Lost(self.difference(found))

    def difference(self, found):
        lines = [
            f'worker {self.number}: {self.answered} commands were answered, '
            f'{len(self.open)} more were sent:'
        ]
        lines += ['    ' + shown(command, 20) for command in self.open]
        for number in self.databases:
            want, have = self.model.databases.get(number, {}), found.get(number, {})
            lines += [
                f'    db {number}, {key}: {str(have.get(key))[:80]}, '
                f'after the last answer {str(want.get(key))[:80]}'
                for key in self.keys
                if want.get(key) != have.get(key)
            ]
        return '\n'.join(lines)

    def key_count(self):
        return sum(len(state) for state in self.model.databases.values())


class DatabaseWorker(Worker):
    """The same in two databases of its own, which it flushes and swaps."""

    databases = (1, 2)

    def command(self):
        if self.chance.random() > 0.05:
            return super().command()
        return self.chance.choice(
            ((b'SELECT', 1), (b'SELECT', 2), (b'SWAPDB', 1, 2), (b'FLUSHDB',))
        )


class Disturber:
    """Makes checkpoints at random moments, so that kills meet them."""

    PAUSE_S = 0.1  # at most

    def __init__(self, seed, may_fail=False):
        self.chance = random.Random(seed)
        self.may_fail = may_fail

    def work(self, server):
        try:
            with server.client() as client:
                while True:
                    time.sleep(self.chance.random() * self.PAUSE_S)
                    command = ('DEBUG', self.chance.choice(('CHECKPOINT', 'EVICT')))
                    reply = client.ask(*command)
                    if isinstance(reply, Error) and not self.may_fail:
                        raise reply
        except (Closed, ConnectionError, OSError):
            pass
