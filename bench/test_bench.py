"""Unit tests of the driver: figures in, tables and charts out. Run by check.sh; no timing.

Where BENCH_PROGRAMS names the folder of the built programs, they are tested too.
"""

import itertools
import os
import unittest
import xml.etree.ElementTree

import chart
import floor
import instructions
import latency
import measure
import report
import rss
from table import FLOOR

PROGRAMS = os.environ.get("BENCH_PROGRAMS")


def summary(median, peak=1 << 20):
    """A summary of runs that took `median` CPU seconds, three quarters of them in user mode."""
    return {"rounds": 3, "cpu_lowest": median / 2, "cpu_median": median, "wall_median": median,
            "user_median": median * 0.75,
            "figures": {report.PEAK: {"value": peak, "lowest": peak, "unit": "bytes"}}}


def figures(unit, **values):
    """A summary with these medians, each twice its lowest."""
    return {"figures": {name: {"value": value, "lowest": value / 2, "unit": unit}
                        for name, value in values.items()}}


def results(subject):
    """Two patterns, three allocators; one run failed."""
    return {
        "machine": ["a machine"], "rounds": 3, "scale": 1, "subject": subject,
        "allocators": [{"name": name, "version": "1"} for name in ("mine", "one", "two")],
        "patterns": {
            "a": {"mine": summary(1.0), "one": summary(2.0), "two": summary(4.0)},
            "b": {"mine": summary(4.0), "one": {"failure": "signal 11"}, "two": summary(2.0)},
        },
        "memory": {}, "startup": {}, "instructions": {}, "latency": {}, "rss": {},
    }


def add_floor(made):
    """The same results with the floor, for which one pattern was too much."""
    made["allocators"].append({"name": FLOOR, "version": "1"})
    made["patterns"]["a"][FLOOR] = summary(0.5)
    made["patterns"]["b"][FLOOR] = {"failure": "status 1 bench: out of memory"}
    return made


def rss_summary(*residents):
    """A run in phases: 0 and 10 MiB live, then 1, and these resident sizes."""
    made = {"figures": {}}
    samples = zip(("start.0", "grow.0", "grow.1", "free.0"), (0, 5, 10, 1), residents)
    for name, live, resident in samples:
        made["figures"][f"{name}.live"] = {"value": live, "unit": "MiB"}
        made["figures"][f"{name}.resident"] = {"value": resident, "unit": "MiB"}
    return made


def rss_results():
    """Three allocators went through phases; one failed."""
    made = results("mine")
    made["rss"] = {"mine": rss_summary(1, 7, 12, 4), "one": {"failure": "signal 9"},
                   "two": rss_summary(2, 8, 16, 16)}
    return made


def tags(document):
    """The names of all elements of an SVG."""
    tree = xml.etree.ElementTree.fromstring(document)
    return [element.tag.rpartition("}")[2] for element in tree.iter()]


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
        drawn = tags(chart.draw("<title>", [("left", table), ("right", table)], "mine",
                                ["one", "two"]))
        self.assertEqual(drawn.count("rect"), 1 + 2)  # the legend's, a bar in each panel
        self.assertEqual(drawn.count("path"), 2 + 2 * 3)  # the legend's, a mark for each ratio

    def test_long_and_short_bars_stay_inside(self):
        for value in (0.001, 1000):
            self.assertTrue(0 <= chart._position(value) <= chart.PANEL_WIDTH)


