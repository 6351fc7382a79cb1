"""A small client of the Redis protocol that keeps the bytes of every reply.

Values: simple and bulk strings and verbatim texts are bytes; numbers are int or float; nulls are
None; errors are Error (returned, not raised, except by Client.call); arrays and sets are lists;
maps are lists of pairs, so that their order can be compared too. A push is Push, a list.
"""

import socket

TIMEOUT_S = 300  # a limit for hangs, not an expectation


class Error(Exception):
    """An error reply; text is all of its line, as bytes."""

    def __init__(self, text):
        super().__init__(text.decode(errors='replace'))
        self.text = text

    def __eq__(self, other):
        return isinstance(other, Error) and other.text == self.text

    def __hash__(self):
        return hash(self.text)


class Push(list):
    pass


class Closed(Exception):
    """The server closed the connection, perhaps in the middle of a reply."""


def to_bytes(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value
    return str(value).encode()


def encode(*args):
    parts = [b'*%d\r\n' % len(args)]
    for arg in args:
        arg = to_bytes(arg)
        parts += [b'$%d\r\n' % len(arg), arg, b'\r\n']
    return b''.join(parts)


def shown(args, limit=60):
    """A command for people: quoted, long arguments cut."""
    words = []
    for arg in args:
        arg = bytes(to_bytes(arg))
        text = repr(arg[:limit])[1:]
        words.append(f'{text}... ({len(arg)} bytes)' if len(arg) > limit else text)
    return ' '.join(words)


class Client:
    """One connection: to a loopback port, or to a unix socket."""

    def __init__(self, port=None, path=None, protocol=2, timeout=TIMEOUT_S):
        if path is not None:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(path)
        else:
            self.socket = socket.create_connection(('127.0.0.1', port), timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile('rb')
        self.raw = []
        if protocol == 3:
            self.ask('HELLO', 3)  # refused where a password is asked for; the caller will notice

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    # ----- sending -----

    def send(self, *args):
        self.socket.sendall(encode(*args))

    def send_many(self, commands):
        self.socket.sendall(b''.join(encode(*args) for args in commands))

    def send_raw(self, data):
        self.socket.sendall(data)

    # ----- receiving -----

    def _line(self):
        try:
            line = self.file.readline()
        except ConnectionError as error:
            raise Closed(str(error)) from None
        if not line.endswith(b'\r\n'):
            raise Closed(f'after {line[:60]!r}')
        self.raw.append(line)
        return line[:-2]

    def _bytes(self, count):
        data = self.file.read(count + 2)
        if len(data) != count + 2:
            raise Closed(f'{len(data)} of {count + 2} bytes came')
        if not data.endswith(b'\r\n'):
            raise ValueError(f'a bulk of {count} bytes ends with {data[-2:]!r}')
        self.raw.append(data)
        return data[:-2]

    def _many(self, count):
        return [self._value() for _ in range(count)]

    def _value(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b'+':
            return rest
        if kind == b'-':
            return Error(rest)
        if kind in (b':', b'('):
            return int(rest)
        if kind == b'$':
            return None if rest == b'-1' else self._bytes(int(rest))
        if kind == b'=':
            return self._bytes(int(rest))[4:]
        if kind in (b'*', b'~'):
            return None if rest == b'-1' else self._many(int(rest))
        if kind == b'>':
            return Push(self._many(int(rest)))
        if kind == b'%':
            flat = self._many(2 * int(rest))
            return list(zip(flat[::2], flat[1::2]))
        if kind == b'_':
            return None
        if kind == b'#':
            return rest == b't'
        if kind == b',':
            return float(rest)
        raise ValueError(f'no reply begins with {line[:60]!r}')

    def read(self):
        """The next reply; its bytes are then in last_raw()."""
        self.raw = []
        return self._value()

    def last_raw(self):
        return b''.join(self.raw)

    def read_raw(self):
        self.read()
        return self.last_raw()

    def at_end(self):
        """True once the server has closed; what it still sent is dropped."""
        try:
            while self.file.read(1 << 16):
                pass
        except ConnectionError:
            pass
        return True

    # ----- both -----

    def ask(self, *args):
        """The reply; an error reply is returned as Error."""
        self.send(*args)
        return self.read()

    def call(self, *args):
        """The reply; an error reply is raised, with the command."""
        reply = self.ask(*args)
        if isinstance(reply, Error):
            raise Error(reply.text + b' <- ' + shown(args).encode())
        return reply

    def call_many(self, commands):
        """All replies of a pipeline. The caller keeps it small enough for the socket's buffers."""
        self.send_many(commands)
        return [self.read() for _ in commands]
