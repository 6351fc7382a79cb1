#!/usr/bin/env python3
"""What tools/soak reads out of its programs, and its table."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def load_soak():
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader('soak', os.path.join(ROOT, 'tools', 'soak'))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('soak', loader))
    loader.exec_module(module)
    return module


soak = load_soak()

VIOLATION = '''     11.622373 ms  sync    6    1
VIOLATION seed 30 step 11935: register:6: reads version 2
hash 477ac27698845645
'''


class ReadTest(unittest.TestCase):
    def test_the_simulators_figures(self):
        text = (
            'seeds 200 lives 3000 power cuts 1500 kills 600 stops 300 exits 7 commands 90000 '
            'simulated 7200.0 s\nhash 477ac27698845645\n'
        )
        self.assertEqual(
            soak.read_simulator(text),
            {'seeds': 200, 'simulated power cuts': 1500, 'simulated hours': 2, 'commands': 90000},
        )

    def test_kills(self):
        text = 'seed 4: 18 rounds\n17 kills, 5432 commands answered, none lost\n'
        self.assertEqual(soak.read_kill9(text), {'kill -9 cycles': 17, 'commands': 5432})

    def test_power_cuts_count_for_each_recording_that_was_right(self):
        text = (
            'ext4 always: 10 cuts of 400 requests, 900 commands; of 5 sectors not flushed 3\n'
            'ext4 everysec: 5 cuts of 300 requests, 800 commands; of 5 sectors not flushed 3\n'
        )
        self.assertEqual(
            soak.read_power_cuts(text), {'file-system cuts': 15, 'commands': 1700}
        )

    def test_kill_points(self):
        text = 'log-append: killed at hits [1, 3]\ncheckpoint-end: killed at hits [1]\n'
        self.assertEqual(soak.read_kill_points(text), {'kills at points': 3})

    def test_commands_compared_over_all_numbers_of_shards(self):
        text = '6000 commands of 90 names, 0 differences\n6100 commands of 90 names, 0 differences'
        self.assertEqual(soak.read_random_commands(text), {'commands compared': 12100})

    def test_pipelines_count_if_they_were_right(self):
        self.assertEqual(list(soak.read_pipelines('Ran 4 tests\n\nOK\n').values()), [1])
        self.assertEqual(list(soak.read_pipelines('FAILED (failures=1)\n').values()), [0])

    def test_fuzz_targets_each_for_itself(self):
        text = (
            'target       executions   exec/s  new files  crashes\n'
            'resp             123456     4115          2        0\n'
        )
        self.assertEqual(soak.read_fuzz(text), {'executions of resp': 123456})

    def test_loops(self):
        self.assertEqual(soak.read_loop('cases 42: starts refused 1; bad 0\n'), {'cases': 42})


class ViolationTest(unittest.TestCase):
    def piece(self, *command):
        return soak.Piece(None, list(command), None, None, 0)

    def test_the_line_that_says_it_is_found(self):
        self.assertIn('reads version 2', soak.violation_text(VIOLATION))
        self.assertEqual(soak.violation_text('a\nAssertionError: lost\n'), 'AssertionError: lost')

    def test_a_seed_is_repeated_by_itself(self):
        piece = self.piece('sim', '--seed', '1', '--seconds', '60')
        self.assertEqual(soak.repeat(piece, VIOLATION), 'sim --seed 30 --shrink')

    def test_a_case_of_a_loop_is_repeated_by_itself(self):
        text = 'BAD 17: script set, life 1 (exit 1)\n'
        self.assertEqual(soak.repeat(self.piece('nth', '--full'), text), 'nth --full --case 17')

    def test_a_test_is_repeated_with_its_seed(self):
        piece = self.piece('env', 'A=1', 'python3', 'kill9_test.py', 'server', '7')
        self.assertEqual(soak.repeat(piece, 'lost'), 'env A=1 python3 kill9_test.py server 7')


class TableTest(unittest.TestCase):
    def test_amounts_times_and_violations(self):
        row = soak.Row()
        row.add({'seeds': 1234.0, 'simulated hours': 0.5}, 90)
        row.add({'seeds': 1.0, 'simulated hours': 0.0}, 30)
        row.violations = 1
        skipped = soak.Row()
        skipped.skipped = 'skipped: no FUSE'
        violation = soak.Violation('simulator', 'lost', 'sim --seed 3', '/logs/x')
        lines = soak.table({'simulator': row, 'cuts': skipped}, [violation]).splitlines()
        self.assertEqual(lines[2], '| simulator | 1,235 seeds; 0.50 simulated hours | 2.0 | 1 |')
        self.assertEqual(lines[3], '| cuts | skipped: no FUSE | 0.0 | 0 |')
        self.assertIn('  repeat: `sim --seed 3`', lines)


class RunTest(unittest.TestCase):
    def run_soak(self, script, **options):
        """Until another kind, which is in order, has had three pieces, and this kind one."""
        kinds = [
            soak.Kind(name, 1, lambda _seed, _seconds, text=text: ['sh', '-c', text],
                      soak.read_loop, **one)
            for name, text, one in (('thing', script, options), ('other', 'true', {}))
        ]
        run = soak.Soak(kinds, 1, 0)
        done = lambda: run.rows['thing'].pieces >= 1 and run.rows['other'].pieces >= 3
        run.left_s = lambda: 0 if done() else 60
        with tempfile.TemporaryDirectory() as folder:
            soak.LOGS = folder
            with contextlib.redirect_stdout(io.StringIO()):
                run.run()
        return run

    def test_a_loop_with_an_end_is_run_once(self):
        run = self.run_soak('echo cases 5', once=True)
        self.assertEqual(run.rows['thing'].amounts, {'cases': 5})
        self.assertEqual(run.violations, [])

    def test_what_fails_is_a_violation_and_the_soak_goes_on(self):
        run = self.run_soak('echo cases 5; echo lost; exit 1')
        self.assertEqual(len(run.violations), run.rows['thing'].pieces)
        self.assertEqual(run.violations[0].text, 'lost')
        self.assertGreaterEqual(run.rows['other'].pieces, 3)

    def test_what_cannot_run_here_is_said_once(self):
        run = self.run_soak('echo skipped: no FUSE; exit 77')
        self.assertEqual(run.rows['thing'].skipped, 'skipped: no FUSE')
        self.assertEqual(run.rows['thing'].pieces, 1)
        self.assertEqual(run.violations, [])


if __name__ == '__main__':
    unittest.main()