class Floor(unittest.TestCase):
    """The allocator that frees nothing."""

    def test_table(self):
        table = floor.table(add_floor(results("mine")))
        self.assertEqual(table.header,
                         ["pattern", "floor, s", "mine / floor", "one / floor", "two / floor"])
        self.assertEqual(table.rows, [["a", "0.375", "2.00", "4.00", "8.00"],
                                      ["geometric mean", "", "2.00", "4.00", "8.00"]])
        self.assertEqual(table.note, "Too much for the floor, left out: b.")
        self.assertIn(f"\n{table.note}\n", table.text())
        self.assertIn(f"\n\n{table.note}\n", table.markdown())

    def test_is_no_peer(self):
        made, plain = add_floor(results("mine")), results("mine")
        self.assertEqual(report.pattern_table(made, report.TIME_MEDIAN).rows,
                         report.pattern_table(plain, report.TIME_MEDIAN).rows)
        self.assertEqual(report.ratios_to_best(made, report.TIME_MEDIAN),
                         report.ratios_to_best(plain, report.TIME_MEDIAN))

    def test_left_out_is_no_failure(self):
        made = add_floor(results("mine"))
        self.assertEqual(report.failures(made), ["b: one: signal 11"])
        made["patterns"]["b"][FLOOR] = {"failure": "signal 11"}
        made["patterns"]["b"]["one"] = {"failure": "status 1 bench: out of memory"}
        self.assertEqual(report.failures(made), ["b: one: status 1 bench: out of memory",
                                                 "b: floor: signal 11"])
        self.assertEqual(floor.left_out(made), [])


class Latency(unittest.TestCase):
    """The table of percentiles."""

    def results(self, subject):
        """Two benches, three allocators; one failed in the first."""
        made = results(subject)
        made["latency"]["latency-9"] = {
            "mine": figures("ns", **{"malloc-p50": 30, "free-max": 900, "empty-p50": 7}),
            "one": {"failure": "signal 9"},
            "two": figures("ns", **{"malloc-p50": 20, "free-max": 1000, "empty-p50": 7})}
        made["latency"]["latency-10"] = {
            name: figures("ns", **{"malloc-max": value})
            for name, value in (("mine", 5), ("one", 10), ("two", 20))}
        return made

    def test_table(self):
        table = latency.table(self.results("mine"), "value")
        self.assertEqual(table.header, ["call", "mine", "one", "two", "mine / best peer"])
        self.assertEqual(table.rows, [["latency-9: malloc p50", "30", "-", "20", "1.50"],
                                      ["latency-9: free max", "900", "-", "1000", "0.90"],
                                      ["latency-9: empty p50", "7", "-", "7", "-"],
                                      ["latency-10: malloc max", "5", "10", "20", "0.50"]])
        lowest = latency.table(self.results("mine"), "lowest")
        self.assertEqual(lowest.rows[1][1:4], ["450", "-", "500"])

    def test_without_subject(self):
        table = latency.table(self.results(None), "value")
        self.assertEqual(table.rows[0], ["latency-9: malloc p50", "30", "-", "20"])

    def test_in_the_report(self):
        text = report.markdown(self.results("mine"))
        self.assertIn("| latency-9: free max | 450 | - | 500 | 0.90 |", text)
        self.assertIn("- latency-9: one: signal 9", text)


class Rss(unittest.TestCase):
    """The run in phases."""

    def test_series(self):
        self.assertEqual(rss.series(rss_summary(1, 7, 12, 4), rss.RESIDENT),
                         [("start", 1), ("grow", 7), ("grow", 12), ("free", 4)])
        for name in ("grow.live", "grow.0.alive"):
            with self.assertRaises(ValueError):
                rss.series(figures("MiB", **{name: 1}), rss.LIVE)

    def test_phases(self):
        self.assertEqual(rss.phase_ranges(rss.series(rss_summary(1, 7, 12, 4), rss.LIVE)),
                         [("start", 0, 1), ("grow", 1, 2), ("free", 3, 1)])

    def test_table(self):
        table = rss.table(rss_results())
        self.assertEqual(table.header, ["phase", "live", "mine", "one", "two"])
        self.assertEqual(table.rows, [["end of start", "0.0", "1.0", "-", "2.0"],
                                      ["end of grow", "10.0", "12.0", "-", "16.0"],
                                      ["end of free", "1.0", "4.0", "-", "16.0"],
                                      ["peak", "10.0", "12.0", "-", "16.0"],
                                      ["mean", "4.0", "6.0", "-", "10.5"]])

    def test_failures(self):
        self.assertIn("rss: one: signal 9", report.failures(rss_results()))
        made = rss_results()
        made["rss"] = {name: {"failure": "signal 9"} for name in made["rss"]}
        self.assertEqual(rss.all_series(made), {})
        self.assertEqual([row[1:] for row in rss.table(made).rows], [["-"] * 4] * 2)

    def test_chart(self):
        document = rss.draw(rss_results())
        drawn = tags(document)
        self.assertEqual(drawn.count("polyline"), 2)  # those that did not fail
        self.assertEqual(drawn.count("polygon"), 1)  # what is live
        # The greatest size lies on the plot's upper edge, nothing on its lower one.
        self.assertIn(f'{rss.LEFT + rss.WIDTH * 2 / 3:.1f},{rss.TOP:.1f} ', document)
        self.assertIn(f'points="{rss.LEFT:.1f},{rss.TOP + rss.HEIGHT:.1f} ', document)

    def test_grid(self):
        for highest, step in ((10, 2), (300, 100), (0.7, 0.2), (26, 10), (1000, 200)):
            self.assertAlmostEqual(rss.grid_step(highest), step)


