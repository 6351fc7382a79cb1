#!/usr/bin/env python3
"""Plants violations in a small tree and expects tools/tidy to find each, and nothing else."""

import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TIDY = os.path.join(ROOT, 'tools', 'tidy')

HEADER = '''#ifndef {guard}
#define {guard}

{body}
#endif
'''

BODY = '''#include "{own}"

int {name}(int value)
{{
    return value;
}}
'''


class TidyTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = self.folder.name
        # A clean tree: one body with its header and its test, in the lowest and in a higher room.
        for room, name in (('base', 'thing'), ('store', 'page')):
            self.write(f'src/{room}/meson.build', f"files('{name}.c')\n")
            self.header(f'src/{room}/{name}.h', f'int {name}(int value);\n')
            self.write(f'src/{room}/{name}.c', BODY.format(own=f'{room}/{name}.h', name=name))
            self.write(f'tests/unit/{room}/meson.build', f"files('{name}_test.c')\n")
            self.write(f'tests/unit/{room}/{name}_test.c', '/* a test */\n')

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w', encoding='utf-8') as file:
            file.write(text)

    def header(self, path, body):
        guard = path.replace('src/', '').replace('/', '_').replace('.', '_').upper()
        self.write(path, HEADER.format(guard=guard, body=body))

    def body(self, text, path='src/store/page.c'):
        """Replaces a body, which starts at line 1 with its own header."""
        own = path.replace('src/', '').replace('.c', '.h')
        self.write(path, f'#include "{own}"\n{text}')

    def tidy(self, *arguments):
        result = subprocess.run([TIDY, '--root', self.root, *arguments], capture_output=True,
                                text=True, check=False)
        findings = result.stdout.splitlines()
        self.assertEqual(result.returncode, 1 if findings else 0, result.stderr)
        return findings

    def expect(self, *wanted, arguments=('--no-compile',)):
        """Exactly one finding for each wanted start, in any order."""
        findings = self.tidy(*arguments)
        for start in wanted:
            hits = [finding for finding in findings if finding.startswith(start)]
            self.assertEqual(len(hits), 1, f'{start} in {findings}')
        self.assertEqual(len(findings), len(wanted), findings)

    def test_clean_tree_has_no_findings(self):
        self.expect(arguments=())

    def test_lower_room_must_not_include_a_higher_one(self):
        self.body('#include "store/page.h"\n', 'src/base/thing.c')
        self.expect('src/base/thing.c:2: base must not include store/page.h')

    def test_higher_room_may_include_a_lower_one(self):
        self.body('#include "base/thing.h"\n')
        self.expect()

    def test_include_names_its_room(self):
        self.body('#include "thing.h"\n')
        self.expect('src/store/page.c:2: include "thing.h" with its room')

    def test_public_header_is_for_the_roots(self):
        self.body('#include "eloqstore.h"\n')
        self.expect('src/store/page.c:2: store must not include the public header')

    def test_unknown_room(self):
        self.header('src/attic/old.h', 'int old;\n')
        self.expect('src/attic/old.h:1: room attic is not in the table')

    def test_own_header_comes_first(self):
        self.write('src/store/page.c', '#include <stdio.h>\n#include "store/page.h"\n')
        self.expect('src/store/page.c:1: the first include must be "store/page.h"')

    def test_include_guard(self):
        self.write('src/store/page.h', '#ifndef PAGE_H\n#define PAGE_H\n#endif\n')
        self.expect('src/store/page.h:1: include guard must be STORE_PAGE_H')

    def test_lines(self):
        word = 'TO' + 'DO'
        self.body('int a; \n\tint b;\n/* ' + word + ' */\n/*' + 'x' * 100 + '*/\nint c;')
        self.expect('src/store/page.c:2: blanks at the end', 'src/store/page.c:3: tab',
                    'src/store/page.c:4: ' + word, 'src/store/page.c:5: line has 104 columns',
                    'src/store/page.c:6: no newline')

    def test_columns_are_characters(self):
        self.body('/* ' + '\u00e4' * 90 + ' */\n')
        self.expect()

    def test_function_of_70_lines_and_of_71(self):
        for lines, found in ((70, []), (71, ['src/store/page.c:3: page has 71 lines'])):
            self.body('\nint page(int value)\n{\n' + '    value++;\n' * (lines - 3) + '}\n')
            self.expect(*found)

    def test_seven_parameters(self):
        six = ', '.join(f'int a{i}' for i in range(6))
        self.body(f'\nint page({six})\n{{\n}}\n\nint leaf({six},\n    int g)\n{{\n}}\n')
        self.expect('src/store/page.c:7: leaf has 7 parameters')

    def test_long_header_and_long_file(self):
        self.header('src/store/page.h', 'int a;\n' * 200)
        self.body('int a;\n' * 1000)
        self.expect('src/store/page.h:205: header has 205 lines',
                    'src/store/page.c:1001: file has 1001 lines')

    def test_doors(self):
        self.body('void page(void)\n{\n    open("x", 0);\n    x = clock_gettime(0, &t);\n'
                  '    free(x);\n    pthread_create();\n    io_uring_submit(r);\n}\n')
        self.expect('src/store/page.c:4: open() is called only behind its door',
                    'src/store/page.c:5: clock_gettime() is called only',
                    'src/store/page.c:6: free() is called only',
                    'src/store/page.c:7: pthread_create() is called only',
                    'src/store/page.c:8: io_uring_submit() is called only')

    def test_doors_leave_fields_comments_and_longer_names_alone(self):
        self.body('/* open(x) */\nint page_open(int a);\nvoid page(void)\n{\n    io->open(1);\n'
                  '    io.read(2);\n    page_open(3);\n    text("malloc(4)");\n}\n')
        self.expect()

    def test_behind_the_door_it_may_be_called(self):
        self.write('src/io/meson.build', "files('file.c')\n")
        self.header('src/io/file.h', 'int file;\n')
        self.body('void file(void)\n{\n    open("x", 0);\n}\n', 'src/io/file.c')
        self.write('tests/unit/io/meson.build', "files('file_test.c')\n")
        self.write('tests/unit/io/file_test.c', '/* a test */\n')
        self.expect()

    def test_corrupt_has_one_birthplace(self):
        self.body('int page(int a)\n{\n    if (a == ERR_CORRUPT) {\n        return ERR_CORRUPT;\n'
                  '    }\n    return err_corrupt();\n}\n')
        self.expect('src/store/page.c:5: ERR_CORRUPT is made by err_corrupt()')

    def test_caller_of_a_suspending_function_must_be_one(self):
        self.header('src/base/thing.h', '#define co_fn\nco_fn int\nwait(int a);\n')
        self.header('src/store/page.h', 'co_fn int page(int value);\n')
        self.body('#include "base/thing.h"\n\nint page(int value)\n{\n    return wait(value);\n}\n'
                  '\nco_fn static int leaf(void)\n{\n    return wait(1);\n}\n'
                  '\nstatic int branch(void)\n{\n    run(wait, leaf);\n    return leaf();\n}\n')
        self.expect('src/store/page.c:17: branch has no co_fn but calls leaf')

    def test_suspending_face_binds_other_files(self):
        self.header('src/base/thing.h', 'NODISCARD co_fn int wait(int a);\n')
        self.body('int page(int value)\n{\n    return wait(value);\n}\n')
        self.expect('src/store/page.c:4: page has no co_fn but calls wait')

    def test_untested_and_unlisted_body(self):
        self.header('src/store/leaf.h', 'int leaf;\n')
        self.body('int leaf;\n', 'src/store/leaf.c')
        self.expect('src/store/leaf.c:1: no meson.build lists this file',
                    'src/store/leaf.c:1: no tests/unit/store/leaf_test.c')

    def test_unlisted_test(self):
        self.write('tests/unit/store/leaf_test.c', '/* a test */\n')
        self.expect('tests/unit/store/leaf_test.c:1: no meson.build lists this file')

    def test_header_must_compile_alone(self):
        self.header('src/store/page.h', 'size_t page(void);\n')
        self.expect('src/store/page.h:1: does not compile alone', arguments=())

    def test_top_level(self):
        self.write('notes/plan.md', 'a plan\n')
        self.write('build-x/file', 'built\n')
        self.expect('notes:1: does not belong at the top')

    def test_only_shows_one_room(self):
        self.body('int a; \n')
        self.body('int a; \n', 'src/base/thing.c')
        self.expect('src/store/page.c:2: blanks', arguments=('--no-compile', '--only', 'src/store'))


if __name__ == '__main__':
    sys.exit(unittest.main())
