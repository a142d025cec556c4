"""Unit tests of the driver: figures in, tables and charts out. Run by check.sh; no timing."""

import unittest
import xml.etree.ElementTree

import chart
import instructions
import measure
import report


def summary(median, peak=1 << 20):
    """A summary of runs that took `median` CPU seconds."""
    return {"rounds": 3, "cpu_lowest": median / 2, "cpu_median": median, "wall_median": median,
            "figures": {report.PEAK: {"value": peak, "unit": "bytes"}}}


def results(subject):
    """Two patterns, three allocators; one run failed."""
    return {
        "machine": ["a machine"], "rounds": 3, "scale": 1, "subject": subject,
        "allocators": [{"name": name, "version": "1"} for name in ("mine", "one", "two")],
        "patterns": {
            "a": {"mine": summary(1.0), "one": summary(2.0), "two": summary(4.0)},
            "b": {"mine": summary(4.0), "one": {"failure": "signal 11"}, "two": summary(2.0)},
        },
        "memory": {}, "startup": {}, "instructions": {},
    }


class Report(unittest.TestCase):
    """Ratios and tables."""

    def test_geometric_mean(self):
        self.assertAlmostEqual(report.geometric_mean([1, 4]), 2)
        self.assertIsNone(report.geometric_mean([]))

    def test_subject_is_no_peer(self):
        self.assertEqual(report.best_peer(results("mine"), "a", report.TIME_MEDIAN), ("one", 2.0))
        self.assertEqual(report.best_peer(results(None), "a", report.TIME_MEDIAN), ("mine", 1.0))

    def test_ratios(self):
        self.assertEqual(report.ratios_to_best(results("mine"), report.TIME_MEDIAN),
                         {"a": {"mine": 0.5, "one": 1, "two": 2}, "b": {"mine": 2, "two": 1}})

    def test_subject_table(self):
        table = report.pattern_table(results("mine"), report.TIME_MEDIAN)
        self.assertEqual(table.header,
                         ["pattern", "mine, s", "best peer, s", "/ best", "/ one", "/ two"])
        self.assertEqual(table.rows, [
            ["a", "1.000", "one 2.000", "0.50", "0.50", "0.25"],
            ["b", "4.000", "two 2.000", "2.00", "-", "2.00"],
            ["geometric mean", "", "", "1.00", "0.50", "0.71"]])

    def test_table_without_subject(self):
        table = report.pattern_table(results(None), report.TIME_LOWEST)
        self.assertEqual(table.rows[0], ["a", "mine 0.500", "1.00", "2.00", "4.00"])

    def test_failures(self):
        self.assertEqual(report.failures(results("mine")), ["b: one: signal 11"])
        self.assertIn("- b: one: signal 11", report.markdown(results("mine")))


class Chart(unittest.TestCase):
    """The drawing."""

    def test_well_formed_and_complete(self):
        table = {"a & b": {"mine": 0.5, "one": 1.0, "two": 100.0}, "c": {"one": 1.0}}
        tree = xml.etree.ElementTree.fromstring(
            chart.draw("<title>", [("left", table), ("right", table)], "mine", ["one", "two"]))
        tags = [element.tag.rpartition("}")[2] for element in tree.iter()]
        self.assertEqual(tags.count("rect"), 1 + 2)  # the legend's, a bar in each panel
        self.assertEqual(tags.count("path"), 2 + 2 * 3)  # the legend's, a mark for each ratio

    def test_long_and_short_bars_stay_inside(self):
        for value in (0.001, 1000):
            self.assertTrue(0 <= chart._position(value) <= chart.PANEL_WIDTH)


class Instructions(unittest.TestCase):
    """Callgrind's format."""

    def test_cost_outside(self):
        profile = """events: Ir
ob=(1) /somewhere/program
fn=(1) main
10 100
+1 7
cob=(2) /lib/library.so
cfn=(2) malloc
calls=5 20
* 5000
ob=(2)
fn=(2)
20 40
-1 2
* 3
"""
        self.assertEqual(instructions.cost_outside(profile.splitlines(True), "program"), 45)


class Measure(unittest.TestCase):
    """Running and reading."""

    def test_figures(self):
        self.assertEqual(measure.parse_figures("peak 10 bytes\nx 0.5 ratio\n"),
                         {"peak": (10.0, "bytes"), "x": (0.5, "ratio")})

    def test_run_reports_failures(self):
        glibc = measure.Allocator(measure.BASELINE)
        self.assertEqual(measure.run_once(["true"], glibc).failure, "")
        self.assertEqual(measure.run_once(["false"], glibc).failure, "status 1")
        self.assertEqual(measure.run_once(["sh", "-c", "kill -SEGV $$"], glibc).failure,
                         "signal 11")

    def test_interleave_rotates(self):
        both = [measure.Allocator("one"), measure.Allocator("two")]
        samples = measure.interleave(both, 3, ["true"], lambda: None)
        self.assertEqual({name: len(mine) for name, mine in samples.items()}, {"one": 3, "two": 3})

    def test_failed_allocator_stops(self):
        samples = measure.interleave([measure.Allocator("one")], 3, ["false"], lambda: None)
        self.assertEqual(measure.summarize(samples["one"]), {"failure": "status 1"})

    def test_bad_allocator_options(self):
        for text in ("nothing", "=x", "a b=/bin/sh", "name=/does/not/exist"):
            with self.assertRaises(measure.BenchError):
                measure.parse_allocator(text)


if __name__ == "__main__":
    unittest.main()
