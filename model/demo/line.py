"""Work that waits for its turn: who asked, and how many are before them."""

import threading
from collections.abc import Callable

from model.common import cli

PATIENCE = 30.0  # seconds for the work in hand when a line is closed


class Ticket:
    """A piece of work in a line. `has_begun` is set when it is its turn; `cancel` takes it out before that."""

    def __init__(self, line: "Line", work: Callable[[], None], urgency: int, moved: Callable[[int], None]):
        self._line, self.work, self.urgency, self.moved = line, work, urgency, moved
        self.has_begun = False

    def cancel(self) -> bool:
        """Leave the line; False where the work has begun."""
        return self._line.leave(self)


class Line:
    """A line with `workers` threads at its end, which take what is most urgent, and of that what came first.

    `moved(n)` of a ticket is called, from any thread, with the number of those before it whenever that has changed; -1:
    it is its turn.
    """

    def __init__(self, workers: int = 1, name: str = "line"):
        self._waiting: list[Ticket] = []
        self._changed, self._busy, self._is_open = threading.Condition(), 0, True
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(
        self, work: Callable[[], None], urgency: int = 0, moved: Callable[[int], None] = lambda place: None
    ) -> Ticket:
        """Join the line; a lower `urgency` goes before a higher one."""
        ticket = Ticket(self, work, urgency, moved)
        with self._changed:
            self._waiting.append(ticket)
            self._waiting.sort(key=lambda one: one.urgency)  # it keeps the order of those who are equal
            self._changed.notify()
        self._tell()
        return ticket

    def leave(self, ticket: Ticket) -> bool:
        """Take a ticket out; False where its work has begun."""
        with self._changed:
            if ticket not in self._waiting:
                return False
            self._waiting.remove(ticket)
        self._tell()
        return True

    def close(self) -> None:
        """Nothing more is begun; wait for what is being done: compiled code must not outlive the program."""
        with self._changed:
            self._waiting.clear()
            self._is_open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _tell(self) -> None:
        with self._changed:
            places = [(ticket, place + self._busy) for place, ticket in enumerate(self._waiting)]
        for ticket, place in places:
            ticket.moved(place)

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._is_open and not self._waiting:
                    self._changed.wait()
                if not self._is_open:
                    return
                ticket = self._waiting.pop(0)
                ticket.has_begun = True
                self._busy += 1
            ticket.moved(-1)
            self._tell()
            try:
                ticket.work()
            except Exception as error:  # the others in the line are not to wait for ever
                cli.say(f"A piece of work failed: {error!r}")
            finally:
                with self._changed:
                    self._busy -= 1
                self._tell()
