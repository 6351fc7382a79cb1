#!/usr/bin/python3
"""Fills the disk under a server, and makes room again.

    full_disk_test.py SERVER [SEED]

On a small tmpfs and on a small ext4, as docs/durability.md has it under "The disk is full": writes
are refused with an error, connections live, reads go on, of what is only on disk, too. It starts
on the full disk, several times in a row. When there is room again writes are accepted without a
restart, and what was acknowledged is there all the time.

Short of that, and said so in durability.md: what can't be refused may use up the log's last
segment. Then the server ends with 74, and may not start before there is room; nothing is lost. The
last line counts how often that was met.

ELOQSTORE_TEST_FULL_DISKS tells how often each disk is filled (default 1).
"""

import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support import sandbox  # noqa: E402
from support.device import Mounted, make_image  # noqa: E402
from support.resp import Error  # noqa: E402
from support.server import Server, ServerDied  # noqa: E402
from support.workers import DatabaseWorker, Disturber, Lost, Worker, is_refusal  # noqa: E402

KINDS = ('tmpfs', 'ext4')
DISK_BYTES = 96 << 20
BALLAST_BYTES = 56 << 20  # a checkpoint needs about as much as the log has
MODES = ('always', 'everysec')
LOAD_S = 0.5
WORKERS = 3
ROUNDS = int(os.environ.get('ELOQSTORE_TEST_FULL_DISKS', '1'))
WAIT_S = 20  # a limit for hangs, not an expectation
STARTS = 4  # while the disk is full
FULL = b'MISCONF Errors writing to the log file: No space left on device'


class TmpDisk:
    def __init__(self, path):
        os.makedirs(path, exist_ok=True)
        self.path = path
        sandbox.run('mount', '-t', 'tmpfs', '-o', f'size={DISK_BYTES}', 'small', path)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        sandbox.unmount(self.path)


def small_disk(kind, scratch):
    path = scratch.file('disk')
    if kind == 'tmpfs':
        return TmpDisk(path)
    image = scratch.file('image')
    make_image(image, kind, DISK_BYTES)
    return Mounted(image, path)

# The exit code when the log can't be written.
NO_LOG_LEFT = 74


