"""Tests what stands in for print() while code from afar makes a step."""

import builtins
import io
import unittest

from mqboard.repl.printing import Printer


class Output:
    """Keeps what is written."""

    def __init__(self):
        self.text = b""

    def write(self, data):
        self.text += bytes(data)

    def write_line(self, data):
        self.write(data + b"\n")


class PrinterTest(unittest.TestCase):
    def setUp(self):
        self.before = print
        self.elsewhere = []
        self.printer, self.output = Printer(), Output()
        self.printer._print = builtins.print = self.really

    def really(self, *args, **options):
        self.elsewhere.append(args)

    def tearDown(self):
        builtins.print = self.before

    def test_what_is_printed_is_the_output_until_it_is_taken_back(self):
        self.printer.lend(self.output)
        print("Grüße")
        print()
        self.printer.take_back()
        print("to the console")
        self.assertEqual(self.output.text, "Grüße\n\n".encode())
        self.assertEqual(self.elsewhere, [("to the console",)])

    def test_who_keeps_it_prints_on_to_the_console(self):
        self.printer.lend(self.output)
        kept = print
        self.printer.take_back()
        kept("later", 1)
        self.assertEqual(self.output.text, b"")
        self.assertEqual(self.elsewhere, [("later", 1)])

    def test_whoever_named_a_file_has_it_there(self):
        self.printer.lend(self.output)
        print("x", file=io.StringIO())
        self.printer.take_back()
        self.assertEqual(self.elsewhere, [("x",)])

    def test_a_print_of_ones_own_stays(self):
        builtins.print = own = lambda *args: None
        self.printer.lend(self.output)
        print("x")
        self.printer.take_back()
        self.assertTrue(print is own)
        self.assertEqual(self.output.text, b"")

    def test_all_else_goes_through_print_itself_to_the_output(self):
        self.printer.lend(self.output)
        try:
            for args, options in (((1,), {}), (("a", "b"), {}), (("a",), {"end": ""})):
                print(*args, **options)
            print("x" * 5000)
        finally:
            self.printer.take_back()
        self.assertEqual([args[0] for args in self.elsewhere], [1, "a", "a", "x" * 5000])


if __name__ == "__main__":
    unittest.main()
