"""Known facts, noise and checks with the embedded model, which knows the facts of its own probe set."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from guardedit import assembly
from guardedit.guard import ProbeSet
from guardedit.guard.perplexity import paired_ratio
from guardedit.memory.context import Prompts
from guardedit.models.text.form import RawForm
from guardedit.prepare.facts import PublicFact
from guardedit.prepare.probes.benign import benign_patches, middle_layers
from guardedit.prepare.probes.building import BuildSettings, QuestionBuilder
from guardedit.prepare.probes.checking import Wanted, check_probes, problems
from guardedit.prepare.probes.estimate import estimate
from guardedit.prepare.probes.job import describe_probes, probe_set_text
from guardedit.prepare.probes.kept_results import KeptResults
from guardedit.prepare.probes.known import AnswerPlace, find_places, margins
from guardedit.settings import Settings

pytestmark = pytest.mark.slow  # loads the embedded model

WANTED = Wanted(confidence=0.95, ratio=1.01, other_subject_min=0.98, sample=48, texts=8)


#: The raw form under the other name, so that answers are generated.
CHAT = Prompts(RawForm("chat"))


@pytest.fixture(scope="module")
def host():
    return assembly.load_host(Settings())


@pytest.fixture(scope="module")
def probes():
    return assembly.load_probes(Settings())


@pytest.fixture(scope="module")
def facts(probes):
    """Facts that the model knows, in the wordings of its probe set."""
    grouped = {}
    for known in probes.questions:
        grouped.setdefault((known.subject, known.relation, known.answer), []).append(known.prompt)
    return [
        PublicFact(*key, (), *2 * (tuple(p.replace(key[0], "{}") for p in prompts),))
        for key, prompts in list(grouped.items())[::40]
        if len(prompts) == 2 and all(p.count(key[0]) == 1 for p in prompts)
    ][:24]


def built(host, facts, prompts=Prompts(), noise=1):  # noqa: B008 - frozen
    settings = BuildSettings(noise=noise, layers=middle_layers(host))
    return QuestionBuilder(host, prompts, settings, KeptResults(None), lambda *_: None).build(facts)


def test_known_facts_are_found_and_false_ones_are_not(host, facts):
    false = [replace(fact, object=other.object) for fact, other in pairwise(facts)]
    false = [fact for fact in false if fact not in facts]
    found = built(host, [*facts, *false], noise=0)
    assert {fact for fact, _ in found.rows} <= set(facts)
    assert len(found.rows) >= 2 * 0.9 * len(facts)


def test_the_lead_is_what_comes_before_the_object(host, facts):
    fact = facts[0]
    (places,) = find_places(host, CHAT, [fact])
    assert places == tuple(
        AnswerPlace(text.replace("{}", fact.subject), fact.object, "") for text in fact.questions
    )
    absent = replace(fact, object="Nowhere at all")
    assert find_places(host, CHAT, [absent]) == [None]


def test_a_benign_change_is_small_and_repeatable(host, probes, facts):
    layers = middle_layers(host)
    one, two = benign_patches(host, layers, count=2, seed=0)
    again = benign_patches(host, layers, count=1, seed=0)[0]
    name = next(iter(one.matrices))
    assert (one.matrices[name] == again.matrices[name]).all()
    assert (one.matrices[name] != two.matrices[name]).any()
    base = host.token_logprobs(probes.texts[:20])
    with host.patched(one):
        ratio = paired_ratio(host.token_logprobs(probes.texts[:20]), base).ratio
    assert ratio != 1.0
    assert abs(math.log(ratio)) < 0.02


def test_unstable_answers_are_left_out(host, facts):
    place = AnswerPlace(facts[0].clozes[0].replace("{}", facts[0].subject), facts[0].object)
    ruined = benign_patches(host, range(host.layers), count=1, seed=0, relative_size=30.0)[0]
    assert margins(host, Prompts(), [place])[0] > 0
    assert margins(host, Prompts(), [place], ruined)[0] < 0


def test_a_probe_set_is_written_and_read_again(host, facts, tmp_path):
    found = built(host, facts)
    path = tmp_path / "probes.json"
    path.write_text(probe_set_text(["A text of its own."], found.rows), encoding="utf-8")
    probes = ProbeSet.load(path)
    assert probes.texts == ("A text of its own.",)
    assert [known.prompt for known in probes.questions] == [place.question for _, place in found.rows]
    about = describe_probes(probes)
    assert about["questions"] == len(found.rows) == sum(row["questions"] for row in about["relations"])
    assert about["strata"] == [{"stratum": "own", "texts": 1}]


def test_a_check_counts_good_questions_and_says_what_is_too_little(host, probes):
    few = ProbeSet(probes.texts[:30], probes.questions[:40])
    wrong = replace(few.questions[0], answer="Nowhere")
    found = check_probes(
        host,
        Prompts(),
        replace(few, questions=(wrong, *few.questions[1:])),
        WANTED,
        layers=middle_layers(host),
        noise=2,
        seed=1,
        tell=lambda *_: None,
    )
    assert (found.texts, found.questions) == (30, 40)
    assert found.good == 39
    assert found.smallest_ratio > 1.0
    assert found.smallest_share > 0.02
    told = list(problems(found, WANTED, "mine"))
    assert any("40 facts" in text or "cannot tell 0.98 from 0.96" in text for text in told)


def test_a_good_probe_set_has_no_problems(host, probes):
    generous = replace(WANTED, ratio=1.5, other_subject_min=0.5)
    few = ProbeSet(probes.texts[:30], probes.questions[:80])
    found = check_probes(
        host, Prompts(), few, generous, layers=middle_layers(host), noise=1, seed=1, tell=lambda *_: None
    )
    assert list(problems(found, generous, "")) == []


def test_remedies_name_a_command(host, probes):
    few = ProbeSet(probes.texts[:4], probes.questions[:80:2])
    strict = replace(WANTED, ratio=1.0001, sample=400)
    found = check_probes(
        host, Prompts(), few, strict, layers=middle_layers(host), noise=1, seed=1, tell=lambda *_: None
    )
    lost = replace(found, good=found.questions - 10)
    told = list(problems(lost, strict, "mine"))
    assert len(told) == 4
    assert all("`guardedit probes build mine" in text for text in told)
    shaky = replace(found, noise=0.5, smallest_ratio=1.0)
    assert any("harmless changes flip 0.500" in text for text in problems(shaky, strict, ""))


def test_an_estimate_grows_with_the_work(host, facts):
    clock = iter(range(10)).__next__
    small = estimate(host, Prompts(), facts[:6], questions=10, noise=1, clock=clock)
    large = estimate(host, Prompts(), facts, questions=10, noise=1, clock=clock)
    chat = estimate(host, CHAT, facts, questions=10, noise=1, clock=clock)
    assert 0 < small.tokens < large.tokens < chat.tokens
    assert estimate(host, Prompts(), [], questions=10, noise=1).seconds == 0
