"""hls/lint.py finds what Vitis HLS cannot synthesize, by rule and line, and finds nothing in the kernel."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys

import pytest

from pynq_qsnn.paths import resource

LINT = resource("hls", "lint.py")


def load_linter():
    spec = importlib.util.spec_from_file_location("hls_lint", LINT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


linter = load_linter()

# A loop as it should be; the wrong ones differ from it in one thing.
GOOD_LOOP = """
// II = 1: one token read and one written a cycle.
void stage(int n, hls::stream<int>& in, hls::stream<int>& out) {
copy_tokens:
  for (int i = 0; i < n; ++i) {
    HLS(LOOP_TRIPCOUNT min = 1 max = 9 avg = 4)
    PIPELINE(1);
    out.write(in.read());
  }
}
"""

# rule -> (what breaks it: a finding on each line marked `// <`, what does not)
CASES = {
    "memory": (
        """
        int* make() { return new int[4]; }  // <
        void drop(int* p) { delete[] p; }   // <
        void* raw(int n) { return malloc(n); }  // <
        """,
        """
        // a new value; free slots
        struct Slot { int renewed; };
        int value(const Slot& s) { return s.renewed; }
        """,
    ),
    "recursion": (
        """
        int odd(int n);
        int even(int n) { return n ? odd(n - 1) : 1; }  // <
        int odd(int n) { return n ? even(n - 1) : 0; }  // <
        int self(int n) {
          return n ? self(n - 1) : 0;  // <
        }
        """,
        """
        struct Packed { int word; };
        template <int BITS> inline int cut(int x) { return x & BITS; }
        inline int all(int x) { return cut<1>(x) + cut<2>(x); }
        inline int row(const int value[4], const Packed& packed) { return value[0] + packed.word; }
        inline int row(const int value[4], const int raw[4]) {
          Packed packed;
          packed.word = raw[0];
          return row(value, packed);
        }
        inline int count(int count, int limit) { return count + limit; }
        """,
    ),
    "virtual": (
        """
        struct Stage {
          virtual void run();  // <
        };
        int kind(Stage* s) { return dynamic_cast<Stage*>(s) != 0; }  // <
        """,
        "struct Stage { int virtual_address; };",
    ),
    "exception": (
        """
        void check(int n) {
          if (n < 0) throw n;  // <
        }
        void guard(int n) {
          try {  // <
            check(n);
          } catch (int) {  // <
          }
        }
        """,
        "int catcher(int thrown) { return thrown; }",
    ),
    "library": (
        """
        #include <vector>  // <
        #include "../sim/simulation.hpp"  // <
        #include "kernel.cpp"  // <
        std::vector<int> all;  // <
        """,
        """
        #include <stdint.h>
        #include "ap_int.h"
        #include "hls_stream.h"
        #include "types.hpp"
        #if !defined(__SYNTHESIS__) && !defined(__VITIS_HLS__)
        #include <string.h>
        inline int host_only() { return std::rand(); }
        #endif
        """,
    ),
    "indirect-call": (
        """
        int one(int x) { return x; }
        int apply(int (*f)(int), int x) { return x; }  // <
        int both(int x) { return apply(&one, x); }     // <
        void each(int x) {
          use([&] { x; });  // <
        }
        """,
        """
        int one(int x) { return x; }
        int masked(int x) { return x & one(x); }
        int first(const int (&x)[4]) { return x[0]; }
        """,
    ),
    "goto": (
        """
        void jump(int n) {
        again:
          if (n) goto again;  // <
        }
        """,
        "int gotos(int n) { return n; }",
    ),
    "floating-point": (
        """
        float half(int n) {  // <
          return n * 0.5f;   // <
        }
        int large() { return 1e6; }  // <
        """,
        "int half(int n) { return n / 2 + 0x1E5 + 0xF + '.' + sizeof(\"1.5\"); }",
    ),
    "loop": (
        """
        int sum(const int value[8], int n) {
          int total = 0;
        variable:
          for (int i = 0; i < n; ++i) {  // <
            total += value[i];
          }
          for (int i = 0; i < n; ++i) {  // <
            UNROLL
            total += value[i];
          }
        sequential:
          for (int i = 0; i < 8; ++i) {  // <
            total += value[i];
          }
        endless:
          while (total < 9) {  // <
            ++total;
          }
        from_argument:
          for (int i = n; i < 8; ++i) {  // <
            total += i;
          }
          return total;
        }
        """,
        """
        template <int N>
        int sum(const int value[8], int n) {
          int total = 0;
        variable:
          for (int i = 0; i < n; ++i) {
            HLS(LOOP_TRIPCOUNT min = 1 max = 8 avg = 4)
            total += value[i];
          }
          for (int part = 0; part < hw::kParts / 2; ++part) {
            UNROLL
            for (int i = part * N; i < (part + 1) * N; i += 2) {
              UNROLL
              total += value[i];
            }
          }
          return total;
        }
        """,
    ),
    "label": (
        GOOD_LOOP.replace("copy_tokens:\n", "").replace("++i) {", "++i) {  // <")
        + """
        // II = 1: nothing returns.
        void two(int n) {
        same:
          for (int i = 0; i < 8; ++i) {
            PIPELINE(1);
          }
        same:
          for (int i = 0; i < 8; ++i) {  // <
            PIPELINE(1);
          }
        }
        """,
        GOOD_LOOP,
    ),
    "interval": (
        GOOD_LOOP.replace("II = 1: one", "One").replace("PIPELINE(1);", "PIPELINE(1);  // <")
        + GOOD_LOOP.replace("PIPELINE(1);", "PIPELINE(2);  // <")
        + GOOD_LOOP.replace("PIPELINE(1);", "PIPELINE(n);  // <")
        + GOOD_LOOP.replace("PIPELINE(1);", "HLS(PIPELINE style = flp)  // <")
        + """
        // II = 1: a comment that an empty line parts from its function is not at it.

        int leaf(int x) {
          HLS(PIPELINE II = 1)  // <
          return x;
        }
        """,
        GOOD_LOOP
        + """
        // A leaf. II = 1: nothing returns.
        int leaf(int x) {
          HLS(PIPELINE II = 1)
          return x;
        }
        void two() {
          // II = 2: the second read of a memory with one port.
        first:
          for (int i = 0; i < 8; ++i) {
            PIPELINE(2);
          }
        }
        """,
    ),
    "division": (
        """
        int share(int n, int parts) {
          n %= parts;  // <
          return n / parts + n / int(parts) + n / (2 * parts);  // <
        }
        """,
        """
        // n / parts
        template <int N>
        int share(int n) {
          for (int slot = 1; slot < 4; ++slot) {
            UNROLL
            n += n / slot;
          }
          return n / 2 + n % kBanks + n / hw::kWordBits + n / (8 * N) + n / sizeof(int);
        }
        """,
    ),
    "stream-reference": (
        """
        void by_value(hls::stream<word_t> in);
        void by_copy(int n, hls::stream<word_t> in) {}  // <
        void by_pointer(hls::stream<ap_uint<4> >* in) {}  // <
        """,
        "void by_reference(hls::stream<ap_uint<4>>& in, const hls::stream<word_t>& out, hls::stream<int> both[2]) {}",
    ),
    "stream-depth": (
        """
        void region(int n) {
          hls::stream<word_t> words;  // <
          STREAM(word_t, more, n);    // <
          STREAM(word_t, most);       // <
        }
        """,
        """
        void region() {
          STREAM(word_t, words, kWordDepth);
          STREAM_OF_PARTS(ap_uint<4>, more, 2 * hw::kBanks);
        }
        """,
    ),
    "stream-blocking": (
        """
        void poll(hls::stream<int>& in) {
          int value;
          if (in.empty()) return;  // <
          in.read_nb(value);       // <
        }
        """,
        """
        void wait(hls::stream<int>& in, int size) {
          int full = in.read();
          use(full, size);
        }
        """,
    ),
    "static": (
        """
        int next() {
          static int state = 0;  // <
          return ++state;
        }
        """,
        """
        static int helper(int x) { return x; }
        int next() {
          KERNEL_STATIC int state;
          static_assert(true, "");
          return ++state;
        }
        """,
    ),
    "pragma": (
        """
        #define FAST _Pragma("GCC unroll 1")  // <
        int sum(int n) {
        #pragma HLS INLINE  // <
          return n;
        }
        """,
        """
        #pragma once
        #define TWICE(x) (x) + (x)
        int sum(int n) {
          HLS(INLINE)
          return TWICE(n);
        }
        """,
    ),
}


def test_every_rule_has_its_cases():
    assert set(CASES) == set(linter.RULES)


@pytest.mark.parametrize("rule", CASES)
def test_a_broken_rule_is_found_by_name_and_line(rule):
    broken = CASES[rule][0]
    found = [f.line for f in linter.lint({"stage.cpp": broken}) if f.rule == rule]
    assert sorted(set(found)) == [i for i, line in enumerate(broken.splitlines(), 1) if "// <" in line]


@pytest.mark.parametrize("rule", CASES)
def test_what_is_allowed_is_not_found(rule):
    assert [str(f) for f in linter.lint({"stage.cpp": CASES[rule][1]}) if f.rule == rule] == []


def test_a_good_loop_has_no_finding_at_all():
    assert linter.lint({"stage.cpp": GOOD_LOOP}) == []


def test_fetch_may_divide_and_the_macro_header_may_use_pragmas():
    assert linter.lint({"fetch.cpp": "int blocks(int n, int of) { return n / of; }"}) == []
    assert linter.lint({"hls_macros.hpp": '#include "simulation.hpp"\n#define HLS(x) _Pragma(#x)\n'}) == []


def test_recursion_across_files():
    files = {
        "a.cpp": "void b();\nvoid a() {\n  b();\n}\n",
        "b.cpp": "void a();\nvoid b() {\n  a();\n}\n",
        "c.cpp": "void a(int) {}\nvoid c() { a(1); }\n",  # another a: its own file's, with one argument
    }
    assert [(f.path, f.line, f.rule) for f in linter.lint(files)] == [
        ("a.cpp", 3, "recursion"),
        ("b.cpp", 3, "recursion"),
    ]


@pytest.mark.parametrize(
    "condition, read",
    [
        ("#if defined(__SYNTHESIS__) || defined(OTHER)", True),
        ("#if !defined(__SYNTHESIS__)", False),
        ("#if !(defined(__SYNTHESIS__) && defined OTHER)", True),
        ("#ifdef __VITIS_HLS__", True),
        ("#ifndef __VITIS_HLS__", False),
    ],
)
def test_branches_are_those_of_vitis(condition, read):
    branch, other = ("goto", "int") if read else ("int", "goto")
    text = f"{condition}\nvoid f() {{ {branch} a; }}\n#else\nvoid f() {{ {other} a; }}\n#endif\n"
    assert [f.line for f in linter.lint({"a.cpp": text})] == [2 if read else 4]


def test_the_kernel_has_no_findings():
    done = subprocess.run([sys.executable, str(LINT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_names_file_line_and_rule(tmp_path):
    broken = tmp_path / "broken.cpp"
    broken.write_text("int f(int n) {\n  return n / (n + 1);\n}\n")
    done = subprocess.run([sys.executable, str(LINT), str(broken)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"{broken}:2: division: " in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_lint_runs_it():
    done = subprocess.run(["make", "-n", "-C", str(LINT.parent), "lint"], capture_output=True, text=True, check=True)
    assert "lint.py" in done.stdout
