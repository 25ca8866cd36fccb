"""Tests what code prints on its way into messages: credit, patience, a link that is gone."""

import unittest

from mqboard.repl import output as module
from mqboard.repl.output import Output


class Request:
    """Keeps the data of reply messages; there is no link while `gone`."""

    gone = False

    def __init__(self):
        self.sent = []

    def reply_now(self, data, publish=None):
        if self.gone:
            raise OSError(128)
        self.sent.append(bytes(data))

    def text(self):
        return b"".join(self.sent)


class Job:
    """Waits on a clock of its own; `grants` are given one by one, each after `_AFTER` waits."""

    def __init__(self, grants=(), error=None):
        self.now = 0
        self.grants = list(grants)
        self.error = error
        self.waits = 0

    def wait(self, ms):
        self.waits += 1
        self.now += ms
        if self.error:
            raise self.error
        if ms and self.grants:
            self.output.grant(self.grants.pop(0))


def make(credit=None, **options):
    job, request = Job(**options), Request()
    job.output = output = Output(request, job, credit)
    module.ticks_ms = lambda: job.now
    return output, request, job


class OutputTest(unittest.TestCase):
    def tearDown(self):
        from mqboard.clock import ticks_ms

        module.ticks_ms = ticks_ms

    def test_pieces_of_all_sizes_come_whole_and_in_full_messages(self):
        for size in (1, 3, 1399, 1400, 1401, 2800, 5000):
            output, request, _ = make()
            data = bytes([number % 251 for number in range(6000)])
            for start in range(0, len(data), size):
                output.write(data[start : start + size])
            self.assertEqual({len(part) for part in request.sent}, {1400})
            self.assertEqual(request.text() + output.rest(), data)
            self.assertTrue(output.any())

    def test_what_is_sent_in_the_middle_of_a_print_is_sent_once(self):
        output, request, _ = make()

        class Pressed(bytes):
            """Data during whose print the timer's look sends what there is."""

            def __len__(self):
                output.flush_by(None)
                return 7

        output.write(b"first ")
        output.write(Pressed(b"second "))
        output.write(b"third")
        self.assertEqual(request.text() + output.rest(), b"first second third")

    def test_it_waits_for_credit(self):
        output, request, job = make(2800, grants=[3000, 4200, 7000])
        output.write(b"x" * 7000)
        self.assertEqual((len(request.text()), output.dropped), (7000, 0))
        self.assertEqual(job.waits, 3)

    def test_without_credit_it_drops_after_a_time_and_counts(self):
        output, request, job = make(1400)
        output.write(b"x" * 1400)
        self.assertEqual(job.waits, 0)
        output.write(b"y" * 1400)
        self.assertTrue(10_000 < job.now < 11_000)
        waited = job.now
        output.write(b"z" * 2800)
        self.assertEqual((job.now, output.dropped), (waited, 4200))
        self.assertEqual(request.text(), b"x" * 1400)
        # And is patient again when there is some.
        output.grant(2800)
        job.grants = [4200]
        output.write(b"a" * 2800)
        self.assertEqual(request.text(), b"x" * 1400 + b"a" * 2800)

    def test_less_credit_than_before_is_none(self):
        output, _, _ = make(2800)
        output.grant(1400)
        self.assertEqual(output.credit, 2800)

    def test_what_interrupts_its_wait_loses_nothing(self):
        output, request, job = make(0, error=KeyboardInterrupt())
        with self.assertRaises(KeyboardInterrupt):
            output.write(b"x" * 1400)
        job.error = None
        job.grants = [5000]
        output.write(b"y" * 1400)
        self.assertEqual(request.text(), b"x" * 1400 + b"y" * 1400)
        self.assertEqual(output.dropped, 0)

    def test_a_link_that_is_gone_costs_no_time(self):
        output, request, job = make()
        request.gone = True
        output.write(b"x" * 5000)
        self.assertEqual((output.dropped, job.waits), (4200, 0))
        request.gone = False
        output.write(b"y" * 600)
        self.assertEqual(request.text(), b"x" * 800 + b"y" * 600)

    def test_asynchronous_code_waits_before_all_is_used_up(self):
        output, _, _ = make(4000)
        self.assertFalse(output.ahead())
        output.write(b"x" * 3001)
        self.assertTrue(output.ahead())
        output.grant(8000)
        self.assertFalse(output.ahead())
        self.assertFalse(make()[0].ahead())


if __name__ == "__main__":
    unittest.main()
