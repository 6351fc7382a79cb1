#!/usr/bin/python3
"""Damaged files give a clear error that names what and where; never a crash, a hang, wrong data.

    broken_files_test.py SERVER [Files.test_name ...]

Two stores are written once: one that was stopped in order, one that was killed. Each case of the
tables below damages a copy in one place and starts a server on it. It either refuses, naming file
and offset; or it serves, and then each key has its value or an error reply. DEBUG CHECK reads
everything and must find what a key's error came from. In the first case of each line of a table a
server that served is stopped and started once more: it must then have what it had, and what was
written in between.

SHOW=1 prints the outcome of every case.
"""

import os
import random
import re
import shutil
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support.case import ServerCase, run  # noqa: E402
from support.resp import Error  # noqa: E402
from support.server import Server, ServerDied  # noqa: E402

OPTIONS = {
    'shards': 2,
    'partitions': 2,
    'log-segment-size': '1mb',
    'checkpoint-age': 0,
    'appendfsync': 'always',
}
KEYS = 1500
LARGE = 500  # every so many keys one has a value of several pages
FOLLOWED = 200  # keys that are only in the log, written one after the other
PAGE = 4096
BATCH = 100
SANITIZER = re.compile(r'Sanitizer|runtime error')
PLACE = re.compile(r' at offset \d+|superblock|directory|can\'t open')


def value_of(number):
    if number % LARGE == 7:
        return random.Random(number).randbytes(30000)
    return b'%d ' % number * (number % 90 // 4 + 1)


def follow(number):
    return b'seq:%d' % number


class Store:
    """A directory that a server has written, and what is in it."""

    def __init__(self, program, clean):
        self.folder = tempfile.mkdtemp(prefix='eloqstore-test-')
        self.values = {b'key:%d' % i: value_of(i) for i in range(KEYS)}
        server = Server(program, OPTIONS, directory=self.folder)
        try:
            with server.client() as client:
                self.fill(client)
            if clean:
                server.stop()
            else:
                server.kill()
        finally:
            server.close()

    def fill(self, client):
        names = list(self.values)
        for start in range(0, KEYS, BATCH):
            some = names[start:start + BATCH]
            client.call_many([('SET', name, self.values[name]) for name in some])
            if start in (KEYS // 3, 2 * KEYS // 3):
                client.call('DEBUG', 'CHECKPOINT')
        client.call('DEBUG', 'CHECKPOINT')
        for number in range(FOLLOWED):
            client.call('SET', follow(number), number)
            self.values[follow(number)] = b'%d' % number

    def files(self, pattern):
        found = []
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), self.folder)
                if re.fullmatch(pattern, path):
                    found.append(File(self, path))
        return sorted(found, key=lambda file: file.path)


class File:
    """A file of a store, as the tables need it to say where."""

    def __init__(self, store, path):
        self.store = store
        self.path = path
        with open(os.path.join(store.folder, path), 'rb') as file:
            self.data = file.read()
        self.size = len(self.data)
        self.used = len(self.data.rstrip(b'\0'))
        self.pages = self.size // PAGE
        self.random = random.Random(path)

    def places(self, count):
        """So many random offsets within what is used."""
        return sorted(self.random.randrange(self.used) for _ in range(count))

    def some_pages(self, count):
        return [page * PAGE for page in self.random.sample(range(self.pages), count)]

    # The superblock: two copies, each with its generation.

    def newest(self):
        one, other = (struct.unpack_from('<Q', self.data, at + 32)[0] for at in (0, PAGE))
        return 0 if one > other else PAGE

    def older(self):
        return PAGE - self.newest()

    # Data files: where the large values begin.

    def extents(self):
        values = (value_of(number) for number in range(7, KEYS, LARGE))
        return [at for at in (self.data.find(value) for value in values) if at >= 0]

    # The log: where the value that follows is.

    def followed(self, number):
        at = self.data.rfind(follow(number) + b'%d' % number)
        assert at >= 0, f'{follow(number)} is not in {self.path}'
        return at

    def block(self, number):
        return self.followed(number) // PAGE * PAGE

    def numbers(self):
        """What of the followed keys is in this file, in order."""
        return [n for n in range(FOLLOWED) if follow(n) + b'%d' % n in self.data]


