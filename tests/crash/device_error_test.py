#!/usr/bin/python3
"""Lets the disk below a real file system fail while a server is loaded.

    device_error_test.py SERVER RECORDER [SEED]

The recorder fails the next write or flush, or every one from some moment on, until it is told that
the disk is well again. The server must exit by itself with code 74, whatever the file system makes
of the error, and what it had acknowledged by then (with everysec: two seconds before) must be there
when the disk works again: on the same mount, where the file system has stayed writable, and after
mounting it again.

An error need not end it. A write that failed may have been the file system's own, or one that can
be done without: of a new segment of the log, where commands are then refused, or of a data file,
where the checkpoint is given up. Then the server goes on, and the disk is made to fail again.
"""

import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support import sandbox  # noqa: E402
from support.device import Mounted, Recorder, make_image  # noqa: E402
from support.journal import EVERYSEC_LOSS_NS, NEVER, Heart  # noqa: E402
from support.journal import check_order, journal_workers  # noqa: E402
from support.server import Server  # noqa: E402
from support.workers import Disturber, Lost  # noqa: E402

EXIT_FAILED = 74
IMAGE_BYTES = 512 << 20
CASES = [
    (kind, mode, word)
    for kind in ('ext4', 'xfs')
    for mode in ('always', 'everysec')
    for word in ('once', 'broken')
]
WORKERS = 3
NOTICED_S = 5  # without an error for so long the disk is made to fail once more
FAILURES_MAX = 20


class Case:
    def __init__(self, program, recorder, scratch, seed):
        self.program = program
        self.recorder = recorder
        self.scratch = scratch
        self.chance = random.Random(seed)
        self.workers = journal_workers(WORKERS, seed)
        for worker in self.workers:
            worker.may_be_refused = True

    def fail(self, server, recorder, word):
        """Returns how often the disk was told to fail before the server ended."""
        for attempt in range(1, FAILURES_MAX + 1):
            recorder.control(word)
            end = time.monotonic() + NOTICED_S
            while time.monotonic() < end:
                if not server.is_running():
                    return attempt
                time.sleep(0.02)
        raise AssertionError(f'the server goes on, and the disk has failed\n{server.log()}')

    def load_until_it_fails(self, server, recorder, word):
        busy = [*self.workers, Disturber(self.chance.random(), may_fail=True)]
        threads = [threading.Thread(target=one.work, args=(server,)) for one in busy]
        for thread in threads:
            thread.start()
        time.sleep(0.2 + self.chance.random())
        attempts = self.fail(server, recorder, word)
        for thread in threads:
            thread.join()
        code = server.wait()
        if code != EXIT_FAILED:
            raise AssertionError(f'it ended with {code}, not {EXIT_FAILED}\n{server.log()}')
        if 'FATAL: a write or sync has failed' not in server.log():
            raise AssertionError(f'it does not say why it ends\n{server.log()}')
        return attempts

    def check(self, store, options, kept_ns):
        """Returns what is there."""
        with Server(self.program, options, directory=store) as server:
            with server.client() as client:
                found = [worker.found(client) for worker in self.workers]
                client.call('DEBUG', 'CHECK')
                client.call('SET', 'again', 'writable')
        spans = [
            worker.explained(state, kept_ns, NEVER) for worker, state in zip(self.workers, found)
        ]
        check_order(self.workers, spans)
        return found

    @staticmethod
    def is_writable(directory):
        """The file system may have ended its journal at the error."""
        try:
            probe = os.path.join(directory, 'probe')
            with open(probe, 'wb') as file:
                file.write(b'x')
                os.fsync(file.fileno())
            os.remove(probe)
            return True
        except OSError:
            return False

    def run_on(self, recorder, mode, word):
        path = self.scratch.file('live')
        options = {
            'appendfsync': mode,
            'log-segment-size': '1mb',
            'checkpoint-age': 1,
            'shards': self.chance.choice((1, 2, 4)),
        }
        with Mounted(recorder.device, path) as mounted:
            store = os.path.join(mounted.path, 'store')
            os.mkdir(store)
            server = Server(self.program, options, directory=store)
            heart = Heart()
            attempts = self.load_until_it_fails(server, recorder, word)
            heart.stop()
            for worker in self.workers:
                worker.close()
            kept_ns = NEVER
            if mode == 'everysec':
                kept_ns = time.monotonic_ns() - EVERYSEC_LOSS_NS - heart.stall_ns
            recorder.control('ok')
            stayed = self.is_writable(mounted.path)
            found = self.check(store, options, kept_ns) if stayed else None
        with Mounted(recorder.device, path):
            again = self.check(store, options, kept_ns)
        if stayed and found != again:
            raise Lost('what was there is not after mounting the file system again')
        return attempts, stayed

    def run(self, kind, mode, word):
        image = self.scratch.file('image')
        make_image(image, kind, IMAGE_BYTES)
        with Recorder(
            self.recorder, image, self.scratch.file('record'), self.scratch.file('fuse')
        ) as recorder:
            attempts, stayed = self.run_on(recorder, mode, word)
        answered = sum(worker.answered for worker in self.workers)
        print(
            f'{kind} {mode} {word}: ended with {EXIT_FAILED} after {attempts} failures, the file '
            f'system {"stayed" if stayed else "was not"} writable; {answered} commands',
            flush=True,
        )


def main():
    program, recorder = sys.argv[1:3]
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(10**6)
    if not os.path.exists(recorder):
        sandbox.skip('the recorder is not built: there is no libfuse3')
    sandbox.enter(('mkfs.ext4', 'mkfs.xfs'), ('/dev/fuse', '/dev/loop-control'))
    print(f'seed {seed}', flush=True)
    for number, (kind, mode, word) in enumerate(CASES):
        with sandbox.Scratch() as scratch:
            Case(program, recorder, scratch, seed + number).run(kind, mode, word)


if __name__ == '__main__':
    main()
