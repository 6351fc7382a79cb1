#!/usr/bin/python3
"""Cuts the power of a real file system's disk under a loaded server, and starts it on what is left.

    power_cut_test.py SERVER RECORDER ext4|xfs [SEED]

A recording is a disk's whole life: the server is started on an empty directory, loaded, killed,
started again with another number of shards, loaded, and stopped. The workers note when each command
was sent and when it was answered. Then the power is cut, at moments of that life that are chosen at
random, half of them right before a flush: the image has everything before the last flush, and a
random part of the later sectors (support/device.py). The file system is mounted, which repairs
itself, the server is started on it, and must have

    always      everything that was answered before the cut
    everysec    a prefix of history, at most two seconds older than the cut. What this process was
                kept from running meanwhile is added: the server was on the same machine
    both        for each worker its keys as they were after one of its commands, so each MSET as a
                whole; and no command without all that were answered before it was sent, of any
                worker: the log has one order
    both        a tree whose every page is right: DEBUG CHECK

ELOQSTORE_TEST_CUTS tells how many cuts there are for each mode (default 10 on ext4, 5 on XFS). A
recording has at most 50, then there is a new one.
"""

import collections
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support import sandbox  # noqa: E402
from support.device import BLOCK, SECTOR, Mounted, Recorder, Recording  # noqa: E402
from support.device import Replay, copy_image, make_image  # noqa: E402
from support.journal import EVERYSEC_LOSS_NS, Heart, check_order, journal_workers  # noqa: E402
from support.server import Server  # noqa: E402
from support.workers import Disturber  # noqa: E402

KINDS = {'ext4': (10, 384 << 20), 'xfs': (5, 512 << 20)}
CUTS_PER_RECORDING = 50
MODES = ('always', 'everysec')
SHARDS = (1, 2, 4)
WORKERS = 4
LOAD_S = 1.5
LOGS = ('1mb', '16mb')  # small segments are synced early, and checkpointed


Result = collections.namedtuple('Result', 'open kept lost lost_ns')


