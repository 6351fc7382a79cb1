"""A recorded disk with a file system on it, and what power cuts would leave of it.

The recorder is tests/crash/recorder/recorder.c; its model is told there.
"""

import os
import struct
import subprocess
import time

from .sandbox import WAIT_S, run, unmount

SECTOR = 512
BLOCK = 4096
WRITE, FLUSH = 1, 2
ENTRY = struct.Struct('<QQII')  # struct entry of the recorder

MKFS = {
    'ext4': ('mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0'),
    'xfs': ('mkfs.xfs', '-q', '-f'),
}
MOUNT_OPTIONS = 'loop,nodiscard'


def make_image(path, kind, size):
    with open(path, 'wb') as file:
        file.truncate(size)
    run(*MKFS[kind], path)


def copy_image(path, to):
    run('cp', '--sparse=always', path, to)


def await_detached(image):
    """The loop device of a mount that is gone goes a little later; till then mount refuses it."""
    end = time.monotonic() + WAIT_S
    while subprocess.check_output(('losetup', '--associated', image)):
        if time.monotonic() > end:
            raise RuntimeError(f'{image} stays attached to a loop device')
        time.sleep(0.01)


class Mounted:
    """An image, or a recorder's device, mounted through a loop device. Use it in a `with`."""

    def __init__(self, image, path):
        os.makedirs(path, exist_ok=True)
        self.path = path
        self.image = image
        await_detached(image)
        run('mount', '-o', MOUNT_OPTIONS, image, path)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        unmount(self.path)
        await_detached(self.image)


class Recorder:
    """`image` served as a device; use it in a `with`. A replay begins with a copy taken before."""

    def __init__(self, program, image, record, path):
        os.makedirs(path, exist_ok=True)
        self.path = path
        self.process = subprocess.Popen([program, image, record, path])
        self.device = os.path.join(path, 'device')
        end = time.monotonic() + WAIT_S
        while not os.path.exists(self.device):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f'the recorder does not serve: {self.process.returncode}')
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        unmount(self.path)
        self.process.wait(WAIT_S)

    def control(self, word):
        with open(os.path.join(self.path, 'control'), 'w', encoding='ascii') as file:
            file.write(word)


class Entry:
    def __init__(self, position, fields):
        self.position = position  # of its data in the recording
        self.time_ns, self.offset, self.length, self.kind = fields


class Recording:
    """What a recorder wrote. A cut is a number: so many entries had come when the power went."""

    def __init__(self, path):
        self.path = path
        self.entries = []
        with open(path, 'rb') as file:
            while head := file.read(ENTRY.size):
                entry = Entry(file.tell(), ENTRY.unpack(head))
                self.entries.append(entry)
                if entry.kind == WRITE:
                    file.seek(entry.length, os.SEEK_CUR)

    def count(self):
        return len(self.entries)

    def count_at(self, time_ns):
        """How many entries had come by then."""
        return sum(entry.time_ns <= time_ns for entry in self.entries)

    def time_of(self, cut):
        """Nothing that came before this moment needs an entry that the cut took away."""
        return self.entries[cut].time_ns if cut < self.count() else time.monotonic_ns()

    def flush_after(self, cut):
        """The first cut, not before this one, whose next entry is a flush."""
        while cut < self.count() and self.entries[cut].kind != FLUSH:
            cut += 1
        return cut


class Replay:
    """Images of one recording, for cuts that come in ascending order."""

    def __init__(self, recording, base, durable):
        self.recording = recording
        self.durable = durable  # the image up to the last flush
        self.done = 0
        copy_image(base, durable)

    def image(self, cut, path, chance, keep=0.5, unit=SECTOR):
        """Makes the image that a cut leaves. Returns how many units were open, and were kept."""
        entries = self.recording.entries
        flushed = cut
        while flushed > self.done and entries[flushed - 1].kind != FLUSH:
            flushed -= 1
        with open(self.recording.path, 'rb') as source:
            with open(self.durable, 'r+b') as image:
                for entry in entries[self.done : flushed]:
                    for offset, part in self._parts(source, entry, 1 << 30):
                        image.seek(offset)
                        image.write(part)
            self.done = flushed
            copy_image(self.durable, path)
            total = kept = 0
            with open(path, 'r+b') as image:
                for entry in entries[flushed:cut]:
                    for offset, part in self._parts(source, entry, unit):
                        total += 1
                        if chance.random() < keep:
                            kept += 1
                            image.seek(offset)
                            image.write(part)
        return total, kept

    @staticmethod
    def _parts(source, entry, unit):
        """The data of an entry, cut at multiples of `unit` on the disk: (offset, bytes)."""
        if entry.kind != WRITE:
            return
        source.seek(entry.position)
        offset, end = entry.offset, entry.offset + entry.length
        while offset < end:
            until = min(end, (offset // unit + 1) * unit)
            yield offset, source.read(until - offset)
            offset = until
