# SPDX-License-Identifier: Apache-2.0
"""Nothing here sleeps. If a test needs time to pass, it says so to the clock."""

import doctest
import importlib
import random
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tidewater import (  # noqa: E402
    Backoff,
    Interval,
    RetryBudget,
    Step,
    Tide,
    TokenBucket,
    attempt,
    common,
    first_fit,
    gaps,
    human,
    merge,
    parse,
    plan_back,
    subtract,
    total,
)

MODULES = ("durations", "intervals", "backoff", "bucket", "budget", "tides")


def load_tests(
    loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None
) -> unittest.TestSuite:
    for name in MODULES:
        tests.addTests(doctest.DocTestSuite(importlib.import_module(f"tidewater.{name}")))
    return tests


class Durations(unittest.TestCase):
    def test_there_and_back(self) -> None:
        for seconds in (0.001, 0.25, 1.0, 59.0, 61.5, 5400.0, 13_200.0, 90_061.001, -42.0):
            with self.subTest(seconds=seconds):
                self.assertAlmostEqual(parse(human(seconds, parts=5)), seconds)

    def test_it_cuts_and_does_not_round(self) -> None:
        self.assertEqual(human(3 * 3600 + 59 * 60 + 59), "3h 59m")
        self.assertEqual(human(0), "0s")

    def test_nonsense_is_refused(self) -> None:
        for text in ("", "-", "5", "5m 1h", "1h 1h", "3 minutes", "1h and a bit"):
            with self.subTest(text=text), self.assertRaises(ValueError):
                parse(text)


class Intervals(unittest.TestCase):
    def test_against_counting_on_fingers(self) -> None:
        dice = random.Random(1974)
        for _ in range(300):
            one, other = ([self.draw(dice) for _ in range(4)] for _ in range(2))
            a, b = self.fingers(one), self.fingers(other)
            self.assertEqual(self.fingers(merge(one)), a)
            self.assertEqual(self.fingers(subtract(one, other)), a - b)
            self.assertEqual(self.fingers(common(one, other)), a & b)
            self.assertEqual(total(one), len(a))

    def test_gaps(self) -> None:
        self.assertEqual(gaps(Interval(0, 9), []), [Interval(0, 9)])
        self.assertEqual(gaps(Interval(0, 9), [Interval(-1, 10)]), [])

    def test_backwards_and_nan_are_refused(self) -> None:
        for start, end in ((2.0, 1.0), (float("nan"), 1.0)):
            with self.assertRaises(ValueError):
                Interval(start, end)

    @staticmethod
    def draw(dice: random.Random) -> Interval:
        start = dice.randrange(20)
        return Interval(start, start + dice.randrange(8))

    @staticmethod
    def fingers(stretches: list[Interval]) -> set[int]:
        return {n for n in range(40) if any(n in s for s in stretches)}


class Waiting(unittest.TestCase):
    def test_delays_stay_under_their_ceilings(self) -> None:
        backoff = Backoff(base_s=0.2, cap_s=5, attempts=9)
        drawn = list(backoff.delays(random.Random(7)))
        self.assertEqual(len(drawn), 8)
        for delay, ceiling in zip(drawn, backoff.ceilings(), strict=True):
            self.assertTrue(0 <= delay <= ceiling)

    def test_bucket_holds_its_average(self) -> None:
        now = [0.0]
        bucket = TokenBucket(rate_per_s=4, capacity=10, clock=lambda: now[0])
        taken = 0
        for tick in range(1000):
            now[0] = tick * 0.125
            taken += bucket.try_take()
        self.assertLessEqual(taken, 10 + 4 * 125)
        self.assertGreaterEqual(taken, 4 * 124)

    def test_bucket_ignores_a_clock_that_steps_back(self) -> None:
        now = [100.0]
        bucket = TokenBucket(rate_per_s=1, capacity=2, clock=lambda: now[0])
        self.assertTrue(bucket.try_take(2))
        now[0] = 50.0
        self.assertFalse(bucket.try_take())
        now[0] = 51.0
        self.assertTrue(bucket.try_take())


class Budgets(unittest.TestCase):
    def run_once(self, failures: int, budget: RetryBudget, attempts: int = 5) -> tuple[int, list[float]]:
        calls, slept = [0], list[float]()

        def action() -> int:
            calls[0] += 1
            if calls[0] <= failures:
                raise TimeoutError("weather")
            return calls[0]

        backoff = Backoff(attempts=attempts)
        try:
            attempt(action, backoff=backoff, budget=budget, retry_on=(TimeoutError,), sleep=slept.append)
        except TimeoutError:
            pass
        return calls[0], slept

    def test_it_stops_when_it_works(self) -> None:
        calls, slept = self.run_once(failures=2, budget=RetryBudget())
        self.assertEqual((calls, len(slept)), (3, 2))

    def test_it_stops_after_the_last_attempt(self) -> None:
        calls, slept = self.run_once(failures=99, budget=RetryBudget())
        self.assertEqual((calls, len(slept)), (5, 4))

    def test_an_outage_costs_a_tenth_and_no_more(self) -> None:
        budget = RetryBudget(ratio=0.1, reserve=10)
        calls = sum(self.run_once(failures=99, budget=budget)[0] for _ in range(1000))
        self.assertLessEqual(calls, 1000 + 100 + 10)
        self.assertGreaterEqual(calls, 1000 + 100)

    def test_a_fault_is_not_weather(self) -> None:
        def action() -> None:
            raise KeyError("lane")

        with self.assertRaises(KeyError):
            attempt(action, backoff=Backoff(), budget=RetryBudget(), retry_on=(TimeoutError,))


class Tides(unittest.TestCase):
    def test_windows_before_the_first_high(self) -> None:
        tide = Tide(first_high=0, period_s=100, before_s=10, after_s=20)
        self.assertEqual(
            tide.windows(Interval(-200, -50)),
            [Interval(-200, -180), Interval(-110, -80)],
        )

    def test_a_job_too_long_for_any_window(self) -> None:
        self.assertIsNone(first_fit([Interval(0, 5)], 6))

    def test_the_saturday_loaf(self) -> None:
        steps = [Step("first rise", parse("6h 50m")), Step("second rise", parse("1h 15m"))]
        steps += [Step("bake", parse("48m")), Step("cool", parse("30m"))]
        plan = plan_back(parse("13h 30m"), steps)
        self.assertEqual(human(plan[0][1].start), "4h 7m")
        self.assertEqual(plan[-1][1].end, parse("13h 30m"))


if __name__ == "__main__":
    unittest.main()
