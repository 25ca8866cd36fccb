"""Tests the trial of an application: its modules decide, and those of others do not."""

import json
import os
import unittest

from fakes import FakeLog, FakeNvs, run, until
from modulebench import GOOD, Bench

from mqboard.apps import trial as trials
from mqboard.apps.record import GOOD as PROVED
from mqboard.apps.record import NEW, ON_TRIAL, Record
from mqboard.health.bootrecord import Store, Trial
from mqboard.modules.crashes import Record as Crashes
from mqboard.modules.runner import Modules
from mqwire import codes

BAD = "async def start(board, settings):\n    secret = 1\n    secret / 0\n"


def entry(ident, seq=1, committed=True):
    return {"id": ident, "name": "n", "version": "v", "seq": seq, "committed": committed}


def on_trial(files, **more):
    """Return a board on which these modules are on trial, and the trial."""
    bench = Bench(files, **more)
    bench.config.app_trial = True
    bench.identity.app = {"state": "trial"}
    record = Record(Store(bench.nvs))
    record.switch(entry("new"))
    record.resolve(False, "reset", bench.log)
    return bench.start(), trials.AppTrial(bench, Store(bench.nvs))


class TrialTest(unittest.TestCase):
    def test_modules_that_run_or_have_ended_are_well(self):
        async def go():
            files = {"good.py": GOOD, "short.py": "async def start(board, settings):\n    pass\n"}
            bench, trial = on_trial(files)
            await bench.until_state("good", "running")
            await bench.until_state("short", "ended")
            self.assertEqual((trial.trouble(), trial.verdict()), ("", ""))

        run(go())

    def test_one_that_runs_has_to_run_for_a_while(self):
        async def go():
            bench, trial = on_trial({"good.py": GOOD})
            bench.config.health_s = 1e9
            await bench.until_state("good", "running")
            self.assertIn("module good", trial.trouble())

        run(go())

    def test_one_that_dies_three_times_ends_it_with_its_traceback(self):
        async def go():
            bench, trial = on_trial({"bad.py": BAD, "good.py": GOOD})
            module = await bench.until_state("bad", "waiting")
            self.assertIn("module bad: ZeroDivisionError", trial.trouble())
            self.assertEqual(trial.verdict(), "")
            bench.supervisor.find(module.task).deaths = 3
            self.assertIn("module bad died 3 times: ZeroDivisionError", trial.verdict())
            trial.keep_trace()
            trace = Record(Store(bench.nvs)).trace()
            self.assertIn("Traceback", trace)
            self.assertIn("bad.py", trace)
            self.assertIn("line 3", trace)

        run(go())

    def test_files_are_called_as_in_the_application(self):
        async def go():
            bench, trial = on_trial({"bad.py": BAD})
            bench.config.app = bench.folder
            module = await bench.until_state("bad", "waiting")
            bench.supervisor.find(module.task).deaths = 3
            self.assertIn(', File "bad.py", line 3, in start', trial.verdict())
            self.assertIn(', File "bad.py", line 3, in start', trial.trouble())

        run(go())

    def test_modules_that_could_not_be_started_at_all_are_not_well(self):
        async def go():
            bench, trial = on_trial({"good.py": GOOD})
            bench.modules = None
            self.assertIn("could not be started", trial.trouble())
            bench.config.app_modules = ()
            self.assertEqual(trial.trouble(), "")

        run(go())

    def test_what_is_none_of_its_modules_does_not_count(self):
        async def go():
            bench, trial = on_trial({"bad.py": BAD})
            bench.config.app_modules = ["good"]
            module = await bench.until_state("bad", "waiting")
            bench.supervisor.find(module.task).deaths = 3
            self.assertEqual((trial.trouble(), trial.verdict()), ("", ""))

        run(go())

    def test_what_was_disabled_for_its_crashes_is_tried_again_and_then_forgiven(self):
        async def go():
            nvs = FakeNvs()
            for _ in range(3):
                Crashes(Store(nvs)).count("good")
            Crashes(Store(nvs)).disable("off")
            files = {"good.py": GOOD, "off.py": GOOD}
            bench = Bench(files, nvs=nvs)
            self.assertEqual(bench.modules.find("good").why, "after 3 crashes")
            bench.config.app_trial = True
            bench.modules = Modules(bench, Store(nvs))
            bench.identity.app = {"state": "trial"}
            bench.start()
            trial = trials.AppTrial(bench, Store(nvs))
            Record(Store(nvs)).switch(entry("new"))
            await bench.until_state("good", "running")
            await bench.until_state("off", "disabled")
            self.assertEqual(trial.trouble(), "")
            await trial.confirm()
            self.assertEqual(Crashes(Store(nvs)).crashes("good"), 0)
            self.assertEqual(Crashes(Store(nvs)).why("off"), "by a person")
            self.assertEqual((bench.config.app_trial, bench.identity.app), (False, CONFIRMED))

        run(go())

    def test_the_script_of_an_application_goes_before_the_boards_own(self):
        async def go():
            bench = Bench({"main.py": "1 / 0"}, modules={"main": {}})
            os.mkdir(bench.folder + "/mine")
            bench.write("mine/main.py", "name = 1\n")
            bench.config.app = bench.folder + "/mine"
            from mqboard.modules import script

            script.PATHS = ("/boot.py", "/main.py")
            bench.start()
            module = await bench.until_state("main", "ended")
            await until(lambda: module.file)
            self.assertEqual(module.file, bench.folder + "/mine/main.py")

        run(go())


