#!/usr/bin/env python3
"""Plants one bug after the other into the product and expects the simulator to find each.

usage: plants_test.py ELOQSTORE-SIM [NAME...]

Runs seeds from FIRST_SEED on until one is a violation. A bug that is not found within its limit of
seeds fails the test, and so does a seed that is a violation without any bug. Prints a table: bug,
seeds until it was found, the limit, by what it was found.
"""

import concurrent.futures
import os
import re
import subprocess
import sys

FIRST_SEED = 1
CLEAN_SEEDS = 60  # without a bug; the test sim/seeds runs thousands

# Seeds within which each must be found: a few times the seeds it took when this was written (the
# figure behind it), since a change of the plan or the loads draws other seeds.
LIMITS = {
    'REPLY_BEFORE_SYNC': 40,  # 2
    'READ_BEFORE_SYNC': 600,  # 119
    'DATA_SYNC_BEFORE_WRITE': 40,  # 2
    'MANIFEST_BEFORE_DATA': 40,  # 2
    'DATA_NAME_NOT_SYNCED': 40,  # 2
    'LOG_NAME_NOT_SYNCED': 40,  # 1
    'FAILED_SYNC_RETRIED': 1000,  # 233
    'TORN_TAIL_TAKEN_FOR_WHOLE': 300,  # 9 to 55
    'DAMAGE_TAKEN_FOR_TORN_TAIL': 200,  # 14
    'CHECKSUM_WITHOUT_IDENTITY': 300,  # 8 to 56
    'CHECKPOINT_FORGETS': 100,  # 2
    'MSET_SPLIT': 300,  # 23
    'MULTI_WITHOUT_LATCHES': 400,  # 35
    'FLUSH_FORGOTTEN': 60,  # 2
    'CLOCK_GOES_BACK': 300,  # 35
    'STALE_FILL': 400,  # 54
    'SCAN_SKIPS_AFTER_SPLIT': 150,  # 12
    'MESSAGE_LOST': 60,  # 4
}


def planted(exe):
    """The names of the bugs that the build knows."""
    lines = subprocess.run([exe, '--list-plants'], stdout=subprocess.PIPE, text=True, check=True)
    return [line.split()[0] for line in lines.stdout.splitlines()]


def run(exe, count, plant=None):
    """Returns the seed of the first violation (None: none) and its text."""
    command = [exe, '--seed', str(FIRST_SEED), '--count', str(count)]
    if plant:
        command += ['--plant', plant]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode(errors='replace')
    found = re.search(r'VIOLATION seed (\d+) step \d+: (.*)', output)
    if found:
        return int(found[1]), found[2]
    if done.returncode != 0:
        return FIRST_SEED, f'exit code {done.returncode}: {output[-200:]}'
    return None, ''


def report(name, limit, seed, text):
    """One line of the table; whether the bug was found."""
    seeds = 'none' if seed is None else str(seed - FIRST_SEED + 1)
    print(f'{name:28} {seeds:>5} of {limit:<5} {text[:90]}', flush=True)
    return seed is not None


def main():
    exe = sys.argv[1]
    names = sys.argv[2:] or list(LIMITS)
    unknown = set(names) - set(planted(exe))
    if unknown:
        print(f'the build has no bug called {sorted(unknown)}')
        return 1
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        clean = pool.submit(run, exe, CLEAN_SEEDS)
        limits = [LIMITS.get(name, 1000) for name in names]
        jobs = [pool.submit(run, exe, limit, name) for limit, name in zip(limits, names)]
        for name, limit, job in zip(names, limits, jobs):
            failures += not report(name, limit, *job.result())
    seed, text = clean.result()
    if seed is not None:
        print(f'a violation without a bug: seed {seed}: {text}')
        failures += 1
    print(f'{len(names)} bugs, {failures} failures')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