class Filler:
    """Keys that take the room."""

    SIZES = (50000, 2000, 10)  # what is refused a large value may have room for a small one

    def __init__(self, chance):
        self.chance = chance
        self.values = {}

    def fill(self, client):
        """Until even a small write is refused."""
        for size in self.SIZES:
            for number in range(2 * DISK_BYTES // size):
                key = b'fill:%d:%d' % (size, number)
                value = self.chance.randbytes(size)
                reply = client.ask('SET', key, value)
                if is_refusal(reply):
                    if not reply.text.startswith(FULL):
                        raise Lost(f'refused for another reason: {reply}')
                    break
                if isinstance(reply, Error):
                    raise reply
                self.values[key] = value
            else:
                raise AssertionError('the disk does not get full')

    def check(self, client):
        for key, value in self.values.items():
            if client.call('GET', key) != value:
                raise Lost(f'{key} has another value')

    def remove(self, client):
        for key in self.values:
            client.call('DEL', key)
        self.values = {}


class Case:
    """One disk, and the servers on it, one after the other."""

    def __init__(self, program, disk, mode, seed):
        self.disk = disk
        self.chance = random.Random(seed)
        self.workers = [Worker(number, seed) for number in range(WORKERS - 1)]
        self.workers.append(DatabaseWorker(WORKERS - 1, seed))
        for worker in self.workers:
            worker.may_be_refused = True
        self.filler = Filler(self.chance)
        self.ends = 0  # by itself
        self.has_room = False
        store = os.path.join(disk.path, 'store')
        os.mkdir(store)
        options = {
            'log-segment-size': '1mb',
            'checkpoint-age': 1,
            'appendfsync': mode,
            'shards': self.chance.choice((1, 2, 4)),
        }
        self.server = Server(program, options, directory=store)

    # ----- room -----

    def take_room(self):
        with open(os.path.join(self.disk.path, 'ballast'), 'wb') as file:
            file.write(bytes(BALLAST_BYTES))
            os.fsync(file.fileno())

    def make_room(self):
        if not self.has_room:
            os.remove(os.path.join(self.disk.path, 'ballast'))
            self.has_room = True

    # ----- steps -----

    def end(self):
        if self.chance.random() < 0.5:
            self.server.kill()
        else:
            self.server.stop()

    def load_and_end(self):
        """Random commands, most of which are refused: the disk is full."""
        busy = [*self.workers, Disturber(self.chance.random(), may_fail=True)]
        threads = [threading.Thread(target=one.work, args=(self.server,)) for one in busy]
        for thread in threads:
            thread.start()
        time.sleep(LOAD_S)
        try:
            alive = self.server.is_running()
            self.end()
        except ServerDied:
            alive = False
        if not alive:
            self.note_end()
        for thread in threads:
            thread.join()

    def note_end(self):
        """It ended by itself."""
        code = self.server.wait()
        why = 'redo log: a write failed: No space left'
        if code != NO_LOG_LEFT or why not in self.server.log():
            raise ServerDied(f'it ended by itself with {code}\n{self.server.log()}')
        self.ends += 1

    def start_again_and_again(self):
        for start in range(STARTS):
            try:
                self.start_and_check()
            except ServerDied as died:
                if self.ends == 0 or "can't begin: No space left on device" not in died.log:
                    raise
                self.make_room()
                self.start_and_check()
                return
            if start < STARTS - 1:
                self.load_and_end()

    def start_and_check(self):
        self.server.start()
        for worker in self.workers:
            worker.check(self.server)
        with self.server.client() as client:
            self.filler.check(client)
            client.call('DEBUG', 'CHECK')

    def await_success(self, client, *command):
        """It is refused, or fails, for a while after there is room."""
        end = time.monotonic() + WAIT_S
        while isinstance(reply := client.ask(*command), Error):
            if time.monotonic() > end:
                raise AssertionError(f'{command}: {reply}, and there is room\n{self.server.log()}')
            time.sleep(0.02)

    def run(self):
        """Returns how many keys fitted."""
        self.take_room()
        with self.server.client() as client:
            self.filler.fill(client)
            client.ask('DEBUG', 'EVICT')
            self.filler.check(client)
        self.load_and_end()
        self.start_again_and_again()
        with self.server.client() as client:
            if not self.has_room:
                self.filler.fill(client)
            self.make_room()
            self.await_success(client, 'SET', 'probe', bytes(self.filler.SIZES[0]))
            self.await_success(client, 'DEBUG', 'CHECKPOINT')
            count = len(self.filler.values)
            self.filler.remove(client)
        self.end()
        self.start_and_check()
        return count


def run(program, kind, mode, seed):
    with sandbox.Scratch() as scratch, small_disk(kind, scratch) as disk:
        case = Case(program, disk, mode, seed)
        try:
            count = case.run()
        except BaseException:
            print(case.server.log(), flush=True)
            case.server.kill()
            raise
        case.server.close()
    answered = sum(worker.answered for worker in case.workers)
    refused = sum(worker.refused for worker in case.workers)
    print(
        f'{kind} {mode}: full with {count} keys, {STARTS} starts; '
        f'{answered} commands, {refused} were refused, none lost; '
        f'ended by itself {case.ends} times',
        flush=True,
    )


def main():
    program = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    sandbox.enter(('mkfs.ext4',), ('/dev/loop-control',))
    print(f'seed {seed}', flush=True)
    for number in range(ROUNDS):
        for kind in KINDS:
            for mode in MODES:
                run(program, kind, mode, seed + number)


if __name__ == '__main__':
    main()
