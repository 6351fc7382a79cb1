"""Bytes as they come over the wire: requests that the client of the other streams can't make."""

from support.resp import Client, Closed

SENTINEL = b'0f9c2d71'


def exchange(server, data):
    """What the server answers to `data`: up to the echo of a sentinel, or until it closes."""
    with Client(server.port, timeout=60) as client:
        answer = b''
        try:
            client.send_raw(data + b'\r\nECHO ' + SENTINEL + b'\r\n')
            while True:
                reply = client.read()
                if reply == SENTINEL:
                    return answer
                answer += client.last_raw()
        except (Closed, ConnectionError):
            return answer + b'<closed>'


STREAMS = {
    'inline': b'PING\r\n',
    'inline with a bare newline': b'PING\nPING\n',
    'inline, two words': b'SET a 1\r\nGET a\r\n',
    'inline, blanks around': b'  SET   a    1  \r\n GET a \r\n',
    'inline, tabs': b'SET\ta\t1\r\nGET a\r\n',
    'inline, quotes': b'SET a "b c"\r\nGET a\r\nSET "a b" \'c d\'\r\nGET "a b"\r\n',
    'inline, escapes': b'SET a "\\x00\\xff\\n\\r\\t\\b\\a\\\\\\"z"\r\nGET a\r\n',
    'inline, single quotes keep escapes': b"SET a '\\x00\\n\\'z'\r\nGET a\r\n",
    'inline, empty argument': b'SET a ""\r\nGET a\r\nECHO \'\'\r\n',
    'inline, quote left open': b'SET a "b\r\nPING\r\n',
    'inline, single quote left open': b"SET a 'b\r\nPING\r\n",
    'inline, text after a quote': b'SET a "b"c\r\nPING\r\n',
    'inline, quote in a word': b'SET a b"c d"\r\nGET a\r\n',
    'inline, hex that is none': b'SET a "\\xzz"\r\nGET a\r\n',
    'empty lines': b'\r\n\r\n\n\nPING\r\n',
    'blank line': b'   \r\nPING\r\n',
    'inline too long': b'GET ' + b'x' * 70000,
    'inline just too long with an end': b'GET ' + b'x' * 65536 + b'\r\n',
    'inline, long but fits': b'ECHO ' + b'x' * 60000 + b'\r\n',
    'empty array': b'*0\r\nPING\r\n',
    'null array': b'*-1\r\nPING\r\n',
    'array of a negative length': b'*-5\r\nPING\r\n',
    'array length is no number': b'*abc\r\nPING\r\n',
    'array length is empty': b'*\r\nPING\r\n',
    'array length with a sign': b'*+1\r\n$4\r\nPING\r\n',
    'array length with a zero before': b'*01\r\n$4\r\nPING\r\n',
    'array length with a blank': b'* 1\r\n$4\r\nPING\r\n',
    'array length too large': b'*1048577\r\n$4\r\nPING\r\n',
    'array length beyond 32 bits': b'*4294967297\r\n$4\r\nPING\r\n',
    'array length beyond 64 bits': b'*99999999999999999999\r\nPING\r\n',
    'no dollar': b'*1\r\n4\r\nPING\r\n',
    'colon for a dollar': b'*1\r\n:4\r\nPING\r\n',
    'array in an array': b'*1\r\n*1\r\n$4\r\nPING\r\n',
    'bulk length is no number': b'*1\r\n$abc\r\nPING\r\n',
    'bulk length is empty': b'*1\r\n$\r\nPING\r\n',
    'bulk length is negative': b'*1\r\n$-1\r\nPING\r\n',
    'bulk length is minus two': b'*2\r\n$3\r\nGET\r\n$-2\r\n',
    'bulk length too large': b'*1\r\n$2000000000\r\nPING\r\n',
    'bulk length beyond 64 bits': b'*1\r\n$99999999999999999999\r\nPING\r\n',
    'bulk length with a sign': b'*1\r\n$+4\r\nPING\r\n',
    'bulk length with a zero before': b'*1\r\n$04\r\nPING\r\n',
    'bulk longer than said': b'*2\r\n$3\r\nGET\r\n$1\r\nab\r\nPING\r\n',
    'bulk with another end': b'*1\r\n$4\r\nPINGxxPING\r\n',
    'second argument is broken': b'*2\r\n$4\r\nECHO\r\n!1\r\nx\r\n',
    'good, then broken': b'*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n*1\r\n!4\r\nPING\r\n',
    'broken, then good': b'*1\r\n!4\r\nPING\r\n*1\r\n$4\r\nPING\r\n',
    'binary rubbish': bytes(range(1, 10)) + b'\r\n',
    'HTTP GET': b'GET / HTTP/1.1\r\nX: y\r\n\r\n',
    'HTTP POST': b'POST / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'HTTP header Host': b'Host: localhost\r\nPING\r\n',
    'lower-case http': b'post / http/1.1\r\nPING\r\n',
    'inline and arrays mixed': b'PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n'
                               b'*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n',
    'quit in a pipeline': b'PING\r\nQUIT\r\nPING\r\n',
    'a long pipeline': b''.join(b'*3\r\n$3\r\nSET\r\n$%d\r\n%d\r\n$1\r\nv\r\n'
                                b'*2\r\n$3\r\nGET\r\n$%d\r\n%d\r\n'
                                % (len(str(i)), i, len(str(i)), i) for i in range(2000)),
    'a pipeline over databases': b'SELECT 1\r\nSET a 1\r\nSELECT 2\r\nGET a\r\nSET a 2\r\n'
                                 b'SELECT 1\r\nGET a\r\nSELECT 0\r\nGET a\r\n',
    'a pipeline of changes to one key': b'INCR n\r\n' * 1000 + b'GET n\r\n',
    'a pipeline over many keys': b'MSET a 1 b 2 c 3 d 4 e 5\r\nMGET a b c d e\r\nDEL a b\r\n'
                                 b'RENAME c f\r\nMGET a b c d e f\r\n' * 50,
    'client reply off and on': b'CLIENT REPLY OFF\r\nSET a 1\r\nGET a\r\nFOO\r\nCLIENT REPLY ON\r\n'
                               b'GET a\r\n',
    'client reply skip': b'CLIENT REPLY SKIP\r\nSET a 1\r\nGET a\r\nCLIENT REPLY SKIP\r\nFOO\r\n'
                         b'GET a\r\n',
    'client reply skip while off': b'CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\n'
                                   b'CLIENT REPLY ON\r\nPING\r\n',
    'client reply off, errors': b'CLIENT REPLY OFF\r\nGET\r\nCLIENT REPLY FOO\r\n'
                                b'CLIENT REPLY ON\r\n',
    'client reply, skipped then reset': b'CLIENT REPLY OFF\r\nRESET\r\nPING\r\n',
    'hello between commands': b'GET missing\r\nHELLO 9\r\nGET missing\r\n',
}

# Streams whose answers are meant to differ: name -> (Redis's, ours, why).
LONG_INLINE = (b'$-1\r\n', b'-ERR Protocol error: too big inline request\r\n<closed>',
               'the limit holds however the bytes arrive; with Redis it depends on that')
UNTERMINATED = b'-ERR Protocol error: expected CRLF after bulk\r\n<closed>'
KNOWN = {
    'inline too long': LONG_INLINE,
    'inline just too long with an end': LONG_INLINE,
    'array length too large': (
        b"-ERR Protocol error: expected '$', got ' '\r\n<closed>",
        b'-ERR Protocol error: invalid multibulk length\r\n<closed>',
        'a command has at most 1048576 arguments, as in Redis before 7'),
    'bulk longer than said': (
        b'$-1\r\n+PONG\r\n', UNTERMINATED, 'Redis skips two bytes, whatever they are'),
    'bulk with another end': (b'+PONG\r\n+PONG\r\n', UNTERMINATED, 'the same'),
}


def may_differ(name, theirs, ours):
    return name in KNOWN and KNOWN[name][:2] == (theirs, ours)
