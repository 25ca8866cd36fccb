"""Tests the conditions of --where: what they match, what no board can say to break them, errors."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqhost.errors import UsageError
from mqhost.fleet.presence import Presence
from mqhost.fleet.where import DOCUMENTED, Where
from mqhost.link.roster import Sighting
from mqhost.paths import ROOT

STATUS = {
    "state": "online",
    "board": "esp32",
    "version": "0.5.9",
    "rssi": -61,
    "mode": "normal",
    "failed": None,
    "commit": "1234567",
    "app": {"name": "green house", "version": "2", "failed": {"code": 53}},
    "disabled": {"blink": "by a person"},
    "odd": True,
}


def board(**status):
    return Presence.of("farm/pump", Sighting(status, None))


def matches(text, **status):
    return Where.parse(text).matches(board(**(status or STATUS)))


@pytest.mark.parametrize(
    "text",
    [
        "board==esp32",
        "board == 'esp32'",
        'board=="esp32" and version<0.5.10',
        "version>=0.5 and version<=0.5.9 and version!=0.5.10",
        "version<1",
        "version>0.5.9-rc1 and version<0.5.9+3.gabc",
        "rssi<-60 and rssi>-61.5 and rssi==-61",
        "board in (esp32s3, esp32)",
        "not board in (esp32s3)",
        "board ~ esp* and version ~ 0.?.9 and rssi ~ -6*",
        "prefix ~ 'farm/*'",
        "app.name == 'green house' and app.failed.code == 53",
        "app.version < 10",
        "disabled.blink ~ '*'",
        "odd == true and odd != false",
        "mode==safe or mode==normal and board==esp32",
        "(mode==safe or mode==normal) and not (board==esp32c3)",
        "not mode==safe and board==esp32",
        "commit==1234567",
    ],
)
def test_it_matches(text):
    assert matches(text)
    assert not matches(f"not ({text})")


@pytest.mark.parametrize(
    "text",
    [
        "board==ESP32",
        "version<'0.5.10'",  # in quotes: letter by letter
        "version<0.5",
        "mode==safe and board==esp32 or mode==safe",
        "rssi=='-61'",  # a number is no text
        "rssi<abc",
        "odd==yes",
        "board<1",  # no version
        "app==2",  # not what is in it
    ],
)
def test_it_does_not_match(text):
    assert not matches(text)


@pytest.mark.parametrize("comparison", ["== x", "< 1", ">= 0", "~ *", "in (x, null)", "<= 'x'"])
@pytest.mark.parametrize("fact", ["twin", "failed", "failed.code", "board.x", "disabled"])
def test_what_a_board_does_not_say_matches_only_not(fact, comparison):
    assert not matches(f"{fact} {comparison}")
    assert matches(f"not {fact} {comparison}")
    assert matches(f"{fact} != x")


VERSIONS = [
    "0.5-rc2",
    "0.5-rc10",
    "0.5",
    "0.5+3.gabc",
    "0.5+12.gabc",
    "0.5.1",
    "0.10",
    "1",
    "v1.0.1",
]


def test_versions_have_their_order():
    for place, one in enumerate(VERSIONS):
        for other_place, other in enumerate(VERSIONS):
            assert matches(f"version<{other}", version=one) == (place < other_place)
            assert matches(f"version>={other}", version=one) == (place >= other_place)
    assert matches("version==0.5.0", version="0.5") and matches("version==v0.5", version="0.5")


@given(*[st.lists(st.integers(0, 10**6), min_size=1, max_size=4)] * 2)
def test_versions_are_compared_number_by_number(one, other):
    def text(numbers):
        return ".".join(map(str, numbers))

    def plain(numbers):
        return [*numbers, *[0] * (4 - len(numbers))]

    found = matches(f"version<{text(other)}", version=text(one))
    assert found == (plain(one) < plain(other))


# Conditions together with what they are.

LEAVES = st.sampled_from(
    [("board==esp32", True), ("board!=esp32", False), ("rssi<0", True), ("twin==a", False)]
)


def _joined(inside):
    def join(word, function):
        return st.lists(inside, min_size=2, max_size=3).map(
            lambda all_: (
                "(" + f" {word} ".join(text for text, _ in all_) + ")",
                function(value for _, value in all_),
            )
        )

    negated = inside.map(lambda one: (f"not {one[0]}", not one[1]))
    return join("and", all) | join("or", any) | negated


@given(st.recursive(LEAVES, _joined, max_leaves=20))
def test_conditions_are_joined_as_they_are_written(condition):
    text, holds = condition
    assert matches(text) == holds
    assert matches(text.replace(" ", "  ").replace("(", "( ")) == holds


SAID = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(st.text(), inside, max_size=2),
    max_leaves=5,
)


@given(SAID, st.sampled_from(["a", "0", "-1.5", "true", "0.5.1", "'x'"]))
def test_nothing_that_a_board_says_is_too_odd(said, value):
    told = {"a": said, "b": {"a": said}}
    for fact in ("a", "b.a", "a.a"):
        orders = [matches(f"{fact}{sign}{value}", **told) for sign in ("<", "==", ">")]
        assert sum(orders) <= 1
        assert matches(f"{fact}!={value}", **told) != orders[1]
        assert matches(f"{fact} in ({value})", **told) == orders[1]
    for pattern in ("*", "[", "a*"):
        assert matches(f"a ~ '{pattern}'", **told) in (True, False)
    Where.parse("a==1 and b.a==1").check([board(**told)])


def test_thousands_of_digits_are_no_version_and_no_number():
    digits = "1" * 10_000
    assert not matches("version<2", version=digits)
    assert matches(f"version=={digits}", version=digits)
    assert not matches(f"version=={digits}") and not matches(f"rssi<{digits}")


WORDS = st.sampled_from(
    [
        "board",
        "and",
        "or",
        "not",
        "in",
        "(",
        ")",
        ",",
        "==",
        "=",
        "!",
        "~",
        "<",
        "'",
        "x",
        " ",
        "'a'",
    ]
)


@given(st.text(max_size=20) | st.lists(WORDS, max_size=12).map(" ".join))
def test_any_text_is_a_condition_or_an_error_with_its_column(text):
    try:
        found = Where.parse(text)
    except UsageError as error:
        column = int(re.match(r"column (\d+) of ", str(error))[1])
        assert 1 <= column <= len(text) + 1
        assert "expected" in str(error)
    else:
        assert found.names
        assert found.matches(board(**STATUS)) in (True, False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "",
            "column 1 of '': expected a fact, as board or app.version, 'not' or '('; there is",
        ),
        ("board", "column 6 of 'board': expected == != < <= > >= ~ or in; there is nothing more."),
        ("board=esp32", "expected == != < <= > >= ~ or in; there is =."),
        ("board==", "column 8 of 'board==': expected a value, as esp32, 0.5.1 or 'two words';"),
        ("board==and", "column 8 "),
        ("board==a b", "column 10 of 'board==a b': expected 'and', 'or' or the end; there is b."),
        (
            "(board==a",
            "column 10 of '(board==a': expected 'and', 'or' or ')'; there is nothing more.",
        ),
        ("board in a", "column 10 of 'board in a': expected '(' and values; there is a."),
        ("board in (a b)", "column 13 of 'board in (a b)': expected ',' or ')'; there is b."),
        ("board=='a", "there is ' that is not closed."),
        ("not " * 99 + "a==1", "expected no more than 50 conditions inside each other; there is"),
        ("(" * 9999, "expected no more than 50 conditions inside each other; there is ("),
    ],
)
def test_an_error_says_where_and_what_was_expected(text, told):
    with pytest.raises(UsageError) as caught:
        Where.parse(text)
    assert told in str(caught.value)


def test_a_fact_that_there_is_not_is_an_error_with_the_nearest():
    boards = [board(**STATUS), board(tank={"level": 3})]
    for text in ("board==a", "tank.level<5", "twin==a", "disabled.any == x", "prefix ~ *"):
        Where.parse(text).check(boards)
    with pytest.raises(UsageError) as caught:
        Where.parse("board==a and verson<1").check(boards)
    assert "column 14 of" in str(caught.value)
    assert "no board says anything of verson. Did you mean version" in str(caught.value)
    with pytest.raises(UsageError, match=r"of app.verison. Did you mean app\.version"):
        Where.parse("app.verison==1").check(boards)
    with pytest.raises(UsageError, match=r"They do of app, app\.failed, .*tank, tank\.level"):
        Where.parse("colour==red").check(boards)


def test_the_documented_facts_are_those_of_the_page_of_the_protocol():
    page = (ROOT / "docs/protocol.md").read_text()
    births = page.partition("Birth and will are retained")[2].partition("\n### ")[0]
    said = set(re.findall(r"`([a-z_]+)`", births))
    for name in DOCUMENTED:
        assert set(name.split(".")) <= said | {"prefix"}, name
    tops = {name.partition(".")[0] for name in DOCUMENTED}
    source = (ROOT / "frozen/mqboard/identity.py").read_text()
    facts = source.partition("def facts(")[2].partition("def birth(")[0]
    assert set(re.findall(r'"([a-z_]+)"[,:)\]]', facts)) - {"required", "none"} <= tops


def test_the_conditions_of_the_documents_are_some():
    pages = {page.name: page.read_text() for page in (ROOT / "docs").glob("*.md")}
    found = [
        one
        for text in pages.values()
        for quoted, word in re.findall(r"--where (?:'([^']+)'|([a-z]\S+)`)", text)
        for one in [quoted or word]
    ]
    choosing = pages["fleet.md"].partition("## Choosing")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z].*?)` \|", choosing, re.M)
    assert len(found) > 5 and len(rows) > 5
    for text in (*found, *rows):
        Where.parse(text).check([])
