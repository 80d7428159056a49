"""Small templates that go through one corner of Jinja2 each; what they print, or which exception they raise, is the oracle's."""

TEXT = "  Hello, Wörld! ßtraße ΣΑΣ ǆ  "

EXPRESSIONS = """
1 + 2 * 3 - 4 // 3 % 2 ** 3|abs
-7 // 2
-7 % 3
7 % -3
2 ** -1
2 ** 3 ** 2
7 / 2
6 / 2
1.5 + 1
1e16
1e15
1e-5
0.0001
123456789.123
1_000
0x1F + 0b101 + 0o17
5.0 // 2
-5.5 // 2
-5.5 % 2
1 / 0
1 % 0
true + true
true == 1
1 == 1.0
"1" == 1
"a" < "b" <= "b" != "c"
1 < "a"
none < 1
[1, 2] < [1, 3]
[1, 2] == (1, 2)
(1,)
()
(1, "a", none, true, 1.0)
[1, "it's", 'say "x"', "both ' and \\"", none]
{"a": 1, 2: [], none: {}}
{"a": 1, "a": 2}
"é\\u00e9\\x41\\101\\n\\t\\\\ \\q \\N{BULLET}" | tojson
"tab\\tnl\\nquote\\"" | string | list
not true or false and true
1 in [1, 2] and "a" in "cat" and "k" in {"k": 1} and 3 not in (1, 2)
"a" in missing
missing in ["a"]
1 in 5
missing
missing.attribute
missing["key"]
missing + 1
missing ~ "x" ~ 1 ~ none ~ true ~ 1.5
missing | default("d")
"" | default("d") ~ ("" | default("d", true)) ~ (none | d("n")) ~ (none | d("n", boolean=true))
missing == missing2
missing is defined or missing is undefined
missing | length
missing | upper
missing | tojson
missing | list
missing | first
missing()
none.x
none | length
none | trim
5 | length
"abc"[0] ~ "abc"[-1] ~ "abc"[5]
"añb語c"[1:4]
"abcdef"[::-1] ~ "abcdef"[4:1:-2] ~ "abcdef"[-2:] ~ "abcdef"[:-2] ~ "abcdef"[10:]
[1,2,3,4][1:][::2]
[1,2,3][::0]
none[1:]
missing[1:]
{"a": 1}[1:]
{"a": 1}.a ~ {"a": 1}["a"] ~ {"a": 1}.b
{"items": 1}["items"] ~ {"items": 1}.items is callable
{"a": {"b": [1, {"c": 3}]}}.a.b[1].c
"x".nothing
"x".__class__
"x".__class__()
[].append(1)
{}.update({})
{"a": 1}.pop("a")
text.strip() ~ "|" ~ text.lstrip() ~ "|" ~ text.rstrip()
text.upper() ~ text.lower() ~ text.title() ~ text.capitalize() ~ text.swapcase() ~ text.casefold()
text | upper ~ text | lower ~ text | title ~ text | capitalize
"they're bill's-friends from (the) u.k." | title
"they're bill's-friends from (the) u.k.".title()
"a,b,,c".split(",") ~ "a b  c ".split() ~ " a b  c ".split(none, 1) ~ "a,b,c".split(",", 1)
"a,b,c".rsplit(",", 1) ~ " a b  c ".rsplit(none, 1) ~ "abc".split("")
"abc".split(maxsplit=1, sep="b")
"a\\nb\\r\\nc\\x0bd\\u2028e\\n".splitlines() ~ "a\\nb".splitlines(true)
"xxabcxx".strip("x") ~ "abcabc".replace("a", "b", 1) ~ "abc".replace("", "-") ~ "aaa".replace("aa", "b")
"banana".find("an") ~ "banana".rfind("an") ~ "banana".find("an", 2) ~ "banana".find("x") ~ "banana".count("an") ~ "banana".count("")
"banana".index("x")
"banana".startswith("ban") ~ "banana".endswith(("x", "na")) ~ "banana".startswith("na", 2) ~ "banana".startswith(1)
"a-b-c".partition("-") ~ "a-b-c".rpartition("-") ~ "abc".partition("-")
"prefix-x".removeprefix("prefix-") ~ "x.py".removesuffix(".py") ~ "x".removesuffix("")
"7".zfill(3) ~ "-7".zfill(4) ~ "abc".center(8, "*") ~ "abc".center(6) ~ "ab".center(5) ~ "abc".ljust(5) ~ "|" ~ "abc".rjust(5, ".")
"abc".isalpha() ~ "ab1".isalnum() ~ "12".isdigit() ~ "½".isnumeric() ~ " ".isspace() ~ "aB".islower() ~ "AB1".isupper() ~ "Ab Cd".istitle() ~ "".isalpha()
"-".join(["a", "b"]) ~ "-".join("abc")
"-".join([1, 2])
"{} and {}".format("a", 1) ~ "{1}{0}".format("a", "b") ~ "{x}".format(x=2) ~ "{{}}".format()
"%s is %d years, %5.2f%% %r %05d %-5s|" % ("x", 3.7, 1.005, "q", 42, "ab")
"%(a)s" % {"a": 1}
"%s" % "x" ~ "%s%s" | format("a", "b")
"%s %s" % ("a",)
"%d" % "a"
"abc" * 2 ~ 2 * "x" ~ "x" * -1 ~ [1] * 2
"a" + 1
"a" - "b"
-"a"
[1] + [2] ~ (1,) + (2,)
[1] + (2,)
{"a": 1}.items() ~ {"a": 1}.keys() ~ {"a": 1}.values()
{"a": 1}.get("a") ~ {"a": 1}.get("b") ~ {"a": 1}.get("b", 2)
{"a": 1}.keys() | list ~ {"b": 1, "a": 2} | dictsort ~ {"b": 1, "A": 2} | dictsort(by="value", reverse=true)
{"a": 1}.items()[0]
[3, 1, 2] | sort ~ [3, 1, 2] | sort(reverse=true) ~ ["b", "A", "c"] | sort ~ ["b", "A", "c"] | sort(case_sensitive=true)
[1, "a"] | sort
people | sort(attribute="age") | map(attribute="name") | join(", ")
people | map(attribute="age") | sum ~ people | sum(attribute="age") ~ people | sum("age", 10)
people | selectattr("age", "gt", 20) | map(attribute="name") | list
people | rejectattr("admin", "defined") | map(attribute="name") | list
people | selectattr("admin") | list | length
people | map(attribute="admin", default="no") | join("|")
people | map("upper") | first
people | map(attribute="name") | map("upper") | map("replace", "A", "4") | join
people | map("nofilter") | list
people | map() | list
people | selectattr("age", "notest") | list
people | map(attribute="address.street.0") | list
[1, 2, 3, 4] | select("even") | list ~ [1, 2, 3, 4] | reject("odd") | list ~ [0, 1, "", "a"] | select | list
[1, 2, 3, 4] | select("divisibleby", 2) | list
[1, 2] | map("string") | join("-") ~ [1, none, true, "x"] | join("/")
[1, 2] | select("odd") | length
([1] | select("even")) is iterable ~ (([1] | select("even")) and "always")
[1, 2, 3] | first ~ [1, 2, 3] | last ~ "abc" | first ~ "abc" | last ~ [] | first ~ [] | last
[1, 2, 3] | select | last
[1, 2, 3] | reverse | list ~ "abc" | reverse ~ (1, 2) | reverse | list
[1, 1, 2, "a", "A"] | unique | list ~ ["a", "A"] | unique(true) | list
[3, 1, 2] | min ~ [3, 1, 2] | max ~ ["b", "A"] | min ~ [] | min
[1, 2, 3, 4, 5] | batch(2) | list ~ [1, 2, 3] | batch(2, "x") | list
{"a": 1, "b": 2} | items | list ~ missing | items | list
[1] | items | list
range(5) | list ~ range(2, 8, 3) | list ~ range(5, 0, -2) | list ~ range(3)
range(10)[2] ~ range(10) | length
range(1000000000)
range(1, 2, 0)
range("a")
"42" | int ~ "4.9" | int ~ "x" | int ~ "x" | int(7) ~ "ff" | int(0, 16) ~ "0x1f" | int(base=16) ~ 3.99 | int ~ true | int ~ none | int ~ " 5 " | int ~ "1_0" | int
"1.5" | float ~ "x" | float ~ 3 | float ~ "1e3" | float ~ "inf" | float ~ none | float(2.5)
2.5 | round ~ 3.5 | round ~ 2.675 | round(2) ~ 42.55 | round(1, "floor") ~ 42.55 | round(1, "ceil") ~ 7 | round ~ 2.4 | round | int
2.5 | round(1, "odd")
-3 | abs ~ -3.5 | abs ~ (true | abs)
"x" | abs
[1, [2, "é"], {"k": none, "f": 1.0, "t": true}] | tojson
{"b": [1, {}], "a": [], "c": {"d": "e"}} | tojson(indent=2)
{"b": 1, "a": {"d": 1, "c": 2}} | tojson(sort_keys=true, indent=1)
{"b": 1, "a": 2} | tojson(separators=(",", ":"))
"<é😀\\u2028\\x7f\\x01>" | tojson ~ "<é😀\\u2028\\x7f\\x01>" | tojson(ensure_ascii=true)
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
namespace(a=1) | tojson
range(3) | tojson
"a\\nb\\n\\nc" | indent ~ "a\\nb\\n\\nc" | indent(2, true, true) ~ "a\\nb" | indent("> ")
5 | indent
"<a href='x'>&\\"" | escape ~ "<b>" | e ~ "<b>" | safe
"  x " | trim ~ "|" ~ "xxaxx" | trim("x") ~ 5 | trim
"Hello there world" | truncate(9) ~ "Hello there world" | truncate(9, true, "…", 0) ~ "short" | truncate(9)
"a b&c/é" | urlencode ~ 5 | urlencode
"one two, three" | wordcount ~ "abc" | center(9) ~ "|"
"abc" | list ~ {"a": 1} | list ~ 5 | string
"abc" | replace("b", "x") ~ "aaa" | replace("a", "b", 2) ~ 515 | replace(5, 6)
5 | list
"abc" | attr("upper") is callable ~ {"a": 1} | attr("a")
"abc" | nofilter
"abc" is notest
1 if true ~ (1 if false) ~ (1 if false else 2)
1 | nofilter if false else "lazy"
1 is number ~ 1.0 is float ~ 1 is integer ~ true is integer ~ true is number ~ "a" is string ~ none is none ~ {} is mapping ~ [] is sequence ~ "a" is iterable ~ 5 is iterable ~ {} is sequence
3 is odd and 4 is even and 9 is divisibleby 3 and 9 is divisibleby(3) and "x" is eq "x" and 1 is lt 2 and 2 is in [2]
"a" is sameas "a" ~ none is sameas none ~ [] is sameas [] ~ true is sameas true ~ 1 is sameas true
"abc" is lower ~ "ABC" is upper ~ "upper" is filter ~ "nofilter" is filter ~ "odd" is test
"a" is odd
1 is not odd and 1 is not none
1 is odd is even
dict(a=1, b=2) ~ dict([("x", 1)]) ~ dict({"y": 2}, z=3)
dict(1)
namespace(a=1).a ~ namespace(a=1).b
namespace(_x=1)
raise_exception("stop: " ~ 5)
strftime_now("%d %b %Y %H:%M") ~ strftime_now("%A %j")
strftime_now(5)
text.nomethod()
text()
"a".upper(1)
"a" | upper(1)
"a" | replace("a")
"a" | trim(chars="a", chars2="b")
"a" "b" 'c'
[1, 2,]
{"a": 1,}
(1, 2)[0] ~ [1].0 ~ {"a": [5]}.a.0
[[1, 2], [3, 4]] | map("last") | list
[1, [2, [3]]] | string
9223372036854775807 + 0
'it''s'
"😀a"[0] ~ "😀a" | length
[] | join ~ [] | sum ~ [] | list ~ "" | length
[1.0, 2.5e10, 1e22, -0.0] | string
"a" ~ ("b" if x is defined else "c") | upper
1 + missing | default(2)
"añb語c añb語c".find("b語", 3) ~ "añb語c".rfind("語c") ~ "añb語cb語".count("b語", 2) ~ "añb語c".index("c", -1) ~ "añb".find("", 3) ~ "añb".rfind("") ~ "añb".find("a", 9)
"añb語c".startswith("b", 2) ~ "añb語c".endswith("語", 0, 4) ~ "añb語c".startswith(("x", "語"), 3) ~ "añb語c".endswith("", 9) ~ "ab".startswith("abc")
"ababababa".rsplit("aba", 1) ~ "ababababa".split("aba") ~ "ababababa".rsplit("aba") ~ "a--b--c".rsplit("--") ~ "a--b--c".rpartition("--") ~ "aaaa".count("aa")
("a" * 30 ~ "b" ~ "a" * 30).rfind("a" * 17 ~ "b") ~ ("a" * 40 ~ "b").find("a" * 20 ~ "b") ~ ("ab" * 30).rsplit("ab" * 10)
"日本語 テキスト".rsplit() ~ "  日本 語 ".split(none, 1) ~ " 日本 語  ".rsplit(none, 1) ~ "\\u3000a\\u2003b ".split() ~ " a b ".split(none, 0) ~ " a b ".rsplit(none, 0)
"ñandú ñ".strip("ñú ") ~ "|" ~ "語語a語".lstrip("語") ~ "a語語".rstrip("語x") ~ "\\u3000 x\\u2003" | trim ~ "|" ~ "abc" | trim("cba") ~ "abc".strip("")
"añb語c"[::-1] ~ "añb語c"[3:0:-2] ~ "añb語c" | reverse ~ "añb語c"[-2] ~ "añb語c"[::2] ~ "añb語c"[9:] ~ "añb語c"[-9:2]
"ΑΣ ΑΣΑ σ aς" | title ~ "ΑΣ ΑΣ.".title() ~ "ŉa ǆ ß".title() ~ "ǅ ΑΣ".swapcase() ~ "ΑΣ. Σ".lower() ~ "straße".upper() ~ "İI".lower() ~ "ßa".capitalize() ~ "ΣΑΣ".capitalize() ~ "ﬁ".upper() ~ "ẞﬁ".casefold()
"a\\rb\\r" | indent(1) ~ "a\\r" | indent ~ "\\n" | indent(2, true) ~ "" | indent(2, true, true) ~ "a\\u2028b\\n\\nc" | indent(1, blank=true) ~ "a\\r\\nb" | indent(1)
{1: "a", 1.0: "b", true: "c"} ~ {9007199254740993: 1, 9007199254740992: 2, none: 3, "": 4}
{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7, "h": 8, "i": 9, 1: 10, none: 11, 2.5: 12, "a": 13, true: 14, "": 15}
{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7, "h": 8, "i": 9, 1: 10, none: 11, 2.5: 12}[2.5] ~ ("z" in dict(a=1, b=2, c=3, d=4, e=5, f=6, g=7, h=8, i=9)) ~ dict(a=1, b=2, c=3, d=4, e=5, f=6, g=7, h=8, i=9).i
[3, 1, 2, 1, "a", "A", none, none, 1.0, true, 2.5] | unique | list ~ ["a", "A"] | unique | list
[{"a": {"b": 1}}, {"a": {}}] | map(attribute="a.b", default="x") | list ~ [[1, [2, 3]]] | map(attribute="1.0") | list ~ [{"": 1}] | map(attribute="") | list
people | sort(attribute="city,age") | map(attribute="name") | join(",") ~ people | min(attribute="age") | tojson ~ people | max(attribute="name") | tojson
"%5s|%-7s|%.2s|%07.2f|%+d|%x" % ("é", "語", "日本語", -3.14159, 5, 255) ~ "100%%" % () ~ "%s" % none
"%d" % ("nan" | float)
"é".center(5, "語") ~ "é".zfill(4) ~ "-é".zfill(5) ~ "é".ljust(3, "語") ~ "é" | center(4) ~ "|"
"xx" | replace("", "-") ~ "héé".replace("é", "e", 1) ~ "ab" | replace("ab", "") ~ "語語".replace("", "-", 2) ~ "ab".replace("a", "x", 0)
"one two" | truncate(5, true, "語", 0) ~ "日本語 テキスト" | truncate(5, false, "…", 0) ~ "onetwo" | truncate(5, false, "", 0)
range(10, 0, -3) | list ~ range(-3) | list ~ range(0, 10, 9223372036854775807) | list ~ range(3, 3) | list
[1, 2, 3][::9223372036854775807] ~ "abc"[::-9223372036854775807] ~ [1, 2, 3][-9223372036854775807:] ~ [1, 2, 3][5:1]
({"a": 1} == {"a": 1.0}) ~ ({"a": [1]} == {"a": [2]}) ~ ({1: 2} == {true: 2}) ~ ("a" * 3 == "aaa") ~ (("a", 1) < ("a", 2))
"héllo wörld" | wordcount ~ "_a b-c ½" | wordcount ~ "é&<x>" | escape ~ "é/a ~" | urlencode
"{{}} {} {x}".format("é", x=[1, "é"]) ~ "{1}{0}{1}".format(1, 2)
"{".format()
"}".format()
"é\\n\\x00\\u0085'\\"" | string | list ~ ["é\\n\\x00\\u0085'"] ~ "é\\x00\\x1f" | tojson
""".strip().split("\n")  # fmt: skip

