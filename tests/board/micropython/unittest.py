"""Does for MicroPython the part of unittest that tests/board uses."""

import sys


class _Raises:
    def __init__(self, kind):
        self._kind = kind

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            raise AssertionError("%r not raised" % self._kind)
        self.exception = error
        return issubclass(kind, self._kind)


class TestCase:
    def setUp(self):
        pass

    def tearDown(self):
        pass

    def assertEqual(self, first, second, message=None):
        if first != second:
            raise AssertionError("%r != %r %s" % (first, second, message or ""))

    def assertNotEqual(self, first, second):
        if first == second:
            raise AssertionError("%r == %r" % (first, second))

    def assertTrue(self, value, message=None):
        if not value:
            raise AssertionError("%r is not true %s" % (value, message or ""))

    def assertFalse(self, value, message=None):
        if value:
            raise AssertionError("%r is not false %s" % (value, message or ""))

    def assertIn(self, member, container):
        if member not in container:
            raise AssertionError("%r not in %r" % (member, container))

    def assertIsNone(self, value):
        if value is not None:
            raise AssertionError("%r is not None" % (value,))

    def assertRaises(self, kind):
        return _Raises(kind)


def run(module):
    """Run all tests of a module; return (passed, failed) and print a line per failure."""
    passed = failed = 0
    for case in [value for value in module.__dict__.values() if _is_case(value)]:
        for name in sorted(dir(case)):
            if not name.startswith("test"):
                continue
            test = case()
            try:
                test.setUp()
                getattr(test, name)()
                test.tearDown()
                passed += 1
            except Exception as error:
                failed += 1
                print("FAILED %s.%s.%s" % (module.__name__, case.__name__, name))
                sys.print_exception(error)
    return passed, failed


def _is_case(value):
    return isinstance(value, type) and issubclass(value, TestCase) and value is not TestCase
