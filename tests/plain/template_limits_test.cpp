// Templates that would run for ever, fill the memory or overflow the stack: what they cost grows with their size, what
// they may cost is bounded, and what is said of them is short.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "io/error.h"
#include "support/expect_error.h"
#include "support/growth.h"
#include "support/repeated.h"
#include "text/chat_template.h"
#include "text/jinja/builtin.h"

namespace loraxs {
namespace {

using jinja::FailureKind;
using jinja::TemplateError;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;  // time and memory are the sanitizer's
#else
constexpr bool kSanitized = false;
#endif

std::tm some_day() { return {.tm_mday = 1, .tm_year = 125}; }

struct Rendered {
  std::string text;
  int64_t steps = 0, bytes = 0;
};

Rendered rendered(const std::string& source, const jinja::Limits& limits = {}) {
  jinja::Spent spent;
  std::string text = jinja::Template(source, "t.jinja", limits).render({}, some_day, &spent).text;
  return {std::move(text), spent.steps, spent.bytes};
}

/// `source` with every @ replaced by the number.
std::string sized(const std::string& source, int64_t size) {
  std::string result;
  for (const char c : source) result += c == '@' ? std::to_string(size) : std::string(1, c);
  return result;
}

/// One for every filter, test, method, operator and function. s: a text of @ words, u: one outside ASCII, a: @ letters
/// without a break, l: a list of @ numbers, t: a list of @ texts, d: a dict of @ entries, n: @.
const std::vector<std::string>& linear_expressions() {
  static const std::vector<std::string> all = {"s.capitalize()",
                                               "u.casefold()",
                                               "s.center(n * 5)",
                                               "s.count('ab')",
                                               "a.count('a' * (n // 2))",
                                               "s.endswith(s)",
                                               "u.find('zz')",
                                               "a.find('a' * (n // 2) + 'b')",
                                               "('{}' * 9).format(s, s, s, s, s, s, s, s, s)",
                                               "s.index('b', n)",
                                               "a.isalnum()",
                                               "a.isalpha()",
                                               "s.isascii()",
                                               "('1' * n).isdecimal()",
                                               "('1' * n).isdigit()",
                                               "a.isidentifier()",
                                               "s.islower()",
                                               "('1' * n).isnumeric()",
                                               "u.isprintable()",
                                               "(' ' * n).isspace()",
                                               "s.istitle()",
                                               "s.isupper()",
                                               "', '.join(t)",
                                               "s.ljust(n * 5)",
                                               "u.lower()",
                                               "u.lstrip('abcdefg' * n)",
                                               "s.partition('zz')",
                                               "s.removeprefix(a)",
                                               "s.removesuffix(a)",
                                               "s.replace('a', 'xyz')",
                                               "a.replace('a' * (n // 2) + 'b', '')",
                                               "s.replace('', '-')",
                                               "a.rfind('b' + 'a' * (n // 2))",
                                               "s.rindex('a')",
                                               "s.rjust(n * 5)",
                                               "s.rpartition('zz')",
                                               "s.rsplit()",
                                               "a.rsplit('a' * (n // 2))",
                                               "s.rsplit('b')",
                                               "s.rstrip('ab ' * n)",
                                               "s.split()",
                                               "s.split('b')",
                                               "u.splitlines()",
                                               "('a\n' * n).splitlines()",
                                               "s.startswith(('x', s))",
                                               "u.strip()",
                                               "s.swapcase()",
                                               "s.title()",
                                               "u.upper()",
                                               "s.zfill(n * 5)",  // str
                                               "l.count(1)",
                                               "l.index(n - 1)",
                                               "d.items()",
                                               "d.keys()",
                                               "d.values()",
                                               "d.get('x')",
                                               "l.copy()",
                                               "d.copy()",
                                               "l | batch(3) | list",
                                               "l | batch(n * 2, 0) | list",
                                               "u | length",
                                               "s | count",
                                               "d | dictsort",
                                               "s | first",
                                               "d | items | list",
                                               "l | join('--')",
                                               "t | last",
                                               "s | list",
                                               "t | map('upper') | list",
                                               "t | map(attribute='a.b.c', default=d) | list",
                                               "[d] | map(attribute='.'.join(['a'] * n), default=d) | list",
                                               "l | max",
                                               "t | min",
                                               "l | reject('odd') | list",
                                               "([d] * n) | rejectattr('1') | list",
                                               "u | reverse",
                                               "l | reverse | list",
                                               "l | select('even') | list",
                                               "([d] * n) | selectattr('1', 'eq', 2) | list",
                                               "l | reverse | sort",
                                               "t | sort(case_sensitive=true)",
                                               "[d] | sort(attribute=','.join(['a'] * n))",
                                               "l | sum",
                                               "t | unique | list",
                                               "l | unique | list",  // lists
                                               "s | capitalize",
                                               "s | center(n * 5)",
                                               "s | e",
                                               "('<' * n) | escape",
                                               "s | forceescape",
                                               "('%s' * 9) | format(s, s, s, s, s, s, s, s, s)",
                                               "('%5d' * n) % (l | list,)[0][:0] if false else s",
                                               "('a\n' * n) | indent",
                                               "('\n' * n) | indent('ab', true, true)",
                                               "u | lower",
                                               "s | replace('a', 'xyz')",
                                               "s | safe",
                                               "d | string",
                                               "s | title",
                                               "u | trim",
                                               "s | trim('ab ' * n)",
                                               "s | truncate(n)",
                                               "u | upper",
                                               "u | urlencode",
                                               "u | wordcount",  // texts
                                               "-5 | abs",
                                               "d | attr('items')",
                                               "s | d",
                                               "s | default(a, true)",
                                               "('1' * n ~ '.5') | float",
                                               "('x' * n) | int(1)",
                                               "1.5 | round",
                                               "d | tojson",
                                               "u | tojson(ensure_ascii=true)",
                                               "l | tojson(indent=9)",
                                               "d | tojson(sort_keys=true)",
                                               "[s] | tojson(separators=(',', ':'))",  // values
                                               "n is odd",
                                               "n is even",
                                               "n is divisibleby(3)",
                                               "s is defined",
                                               "s is undefined",
                                               "s is filter",
                                               "s is test",
                                               "s is none",
                                               "s is boolean",
                                               "s is true",
                                               "s is false",
                                               "s is integer",
                                               "s is float",
                                               "s is lower",
                                               "u is upper",
                                               "s is string",
                                               "s is mapping",
                                               "s is number",
                                               "s is sequence",
                                               "s is iterable",
                                               "s is callable",
                                               "(s ~ 'a') is sameas(s ~ 'b')",
                                               "s is escaped",
                                               "-1 is in l",
                                               "'zz' is in s",
                                               "l is eq(l[:])",
                                               "l is equalto(l[:])",
                                               "l is ne(l[:])",
                                               "l[:] is gt(l)",
                                               "l is greaterthan(l[:])",
                                               "l is ge(l[:])",
                                               "l is lt(l[:])",
                                               "l is lessthan(l[:])",
                                               "l is le(l[:])",
                                               "l | select('==', 1) | list",
                                               "l | select('!=', 1) | list",
                                               "l | select('>', 1) | list",
                                               "l | select('>=', 1) | list",
                                               "l | select('<', 1) | list",
                                               "l | select('<=', 1) | list",  // tests
                                               "s ~ u",
                                               "s + s",
                                               "'ab' * n",
                                               "[1, 2] * n",
                                               "l + l[:9]",
                                               "(s ~ 'a') == (s ~ 'b')",
                                               "s[:n] < s",
                                               "l == l[:]",
                                               "d == dict(d)",
                                               "(a ~ 'b') in (a ~ a)",
                                               "'x' in d",
                                               "-1 in l",
                                               "u[n]",
                                               "u[1:n]",
                                               "u[::-1]",
                                               "s[::2]",
                                               "l[::-1]",
                                               "'%s' % s",
                                               "'%.9s' % u",
                                               "d | string",
                                               "[u] | string",
                                               "[('\x01' * n)] | string | length",  // operators
                                               "range(n) | list",
                                               "dict(l | batch(2))",
                                               "dict(d, x=1)",
                                               "namespace(x=d).x",
                                               "strftime_now('%d')"};  // globals
  return all;
}

const char* const kNames =
    "{% set n = @ %}{% set s = 'ab ' * n %}{% set u = 'é日\n ' * n %}{% set a = 'a' * n %}{% set l = range(n)|list %}"
    "{% set t = s.split() %}{% set d = dict(l | batch(2)) %}{% set r = ";

/// Further shapes: statements, and what grows inside the source.
std::vector<std::string> linear_statements(int64_t size) {
  std::string names = "{% set x0 = 0 %}", arguments, entries, branches = "{% if false %}", lines, tuple;
  for (int64_t i = 0; i < size / 40; ++i) {
    const std::string number = std::to_string(i);
    names += "{% set x" + number + " = " + number + " %}";
    arguments += (i > 0 ? ", x" : "x") + number + "=" + number;
    entries += (i > 0 ? ", 'x" : "'x") + number + "': " + number;
    branches += "{% elif x" + number + " %}";
    lines += "line " + number + "\n";
    tuple += "x" + number + ", ";
  }
  const std::string n = std::to_string(size);
  return {
      names + "{{ x0 }}",
      "{% macro m() %}{{ kwargs | length }}{% endmacro %}{{ m(" + arguments + ") }}",
      "{% set m = namespace(" + arguments + ") %}{{ m.x0 }}",
      "{{ {" + entries + "} | length }}",
      branches + "{% endif %}",
      "{% raw %}" + lines + "{% endraw %}{# " + lines + " #}" + lines,
      "{% set " + tuple + " = range(" + std::to_string(size / 40) + ") %}",
      "{% for x in range(" + n + ") %}{{ loop.index }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x) }}{% endfor %}",
      "{% set ns = namespace(i=0) %}{% for x in range(" + n + ") if x is odd %}{% set ns.i = ns.i + x %}{% endfor %}",
      "{% for x in range(" + n + ") %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
      "{% set x %}{% for x in range(" + n + ") %}{{ x }}{% endfor %}{% endset %}{{ x | length }}",
      "{% filter upper %}{% for x in range(" + n + ") %}{{ x }}{% endfor %}{% endfilter %}"};
}

void expect_linear(const std::string& small, const std::string& large) try {
  Rendered one, two;
  test::expect_linear_work([&] { one = rendered(small); }, [&] { two = rendered(large); }, 0.005);
  EXPECT_LT(two.steps, 3 * one.steps + 100);
  EXPECT_LT(two.bytes, 3 * one.bytes + 1000);
} catch (const TemplateError& error) {
  ADD_FAILURE() << error.what();
}

TEST(TemplateLimitsTest, CostGrowsWithSize) {
  constexpr int64_t kSize = 4000;
  for (const std::string& expression : linear_expressions()) {
    SCOPED_TRACE(expression);
    const std::string source = kNames + expression + " %}";
    expect_linear(sized(source, kSize), sized(source, 2 * kSize));
  }
  const auto small = linear_statements(kSize), large = linear_statements(2 * kSize);
  for (size_t i = 0; i < small.size(); ++i) {
    SCOPED_TRACE(small[i].substr(0, 100));
    expect_linear(small[i], large[i]);
  }
}

TEST(TemplateLimitsTest, EveryBuiltinIsAmongThem) {
  std::string all;
  for (const std::string& expression : linear_expressions()) all += expression + " ;";
  const auto expect_named = [&](std::string_view sign, std::string_view name) {
    const size_t at = all.find(concat(sign, name));
    EXPECT_NE(at, std::string::npos) << sign << name;
  };
  for (const auto& table : {jinja::text_filters(), jinja::sequence_filters(), jinja::value_filters()}) {
    for (const auto& filter : table) {
      if (std::string_view(filter.name) != "striptags") expect_named("| ", filter.name);
    }
  }
  for (const auto& method : jinja::text_methods()) expect_named(".", method.name);
}

/// The charges are not too low: what the budget allows takes no longer than it should.
struct Hostile {
  std::string source;
  const char* expected;  // part of the error
};

const char* const kBytes = "bytes";
const char* const kSteps = "steps";
const char* const kElements = "elements";
const char* const kNested = "nested";
const char* const kLimit = "expected ";  // which one depends on how fast the machine is

std::vector<Hostile> hostile_templates() {
  const std::string loop = "{% for a in range(60000) %}", thrice = loop + loop + loop;
  const std::string ends = "{% endfor %}{% endfor %}{% endfor %}", texts = "{% set x = 'a' * 4000000 %}";
  std::string names;
  for (int i = 0; i < 300; ++i) names += concat("{% set a", i, " = 1 %}");
  const auto in_loops = [&](const std::string& body) { return texts + thrice + body + ends; };
  return {
      {"{% set x = ['a' * 16000000] * 2000 %}{{ x|length }}", kBytes},
      {"{{ range(2000)|list|tojson(indent=16000000) }}", kBytes},
      {"{{ range(2000)|list|tojson(indent=4000000) }}", kBytes},
      {"{{ range(2000)|list|tojson(separators=('a' * 4000000, '')) }}", kBytes},
      {"{{ ('a'*4000000 + 'b') in ('a'*8000000) }}", kBytes},
      {"{{ ('a'*8000000)|replace('a'*4000000 + 'b', '')|length }}", kBytes},
      {"{% set x='a'*16000000 %}{% for i in range(100000) %}{% if x == x %}{% endif %}{% endfor %}", kBytes},
      {"{{ [1]|map(attribute='.'*4000000)|list|length }}", kElements},
      {"{% set d = dict(range(100000)|batch(2)) %}{{ d|length }}", kElements},
      {"{% macro m(n) %}{{ m(n+1)" + test::repeated("|trim", 480) + " }}{% endmacro %}{{ m(0) }}", kNested},
      {"{{ raise_exception('a' * 16000000) }}", kBytes},
      {"{{ raise_exception('a' * 4000000) }}", "the template refuses: aaa"},
      // Each in a loop without end: what a turn costs is charged.
      {in_loops("{% set y = x ~ 'b' %}"), kLimit},
      {in_loops("{% if x ~ '' == x %}{% endif %}"), kLimit},
      {texts + "{% set y = 'a' * 4000000 %}" + thrice + "{% if x == y %}{% endif %}" + ends, kLimit},
      {texts + "{% set y = 'a' * 4000000 %}" + thrice + "{% if x < y %}{% endif %}" + ends, kLimit},
      {in_loops("{% if 'b' in x %}{% endif %}"), kLimit},
      {in_loops("{% if 'a' * 2000000 ~ 'b' in x %}{% endif %}"), kLimit},
      {in_loops("{{ x.find('b') }}"), kLimit},
      {in_loops("{{ x.rfind('b') }}"), kLimit},
      {in_loops("{{ x.count('aaaaaaaab') }}"), kLimit},
      {in_loops("{{ x.startswith(x ~ '') }}"), kLimit},
      {in_loops("{{ x.isalpha() }}"), kLimit},
      {in_loops("{{ x | length }}"), kLimit},
      {in_loops("{{ x[3999999] }}"), kLimit},
      {in_loops("{{ x[-1:] }}"), kLimit},
      {in_loops("{% set y = x | upper %}"), kLimit},
      {in_loops("{% set y = x | lower %}"), kLimit},
      {in_loops("{% set y = x.strip('a') %}"), kLimit},
      {in_loops("{% set y = x | wordcount %}"), kLimit},
      {in_loops("{% set y = x | int %}"), kLimit},
      {in_loops("{% set y = x is lower %}"), kLimit},
      {in_loops("{% set y = {x: 1}[x] %}"), kLimit},
      {in_loops("{% set y = '%s' % x %}"), kLimit},
      {in_loops("{% set y = x.partition('b') %}"), kLimit},
      {in_loops("{% set y = x.splitlines() %}"), kLimit},
      {in_loops("{% set y = [x] | string %}"), kLimit},
      {in_loops("{% set y = x | tojson %}"), kLimit},
      {thrice + "{% set y = range(60000) %}" + ends, kLimit},
      {thrice + "{% set y = [] %}{% set z = {} %}" + ends, kLimit},
      {"{% set ns = namespace(l=[]) %}" + thrice + "{% set ns.l = ns.l + [[], [], [], {}] %}" + ends, kLimit},
      {"{% set ns = namespace(l=[]) %}" + thrice + "{% set ns.l = [ns.l, namespace(), range, 'a'.upper] %}" + ends,
       kLimit},
      {"{% set l = range(60000) | map('string') | list %}" + thrice + "{{ l == (l | list) }}" + ends, kLimit},
      {"{% set l = range(60000) | list %}" + thrice + "{{ -1 in l }}" + ends, kLimit},
      {"{% set l = range(60000) | list %}" + thrice + "{{ l.count(1) }}{{ l.index(59999) }}" + ends, kLimit},
      {"{% set l = range(60000) | list %}" + thrice + "{% set y = l | sort(reverse=true) %}" + ends, kLimit},
      {"{% set l = range(60000) | list %}" + thrice + "{% set y = l[:] %}" + ends, kLimit},
      {"{% set l = range(60000) | list %}" + thrice + "{% set y = l | reverse %}" + ends, kLimit},
      {"{% set l = range(60000) | list %}{% macro m() %}{{ varargs | length }}{% endmacro %}" + thrice + "{{ m(*l) }}" +
           ends,
       kLimit},
      {"{% set l = range(60000) | list %}{{ l | map('default', *l) | list }}", ""},
      {"{% set l = [[1]] * 60000 %}{{ l | unique | list }}{{ l | sum(start=[]) }}", kLimit},
      {"{% set d = dict(range(60000) | batch(2)) %}" + thrice + "{% set y = d.items() %}" + ends, kLimit},
      {"{% set d = dict(range(60000) | batch(2)) %}" + thrice + "{% set y = d == dict(d) %}" + ends, kLimit},
      {"{{ range(60000) | join('x' * 10000) }}", kBytes},
      {"{{ ('a\n' * 9000) | indent(10000) }}", kBytes},
      {"{{ 'a\nb' | indent(10 ** 10) }}", kBytes},
      {"{{ ('{}' * 9000).format(*(['x' * 10000] * 9000)) }}", kBytes},
      {"{{ '%10000d' * 9000 % (([1] * 9000) | list)[0] }}", ""},
      {"{{ '%1000000000d' % 5 }}", "format width"},
      {"{{ 'a'.center(10 ** 10) }}", kBytes},
      {"{{ 'a'.ljust(9223372036854775807, 'é') }}", kBytes},
      {"{{ 'a'.zfill(9223372036854775807) }}", kBytes},
      {"{{ range(10 ** 9) }}", "Range too big"},
      {"{{ 'x' * 10 ** 12 }}", kBytes},
      {"{{ [1] * 10 ** 12 }}", kElements},
      {"{{ [1, 2] * 9223372036854775807 }}", kElements},
      {"{{ [1] | batch(9223372036854775807, 0) | list }}", kElements},
      {"{{ ('a' * 4000000) | list }}", kElements},
      {"{{ ('ab' * 1000000).split('b') }}", kElements},
      {"{{ ('a' * 1000000).replace('', 'é' * 9) }}", kBytes},
      {"{{ strftime_now('%A' * 1000000) }}", "format of at most"},
      {"{% set ns = namespace(s='x') %}" + loop + "{% set ns.s = ns.s + ns.s %}{% endfor %}", kBytes},
      {"{% set ns = namespace(s='x') %}" + loop + "{% set ns.s = ns.s | replace('x', 'xx') %}{% endfor %}", kLimit},
      {"{% set ns = namespace(s='x') %}" + loop + "{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}{% endfor %}", kBytes},
      {"{% set ns = namespace(s=[1]) %}" + loop + "{% set ns.s = ns.s + ns.s %}{% endfor %}", kElements},
      {"{% set ns = namespace(s=[1]) %}" + loop + "{% set ns.s = [ns.s] %}{% endfor %}", "deep"},
      {"{% set ns = namespace(s=[1]) %}" + loop + "{% set ns.s = [ns.s.index] %}{% endfor %}", "deep"},
      {"{% set ns = namespace(s={}) %}" + loop + "{% set ns.s = {'a': ns.s} %}{% endfor %}", "deep"},
      {"{% set ns = namespace() %}{% set ns.s = ns %}{{ [ns] * 60000 }}" + thrice + ends, kLimit},
      {"{% set a = [1] %}{% set a=[a]*9 %}{% set a=[a]*99 %}{% set a=[a]*99 %}{% set a=[a]*99 %}{% set a=[a]*99 %}{{ a "
       "}}",
       ""},
      {"{% set a=[1]*99 %}{% set a=[a]*99 %}{% set a=[a]*99 %}{% set a=[a]*99 %}{% set b=[1]*99 %}{% set b=[b]*99 %}"
       "{% set b=[b]*99 %}{% set b=[b]*99 %}{{ a == b }}",
       kLimit},
      {"{% set a=[1]*99 %}{% set a=[a]*99 %}{% set a=[a]*99 %}{% set a=[a]*99 %}{{ a | tojson }}", kBytes},
      {"{% for x in [1] %}{{ loop.changed(loop) }}{{ 1 / 0 }}{% endfor %}", "division"},
      {thrice + ends, kLimit},
      {loop + "{{ 'x' * 10000 }}{% endfor %}", kBytes},
      {loop + names + "{% macro m() %}{% endmacro %}{% endfor %}", kLimit},
  };
}

/// Nesting of everything that can nest, in the source or while it runs.
std::vector<std::string> deep_templates() {
  const int64_t many = 20'000;
  const std::string macro = "{% macro m(n) %}", end = "{% endmacro %}{{ m(0) }}";
  std::vector<std::string> deep = {
      macro + "{{ m(n) }}" + end,
      macro + "{{ m(n) | trim | upper | default(m(n)) }}" + end,
      macro + "{{ [[[[m(n)]]]] }}" + end,
      macro + "{{ {'a': {'b': m(n)}} }}" + end,
      macro + "{{ 1 + (2 ~ (m(n) or 3)) }}" + end,
      macro + "{{ m(n) if m(n) else m(n) }}" + end,
      macro + "{% call m(n) %}{% endcall %}" + end,
      macro + "{% call m(n) %}{{ caller() }}{% endcall %}{{ caller() }}" + end,
      macro + "{% filter trim | upper %}{{ m(n) }}{% endfilter %}" + end,
      macro + "{% set x | trim %}{{ m(n) }}{% endset %}" + end,
      macro + "{% set x = m(n) %}" + end,
      macro + "{% with a = m(n) %}{% endwith %}" + end,
      macro + "{% for a in [m(n)] if m(n) %}{% endfor %}" + end,
      macro + "{% if m(n) is defined and m(n) is eq m(n) %}{% endif %}" + end,
      macro + "{{ ('a' * 3)[m(n):m(n)] }}" + end,
      macro + "{{ '%s' % m(n) }}{{ 'x'.join([m(n)]) }}" + end,
      "{% macro m(a=m()) %}{% endmacro %}{{ m() }}",
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
      "{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
      "{% for a in [[1]] recursive %}{% set x | trim %}{{ loop([[1]]) | upper }}{% endset %}{% endfor %}",
      "{% for x in " + test::repeated("[", 90) + "1" + test::repeated("]", 90) +
          " recursive %}{{ loop(x) }}{% endfor %}{{ 1 / 0 }}",
      "{{ [1]" + test::repeated(" | map('map'", 400) + test::repeated(")", 400) + " }}",
  };
  for (const char* open :
       {"(", "[", "{1: ", "-", "not ", "a[", "a(", "1 if (", "1 + (", "a | d(", "a is eq(", "{{ ", "+"}) {
    deep.push_back("{{ " + test::repeated(open, many) + " }}");
  }
  for (const char* link :
       {".a", "[0]", "()", " | trim", " + 1", " ~ 1", " and 1", " ** 1", " < 1", " if 1 else 1", " is odd", "[1:]"}) {
    deep.push_back("{{ a" + test::repeated(link, many) + " }}");
  }
  for (const char* block : {"{% if 1 %}", "{% for a in b %}", "{% macro m() %}", "{% call m() %}", "{% set a %}",
                            "{% filter trim %}", "{% with %}", "{% generation %}", "{% if 1 %}{% else %}"}) {
    deep.push_back(test::repeated(block, many / 2));
  }
  deep.push_back("{% for " + test::repeated("(", many) + "a in b %}");
  deep.push_back("{% set " + test::repeated("(", many) + "a = b %}");
  deep.push_back("{% if a %}" + test::repeated("{% elif a %}", many / 2) + "{{ a.b }}");
  deep.push_back("{% raw %}" + test::repeated("{% ", many));
  deep.push_back(test::repeated("{# ", many));
  deep.push_back("{{ '" + test::repeated("\\N{", many));
  return deep;
}

int64_t address_space() {
  std::ifstream file("/proc/self/statm");
  int64_t pages = 0;
  file >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

/// In a process of its own: renders with 200 MB more than it has now, a megabyte of stack and two seconds of processor
/// time, and ends with 2 for a short error, as loraxs does.
[[noreturn]] void render_and_exit(const std::string& source, const std::string& expected) {
  if (!kSanitized) {
    const rlim_t most = address_space() + (200 << 20);
    const rlimit space{most, most}, stack{1 << 20, RLIM_INFINITY}, processor{2, 2};
    setrlimit(RLIMIT_AS, &space);
    setrlimit(RLIMIT_STACK, &stack);
    setrlimit(RLIMIT_CPU, &processor);
  }
  try {
    rendered(source);
  } catch (const TemplateError& error) {
    const std::string what = error.what();
    const bool clean = std::none_of(what.begin(), what.end(), [](char c) { return c >= 0 && c < 32; });
    if (clean && what.size() < 400 && what.find(expected) != std::string::npos) std::_Exit(2);
    std::cerr << what << '\n';
  }
  std::_Exit(1);
}

void expect_bounded(const std::string& source, const std::string& expected) {
  SCOPED_TRACE(source.substr(0, 200));
  EXPECT_EXIT(render_and_exit(source, expected), testing::ExitedWithCode(2), "");
}

TEST(TemplateLimitsTest, HostileTemplatesEndInAShortErrorSoonAndInLittleMemory) {
  for (const Hostile& hostile : hostile_templates()) expect_bounded(hostile.source, hostile.expected);
}

TEST(TemplateLimitsTest, DeepTemplatesEndInAShortErrorInAMegabyteOfStack) {
  for (const std::string& source : deep_templates()) expect_bounded(source, "");
}

TEST(TemplateLimitsTest, TextsAreSharedNotCopied) {
  const Rendered shared = rendered("{% set x = 'a' * 4000000 %}{% set l = [x] * 60000 %}{{ l | length }}");
  EXPECT_EQ(shared.text, "60000");
  EXPECT_LT(shared.bytes, 12'000'000);
  const Rendered unchanged = rendered(
      "{% set x = 'a' * 4000000 %}{% for i in range(20) %}{% set y = x | trim | string | default('') %}"
      "{% set y = x.lower().replace('b', '')[0:] + '' %}{% if x == y %}.{% endif %}{% endfor %}");
  EXPECT_EQ(unchanged.text, std::string(20, '.'));
}

TEST(TemplateLimitsTest, ClockIsAskedOnlyByTemplatesThatTakeLong) {
  std::chrono::nanoseconds now{};
  int asked = 0;
  jinja::Limits limits;
  limits.clock = [&] {
    ++asked;
    return now += std::chrono::seconds(2);
  };
  EXPECT_EQ(rendered("{% for i in range(1000) %}x{% endfor %}", limits).text.size(), 1000U);
  EXPECT_EQ(asked, 1);
  EXPECT_ERROR(rendered("{% for i in range(60000) %}{{ i }}{% endfor %}", limits),
               "t.jinja: line 1: expected at most 1000 ms of processor time, the template takes more");
}

TEST(TemplateLimitsTest, LimitsCanBeSet) {
  EXPECT_EQ(rendered("{{ 'a' * 10 }}", {.text_bytes = 10}).text.size(), 10U);
  EXPECT_ERROR(rendered("{{ 'a' * 11 }}", {.text_bytes = 10}), "expected texts of at most 10 bytes");
  EXPECT_EQ(rendered("{{ range(10) | length }}", {.elements = 10}).text, "10");
  EXPECT_ERROR(rendered("{{ range(11) | length }}", {.elements = 10}), "lists and dicts of at most 10 elements");
  EXPECT_ERROR(rendered("{{ range(99) | list }}", {.total_bytes = 2000}), "of at most 2000 bytes in all");
  EXPECT_ERROR(rendered("{{ range(99) | list }}", {.steps = 50}), "expected at most 50 steps");
  EXPECT_ERROR(rendered("{{ 1 + (1 + (1 + 1)) }}", {.depth = 3}), "expected at most 3 nested levels");
  EXPECT_ERROR(rendered(std::string(11, 'a'), {.source_bytes = 10}), "a template of at most 10 bytes, found 11");
}

TEST(TemplateLimitsTest, ErrorsQuoteLittleAndEscapeIt) {
  const std::string name(10'000, 'x');
  const std::vector<std::string> sources = {
      "{{ " + name + ".a }}",
      "{{ a." + name + " }}",
      "{{ 1." + name + ".b }}",
      "{{ 'a'['" + name + "'].b }}",
      "{{ a | " + name + " }}",
      "{{ a is " + name + " }}",
      "{% " + name + " %}",
      "{{ a " + name + " }}",
      "{{ dict(a=1) | map('" + name + "') | list }}",
      "{{ '{" + name + "}'.format() }}",
      "{{ '%(" + name + ")s' % {} }}",
      "{{ range(" + name + "=1) }}",
      "{{ ('1' * 9999) | int }}",
      "{{ " + std::string(9999, '1') + " }}",
      "{% macro m() %}{% endmacro %}{{ m(" + name + "=1) }}",
      "{% macro " + name + "() %}{% endmacro %}{{ " + name + "(1) }}",
      "{% macro m(" + name + ") %}{{ " + name + ".a }}{% endmacro %}{{ m() }}",
      "{% set ns = namespace() %}{% set ns._" + name + " = 1 %}",
      "{{ raise_exception('" + test::repeated("é\\x1b[2J\\n\\x00", 5000) + "') }}",
      "{{ strftime_now('" + name + "') }}",
      "{{ raise_exception([['" + name + "']]) }}"};
  for (const std::string& source : sources) {
    SCOPED_TRACE(source.substr(0, 60));
    try {
      rendered(source);
      ADD_FAILURE() << "rendered";
    } catch (const TemplateError& error) {
      const std::string what = error.what();
      EXPECT_LT(what.size(), 400U);
      EXPECT_TRUE(std::none_of(what.begin(), what.end(), [](char c) { return c >= 0 && c < 32; })) << what;
    }
  }
  EXPECT_ERROR(rendered("{{ raise_exception('a\\x00b\\x1b[2J\\nc\\u0085') }}"), "refuses: a\\x00b\\x1b[2J\\nc\\x85");
  EXPECT_ERROR(rendered("{{ strftime_now('a\\x00b') }}"), "embedded null character");
}

TEST(TemplateLimitsTest, ConversationsMayBeLongerThanWhatATemplateMakes) {
  const ChatTemplate chat("{% for m in messages %}<{{ m.role | trim }}>{{ m.content[:3] }}{% endfor %}", "t");
  nlohmann::ordered_json messages;
  for (int i = 0; i < 70'000; ++i) messages.push_back({{"role", "user"}, {"content", std::to_string(i) + " and more"}});
  EXPECT_EQ(chat.render(messages, {}).size(), 630'000U);
  nlohmann::ordered_json deep = "x";
  for (int i = 0; i < 20'000; ++i) deep = nlohmann::ordered_json::array({std::move(deep)});
  EXPECT_ERROR(chat.render({{{"role", "user"}, {"content", std::move(deep)}}}, {}), "lists and dicts at most 100 deep");
}

}  // namespace
}  // namespace loraxs
