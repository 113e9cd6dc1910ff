"""Every installed component against the suite of its kind, whatever plugins are installed.

Networks of at most ``SMALL`` parameters are built and run; of larger ones the declaration, the options,
the parameter count and the shapes are checked on the meta device. Of a family of hundreds (a catalogue of
another library) a dozen stand for all.
"""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from vidcore.catalog import KINDS, Entry, ExtractorSpec, installed
from vidcore.testing import ExtractorDeclarationConformance
from vidcore.testing.run import suite_of

SMALL = 2_000_000
CATALOGUE = 24
SAMPLE = 12

FAMILIES_WITH_A_TEST_VARIANT = {
    entry.spec.family for entry in installed().entries("extractor") if entry.spec.name.endswith("_test")
}


def small(entry: Entry) -> bool:
    spec = entry.spec
    if not isinstance(spec, ExtractorSpec) or entry.plugin.distribution == "vidcore":
        return True
    if spec.parameters is None or spec.parameters > SMALL:
        return False
    return spec.name.endswith("_test") or spec.family not in FAMILIES_WITH_A_TEST_VARIANT


def large() -> list[Entry]:
    families: dict[str, list[Entry]] = defaultdict(list)
    for entry in installed().entries("extractor"):
        if not small(entry):
            families[entry.spec.family].append(entry)
    return [entry for members in families.values() for entry in sample(members)]


def sample(members: list[Entry]) -> list[Entry]:
    if len(members) <= CATALOGUE:
        return members
    # Evenly over the sorted names, so that the dozen is the same in every run and of many architectures.
    return [members[i * (len(members) - 1) // (SAMPLE - 1)] for i in range(SAMPLE)]


def class_name(entry: Entry) -> str:
    return f"Test_{entry.spec.kind}_{re.sub(r'[^A-Za-z0-9]+', '_', entry.spec.name)}"


for _kind in KINDS:
    for _entry in installed().entries(_kind):
        if small(_entry):
            globals()[class_name(_entry)] = type(class_name(_entry), (suite_of(_kind, _entry.spec.name),), {})

for _entry in large():
    globals()[class_name(_entry)] = type(
        class_name(_entry), (ExtractorDeclarationConformance,), {"name": _entry.spec.name}
    )


def test_every_plugin_loads_and_no_two_claim_one_name():
    registry = installed()
    assert {plugin.distribution: plugin.error for plugin in registry.plugins if plugin.error} == {}
    assert registry.collisions() == {}


@pytest.mark.parametrize("kind", ["extractor", "fusion", "readout", "head"])
def test_there_is_something_to_check(kind):
    names = {entry.spec.name for entry in installed().entries(kind)}
    assert names
    covered = {cls.name for key, cls in globals().items() if key.startswith(f"Test_{kind}_")}
    assert covered <= names
    assert covered == names or len(names) > CATALOGUE


def test_every_family_of_large_extractors_has_a_small_variant_that_is_run():
    run = {entry.spec.family for entry in installed().entries("extractor") if small(entry)}
    assert {entry.spec.family for entry in large()} - run == set()
