#!/usr/bin/python3
"""Makes the server kill itself at each of its kill points, starts it again, and compares.

    kill_points_test.py SERVER SOURCES [SEED]

SERVER is built with -Dkill_points=true; the points are all KILL_POINT("name") below SOURCES. Each
one is forced several times, at different hits: under load and forced checkpoints, while the server
starts on what a kill has left, or while it stops, wherever it lies. What must be there afterwards
is what support/workers.py says; DEBUG CHECK reads every page.

ELOQSTORE_TEST_KILLS_PER_POINT tells how often each is forced (default 3).
"""

import collections
import glob
import os
import random
import re
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support import sandbox  # noqa: E402
from support.resp import Closed  # noqa: E402
from support.server import Server, ServerDied  # noqa: E402
from support.workers import DatabaseWorker, Disturber, Worker  # noqa: E402

KILLS = int(os.environ.get('ELOQSTORE_TEST_KILLS_PER_POINT', '3'))
VARIABLE = 'ELOQSTORE_KILL_POINT'
MODES = ('always', 'everysec', 'no')
SHARDS = (1, 2, 4)
HITS = (1, 2, 5, 10)
WORKERS = 3
LOAD_S = 8  # at most; a point that is met ends the load at once
SHORT_S = 0.2  # for the points of a recovery, which no load meets
ATTEMPTS_MAX = 5
OPTIONS = {'log-segment-size': '1mb', 'checkpoint-age': 1, 'partitions': 4}


def points_below(sources):
    names = []
    for path in glob.glob(os.path.join(sources, '**', '*.c'), recursive=True):
        with open(path, encoding='utf-8') as file:
            names += re.findall(r'KILL_POINT\("([a-z-]+)"\)', file.read())
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if not names or twice:
        raise AssertionError(f'{len(names)} kill points, more than once: {twice}')
    return sorted(names)


class BusyDisturber(Disturber):
    """One checkpoint after the other, so that manifests grow and are rotated."""

    PAUSE_S = 0.002


class Run:
    def __init__(self, program, seed):
        self.chance = random.Random(seed)
        self.workers = [Worker(number, seed) for number in range(WORKERS - 1)]
        self.workers.append(DatabaseWorker(WORKERS - 1, seed))
        self.server = Server(program, {**OPTIONS, 'shards': 1})
        self.server.kill()

    def starts(self):
        """False if it killed itself meanwhile."""
        self.server.options['shards'] = self.chance.choice(SHARDS)
        self.server.options['appendfsync'] = self.chance.choice(MODES)
        try:
            self.server.start()
            return True
        except ServerDied as error:
            if error.code != -signal.SIGKILL:
                raise
            return False

    def load(self, seconds):
        """Until it kills itself, or long enough; then it is stopped. Returns whether it did."""
        busy = [*self.workers, BusyDisturber(self.chance.random())]
        threads = [threading.Thread(target=one.work, args=(self.server,)) for one in busy]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while self.server.is_running() and time.monotonic() < end:
            time.sleep(0.01)
        if self.server.is_running():
            self.server.process.send_signal(signal.SIGTERM)
        code = self.server.wait()
        for thread in threads:
            thread.join()
        if code not in (0, -signal.SIGKILL):
            raise ServerDied(f'it ended with {code}', code, self.server.log())
        return code == -signal.SIGKILL

    def check(self):
        for worker in self.workers:
            worker.check(self.server)
        with self.server.client() as client:
            client.call('DEBUG', 'CHECK')

    def survives_check(self):
        """False if it killed itself meanwhile."""
        try:
            self.check()
            return True
        except (Closed, ConnectionError):
            if self.server.wait() != -signal.SIGKILL:
                raise
            return False

    def short_load(self):
        """Leaves something for the next start to replay."""
        threads = [threading.Thread(target=one.work, args=(self.server,)) for one in self.workers]
        for thread in threads:
            thread.start()
        time.sleep(SHORT_S)
        self.server.kill()
        for thread in threads:
            thread.join()

    def force(self, name, hit):
        """Whether the server has killed itself there. It runs afterwards, and is checked."""
        os.environ[VARIABLE] = f'{name}:{hit}'
        try:
            seconds = SHORT_S if name.startswith('recovery-') else LOAD_S
            killed = not self.starts() or not self.survives_check() or self.load(seconds)
        finally:
            del os.environ[VARIABLE]
        if not self.starts():
            raise ServerDied('it was killed, by whom?')
        self.check()
        self.short_load()
        return killed

    def point(self, name):
        hits = []
        attempts = 0
        while len(hits) < KILLS:
            hit = self.chance.choice(HITS) if attempts == 0 else 1
            attempts += 1
            if self.force(name, hit):
                hits.append(hit)
                attempts = 0
            elif attempts == ATTEMPTS_MAX:
                raise AssertionError(f'{name} is never reached')
        print(f'{name}: killed at hits {hits}', flush=True)


def main():
    program, sources = sys.argv[1:3]
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(10**6)
    with open(program, 'rb') as file:
        if VARIABLE.encode() not in file.read():
            sandbox.skip('the server is built without -Dkill_points=true')
    names = points_below(sources)
    print(f'seed {seed}: {len(names)} points', flush=True)
    run = Run(program, seed)
    try:
        for name in names:
            run.point(name)
    except BaseException:
        print(f'{name}\n{run.server.log()}', flush=True)
        raise
    finally:
        run.server.close()
    answered = sum(worker.answered for worker in run.workers)
    print(f'{KILLS * len(names)} kills at {len(names)} points, {answered} commands, none lost')


if __name__ == '__main__':
    main()