@unittest.skipUnless(PROGRAMS, "BENCH_PROGRAMS names no folder")
class Programs(unittest.TestCase):
    """What the built programs measure, under modules whose behaviour is known."""

    def program(self, name):
        """The path of a program."""
        return os.path.join(PROGRAMS, name)

    def stalled(self, function, call):
        """The figures, in seconds, of a latency bench in which one call sleeps half a second; and
        the wall time of the whole run."""
        path = os.path.realpath(os.path.join(PROGRAMS, ".libs", "stall.so"))
        allocator = measure.Allocator("stall", path, "", (
            ("STALL_FUNCTION", function), ("STALL_CALL", str(call)), ("STALL_MS", "500")))
        sample = measure.run_once([self.program("latency"), "latency-1", "2000"], allocator)
        self.assertEqual(sample.failure, "")
        self.assertEqual({unit for _, unit in sample.figures.values()}, {"ns"})
        found = {name: value / 1e9 for name, (value, _) in sample.figures.items()}
        return found, sample.wall_seconds

    def test_latency_finds_a_stall(self):
        # A run fills 14096 places, warms up for 200 steps and measures 1800.
        for function, call, other in (("malloc", 15000, "free"), ("free", 1000, "malloc")):
            found, wall = self.stalled(function, call)
            self.assertGreaterEqual(found[f"{function}-max"], 0.4999)
            self.assertEqual(found[f"{function}-p99.99"], found[f"{function}-max"])
            # The other call and the empty one took none of that time.
            self.assertLess(found[f"{function}-max"] + found[f"{other}-max"] + found["empty-max"],
                            wall)

    def test_latency_leaves_out_the_start(self):
        for function, call in (("malloc", 14000), ("malloc", 14250), ("free", 100)):
            found, wall = self.stalled(function, call)
            self.assertLess(found[f"{function}-max"] + 0.4999, wall)

    def test_latency_percentiles_rise(self):
        found, _ = self.stalled("malloc", 1)
        for call in ("malloc", "free", "empty"):
            mine = [value for name, value in found.items() if name.startswith(f"{call}-")]
            self.assertEqual(len(mine), 6)
            self.assertEqual(mine, sorted(mine))
            self.assertGreater(mine[0], 0)

    def run_phases(self, allocator):
        """The samples of a run at a hundredth of the size: live, resident."""
        sample = measure.run_once([self.program("phases"), "100", "1"], allocator)
        self.assertEqual(sample.failure, "")
        made = measure.summarize([sample])
        return rss.series(made, rss.LIVE), rss.series(made, rss.RESIDENT)

    def test_phases(self):
        live, resident = self.run_phases(measure.Allocator(measure.BASELINE))
        ends = {phase: first + count - 1 for phase, first, count in rss.phase_ranges(live)}
        self.assertEqual(list(ends), ["start", "grow", "churn", "free", "idle", "regrow"])
        at = {phase: live[number][1] for phase, number in ends.items()}
        self.assertEqual(at["start"], 0)
        self.assertAlmostEqual(at["grow"], 2.5, delta=0.2)
        self.assertAlmostEqual(at["free"] / at["churn"], 0.1, delta=0.02)
        self.assertEqual(at["free"], at["idle"])
        self.assertAlmostEqual(at["regrow"], at["churn"], delta=0.2)
        self.assertGreaterEqual(resident[ends["grow"]][1] - resident[0][1], at["grow"])

    def test_floor_frees_nothing(self):
        allocator = floor.find(PROGRAMS)
        measure.check_preload(self.program("pattern"), allocator)
        live, resident = self.run_phases(allocator)
        sizes = [value for _, value in resident]
        self.assertEqual(sizes, sorted(sizes))
        self.assertEqual(live, self.run_phases(measure.Allocator(measure.BASELINE))[0])

    def test_floor_has_a_limit(self):
        allocator = measure.Allocator(FLOOR, floor.find(PROGRAMS).path, "",
                                      (("FLOOR_LIMIT_MIB", "16"),))
        for work, left_out in (("1000", False), ("1000000", True)):
            command = [self.program("pattern"), "fifo-100", work]
            made = measure.summarize([measure.run_once(command, allocator)])
            self.assertEqual("failure" in made, left_out)
            self.assertEqual(floor.is_left_out(FLOOR, made), left_out)


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

    def test_summary(self):
        samples = [measure.Sample(wall, wall / 2, wall, {"x": (wall * 10, "ns")})
                   for wall in (3.0, 1.0, 2.0)]
        self.assertEqual(measure.summarize(samples), {
            "rounds": 3, "cpu_lowest": 1.0, "cpu_median": 2.0, "user_median": 1.0,
            "wall_median": 2.0, "figures": {"x": {"value": 20.0, "lowest": 10.0, "unit": "ns"}}})

    def test_variables(self):
        allocator = measure.Allocator("one", None, "", (("name", "3 ns"),))
        sample = measure.run_once(["sh", "-c", 'echo "x $name"'], allocator)
        self.assertEqual(sample.figures, {"x": (3.0, "ns")})

    def test_figures(self):
        self.assertEqual(measure.parse_figures("peak 10 bytes\nx 0.5 ratio\n"),
                         {"peak": (10.0, "bytes"), "x": (0.5, "ratio")})

    def test_run_reports_failures(self):
        glibc = measure.Allocator(measure.BASELINE)
        self.assertEqual(measure.run_once(["true"], glibc).failure, "")
        self.assertEqual(measure.run_once(["false"], glibc).failure, "status 1")
        self.assertEqual(measure.run_once(["sh", "-c", "kill -SEGV $$"], glibc).failure,
                         "signal 11")

    def test_each_follows_every_other_equally_often(self):
        for count in range(1, 9):
            times = 1 + count % 2
            orders = [measure.order_of_round(list(range(count)), number)
                      for number in range(times * count)]
            pairs = [pair for order in orders for pair in zip(order, order[1:])]
            self.assertEqual(sorted(pairs), sorted(times * list(itertools.permutations(
                range(count), 2))), count)
            self.assertEqual(sorted(order[0] for order in orders),
                             sorted(times * list(range(count))), count)

    def test_interleave_runs_all(self):
        ran = []
        both = [measure.Allocator("one"), measure.Allocator("two")]
        samples = measure.interleave(both, 2, "true", lambda: None, lambda command, allocator:
                                     ran.append(allocator.name) or measure.run_once(
                                         [command], allocator))
        self.assertEqual({name: len(mine) for name, mine in samples.items()}, {"one": 2, "two": 2})
        self.assertEqual(ran, ["one", "two", "two", "one"])

    def test_failed_allocator_stops(self):
        samples = measure.interleave([measure.Allocator("one")], 3, ["false"], lambda: None)
        self.assertEqual(measure.summarize(samples["one"]), {"failure": "status 1"})

    def test_bad_allocator_options(self):
        for text in ("nothing", "=x", "a b=/bin/sh", "name=/does/not/exist"):
            with self.assertRaises(measure.BenchError):
                measure.parse_allocator(text)


if __name__ == "__main__":
    unittest.main()