# ----- damages: each changes the file at `path` -----


class Damage:
    def __init__(self, text, change, other=None):
        self.text = text
        self.change = change  # takes the path of the file in the copy, returns nothing
        self.other = other  # a second file that may be named


def edit(text, change):
    """`change` takes the file's bytes, in a bytearray."""
    def apply(path):
        with open(path, 'rb') as file:
            data = bytearray(file.read())
        change(data)
        with open(path, 'wb') as file:
            file.write(data)
    return Damage(text, apply)


def flip(at, bit=None):
    bit = at % 8 if bit is None else bit

    def change(data):
        data[at] ^= 1 << bit
    return edit(f'bit {bit} of byte {at} flipped', change)


def cut(size):
    return Damage(f'cut to {size} bytes', lambda path: os.truncate(path, size))


def repeat(source, target, count=PAGE):
    def change(data):
        data[target:target + count] = data[source:source + count]
    return edit(f'{count} bytes at {source} repeated at {target}', change)


def swap(one, other, count=PAGE):
    def change(data):
        data[one:one + count], data[other:other + count] = (
            data[other:other + count], data[one:one + count])
    return edit(f'{count} bytes at {one} and {other} swapped', change)


def take_out(at, count=PAGE):
    def change(data):
        del data[at:at + count]
    return edit(f'{count} bytes at {at} taken out', change)


def overwrite(at, count, byte):
    def change(data):
        data[at:at + count] = bytes([byte]) * count
    return edit(f'{count} bytes at {at} set to {byte:#x}', change)


def append(count, byte):
    def change(data):
        data += bytes([byte]) * count
    return edit(f'{count} bytes of {byte:#x} appended', change)


def remove():
    return Damage('removed', os.remove)


def make_folder():
    def apply(path):
        os.remove(path)
        os.mkdir(path)
    return Damage('replaced by a folder', apply)


def swap_files(file, other):
    def apply(path):
        there = path[:-len(file.path)] + other.path
        os.rename(path, path + '.swap')
        os.rename(there, path)
        os.rename(path + '.swap', there)
    return Damage(f'swapped with {other.path}', apply, other.path)


# ----- the tables: what is done, and what may come of it -----
#
# served    all keys have their values
# refused   the server ends with code 1
# errors    some keys give errors, and DEBUG CHECK does; or only that, for what no key needs
# shorter   the end of what was written last is gone, as a cut write would have it

ANY_PAGE = 'served errors'  # served: nothing needs the page any longer

SUPER = [
    # what is done, after an orderly end, after a kill
    (lambda f: [flip(f.older() + at) for at in (0, 8, 17, 33, 300)], 'served', 'served'),
    (lambda f: [overwrite(f.older(), PAGE, byte) for byte in (0, 0xff)], 'served', 'served'),
    (lambda f: [repeat(f.newest(), f.older()), append(100, 7)], 'served', 'served'),
    # The copy before it knows less, and the log tells.
    (lambda f: [flip(f.newest() + at) for at in (0, 8, 17, 33, 300)],
     'served', 'served refused'),
    (lambda f: [overwrite(f.newest(), PAGE, byte) for byte in (0, 0xff)],
     'served', 'served refused'),
    (lambda f: [repeat(f.older(), f.newest())], 'served', 'served refused'),
    (lambda f: [swap(0, PAGE), overwrite(0, 2 * PAGE, 0), overwrite(0, 2 * PAGE, 0xff)],
     'refused', 'refused'),
    (lambda f: [cut(0), cut(100), make_folder()], 'refused', 'refused'),
]

LOCK = [
    (lambda f: [remove(), append(5000, 0xff)], 'served', 'served'),
    (lambda f: [make_folder()], 'refused', 'refused'),
]

