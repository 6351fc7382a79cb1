"""What a few string commands do, in Python: the expected state and replies of one client's keys."""

from .resp import Error

NOT_INTEGER = Error(b'ERR value is not an integer or out of range')
NO_KEY = Error(b'ERR no such key')


class Model:
    """`databases` maps a number to a state, which maps a key to (value, expiry in ms or 0)."""

    def __init__(self, databases=None, current=0):
        self.databases = {number: dict(state) for number, state in (databases or {}).items()}
        self.current = current

    def copy(self):
        return Model(self.databases, self.current)

    @property
    def state(self):
        return self.databases.setdefault(self.current, {})

    def everything(self):
        """What of it can be seen: databases that hold keys."""
        return {number: state for number, state in self.databases.items() if state}

    def run(self, command):
        """Changes the state and returns the reply."""
        return getattr(self, 'do_' + command[0].decode().lower())(*command[1:])

    def do_select(self, number):
        self.current = number
        return b'OK'

    def do_flushdb(self):
        self.databases[self.current] = {}
        return b'OK'

    def do_swapdb(self, one, other):
        states = self.databases
        states[one], states[other] = states.get(other, {}), states.get(one, {})
        return b'OK'

    def _value(self, key):
        return self.state[key][0] if key in self.state else None

    def do_get(self, key):
        return self._value(key)

    def do_mget(self, *keys):
        return [self._value(key) for key in keys]

    def do_set(self, key, value, *options):
        self.state[key] = (value, options[1] if options else 0)
        return b'OK'

    def do_mset(self, *words):
        for key, value in zip(words[::2], words[1::2]):
            self.state[key] = (value, 0)
        return b'OK'

    def do_msetnx(self, *words):
        if any(key in self.state for key in words[::2]):
            return 0
        self.do_mset(*words)
        return 1

    def do_del(self, *keys):
        return sum(self.state.pop(key, None) is not None for key in keys)

    def do_getdel(self, key):
        return self.state.pop(key, (None, 0))[0]

    def do_incr(self, key):
        value, expiry = self.state.get(key, (b'0', 0))
        if not value.lstrip(b'-').isdigit() or str(int(value)).encode() != value:
            return NOT_INTEGER
        self.state[key] = (b'%d' % (int(value) + 1), expiry)
        return int(value) + 1

    def do_append(self, key, tail):
        value, expiry = self.state.get(key, (b'', 0))
        self.state[key] = (value + tail, expiry)
        return len(value) + len(tail)

    def do_setrange(self, key, offset, part):
        value, expiry = self.state.get(key, (b'', 0))
        value = value.ljust(offset, b'\0')
        value = value[:offset] + part + value[offset + len(part):]
        self.state[key] = (value, expiry)
        return len(value)

    def do_pexpireat(self, key, expiry):
        if key not in self.state:
            return 0
        self.state[key] = (self.state[key][0], expiry)
        return 1

    def do_persist(self, key):
        value, expiry = self.state.get(key, (None, 0))
        if expiry == 0:
            return 0
        self.state[key] = (value, 0)
        return 1

    def do_rename(self, key, other):
        if key not in self.state:
            return NO_KEY
        self.state[other] = self.state.pop(key)
        return b'OK'

    def do_copy(self, key, other, _replace):
        if key not in self.state:
            return 0
        self.state[other] = self.state[key]
        return 1
