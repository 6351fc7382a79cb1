#!/usr/bin/python3
"""Kills the server at random moments under load, starts it again, and compares.

    kill9_test.py SERVER [SEED]

Each worker has a connection, keys of its own and a model of them. It sends random commands in
pipelines and notes which were answered. After a kill the keys must be what they were after some
command of the worker that is not before the last one answered: nothing acknowledged is lost, and
what was not acknowledged is there as a prefix (so an MSET is there as a whole or not at all). Every
start has other numbers of shards and another appendfsync than the one before. Sometimes a start is
killed too, and sometimes the server is stopped as an operator does it.

ELOQSTORE_TEST_KILLS tells how many kills there are for each pair of shards and mode (default 2);
the full run is 50.
"""

import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support.model import Model  # noqa: E402
from support.resp import Closed, Error, shown  # noqa: E402
from support.server import Server, ServerDied  # noqa: E402

KILLS = int(os.environ.get('ELOQSTORE_TEST_KILLS', '2'))
SHARDS = (1, 2, 4)
MODES = ('always', 'everysec', 'no')
WORKERS = 4
KEYS = 40
PIPELINE = 16
RUN_S = 0.7  # at most so long before a kill
FAR = 33177117420000  # expiries of the distant future, in ms


class Lost(Exception):
    pass


class Worker:
    """One connection's commands. `model` is the state after all that were answered."""

    databases = (0,)

    def __init__(self, number, seed):
        self.number = number
        self.chance = random.Random(seed * 1000 + number)
        self.keys = [b'w%d:%d' % (number, i) for i in range(KEYS)]
        self.model = Model()
        self.open = []  # sent, not answered
        self.answered = 0
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

    def step(self, client):
        """A pipeline. Every answer is compared with the model's."""
        self.open = [self.command() for _ in range(self.chance.randint(1, PIPELINE))]
        client.send_many(self.open)
        while self.open:
            reply = client.read()
            command = self.open.pop(0)
            expected = self.model.run(command)
            self.answered += 1
            if reply != expected and not (isinstance(expected, Error) and isinstance(reply, Error)):
                raise Lost(
                    f'{shown(command)} was answered with {str(reply)[:200]}, '
                    f'not {str(expected)[:200]}'
                )

    def work(self, server):
        """Until the server is gone."""
        try:
            with server.client() as client:
                client.call('SELECT', self.databases[0])
                self.model.current = self.databases[0]
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
        for command in self.open + [None]:
            if candidate.everything() == found:
                self.model = candidate
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

    def __init__(self, seed):
        self.chance = random.Random(seed)

    def work(self, server):
        try:
            with server.client() as client:
                while True:
                    time.sleep(self.chance.random() * 0.1)
                    client.call('DEBUG', self.chance.choice(('CHECKPOINT', 'EVICT')))
        except (Closed, ConnectionError, OSError):
            pass


class Run:
    def __init__(self, program, seed):
        self.chance = random.Random(seed)
        self.workers = [Worker(number, seed) for number in range(WORKERS - 1)]
        self.workers.append(DatabaseWorker(WORKERS - 1, seed))
        self.disturber = Disturber(seed)
        self.server = Server(program, {'log-segment-size': '1mb', 'checkpoint-age': 1, 'shards': 1})
        self.kills = 0

    def close(self):
        self.server.close()

    def end(self):
        if self.chance.random() < 0.1:
            self.server.stop()
        else:
            self.server.kill()
            self.kills += 1

    def load_and_end(self):
        busy = self.workers + ([self.disturber] if self.chance.random() < 0.7 else [])
        threads = [threading.Thread(target=one.work, args=(self.server,)) for one in busy]
        for thread in threads:
            thread.start()
        time.sleep(self.chance.random() * RUN_S)
        if not self.server.is_running():
            raise ServerDied(f'it ended by itself\n{self.server.log()}')
        self.end()
        for thread in threads:
            thread.join()

    def start(self, shards, mode):
        self.server.options.update({'shards': shards, 'appendfsync': mode})
        while self.chance.random() < 0.15:
            self.server.start_and_kill(self.chance.random() * 0.5)
            self.kills += 1
        self.server.start()

    def check(self):
        for worker in self.workers:
            worker.check(self.server)
        keys = sum(worker.key_count() for worker in self.workers)
        with self.server.client() as client:
            size = 0
            for number in range(3):
                client.call('SELECT', number)
                size += client.call('DBSIZE')
            if size != keys:
                raise Lost(f'DBSIZE is {size}, there are {keys} keys')
            if self.chance.random() < 0.2:
                client.call('DEBUG', 'CHECK')

    def round(self, shards, mode):
        self.start(shards, mode)
        self.check()
        self.load_and_end()


def main():
    program = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    pairs = [(shards, mode) for shards in SHARDS for mode in MODES] * KILLS
    random.Random(seed).shuffle(pairs)
    print(f'seed {seed}: {len(pairs)} rounds', flush=True)
    run = Run(program, seed)
    run.server.kill()
    number = 0
    try:
        for number, (shards, mode) in enumerate(pairs):
            run.round(shards, mode)
        run.start(2, 'everysec')
        run.check()
    except BaseException:
        print(
            f'round {number}: {pairs[number]} before {pairs[number - 1] if number else "none"}; '
            f'{run.kills} kills\n{run.server.log()}',
            flush=True,
        )
        raise
    finally:
        run.close()
    answered = sum(worker.answered for worker in run.workers)
    print(f'{run.kills} kills, {answered} commands answered, none lost')


if __name__ == '__main__':
    main()
