"""kill -9 under load, again and again: what was acknowledged is there, an MSET whole or absent.

  kill9_test.py PROGRAM [KILLS [SEED]]

Every round starts the server with another number of shards and another appendfsync on the same
directory, lets writers work until it is killed at a random moment, starts it again and compares.
The kernel lives, so nothing acknowledged may be missing in any of the three modes.

Oracle. Each key has one writer, which gives it ascending versions. After the kill the version found
is at least the last one acknowledged and at most the last one sent; what is found then counts as
acknowledged. The keys of one MSET, spread over shards, all show one version. A key whose last
change was a DEL may be absent instead. DBSIZE agrees with the keys that exist.
"""

import os
import random
import sys
import tempfile
import threading
import shutil

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support.resp import Client, Closed, Error  # noqa: E402
from support.server import Server  # noqa: E402

WRITERS = 6
KEYS = 40
GROUP = 5
SHARDS = (1, 2, 4)
MODES = ('always', 'everysec', 'no')
BIG_BYTES = 20000  # some values are extents


class Key:
    """What one writer knows of a key: versions 1, 2, ...; one that deletes shows as absent."""

    def __init__(self, names):
        self.names = names  # one, or those of a group that is always set together
        self.sent = 0
        self.acknowledged = 0
        self.deletes = set()

    def value(self, version, name):
        text = b'%d:%s:' % (version, name)
        size = BIG_BYTES if version % 11 == 0 else 30 + version % 50
        return text + b'v' * size


class Writer:
    def __init__(self, number, seed):
        self.random = random.Random(seed * 1000 + number)
        self.keys = [Key([b'k:%d:%d' % (number, i)]) for i in range(KEYS)]
        self.keys += [
            Key([b'g:%d:%d:%d' % (number, i, j) for j in range(GROUP)]) for i in range(KEYS // 4)
        ]
        self.failure = None

    def command(self, key):
        key.sent += 1
        if len(key.names) > 1:
            pairs = [part for name in key.names for part in (name, key.value(key.sent, name))]
            return [b'MSET', *pairs]
        if self.random.random() < 0.1:
            key.deletes.add(key.sent)
            return [b'DEL', key.names[0]]
        return [b'SET', key.names[0], key.value(key.sent, key.names[0])]

    def work(self, port):
        """Pipelines of changes until the connection breaks."""
        try:
            with Client(port) as client:
                while True:
                    picked = [
                        self.random.choice(self.keys) for _ in range(self.random.randint(1, 16))
                    ]
                    commands, versions = [], []
                    for key in picked:
                        commands.append(self.command(key))
                        versions.append(key.sent)
                    client.send_many(commands)
                    for key, version in zip(picked, versions):
                        reply = client.read()
                        if isinstance(reply, Error):
                            self.failure = f'{reply} for {key.names}'
                            return
                        key.acknowledged = version
        except (Closed, OSError):
            pass

    # ----- checking -----

    def versions_found(self, client, key):
        for name, value in zip(key.names, client.call('MGET', *key.names)):
            if value is None:
                yield None
                continue
            version = int(value.split(b':', 1)[0])
            if value != key.value(version, name):
                raise AssertionError(f'{name}: a value nobody wrote: {value[:80]!r}')
            yield version

    def check_key(self, client, key):
        found = set(self.versions_found(client, key))
        if len(found) != 1:
            raise AssertionError(f'{key.names}: an MSET is torn: {found}')
        version = found.pop()
        possible = range(key.acknowledged, key.sent + 1)
        if version is None:
            absent = [v for v in possible if v == 0 or v in key.deletes]
            if not absent:
                raise AssertionError(
                    f'{key.names}: lost; acknowledged {key.acknowledged}, sent {key.sent}'
                )
            settled = absent[-1]
        else:
            if version not in possible or version in key.deletes:
                raise AssertionError(
                    f'{key.names}: version {version}; acknowledged {key.acknowledged}, '
                    f'sent {key.sent}'
                )
            settled = version
        # What nobody acknowledged and nobody sees is gone for good: versions go on from here.
        key.acknowledged = key.sent = settled
        key.deletes = {v for v in key.deletes if v <= settled}
        return 0 if version is None else len(key.names)

    def check(self, client):
        if self.failure is not None:
            raise AssertionError(self.failure)
        return sum(self.check_key(client, key) for key in self.keys)


def options(rng):
    return {
        'shards': rng.choice(SHARDS),
        'appendfsync': rng.choice(MODES),
        'maxmemory': rng.choice(('40mb', '256mb')),
        'log-segment-size': '1mb',
        'checkpoint-age': rng.choice((1, 300)),
    }


def one_round(program, directory, writers, rng):
    chosen = options(rng)
    with Server(program, chosen, directory) as server:
        threads = [threading.Thread(target=w.work, args=(server.port,)) for w in writers]
        for thread in threads:
            thread.start()
        threading.Event().wait(rng.uniform(0.02, 0.6))
        server.kill()
        for thread in threads:
            thread.join()
        server.options = options(rng)  # also another number of shards
        server.start()
        with server.client() as client:
            existing = sum(writer.check(client) for writer in writers)
            counted = client.call('DBSIZE')
            if counted != existing:
                raise AssertionError(f'DBSIZE is {counted}, but {existing} keys exist')
            client.call('DEBUG', 'CHECK')
        server.kill()
    return chosen


def main():
    program = sys.argv[1]
    default = os.environ.get('TEST_KILLS', '10')
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else int(default)
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f'{kills} kills; repeat with: {sys.argv[0]} {program} {kills} {seed}', flush=True)
    rng = random.Random(seed)
    writers = [Writer(i, seed) for i in range(WRITERS)]
    directory = tempfile.mkdtemp(prefix='eloqstore-kill9-')
    try:
        for number in range(kills):
            chosen = one_round(program, directory, writers, rng)
            sent = sum(key.sent for writer in writers for key in writer.keys)
            print(f'kill {number + 1}: {chosen}, versions so far {sent}: nothing lost', flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == '__main__':
    main()
