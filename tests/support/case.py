"""What the tests of a running server begin with: run(), and a class with a server."""

import sys
import unittest

from .server import Server


def run():
    """Runs the tests of the main module: PROGRAM [unittest's arguments]."""
    if len(sys.argv) < 2 or sys.argv[1].startswith('-'):
        sys.exit(f'usage: {sys.argv[0]} PATH-OF-THE-SERVER [TestCase.test_name ...]')
    ServerCase.program = sys.argv.pop(1)
    unittest.main(module='__main__', verbosity=2)


class ServerCase(unittest.TestCase):
    """Each class has one server, started with the class's `options`; each test finds it empty."""

    program = None
    options = {}
    server = None
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.program, cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def setUp(self):
        self.client = self.server.client()
        self.client.call('FLUSHALL')

    def tearDown(self):
        self.client.close()
        if not self.server.is_running():
            print(self.server.log()[-4000:], file=sys.stderr)
