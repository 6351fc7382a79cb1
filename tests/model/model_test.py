#!/usr/bin/env python3
"""Has spin go through every state of the models in this directory.

Each model must hold, and each of its mutations (a macro that takes one step out or changes the
order of two) must be found wrong: a model in which nothing can go wrong proves nothing. Prints a
line for each; `model_test.py MODEL` takes one model only.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77  # meson's
JOBS = 2
DEPTH_MAX = 2_000_000
LIMIT_S = 300  # for hangs, not an expectation

# How the states are gone through: the compiler's and the verifier's arguments.
SAFETY = (('-DSAFETY', '-DCOLLAPSE', '-DNOCLAIM'), ())
ORDER = (('-DSAFETY', '-DNOREDUCE'), ())  # with `timeout`, spin's reduction is not always sound
EVENTUALLY = (('-DCOLLAPSE', '-DNFAIR=3'), ('-a', '-f'))  # the LTL formula, weak fairness
# More states than there is time for: two bits of a table of 2 MiB for each, so most are missed.
SAMPLED = (('-DSAFETY', '-DBITSTATE', '-DNOCLAIM'), ('-w24', '-k2'))

HOLDS = {
    'group_commit': (
        (SAFETY, 'RECORDS=2', 'FAILURES'),
        (EVENTUALLY, 'FAILURES'),
        (EVENTUALLY, 'RECORDS=2'),
        (SAMPLED, 'SHARDS=3'),
    ),
    'snapshots': ((SAFETY,),),
    'mailbox': ((ORDER,), (ORDER, 'SLOTS=2', 'MESSAGES=5')),
}

BROKEN = {
    'group_commit': (
        (SAFETY, 'PUBLISH_AT_SUBMIT'),
        (SAFETY, 'SYNC_UNWRITTEN'),
        (SAFETY, 'MARK_AFTER_RESERVE'),
        (SAFETY, 'WAKE_THEN_RELEASE'),
        (SAFETY, 'LEAD_THEN_WANT'),
        (SAFETY, 'RETRY_SYNC', 'FAILURES'),
    ),
    'snapshots': (
        (SAFETY, 'DISPOSE_AT_PUBLISH'),
        (SAFETY, 'DISPOSE_AT_RELEASE'),
        (SAFETY, 'RETIRE_AT_ANY'),
        (SAFETY, 'DISPOSE_BEFORE_SYNC'),
        (SAFETY, 'FORGET_AT_ONCE'),
        (SAFETY, 'LEFTOVERS_FIRST'),
        (SAFETY, 'RECORD_FIRST'),
        (SAFETY, 'NO_SIGNAL'),
    ),
    'mailbox': (
        (ORDER, 'LOOK_THEN_SLEEP'),
        (ORDER, 'BLOCKED_UNSAID'),
        (ORDER, 'ROOM_UNASKED'),
        (ORDER, 'HEAD_AFTER_BLOCKED'),
    ),
}


class Failed(Exception):
    pass


def tool(folder, *command):
    """Runs it in the folder; what it prints."""
    done = subprocess.run(
        command,
        cwd=folder,
        timeout=LIMIT_S,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        raise Failed(f'{" ".join(command)} ended with {done.returncode}\n{done.stdout}')
    return done.stdout


def explore(model, way, macros):
    """What the verifier says of the model with these macros."""
    compiler, verifier = way
    with tempfile.TemporaryDirectory(prefix='eloqstore-model-') as folder:
        source = os.path.join(HERE, model + '.pml')
        tool(folder, 'spin', *('-D' + macro for macro in macros), '-a', source)
        tool(folder, 'cc', '-O1', '-w', *compiler, '-o', 'pan', 'pan.c')
        return tool(folder, './pan', f'-m{DEPTH_MAX}', *verifier)


def violation(text):
    """The verifier's finding, None if there is none; it must have come to its end."""
    errors = re.search(r'errors: (\d+)', text)
    if errors is None or 'max search depth too small' in text or 'out of memory' in text:
        raise Failed('the search has not come to its end:\n' + text)
    if errors.group(1) == '0':
        return None
    return re.search(r'^pan:\d*:? *(.*)$', text, re.MULTILINE).group(1)


def check(model, case, broken):
    """One line about it, and whether it is as it must be."""
    way, *macros = case
    name = ' '.join([model, *macros])
    try:
        text = explore(model, way, macros)
        found = violation(text)
    except Failed as error:
        return f'FAIL {name}: {error}', False
    states = re.search(r'([\d.e+]+) states, stored', text).group(1)
    if (found is not None) != broken:
        return f'FAIL {name}: {found or "the mutation was not found"}\n{text}', False
    return f'ok   {name}: {found or "holds"}, {states} states', True


def main():
    models = sys.argv[1:] or list(HOLDS)
    for program in ('spin', 'cc'):
        if shutil.which(program) is None:
            print(f'skipped: there is no {program}; tools/install-packages test has it')
            sys.exit(SKIPPED)
    good = True
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        jobs = [
            pool.submit(check, model, case, broken)
            for broken, table in ((False, HOLDS), (True, BROKEN))
            for model in models
            for case in table[model]
        ]
        for job in jobs:
            line, as_it_must = job.result()
            print(line, flush=True)
            good = good and as_it_must
    sys.exit(0 if good else 1)


main()
