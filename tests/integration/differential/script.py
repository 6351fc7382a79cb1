"""The language of the command streams.

A stream is a text, one command a line:

    SET key "a\\x00b" EX 100     words; double quotes take Python's escapes
    @b GET key                   on the stream's connection `b` (the first is `a`)
    ~near PTTL key               compared by a rule of compare.py instead of byte by byte
    # comment
    $big, $huge                  long arguments, see LONG

A word in double quotes that begins with `$` or `@` is taken as it is.
"""

import re

LONG = {
    '$raw45': b'x' * 45,
    '$page': bytes(range(256)) * 12,        # fits a leaf no longer
    '$big': b'0123456789abcdef' * 4096,     # 64 KiB
    '$huge': b'fedcba9876543210' * 65536,   # 1 MiB
}

WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


class Line:
    def __init__(self, connection, rule, args):
        self.connection = connection
        self.rule = rule
        self.args = args


def _unquote(text):
    return text.encode('latin-1').decode('unicode_escape').encode('latin-1')


def parse_line(text):
    connection, rule, args = 'a', None, []
    for quoted, plain in WORD.findall(text):
        if not plain:
            args.append(_unquote(quoted))
        elif not args and plain.startswith('@'):
            connection = plain[1:]
        elif not args and plain.startswith('~'):
            rule = plain[1:]
        elif plain in LONG:
            args.append(LONG[plain])
        else:
            args.append(plain.encode())
    return Line(connection, rule, args)


def parse(text):
    lines = [line.strip() for line in text.splitlines()]
    return [parse_line(line) for line in lines if line and not line.startswith('#')]


def parse_file(text):
    """A file of streams: each begins with a line `== name`. Returns name -> lines."""
    streams = {}
    for part in re.split(r'(?m)^== *', text)[1:]:
        name, _, body = part.partition('\n')
        streams[name.strip()] = parse(body)
    return streams
