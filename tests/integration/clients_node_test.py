#!/usr/bin/python3
"""Runs clients_node/test.js: ioredis and node-redis against the server.

    clients_node_test.py SERVER FOLDER

The libraries are installed into FOLDER by npm, once. If npm can't be reached, the test is skipped
(exit code 77) and says why.
"""

import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from support.server import Server  # noqa: E402

SKIPPED = 77
WAIT_S = 600  # a limit for hangs, not an expectation


def skip(reason):
    print(f'skipped: {reason}')
    sys.exit(SKIPPED)


def quietly(argv, folder):
    """Runs it without a sanitizer's settings, which are for the server. Its code and output."""
    environment = {name: value for name, value in os.environ.items() if 'SAN_OPTIONS' not in name}
    try:
        done = subprocess.run(argv, cwd=folder, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=WAIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, str(error)
    return done.returncode, done.stdout.decode(errors='replace')


def install(folder):
    wanted = os.path.join(HERE, 'clients_node', 'package.json')
    installed = os.path.join(folder, 'package.json.installed')
    if os.path.exists(installed) and open(installed, 'rb').read() == open(wanted, 'rb').read():
        return
    if shutil.which('node') is None or shutil.which('npm') is None:
        skip('node or npm is not installed')
    os.makedirs(folder, exist_ok=True)
    shutil.copy(wanted, folder)
    install = ['npm', 'install', '--no-audit', '--no-fund', '--no-package-lock']
    code, output = quietly(install, folder)
    if code != 0:
        skip(f'npm install failed with {code}:\n{output[-2000:]}')
    shutil.copy(wanted, installed)


def main():
    program, folder = sys.argv[1], os.path.abspath(sys.argv[2])
    install(folder)
    with Server(program, {'shards': 2}) as server:
        script = os.path.join(HERE, 'clients_node', 'test.js')
        code, output = quietly(['node', script, str(server.port), folder], folder)
        print(output)
    sys.exit(0 if code == 0 else 1)


if __name__ == '__main__':
    main()
