"""Namespaces of its own for a test that mounts things: nothing stays behind, however it ends.

A test calls enter() first. The program then runs again as the first process of new mount and pid
namespaces: what it mounts nobody else sees, and when it dies all that it started is killed. Loop
devices are attached by mount, so they go with their mounts.

Where this can't be had the test prints `skipped` and the reason, and ends with the code that meson
takes for that.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

SKIPPED = 77  # meson's
INSIDE = 'ELOQSTORE_TEST_SANDBOX'
UNSHARE = ('unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc',
           '--propagation', 'private')  # fmt: skip
WAIT_S = 60  # a limit for hangs, not an expectation


def skip(reason):
    print(f'skipped: {reason}', flush=True)
    sys.exit(SKIPPED)


def enter(programs=(), devices=()):
    """Runs this program again in its namespaces, or skips the test if it can't run here."""
    if INSIDE in os.environ:
        return
    if os.geteuid() != 0:
        skip('mounting needs root')
    for program in ('unshare', 'mount', *programs):
        if shutil.which(program) is None:
            skip(f'there is no {program}')
    for device in devices:
        if not os.path.exists(device):
            skip(f'there is no {device}')
    if subprocess.run([*UNSHARE, 'true'], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        skip('no mount and pid namespaces can be made')
    os.environ[INSIDE] = '1'
    os.execvp('unshare', [*UNSHARE, sys.executable, *sys.argv])


class ToolFailed(Exception):
    pass


def run(*command):
    """Runs a tool; what it says is shown only if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        text = done.stdout.decode(errors='replace')
        raise ToolFailed(f'{" ".join(command)} ended with {done.returncode}\n{text}')


def unmount(path):
    """Waits until nothing uses it: a killed process's last I/O may outlive the process."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            run('umount', path)
            return
        except ToolFailed:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


class Scratch:
    """A directory in memory, removed with all in it at the end. Use it in a `with`."""

    def __init__(self, size='4g'):
        self.path = tempfile.mkdtemp(prefix='eloqstore-crash-')
        run('mount', '-t', 'tmpfs', '-o', f'size={size}', 'scratch', self.path)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        # Lazily: after a failed test a server may still be dying.
        run('umount', '--lazy', self.path)
        os.rmdir(self.path)

    def directory(self, name):
        path = os.path.join(self.path, name)
        os.makedirs(path, exist_ok=True)
        return path

    def file(self, name):
        return os.path.join(self.path, name)
