"""Workers that remember when each command was sent and answered: for ends that may lose some.

The times are of the clock that the recorder takes, too. What must be there after an end depends on
the moment: everything that was answered before it, or before an earlier one. What may be there is
everything that had been sent.
"""

import threading
import time

from .model import Model
from .workers import DatabaseWorker, Lost, Worker

# A server that is told everysec begins a sync a second after the first change that has none. What
# this process was kept from running is added (Heart): the server was on the same machine.
EVERYSEC_LOSS_NS = 2 * 10**9
NEVER = 1 << 63


class Heart:
    """Notices how long this process was kept from running."""

    INTERVAL_NS = 10**7

    def __init__(self):
        self.stall_ns = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._beat)
        self.thread.start()

    def _beat(self):
        before = time.monotonic_ns()
        while not self.ended.wait(self.INTERVAL_NS / 10**9):
            now = time.monotonic_ns()
            self.stall_ns = max(self.stall_ns, now - before - self.INTERVAL_NS)
            before = now

    def stop(self):
        self.ended.set()
        self.thread.join()


class Journal:
    """Makes a worker remember its commands: (command, when it was sent, when answered)."""

    def __init__(self, number, seed):
        super().__init__(number, seed)
        self.history = []
        self.settled = Model(current=self.databases[0])  # after `done` commands, for earlier cuts
        self.done = 0

    def note(self, command):
        super().note(command)
        self.history.append((command, self.sent_ns, time.monotonic_ns()))

    def close(self):
        """The load is over. The commands that nobody has answered come last."""
        if self.error is not None:
            raise self.error
        self.history += [(command, self.sent_ns, NEVER) for command in self.open]

    def explained(self, found, kept_ns, cut_ns):
        """The first and the last number of commands after which the keys are as found.

        Later calls must have a later kept_ns.
        """
        while self.done < len(self.history) and self.history[self.done][2] < kept_ns:
            self.settled.run(self.history[self.done][0])
            self.done += 1
        candidate = self.settled.copy()
        matches = []
        for count in range(self.done, len(self.history) + 1):
            if candidate.everything() == found:
                matches.append(count)
            if count == len(self.history) or self.history[count][1] >= cut_ns:
                break
            candidate.run(self.history[count][0])
        if not matches:
            self.model, self.open = self.settled, []
            raise Lost(
                f'{self.done} of {len(self.history)} must be there; ' + self.difference(found)
            )
        return matches[0], matches[-1]


class JournalWorker(Journal, Worker):
    pass


class JournalDatabaseWorker(Journal, DatabaseWorker):
    pass


def check_order(workers, spans):
    """No command is there without one that was answered before it was sent."""
    for one, (first, _) in zip(workers, spans):
        for other, (_, last) in zip(workers, spans):
            if first == 0 or last == len(other.history):
                continue
            kept, lost = one.history[first - 1], other.history[last]
            if lost[2] < kept[1]:
                raise Lost(
                    f'worker {one.number} has command {first - 1}, worker {other.number} has not '
                    f'{last}, which was answered {(kept[1] - lost[2]) / 1e6} ms before'
                )


def journal_workers(count, seed):
    """The last one uses databases of its own."""
    workers = [JournalWorker(number, seed) for number in range(count - 1)]
    return [*workers, JournalDatabaseWorker(count - 1, seed)]