CONFIRMED = {"state": "confirmed"}


class RecordTest(unittest.TestCase):
    def setUp(self):
        self.nvs, self.log = FakeNvs(), FakeLog()

    def record(self):
        return Record(Store(self.nvs))

    def prove(self, ident, **more):
        record = self.record()
        record.switch(entry(ident, **more))
        self.assertFalse(record.resolve(False, "reset", self.log))
        record.confirm()

    def facts(self):
        record = self.record()
        ids = [found and found["id"] for found in (record.now, record.before, record.older)]
        return ids, record.state

    def test_one_that_proves_good_moves_the_others_back(self):
        for ident in ("a", "b", "c"):
            self.prove(ident)
        self.assertEqual(self.facts(), (["c", "b", None], PROVED))

    def test_one_that_fails_leaves_all_as_it_was(self):
        for ident in ("a", "b"):
            self.prove(ident)
        self.record().switch(entry("c"))
        self.assertEqual(self.facts(), (["c", "b", "a"], NEW))
        self.assertFalse(self.record().resolve(False, "reset", self.log))
        self.assertEqual(self.facts(), (["c", "b", "a"], ON_TRIAL))
        self.assertTrue(self.record().resolve(False, "watchdog", self.log))
        self.assertEqual(self.facts(), (["b", "a", None], PROVED))
        self.assertEqual(self.record().failed["code"], codes.WATCHDOG)
        self.assertFalse(self.record().resolve(False, "reset", self.log))

    def test_in_safe_mode_nothing_is_tried(self):
        self.record().switch(entry("a"))
        self.assertFalse(self.record().resolve(True, "reset", self.log))
        self.assertEqual(self.facts()[1], NEW)
        self.record().switch(entry("b"))  # and so "a" is nothing to go back to
        self.assertEqual(self.facts(), (["b", None, None], NEW))

    def test_a_full_nvs_tries_nothing_and_goes_back(self):
        self.prove("a")
        self.record().switch(entry("b"))
        self.nvs.full = True
        record = self.record()
        self.assertTrue(record.resolve(False, "reset", self.log))
        self.assertEqual((record.now["id"], record.failed["code"]), ("a", codes.FLASH_ERROR))

    def test_only_what_was_committed_raises_the_seq(self):
        self.prove("a", seq=5)
        self.prove("b", seq=9, committed=False)
        self.assertEqual(self.record().seq, 5)
        self.prove("c", seq=3)
        self.assertEqual(self.record().seq, 5)

    def test_all_of_it_fits_where_it_is_kept(self):
        def long(letter):
            found = entry(letter * 16, seq=9_999_999_999)
            found["name"] = found["version"] = letter * 32
            return found

        for letter in "abc":
            record = self.record()
            record.switch(long(letter))
            record.state = PROVED
            record.keep()
        for reason in ('"' * 300, "\n" * 300, "\u00fc" * 300, "\U0001f600" * 50):
            record.switch(long("d"))
            record.resolve(False, "reset", self.log)
            Trial(Store(self.nvs)).blame(codes.CRASH, reason)
            record = self.record()
            self.assertTrue(record.resolve(False, "reset", self.log))
            record = self.record()
            self.assertTrue(len(record.failed["reason"]) >= 50)
            record.before = long("b")
            record.switch(long("e"))
            self.assertEqual(self.facts()[0], ["e" * 16, "c" * 16, "b" * 16])
            record.resolve(False, "reset", self.log)
            self.assertTrue(self.record().resolve(False, "reset", self.log))
            record = self.record()

    def test_of_a_reason_that_is_long_both_ends_are_kept(self):
        record = self.record()
        record.switch(entry("a"))
        record.resolve(False, "reset", self.log)
        reason = "module pump died: " + "x" * 300 + ', File "pump.py", line 3, in start'
        Trial(Store(self.nvs)).blame(codes.UNHEALTHY, reason)
        record = self.record()
        record.resolve(False, "reset", self.log)
        kept = record.failed["reason"]
        self.assertEqual(len(kept), 120)
        self.assertTrue(kept.startswith("module pump died: xxx"))
        self.assertTrue(kept.endswith('xxx, File "pump.py", line 3, in start'))

    def test_junk_is_nothing(self):
        for junk in (b"{", b"[]", b'{"now": 5}', b'{"now": {"id": "a"}, "seq": "x"}'):
            self.nvs.blobs["app"] = junk
            self.assertEqual(self.facts(), ([None, None, None], PROVED))
            self.assertEqual(json.dumps(self.record().seq), "0")