class Life:
    """One recording, and the cuts of it."""

    def __init__(self, test, mode, seed):
        self.test = test
        self.mode = mode
        self.chance = random.Random(seed)
        self.seed = seed
        self.workers = journal_workers(WORKERS, seed)
        self.options = {
            'log-segment-size': self.chance.choice(LOGS),
            'checkpoint-age': self.chance.choice((1, 300)),
        }
        self.begin_ns = self.stopped_ns = 0
        self.stall_ns = 0
        self.unmountable = 0

    # ----- recording -----

    def load(self, server, end):
        busy = list(self.workers)
        if self.chance.random() < 0.5:
            busy.append(Disturber(self.chance.random()))
        threads = [threading.Thread(target=one.work, args=(server,)) for one in busy]
        for thread in threads:
            thread.start()
        time.sleep(LOAD_S)
        end()
        for thread in threads:
            thread.join()

    def live(self, store):
        options = {**self.options, 'appendfsync': self.mode, 'shards': self.chance.choice(SHARDS)}
        with Server(self.test.program, options, directory=store) as server:
            self.load(server, server.kill)
            server.options['shards'] = self.chance.choice(SHARDS)
            server.start()
            for worker in self.workers:
                worker.check(server)
            self.load(server, server.stop)
        for worker in self.workers:
            worker.close()

    def record(self):
        scratch = self.test.scratch
        image, record = scratch.file('image'), scratch.file('record')
        make_image(image, self.test.kind, KINDS[self.test.kind][1])
        copy_image(image, scratch.file('base'))
        heart = Heart()
        try:
            with Recorder(self.test.recorder, image, record, scratch.file('fuse')) as recorder:
                with Mounted(recorder.device, scratch.file('live')) as mounted:
                    store = os.path.join(mounted.path, 'store')
                    os.mkdir(store)
                    os.sync()
                    self.begin_ns = time.monotonic_ns()
                    self.live(store)
                    self.stopped_ns = time.monotonic_ns()
        finally:
            heart.stop()
        self.stall_ns = heart.stall_ns
        os.remove(image)
        return Recording(record)

    # ----- cutting -----

    def choose(self, recording, count):
        first = recording.count_at(self.begin_ns)
        cuts = [self.chance.randint(first, recording.count()) for _ in range(count)]
        return sorted(
            recording.flush_after(cut) if self.chance.random() < 0.5 else cut for cut in cuts
        )

    def kept_ns(self, cut_ns):
        """What was answered before must be there."""
        if self.mode == 'always' or cut_ns >= self.stopped_ns:
            return cut_ns
        return cut_ns - EVERYSEC_LOSS_NS - self.stall_ns

    def check(self, server, cut_ns):
        """Returns how many answered commands are lost, and for how long they had been answered."""
        spans = []
        with server.client() as client:
            for worker in self.workers:
                found = worker.found(client)
                spans.append(worker.explained(found, self.kept_ns(cut_ns), cut_ns))
            client.call('DEBUG', 'CHECK')
        check_order(self.workers, spans)
        lost = [
            cut_ns - answered_ns
            for worker, (_, last) in zip(self.workers, spans)
            for _, _, answered_ns in worker.history[last:]
            if answered_ns < cut_ns
        ]
        return len(lost), max(lost, default=0)

    def mount(self, replay, cut, image):
        """Mounts what the cut leaves. Returns it, and how many units were open and were kept.

        There are places that a file system itself can't have torn: ext4's superblock, which has
        1024 bytes, a directory block of XFS that says it is newer than the log. Then it does not
        mount, whatever a program has done, and the cut is made again with sectors of 4096 bytes.
        """
        keep = self.chance.choice((0.5, 0.5, 0))
        for unit in (SECTOR, BLOCK):
            counts = replay.image(cut, image, self.chance, keep, unit)
            try:
                return Mounted(image, self.test.scratch.file('after')), counts
            except sandbox.ToolFailed:
                if unit == BLOCK:
                    raise
                self.unmountable += 1
        raise AssertionError

    def cut(self, recording, replay, cut):
        image = self.test.scratch.file('cut')
        cut_ns = recording.time_of(cut)
        options = {
            **self.options,
            'appendfsync': self.chance.choice(MODES),
            'shards': self.chance.choice(SHARDS),
        }
        mounted, (total, kept) = self.mount(replay, cut, image)
        with mounted:
            store = os.path.join(mounted.path, 'store')
            with Server(self.test.program, options, directory=store) as server:
                try:
                    lost, lost_ns = self.check(server, cut_ns)
                except BaseException:
                    print(server.log(), flush=True)
                    raise
                if self.chance.random() < 0.5:
                    server.kill()
        os.remove(image)
        return Result(total, kept, lost, lost_ns)

    def run(self, count):
        recording = self.record()
        replay = Replay(
            recording, self.test.scratch.file('base'), self.test.scratch.file('durable')
        )
        results = []
        for cut in self.choose(recording, count):
            try:
                results.append(self.cut(recording, replay, cut))
            except BaseException:
                print(
                    f'{self.mode}, seed {self.seed}: cut {cut} of {recording.count()}', flush=True
                )
                raise
        print(
            f'{self.test.kind} {self.mode}: {count} cuts of {recording.count()} requests, '
            f'{sum(len(worker.history) for worker in self.workers)} commands; '
            f'of {sum(one.open for one in results)} sectors not flushed '
            f'{sum(one.kept for one in results)} were kept; answered and lost at most '
            f'{max(one.lost for one in results)} commands, '
            f'{max(one.lost_ns for one in results) / 1e9:.2f} s; '
            f'{self.unmountable} images that the file system could not repair',
            flush=True,
        )
        return count


class Test:
    def __init__(self, program, recorder, kind, scratch):
        self.program = program
        self.recorder = recorder
        self.kind = kind
        self.scratch = scratch

    def run(self, seed):
        count = int(os.environ.get('ELOQSTORE_TEST_CUTS', KINDS[self.kind][0]))
        chance = random.Random(seed)
        done = 0
        for mode in MODES:
            for begin in range(0, count, CUTS_PER_RECORDING):
                life = Life(self, mode, chance.randrange(10**6))
                done += life.run(min(CUTS_PER_RECORDING, count - begin))
        print(f'{done} cuts of the power, no acknowledged write lost beyond what the modes promise')


def main():
    program, recorder, kind = sys.argv[1:4]
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(10**6)
    if not os.path.exists(recorder):
        sandbox.skip('the recorder is not built: there is no libfuse3')
    sandbox.enter((f'mkfs.{kind}',), ('/dev/fuse', '/dev/loop-control'))
    print(f'seed {seed}', flush=True)
    with sandbox.Scratch() as scratch:
        Test(program, recorder, kind, scratch).run(seed)


if __name__ == '__main__':
    main()
