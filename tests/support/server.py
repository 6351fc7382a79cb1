"""A server of ours, or Debian's redis-server, on a free loopback port with its own directory."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from .resp import Client

REDIS = '/usr/bin/redis-server'
READY = b'Ready to accept connections'
WAIT_S = 300  # a limit for hangs, not an expectation
STARTS_MAX = 5
LOG_LINES = 40


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class ServerDied(Exception):
    """It ended before it was ready, or with another exit code than expected: `code` and `log`."""

    def __init__(self, what, code=None, log=''):
        super().__init__(f'{what}\n{log}')
        self.code = code
        self.log = log


class Server:
    """Started at once, ready when the constructor returns; use it in a `with`.

    `program` ending in redis-server is the real Redis, which is given the options that make the two
    comparable. Options of the directives come as a dict; their values are split like on a shell.
    The directory is removed at the end, unless the caller gave one.
    """

    def __init__(self, program, options=None, directory=None, arguments=()):
        self.program = os.path.abspath(program)  # it runs in a directory of its own
        self.is_redis = os.path.basename(program) == 'redis-server'
        self.owns_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix='eloqstore-test-')
        self.options = dict(options or {})
        self.arguments = list(arguments)
        self.process = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    # ----- starting -----

    def argv(self):
        options = {
            'port': self.port,
            'bind': '127.0.0.1',
            'dir': self.directory,
            'enable-debug-command': 'yes',
        }
        if self.is_redis:
            options['save'] = ''
        options.update(self.options)
        argv = [self.program] + self.arguments
        for name, value in options.items():
            if self.is_redis and name in ('shards', 'io-backend', 'checkpoint-age'):
                continue
            argv.append('--' + name)
            argv += [value] if value == '' else str(value).split(' ')
        return argv

    def start(self):
        """Also starts it again after stop or kill, on a new port."""
        for attempt in range(STARTS_MAX):
            self.port = free_port()
            self.lines = []
            self.ready = threading.Event()
            self._spawn()
            if not self.ready.wait(WAIT_S):
                raise ServerDied(f'{self.program} is not ready after {WAIT_S} s', None, self.log())
            if self.is_ready:
                return
            code = self.process.wait()
            self.reader.join()
            # Somebody else may have taken the port meanwhile.
            if attempt + 1 == STARTS_MAX or 'already in use' not in self.log():
                raise ServerDied(f'{self.program} ended with {code}', code, self.log())

    def start_and_kill(self, after_s):
        """Starts it and kills it so much later, ready or not."""
        self.port = free_port()
        self.lines = []
        self.ready = threading.Event()
        self._spawn()
        self.ready.wait(after_s)
        self.kill()

    def _spawn(self):
        self.process = subprocess.Popen(
            self.argv(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd=self.directory)
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout,))
        self.reader.start()

    def _read(self, pipe):
        self.is_ready = False
        for line in pipe:
            self.lines.append(line)
            if READY in line:
                self.is_ready = True
                self.ready.set()
        pipe.close()
        self.ready.set()

    def log(self):
        """What it wrote, the middle left out if long: sanitizers end with pages of maps."""
        lines = [line.decode(errors='replace') for line in self.lines]
        if len(lines) > 2 * LOG_LINES:
            lines = lines[:LOG_LINES] + ['...\n'] + lines[-LOG_LINES // 4:]
        return ''.join(lines)

    # ----- using -----

    def client(self, protocol=2):
        return Client(self.port, protocol=protocol)

    def call(self, *args):
        with self.client() as client:
            return client.call(*args)

    def info(self, section='everything'):
        text = self.call('INFO', section).decode()
        lines = [line.split(':', 1) for line in text.split('\r\n') if ':' in line]
        return {name: value for name, value in lines}

    def is_running(self):
        return self.process.poll() is None

    # ----- ending -----

    def wait(self):
        try:
            code = self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.reader.join()
            text = f'{self.program} did not end within {WAIT_S} s\n{self.log()}'
            raise ServerDied(text) from None
        self.reader.join()
        return code

    def stop(self):
        """As an operator stops it. Raises ServerDied unless it ends with 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.wait()
        if code != 0:
            raise ServerDied(f'{self.program} ended with {code} on SIGTERM', code, self.log())

    def kill(self):
        self.process.kill()
        self.wait()

    def restart(self):
        self.stop()
        self.start()

    def close(self):
        """Stops it if it runs, and removes its directory. One that died by itself is an error."""
        try:
            if self.process is not None and self.process.poll() is None:
                self.stop()
            elif self.process is not None and self.process.returncode not in (0, -signal.SIGKILL):
                code = self.process.returncode
                self.process = None
                raise ServerDied(f'{self.program} ended with {code}', code, self.log())
        finally:
            if self.owns_directory:
                shutil.rmtree(self.directory, ignore_errors=True)
