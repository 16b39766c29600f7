import threading
import time

import pytest

from model.media.threads import DEPTH, ahead, behind


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("ahead", "behind"))]


def test_items_come_in_order_and_few_are_fetched_ahead_by_another_thread():
    fetched, fetchers = [], set()
    with ahead(fetchers.add(threading.current_thread()) or fetched.append(n) or n for n in range(20)) as items:
        assert next(items) == 0
        deadline = time.monotonic() + 5
        while len(fetched) < DEPTH + 1 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert len(fetched) == DEPTH + 1
        assert list(items) == list(range(1, 20))
    assert len(fetchers) == 1 and threading.current_thread() not in fetchers


def test_what_fetching_raises_comes_after_the_items_before_it_and_leaving_early_ends_the_thread():
    with pytest.raises(ZeroDivisionError), ahead(1 / n for n in (1, 0)) as items:
        assert next(items) == 1
        next(items)
    with pytest.raises(KeyboardInterrupt), ahead(iter(int, 1)) as items:
        next(items)
        raise KeyboardInterrupt


def test_no_more_than_a_few_wait_for_the_other_thread():
    gate, started, workers = threading.Event(), [], set()

    def work(item):
        workers.add(threading.current_thread())
        started.append(item)
        gate.wait(5)

    with behind(work) as put:
        for number in range(DEPTH):
            put(number)
        late = threading.Thread(target=put, args=(DEPTH,))
        late.start()
        late.join(0.05)
        assert late.is_alive() and started == [0]
        gate.set()
        late.join(5)
    assert started == list(range(DEPTH + 1)) and threading.current_thread() not in workers


def test_a_failure_stops_the_work_and_breaking_off_does_not():
    done = []
    with pytest.raises(ZeroDivisionError), behind(lambda item: done.append(1 / item)) as put:
        for number in (1, 0, 2, 3):
            put(number)
    assert done == [1]
    done = []
    with pytest.raises(KeyboardInterrupt), behind(done.append) as put:
        for number in range(20):
            put(number)
        raise KeyboardInterrupt
    assert done == list(range(20))
