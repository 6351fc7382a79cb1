"""What the integration tests share: a server of their own, a client, and running tests.

A test file defines functions test_*(program, folder): the built server and an empty directory that
is removed afterwards. It ends with `harness.main(globals())`, which runs them all in order and
exits with 1 if one fails. Servers listen on a free port of 127.0.0.1 and are killed when their
`with` block ends.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class ReplyError(Exception):
    """An error reply."""


class Client:
    """A connection that sends commands and reads replies (RESP2, and what RESP3 adds)."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(60)
        self.socket.connect(address)
        self.input = b''

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *words):
        self.socket.sendall(encode(words))

    def read_line(self):
        while b'\r\n' not in self.input:
            self.receive()
        line, self.input = self.input.split(b'\r\n', 1)
        return line

    def read_bytes(self, count):
        while len(self.input) < count + 2:
            self.receive()
        data, self.input = self.input[:count], self.input[count + 2:]
        return data

    def receive(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError('the server has closed the connection')
        self.input += data

    def read(self):
        line = self.read_line()
        kind, rest = line[:1], line[1:]
        if kind == b'-':
            raise ReplyError(rest.decode())
        if kind == b'+':
            return rest.decode()
        if kind == b':':
            return int(rest)
        if kind == b'_':
            return None
        if kind in (b'$', b'='):
            return None if rest == b'-1' else self.read_bytes(int(rest))
        if kind in (b'*', b'~', b'>'):
            return None if rest == b'-1' else [self.read() for _ in range(int(rest))]
        if kind == b'%':
            return {self.read(): self.read() for _ in range(int(rest))}
        raise ValueError(f'unexpected reply {line!r}')

    def __call__(self, *words):
        self.send(*words)
        return self.read()

    def text(self, *words):
        return self(*words).decode()

    def pairs(self, *words):
        flat = [item.decode() for item in self(*words)]
        return dict(zip(flat[::2], flat[1::2]))

    def info(self, *sections):
        lines = self.text('info', *sections).split('\r\n')
        return dict(line.split(':', 1) for line in lines if ':' in line)

    def error(self, *words):
        """The text of the error that the command must end with."""
        try:
            reply = self(*words)
        except ReplyError as error:
            return str(error)
        raise AssertionError(f'{words} gave {reply!r}, not an error')


def encode(words):
    parts = [b'*%d\r\n' % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b'$%d\r\n%s\r\n' % (len(data), data))
    return b''.join(parts)


class Server:
    """A running server. Its data directory is folder/data."""

    def __init__(self, program, folder, *arguments, port=None, wait=True):
        self.port = port or free_port()
        self.log_path = os.path.join(folder, 'server.log')
        self.log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        command = [program, *arguments, '--port', str(self.port), '--bind', '127.0.0.1', '--dir',
                   os.path.join(folder, 'data')]
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        if wait:
            self.wait_for('Ready to accept connections')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()

    def log(self):
        with open(self.log_path, 'rb') as log:
            log.seek(self.log_start)
            return log.read().decode(errors='replace')

    def wait_for(self, text):
        """Until the log of this start holds the text."""
        end = time.monotonic() + START_TIMEOUT_S
        while text not in self.log():
            if self.process.poll() is not None:
                raise AssertionError(f'the server has ended with {self.process.returncode}:\n'
                                     + self.log())
            if time.monotonic() > end:
                raise AssertionError(f'no {text!r} in the log:\n' + self.log())
            time.sleep(0.01)

    def client(self):
        return Client(('127.0.0.1', self.port))

    def wait(self):
        return self.process.wait(STOP_TIMEOUT_S)

    def stop(self, number=signal.SIGTERM):
        """Asks it to end, and returns its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()


def run(program, *arguments, text_in=None):
    """Runs the program to its end: exit code, standard output and error together."""
    done = subprocess.run([program, *arguments], input=text_in, text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout


def check_equal(got, wanted):
    if got != wanted:
        raise AssertionError(f'got {got!r}, wanted {wanted!r}')


def check_in(part, whole):
    if part not in whole:
        raise AssertionError(f'no {part!r} in {whole!r}')


def check_match(pattern, text):
    if not re.search(pattern, text):
        raise AssertionError(f'{pattern!r} does not match {text!r}')


def main(names):
    program = sys.argv[1]
    only = sys.argv[2:]
    failed = 0
    for name, test in names.items():
        if not name.startswith('test_') or (only and name not in only):
            continue
        folder = tempfile.mkdtemp(prefix='eloqstore-')
        try:
            test(program, folder)
            print(f'ok   {name}', flush=True)
        except Exception:
            failed += 1
            print(f'FAIL {name}\n{traceback.format_exc()}', flush=True)
            log = os.path.join(folder, 'server.log')
            if os.path.exists(log):
                with open(log, encoding='utf-8', errors='replace') as file:
                    print('the server said:\n' + file.read()[-8000:], flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)
