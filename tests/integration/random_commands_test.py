#!/usr/bin/python3
"""Sends random commands to Debian's redis-server and to ours, and compares the replies.

    random_commands_test.py SERVER [--seed S] [--commands N] [--shards N] [--go-on]

Every command of the server takes part (see differential/grammar.py), with right and wrong
arguments, in RESP2 and RESP3, as arrays, as inline commands, in pipelines cut at random, over
several databases, on two connections. What is compared how stands in differential/lockstep.py, what
may differ in differential/compare.py.

The seed is printed. A stream with a reply that differs is made as short as can be and printed as
lines for redis-cli. With --go-on the run goes on after that, with a summary at its end.
"""

import argparse
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from support.server import REDIS, Server  # noqa: E402
from differential import compare, grammar, lockstep  # noqa: E402

STREAM_COMMANDS = 150
SKIPPED = 77  # meson's exit code for it

# In pipelines only what needs nothing done before or after it, see lockstep.py.
NOT_IN_PIPELINES = {b'DBSIZE', b'SCAN', b'RANDOMKEY', b'QUIT', b'HELLO', b'RESET', b'CLIENT'}
SILENCED = {b'SET', b'GET', b'MGET', b'INCR', b'APPEND', b'DEL', b'FOO', b'GETSET', b'STRLEN'}


class StreamMaker:
    def __init__(self, seed, table):
        self.chance = random.Random(seed)
        self.maker = grammar.Maker(seed, table)
        self.groups = 0

    def commands(self, count, wanted):
        found = []
        while len(found) < count:
            args = self.maker.command()
            if wanted(args):
                found.append(args)
        return found

    def silenced(self):
        """What CLIENT REPLY keeps from being answered; a pipeline turns replies on at its end."""
        inner = self.commands(self.chance.randint(1, 5), lambda args: args[0].upper() in SILENCED)
        how = self.chance.choice([b'OFF', b'SKIP', b'off'])
        return [[b'CLIENT', b'REPLY', how]] + inner

    def pipeline(self, connection):
        self.groups += 1
        if self.chance.random() < 0.1:
            commands = self.silenced()
        else:
            commands = self.commands(
                self.chance.randint(2, 20),
                lambda args: args[0].upper() not in NOT_IN_PIPELINES and sum(map(len, args)) < 8000,
            )
        return [lockstep.Step(args, connection, self.groups) for args in commands]

    def single(self, connection):
        args = self.maker.command()
        inline = self.chance.random() < 0.1 and sum(map(len, args)) < 8000 and args[0] != b''
        return [lockstep.Step(args, connection, inline=inline)]

    def stream(self, count):
        steps = []
        for connection in ('a', 'b'):
            if self.chance.random() < 0.5:
                steps.append(lockstep.Step([b'HELLO', b'3'], connection))
        while len(steps) < count:
            connection = 'a' if self.chance.random() < 0.8 else 'b'
            steps += (
                self.pipeline(connection)
                if self.chance.random() < 0.05
                else self.single(connection)
            )
        return steps + [lockstep.Step(args) for args in everything()]


def everything():
    """What is in the databases at the end."""
    steps = []
    for database in grammar.words.DATABASES:
        steps += [[b'SELECT', database], [b'SCAN', b'0'], [b'DBSIZE']]
        steps += [[b'MGET'] + grammar.words.KEYS]
        steps += [[b'PEXPIRETIME', key] for key in grammar.words.KEYS]
    return steps


def tell(seed, steps, difference):
    print(f'\nA reply differs (seed {seed}). As redis-cli takes it:')
    for step in steps:
        print(f'    {step}')
    print(f'    redis {difference.theirs[:600]!r}\n    ours  {difference.ours[:600]!r}', flush=True)


class Run:
    def __init__(self, arguments):
        self.arguments = arguments
        self.known = compare.Known(compare.KNOWN + compare.KNOWN_IN_RANDOM)
        self.played = {}
        self.found = []

    def count(self, steps):
        for step in steps:
            self.played[step.name()] = self.played.get(step.name(), 0) + 1

    def stream(self, pair, seed, table):
        steps = StreamMaker(seed, table).stream(STREAM_COMMANDS)
        self.count(steps)
        difference = pair.play(steps)
        if difference is None:
            return len(steps)
        if not any(difference.alike(other) for other in self.found):
            self.found.append(difference)
            tell(seed, *lockstep.shrink(pair, steps, difference))
        return len(steps)

    def between(self, redis, ours):
        pair = lockstep.Pair(redis, ours, self.known)
        table = grammar.table_of(ours.call('COMMAND'))
        done, seed = 0, self.arguments.seed
        while done < self.arguments.commands and (self.arguments.go_on or not self.found):
            done += self.stream(pair, seed, table)
            seed += 1
        pair.close()
        print(f'{done} commands of {len(self.played)} names, {len(self.found)} differences')
        missed = {name.split(b'|')[0].upper() for name in table} - set(self.played)
        if missed and self.arguments.commands > 20000:
            print('never sent: ' + b' '.join(sorted(missed)).decode())

    def run(self):
        for shards in self.arguments.shards:
            print(f'seed {self.arguments.seed}, {shards} shards', flush=True)
            with Server(REDIS) as redis:
                with Server(self.arguments.server, {'shards': shards}) as ours:
                    self.between(redis, ours)
        return 1 if self.found else 0


def main():
    parser = argparse.ArgumentParser(description='random commands to two servers')
    parser.add_argument('server')
    parser.add_argument('--seed', type=int, default=1, help='of the first stream; then ascending')
    parser.add_argument('--commands', type=int, default=6000, help='for each number of shards')
    parser.add_argument('--shards', type=int, nargs='+', default=[1, 4])
    parser.add_argument('--go-on', action='store_true', help='after a difference')
    arguments = parser.parse_args()
    if not os.path.exists(REDIS):
        print(f'skipped: there is no {REDIS}; tools/install-packages test installs it')
        return SKIPPED
    return Run(arguments).run()


if __name__ == '__main__':
    sys.exit(main())