# A record is one page here: the snapshot, commits, and after an orderly end the closing one.
MANIFEST = [
    (lambda f: [flip(at) for at in (0, 8, 13, 14, 16, 32, 56, 100)], 'refused', 'refused'),
    (lambda f: [cut(size) for size in (0, 1, 50, PAGE - 1)], 'refused', 'refused'),
    (lambda f: [overwrite(0, PAGE, 0), repeat(PAGE, 0), take_out(0), remove(), make_folder()],
     'refused', 'refused'),
    (lambda f: [swap(0, PAGE), swap(PAGE, 2 * PAGE), take_out(PAGE), repeat(0, PAGE)],
     'refused', 'refused'),
    # After a kill a last record that is not whole is one whose commit did not end: the log has it.
    (lambda f: [flip(at) for at in f.places(8)], 'refused', 'served refused'),
    (lambda f: [cut(f.size - count) for count in (1, 100, PAGE, PAGE + 1, 2 * PAGE)],
     'refused', 'served'),
    (lambda f: [cut(PAGE), take_out(f.size - PAGE)], 'refused', 'served'),
    (lambda f: [repeat(f.size - PAGE, f.size), append(5000, 0xff), append(PAGE, 0)],
     'served refused', 'served refused'),
]

DATA = [
    (lambda f: [flip(at) for at in f.places(8)], ANY_PAGE, ANY_PAGE),
    (lambda f: [repeat(*f.some_pages(2)), swap(*f.some_pages(2)), repeat(0, PAGE, PAGE // 2)],
     ANY_PAGE, ANY_PAGE),
    (lambda f: [overwrite(at, PAGE, 0) for at in f.some_pages(2)], ANY_PAGE, ANY_PAGE),
    (lambda f: [overwrite(0, f.size, 0), overwrite(0, f.size, 0xff)], 'errors', 'errors'),
    (lambda f: [cut(size) for size in (0, PAGE + 5, f.size - PAGE, f.size - 1)],
     'refused', 'refused'),
    (lambda f: [take_out(f.some_pages(1)[0]), remove(), make_folder()], 'refused', 'refused'),
    (lambda f: [append(PAGE, 0), append(100, 0xff)], 'served', 'served'),
]

EXTENT = [
    (lambda f: [flip(at + place) for at in f.extents() for place in (0, PAGE + 1, 29999)],
     'errors', 'errors'),
    (lambda f: [overwrite(at + PAGE, PAGE, 0) for at in f.extents()], 'errors', 'errors'),
    (lambda f: [swap(at, at + PAGE) for at in f.extents()], 'errors', 'errors'),
    (lambda f: [repeat(at + PAGE, at, 2 * PAGE) for at in f.extents()], 'errors', 'errors'),
]

# After an orderly end nothing of it is needed, but a file may be missed.
LOG = [
    (lambda f: [flip(100), flip(5000), cut(0), overwrite(0, 5000, 0xff)], 'served refused', None),
    (lambda f: [remove()], 'served refused', None),
]

# The first of a killed store: frames in the second one say that all of it was durable.
LOG_FIRST = [
    (lambda f: [flip(f.followed(n)) for n in f.numbers()[::40]], None, 'refused'),
    (lambda f: [flip(f.followed(n) + 5, 3) for n in f.numbers()[::40]], None, 'refused'),
    (lambda f: [overwrite(f.block(n), 64, 0) for n in f.numbers()[::40]], None, 'refused'),
    (lambda f: [overwrite(f.block(n), 1000, 0xff) for n in f.numbers()[::40]], None, 'refused'),
    (lambda f: [overwrite(f.block(n), PAGE, 0) for n in f.numbers()[::40]], None, 'refused'),
    (lambda f: [repeat(f.block(n) - PAGE, f.block(n)) for n in f.numbers()[::40]],
     None, 'refused'),
    (lambda f: [swap(f.block(n) - PAGE, f.block(n)) for n in f.numbers()[::40]], None, 'refused'),
    (lambda f: [repeat(f.block(n) - PAGE + 64, f.block(n), 128) for n in f.numbers()[::40]],
     None, 'refused'),
    (lambda f: [take_out(f.block(n)) for n in f.numbers()[::40]], None, 'refused'),
    (lambda f: [cut(size) for size in (0, 64, PAGE, f.size // 2, f.size - PAGE)], None, 'refused'),
    (lambda f: [remove(), make_folder()], None, 'refused'),
    (lambda f: [flip(at) for at in f.places(12)], None, 'served refused'),  # served: in a pad
]

# The second: its last frame is where a write may have been cut short.
LOG_LAST = [
    (lambda f: [flip(f.followed(n)) for n in f.numbers()[:-2:40]], None, 'refused'),
    (lambda f: [take_out(f.block(n)) for n in f.numbers()[:-2:40]], None, 'refused'),
    (lambda f: [swap(f.block(n), f.block(n) + PAGE) for n in f.numbers()[:-2:40]],
     None, 'refused'),
    (lambda f: [flip(f.followed(FOLLOWED - 1)), overwrite(f.block(FOLLOWED - 1), PAGE, 0)],
     None, 'shorter'),
    (lambda f: [cut(f.followed(FOLLOWED - 1)), cut(f.block(FOLLOWED - 1))],
     None, 'shorter refused'),
    (lambda f: [cut(0), cut(PAGE), remove()], None, 'shorter refused'),
    (lambda f: [make_folder()], None, 'refused'),
]


class Files(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.clean = Store(ServerCase.program, True)
        cls.killed = Store(ServerCase.program, False)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.clean.folder)
        shutil.rmtree(cls.killed.folder)

    # ----- one case -----

    def read_all(self, server, values):
        """Errors, and followed keys that are missing; fails if there is a wrong value."""
        errors, missing = [], []
        with server.client() as client:
            names = list(values)
            for start in range(0, len(names), BATCH):
                some = names[start:start + BATCH]
                client.send_many([('GET', name) for name in some])
                for name in some:
                    reply = client.read()
                    if isinstance(reply, Error):
                        errors.append(reply)
                    elif reply is None and name.startswith(b'seq:'):
                        missing.append(int(name[4:]))
                    else:
                        self.assertEqual(values[name], reply, name)
        return errors, missing

    def named(self, log):
        """A line says where: in the file, or if that is gone, in its folder."""
        lines = [line for line in log.splitlines() if PLACE.search(line)]
        self.assertTrue(any(place in line for place in self.places for line in lines), log)

    def judge(self, server, values):
        errors, missing = self.read_all(server, values)
        with server.client() as client:
            checked = client.ask('DEBUG', 'CHECK')
        if errors:
            self.assertIn('corrupt', str(errors[0]))
            self.assertIsInstance(checked, Error, 'DEBUG CHECK found nothing')
        if isinstance(checked, Error):
            self.assertRegex(str(checked), r'partition \d+: ')
            self.named(server.log())
            return 'errors'
        if missing:
            self.assertEqual(list(range(FOLLOWED))[-len(missing):], sorted(missing))
            return 'shorter'
        return 'served'

    def leave(self, server):
        """In order, also if damaged pages keep the last checkpoint from being made."""
        server.stop()
        self.assertNotRegex(server.log(), SANITIZER)

    def start(self, folder, values, again):
        try:
            server = Server(ServerCase.program, OPTIONS, directory=folder)
        except ServerDied as died:
            self.assertEqual(1, died.code, died.log)
            self.assertNotRegex(died.log, SANITIZER)
            self.named(died.log)
            return 'refused'
        try:
            first = self.judge(server, values)
            if not again:
                self.leave(server)
                return first
            after = {b'after:%d' % i: b'%d' % i for i in range(10)}
            with server.client() as client:
                for name, value in after.items():
                    self.assertEqual(b'OK', client.call('SET', name, value))
            self.leave(server)
            server.start()
            self.assertEqual(first, self.judge(server, {**values, **after}))
            self.leave(server)
            return first
        except BaseException:
            print(server.log(), file=sys.stderr)
            raise
        finally:
            if server.is_running():
                server.kill()

    def outcome(self, file, damage, again):
        folder = tempfile.mkdtemp(prefix='eloqstore-test-')
        self.places = {file.path, damage.other or file.path, os.path.dirname(file.path) or folder}
        try:
            shutil.copytree(file.store.folder, folder, dirs_exist_ok=True)
            damage.change(os.path.join(folder, file.path))
            return self.start(folder, file.store.values, again)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def check(self, file, damage, allowed, again=True):
        end = 'stopped' if file.store is self.clean else 'killed'
        with self.subTest(f'{end} {file.path}: {damage.text}'):
            outcome = self.outcome(file, damage, again)
            if os.environ.get('SHOW'):
                print(f'{outcome:8} {end:8} {file.path}: {damage.text}', flush=True)
            self.assertIn(outcome, allowed.split())

    def check_table(self, files, table):
        self.assertTrue(files)
        for file in files:
            for damages, stopped, killed in table:
                allowed = stopped if file.store is self.clean else killed
                for number, damage in enumerate(damages(file) if allowed is not None else []):
                    self.check(file, damage, allowed, number == 0)

    def both(self, pattern):
        return self.clean.files(pattern) + self.killed.files(pattern)

    # ----- the tables -----

    def test_superblock(self):
        self.check_table(self.both('SUPER'), SUPER)

    def test_lock(self):
        self.check_table(self.both('LOCK'), LOCK)

    def test_manifests(self):
        self.check_table(self.both(r'p\d+/manifest-\d+\.man'), MANIFEST)

    def test_data_files(self):
        self.check_table(self.both(r'p\d+/data-\d+\.dat'), DATA)

    def test_extents(self):
        files = [file for file in self.both(r'p\d+/data-\d+\.dat') if file.extents()]
        self.check_table(files, EXTENT)

    def test_log_of_a_store_that_was_stopped(self):
        self.check_table(self.clean.files(r'log/.*\.log'), LOG)

    def test_log(self):
        first, last = self.killed.files(r'log/.*\.log')[:2]
        self.assertEqual(range(FOLLOWED)[-1], last.numbers()[-1])
        self.check_table([first], LOG_FIRST)
        self.check_table([last], LOG_LAST)

    # ----- more than one file -----

    def test_files_that_changed_places(self):
        for store in (self.clean, self.killed):
            for pattern in (r'p\d+/manifest-\d+\.man', r'p\d+/data-\d+\.dat'):
                one, other = store.files(pattern)[:2]
                self.check(one, swap_files(one, other), 'refused errors')
        first, last = self.killed.files(r'log/.*\.log')[:2]
        self.check(first, swap_files(first, last), 'refused')

    def test_partitions_that_are_gone_or_changed_places(self):
        for store in (self.clean, self.killed):
            file = store.files(r'p0000/manifest-\d+\.man')[0]
            self.check(file, Damage('with its folder removed', lambda path: shutil.rmtree(
                os.path.dirname(path))), 'refused')

            def exchange(path):
                here = os.path.dirname(path)
                there = here.replace('p0000', 'p0001')
                os.rename(here, here + '.swap')
                os.rename(there, here)
                os.rename(here + '.swap', there)
            self.check(file, Damage('with its folder swapped', exchange, 'p0001'), 'refused')

    def test_a_folder_that_is_no_store(self):
        for name in ('SUPER', 'log', 'p0000'):
            folder = tempfile.mkdtemp(prefix='eloqstore-test-')
            try:
                if name == 'SUPER':
                    os.mkdir(os.path.join(folder, name))
                else:
                    with open(os.path.join(folder, name), 'w', encoding='ascii') as file:
                        file.write('not a folder')
                with self.assertRaises(ServerDied) as raised:
                    Server(ServerCase.program, OPTIONS, directory=folder).close()
                self.assertEqual(1, raised.exception.code, raised.exception.log)
                self.assertIn(folder, raised.exception.log)
            finally:
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    run()
