"""What others see of the embedded library: a header for C99 and C++, and no name but eloq_*."""

import shutil
import subprocess
import sys

HEADER, SHARED, ARCHIVE = sys.argv[1:4]


def run(*command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def defined_names(*options):
    lines = run('nm', '--defined-only', *options).splitlines()
    return {line.split()[-1] for line in lines if len(line.split()) == 3}


def declared_names():
    with open(HEADER, encoding='utf-8') as file:
        words = file.read().replace('(', ' ( ').split()
    return {word.lstrip('*') for word, after in zip(words, words[1:])
            if after == '(' and word.lstrip('*').startswith('eloq_')
            and not word.endswith('_fn')}


def check_names(what, got):
    if got != declared_names():
        sys.exit(f'{what}: too many {got - declared_names()}, missing {declared_names() - got}')


# What a sanitizer adds is not ours.
def ours(names):
    return {name for name in names if not name.startswith(('__asan', '__odr_asan', '__ubsan'))}


check_names('the shared library', ours(defined_names('-D', SHARED)))
check_names('the static library', ours(defined_names('-g', ARCHIVE)))
run('cc', '-std=c99', '-pedantic', '-Wall', '-Wextra', '-Werror', '-fsyntax-only', '-x', 'c',
    HEADER)
if shutil.which('c++'):
    run('c++', '-Wall', '-Wextra', '-Werror', '-fsyntax-only', '-x', 'c++', HEADER)
