#!/usr/bin/python3
"""Redis's own tools work with the server: redis-cli in its modes, and redis-benchmark.

    redis_tools_test.py SERVER [Cli.test_name ...]
"""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from support.case import ServerCase, run  # noqa: E402

WAIT_S = 120  # a limit for hangs, not an expectation
# What redis-benchmark sends by default, as far as there are strings only.
BENCHMARKS = 'ping_inline,ping_mbulk,set,get,incr,mset'


def read_until(terminal, pattern):
    """What comes up to the pattern, or to the end if there is none; AssertionError if it doesn't.

    A terminal whose other side is closed ends with an error.
    """
    seen = b''
    deadline = time.monotonic() + WAIT_S
    while pattern is None or not re.search(pattern, seen):
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f'no {pattern} within {WAIT_S} s: {seen}')
        try:
            some = os.read(terminal, 4096)
        except OSError:
            some = b''
        if not some:
            if pattern is None:
                break
            raise AssertionError(f'ended without {pattern}: {seen}')
        seen += some
    return seen


class Cli(ServerCase):
    options = {'shards': 2}

    def cli(self, *arguments, data=b'', code=0):
        """Its output, without the last newline."""
        argv = ['redis-cli', '-p', str(self.server.port)] + list(arguments)
        done = subprocess.run(
            argv,
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=WAIT_S,
            check=False,
        )
        self.assertEqual(code, done.returncode, (argv, done.stdout))
        return done.stdout.rstrip(b'\n')

    def until(self, arguments, pattern):
        """Lets a mode that has no end print until the pattern is there; ends it."""
        argv = ['redis-cli', '-p', str(self.server.port)] + list(arguments)
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = b''
        try:
            while not re.search(pattern, output):
                ready, _, _ = select.select([process.stdout], [], [], WAIT_S)
                some = os.read(process.stdout.fileno(), 1 << 16) if ready else b''
                self.assertTrue(some, (argv, output))
                output += some
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()
        return output

    def fill(self, count):
        self.client.call_many([('SET', 'key:%d' % i, b'v' * (i % 100)) for i in range(count)])

    # ----- commands as arguments, from a file, raw -----

    def test_commands_as_arguments(self):
        self.assertEqual(b'PONG', self.cli('PING'))
        self.assertEqual(b'OK', self.cli('SET', 'k', 'a b'))
        self.assertEqual(b'a b', self.cli('GET', 'k'))
        self.assertEqual(b'"a b"', self.cli('--no-raw', 'GET', 'k'))
        self.assertEqual(b'(nil)', self.cli('--no-raw', 'GET', 'missing'))
        self.assertEqual(b'(integer) 1', self.cli('--no-raw', 'INCR', 'n'))
        self.assertEqual(b'1) "a b"\n2) (nil)', self.cli('--no-raw', 'MGET', 'k', 'missing'))
        self.assertEqual(b'(error) ERR syntax error', self.cli('--no-raw', 'SET', 'k', 'v', 'FOO'))
        self.assertEqual(b'3', self.cli('-r', '3', 'INCR', 'm').split(b'\n')[-1])
        self.assertEqual(
            b'value', self.cli('-x', 'SET', 'stdin', data=b'value') and self.cli('GET', 'stdin')
        )
        self.assertEqual(b'OK', self.cli('-n', '3', 'SET', 'three', '3'))
        self.assertEqual(b'', self.cli('GET', 'three'))

    def test_resp3(self):
        self.assertEqual(b'PONG', self.cli('-3', 'PING'))
        self.assertEqual(
            b'1# "server" => "redis"', self.cli('-3', '--no-raw', 'HELLO', '3').split(b'\n')[0]
        )

    def test_formats(self):
        self.cli('SET', 'k', 'a"b')
        self.assertEqual(b'"a\\"b"', self.cli('--csv', 'GET', 'k'))
        self.assertEqual(b'"a\\"b"', self.cli('--json', 'GET', 'k'))

    def test_url_password_and_unix_socket(self):
        self.client.call('CONFIG', 'SET', 'requirepass', 'secret')
        try:
            self.assertIn(b'NOAUTH', self.cli('PING'))
            self.assertEqual(b'PONG', self.cli('-a', 'secret', '--no-auth-warning', 'PING'))
            self.assertEqual(
                b'PONG',
                self.cli('--user', 'default', '--pass', 'secret', '--no-auth-warning', 'PING'),
            )
            url = f'redis://default:secret@127.0.0.1:{self.server.port}/2'
            self.assertEqual(b'PONG', self.cli('-u', url, '--no-auth-warning', 'PING'))
        finally:
            self.client.call('CONFIG', 'SET', 'requirepass', '')

    def test_a_script_of_lines(self):
        lines = b'SET a 1\nINCR a\nGET a\n\nMGET a b\nFOO\n'
        self.assertEqual([b'OK', b'2', b'2', b'2', b''], self.cli(data=lines).split(b'\n')[:5])

    def test_info_and_lists_are_printed(self):
        self.assertIn(b'redis_version:', self.cli('INFO'))
        self.assertIn(b'cmd=client|list', self.cli('CLIENT', 'LIST'))
        self.assertIn(b'maxmemory', self.cli('CONFIG', 'GET', 'maxm*'))
        self.assertIn(b'SETNAME', self.cli('CLIENT', 'HELP'))

    # ----- interactive -----

    def test_interactive(self):
        """Through a terminal, with its hints and its prompt."""
        # Not pty.fork: this process has threads, so nothing but exec may come after a fork.
        terminal, their_end = pty.openpty()
        fcntl.ioctl(their_end, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
        process = subprocess.Popen(
            ['redis-cli', '-p', str(self.server.port)],
            stdin=their_end,
            stdout=their_end,
            stderr=their_end,
            env={**os.environ, 'TERM': 'xterm', 'REDISCLI_HISTFILE': '/dev/null'},
            start_new_session=True,
        )
        os.close(their_end)
        try:
            prompt = b'127.0.0.1:%d' % self.server.port
            read_until(terminal, prompt + b'> ')
            for line, pattern in (
                (b'SET k "v w"', b'\r\nOK\r\n'),
                (b'GET k', b'\r\n"v w"\r\n'),
                (b'SELECT 3', b'\r\nOK\r\n(?=' + prompt + b'\\[3\\])'),
                (b'GET k', b'\r\n\\(nil\\)\r\n'),
                (b'GET', b'\\(error\\) ERR wrong number'),
                (b'HELLO 3', b'"proto" => \\(integer\\) 3'),
                (b'COMMAND COUNT', b'\\(integer\\) [0-9]+'),
                (b'RESET', b'RESET\r\n'),
            ):
                os.write(terminal, line + b'\r')
                # What is typed before the next prompt would be dropped.
                read_until(terminal, b'(?s)' + pattern + b'.*127[.]0[.]0[.]1:[^ ]*> ')
            os.write(terminal, b'quit\r')
            read_until(terminal, None)
            self.assertEqual(0, process.wait(WAIT_S))
        finally:
            process.kill()
            process.wait()
            os.close(terminal)

    # ----- modes -----

    def test_stat(self):
        self.fill(50)
        output = self.until(
            ['--stat', '-i', '0.01'], rb'\n50 +\S+ +\d+ +\d+ +\d+ \(\+\d+\) +\d+.*\n50 '
        )
        self.assertIn(b'keys', output)

    def test_scan(self):
        self.fill(300)
        names = self.cli('--scan').split(b'\n')
        self.assertEqual(sorted(b'key:%d' % i for i in range(300)), sorted(names))
        names = self.cli('--scan', '--pattern', 'key:29*').split(b'\n')
        self.assertEqual(sorted([b'key:29'] + [b'key:29%d' % i for i in range(10)]), sorted(names))

    def test_bigkeys(self):
        self.fill(200)
        self.client.call('SET', 'biggest', b'x' * 5000)
        output = self.cli('--bigkeys')
        self.assertIn(b'Sampled 201 keys', output)
        self.assertRegex(output, rb"Biggest string found '\"?biggest\"?' has 5000 bytes")

    def test_memkeys(self):
        self.fill(200)
        self.client.call('SET', 'biggest', b'x' * 5000)
        output = self.cli('--memkeys')
        self.assertIn(b'Sampled 201 keys', output)
        self.assertIn(b'biggest', output)

    def test_latency(self):
        self.until(['--latency', '-i', '0.1'], rb'^\d+ \d+ [\d.]+ \d+\n')
        self.until(['--latency-history', '-i', '0.1'], rb'(\d+ \d+ [\d.]+ \d+\n){2}')

    def test_pipe(self):
        """Mass insertion: protocol and inline lines, then an ECHO of redis-cli's own."""
        data = b''.join(
            b'*3\r\n$3\r\nSET\r\n$%d\r\nkey:%d\r\n$5\r\nvalue\r\n' % (4 + len(str(i)), i)
            for i in range(20000)
        )
        output = self.cli('--pipe', data=data)
        self.assertIn(b'errors: 0, replies: 20000', output)
        self.assertEqual(20000, self.client.call('DBSIZE'))
        output = self.cli('--pipe', data=b'SET a 1\r\nINCR a\r\nINCR key:1\r\n', code=1)
        self.assertIn(b'errors: 1, replies: 3', output)

    def test_monitor(self):
        argv = ['redis-cli', '-p', str(self.server.port), 'MONITOR']
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        try:
            self.assertEqual(b'OK\n', process.stdout.readline())
            self.client.call('SET', 'k', 'v')
            line = process.stdout.readline()
            self.assertRegex(line, rb'^\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "k" "v"\n$')
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()

    def test_modes_that_we_have_nothing_for_end_with_an_error(self):
        self.assertIn(
            b'cluster', self.cli('--cluster', 'info', f'127.0.0.1:{self.server.port}', code=1)
        )
        self.fill(1)
        self.cli('--hotkeys', code=1)
        self.assertEqual(b'PONG', self.cli('PING'))

    # ----- redis-benchmark -----

    def benchmark(self, *arguments):
        argv = ['redis-benchmark', '-p', str(self.server.port), '--csv'] + list(arguments)
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=WAIT_S, check=False
        )
        self.assertEqual(0, done.returncode, done.stdout)
        self.assertNotIn(b'rror', done.stdout)
        rows = [
            line.split(b',')[0].strip(b'"')
            for line in done.stdout.split(b'\n')
            if line.startswith(b'"')
        ]
        return rows[1:]

    def test_benchmark_with_its_default_list(self):
        for arguments in ((), ('-P', '16'), ('-3',), ('-r', '1000'), ('-d', '5000', '-c', '10')):
            rows = self.benchmark('-t', BENCHMARKS, '-n', '3000', *arguments)
            self.assertEqual(
                [b'PING_INLINE', b'PING_MBULK', b'SET', b'GET', b'INCR', b'MSET (10 keys)'],
                rows,
                arguments,
            )

    def test_benchmark_of_one_command(self):
        rows = self.benchmark('-n', '2000', '-P', '8', '-r', '500', 'SET', 'k:__rand_int__', 'v')
        self.assertEqual(1, len(rows))
        self.assertGreater(self.client.call('DBSIZE'), 300)

    def test_benchmark_with_threads_and_many_connections(self):
        rows = self.benchmark('-t', 'set,get', '-n', '10000', '-c', '200', '--threads', '2')
        self.assertEqual([b'SET', b'GET'], rows)


if __name__ == '__main__':
    run()
