#!/usr/bin/python3
"""Kills the server at random moments under load, starts it again, and compares.

    kill9_test.py SERVER [SEED]

The load, and what must be there after a kill, are those of support/workers.py. Every start has
other numbers of shards and another appendfsync than the one before. Sometimes a start is killed
too, and sometimes the server is stopped as an operator does it.

ELOQSTORE_TEST_KILLS tells how many kills there are for each pair of shards and mode (default 2);
the full run is 50.
"""

import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support.server import Server, ServerDied  # noqa: E402
from support.workers import DatabaseWorker, Disturber, Lost, Worker  # noqa: E402

KILLS = int(os.environ.get('ELOQSTORE_TEST_KILLS', '2'))
SHARDS = (1, 2, 4)
MODES = ('always', 'everysec', 'no')
WORKERS = 4
RUN_S = 0.7  # at most so long before a kill


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