BAD_SYNTAX = ["1 +", "(1", "[1, 2", "1 2", "a b", "{'a'}", "'open", "a..b", "a | ", "a is", "}", "a]", "1 if", "a.'b'", "f(a=1, 2)",
              "a[1", "a ! b", "not", "{{ 1 }}", "$", "a = 1", "f(*a, *b)", "'\\x4'", "0x", "1.2.3", "is", "a not b"]  # fmt: skip

TEMPLATES = [
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}  \n  b\n  {% endif %}\nc\n\n",
    "a {%- if true -%}  b  {%- endif -%} c",
    "a\n  {%+ if true +%}\nb{% endif %}\n",
    "  {{ 1 }}\n  {{- 2 -}}  \n {{ 3 }}\n",
    "x {# note #} y\n{# line #}\nz {#- tight -#} w\n  {# indented #}\n.",
    "{% raw %}{{ not a value }}{% endraw %}\n{%- raw -%}  {% x %}  {%- endraw %}\nend",
    "{% raw +%}",
    "a\r\nb\rc\n",
    "\n\n{% set x = 1 %}\n\n{{ x }}\n\n",
    "{% for x in [1,2,3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
    "{% for x in [] %}x{% else %}none{% endfor %}{% for x in [1,2,3,4] if x is even %}{{ x }}{{ loop.length }}{% else %}no{% endfor %}",
    "{% for x in [1,2,3,4,5] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% for a, b in [1] %}{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for x in missing %}{% endfor %}ok",
    "{% for x in 'aé' %}[{{ x }}]{% endfor %}",
    "{% for x in [1,2] %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x // 2) }}{{ loop.previtem }}{{ loop.nextitem }}{% endfor %}",
    "{% for x in [[1,[2]],3] recursive %}{% if x is iterable %}({{ loop(x) }}{{ loop.depth }}){% else %}{{ x }}{% endif %}{% endfor %}",
    "{% for x in [1] %}{{ loop([2]) }}{% endfor %}",
    "{% set x = 1 %}{% for i in [1,2] %}{{ x }}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(n=0) %}{% for i in [1,2,3] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    "{% set ns = namespace(n=0) %}{% set ns._x = 1 %}",
    "{% set d = {} %}{% set d.x = 1 %}",
    "{% set missing.x = 1 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set a, b = b, a %}{{ a }}{{ b }}{% set t = 1, %}{{ t }}",
    "{% set x %}  text {{ 1 }}  {% endset %}[{{ x }}]{% set y | trim | upper %}  t {% endset %}[{{ y }}]",
    "{% if false %}{% set x = 1 %}{% endif %}{{ x }}|{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% if a is defined %}1{% elif 0 %}2{% elif '' %}3{% else %}4{% endif %}",
    "{% if false %}{{ 1 | nofilter }}{% endif %}ok",
    "{% for x in [] %}{{ 1 | nofilter }}{% endfor %}",
    "{% macro m(a, b=2, c=a) %}{{ a }}-{{ b }}-{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(a=5, c=6) }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
    "{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{% endcall %}",
    "{% macro m(n) %}<{{ caller(n, 2) }}>{% endmacro %}{% call(a, b=3) m(1) %}{{ a }}{{ b }}{% endcall %}{{ m(1) }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}",
    "{% macro m() %}{% set y = 5 %}{% endmacro %}{{ m() }}{{ y }}{{ m.name }}{{ m.arguments }}",
    "{% macro m(a, b=1, c) %}{% endmacro %}",
    "{% macro m() %}{{ v }}{% endmacro %}{% for v in [1,2] %}{{ m() }}{% endfor %}",
    "{% filter upper %}a{{ 'b' }}{% endfilter %}{% filter trim | replace('c', 'd') %} c {% endfilter %}",
    "{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% print 1, 2 %}",
    "{% generation %}x{% set q = 1 %}{% endgeneration %}{{ q }}",
    "{% break %}",
    "{% for x in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% nosuch %}",
    "{% if true %}",
    "{% endif %}",
    "{% for x in [1] %}{% endif %}",
    "{% set %}",
    "{% set true = 1 %}",
    "{% set 'a' = 1 %}",
    "{# open",
    "{{ open",
    "{% if x",
    "{% for x %}{% endfor %}",
    "{% call 5 %}{% endcall %}",
    "text only { % and } }} %} #}",
    "{{ '}}' }}{{ '%}' }}{{ {'a': {'b': 1}}['a']['b'] }}",
    "{{ {'a': 1}}}",
    "é {{ 'ü' }} 語 {% if 'ß' %}😀{% endif %}",
    "{% for m in messages %}{{ m.content }}{% endfor %}",
    "line1\n{{ 1 }}\n{{ missing.x }}",
    "line1\n{% set a = 1 %}\n\n{% if true %}\n  {{ none + 1 }}\n{% endif %}",
    "{% set l = [1, 2] %}{% for x in l %}{% for y in l %}{{ loop.index }}{{ x }}{{ y }} {% endfor %}{{ loop.index }}{% endfor %}",
    "{% set g = [1,2,3] | select('odd') %}{{ g | list }}{{ g | list }}",
    "{{ caller }}{{ loop }}{{ self_ }}",
    "{%if true%}x{%endif%}{%set a=1%}{{a}}",
    "{% if true: %}x{% endif %}",
    "{{ 'a' if true }}{{ ('b' if false) is undefined }}",
    ("{% set a1 = 1 %}{% set a2 = 2 %}{% set a3 = 3 %}{% set a4 = 4 %}{% set a5 = 5 %}{% set a6 = 6 %}{% set a7 = 7 %}{% set a8 = 8 %}{% set a9 = 9 %}{% set a1 = 10 %}"
     "{% for i in [1] %}{% set a9 = 99 %}{{ a9 }}{{ a1 }}{% endfor %}{{ a1 }}{{ a2 }}{{ a8 }}{{ a9 }}"),
    "{% set s = 'x' %}{% set t = s %}{% set s = s + 'y' %}{{ s }}{{ t }}{% set l = [s] * 3 %}{% set s = 'z' %}{{ l | join }}",
    "{% for x in [1,2,3,4] if x > 1 %}{{ loop.index }}{{ x }}{{ loop.last }}{% endfor %}{% for x in (1,2,3)[::-1] %}{{ x }}{{ loop.previtem }}{% endfor %}",
]  # fmt: skip

CONTEXT = {
    "text": TEXT,
    "messages": [{"role": "user", "content": "hi"}],
    "people": [
        {"name": "Ann", "age": 31, "city": "Oslo", "admin": True, "address": {"street": ["A1"]}},
        {"name": "bob", "age": 9, "city": "Bonn"},
        {"name": "Cid", "age": 21, "city": "oslo", "admin": False},
    ],
}


def all_snippets() -> list[str]:
    return [f"{{{{ {e} }}}}" for e in EXPRESSIONS + BAD_SYNTAX] + TEMPLATES
