"""The file of maas apply: what it means, and what it is rejected for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_runtime.cli.manifest import ModelEntry, VersionEntry, format_manifest, read_manifest
from stellar.maas.routing import Shadow, TrafficPlan
from stellar.util.yaml_reader import MAX_BYTES, YamlErrors

FULL = """
# comment
models:
  dga:
    versions:
      1.10: {path: /user/me/dga/1.10, instances: 2, memory: 512}
      "2.0":
        instances: 1
        path: file:///home/me/dga
    traffic:
      weights: {1.10: 90, "2.0": 0.5}
      per: instance
      shadow: {version: 2.0, share: 0.25}
  on: {versions: {"1": {instances: 0}}, traffic: {}}
"""


@pytest.fixture
def read(tmp_path):
    """Read a file with this content; errors begin with their line and column."""

    def read(content):
        file = tmp_path / "models.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            return read_manifest(file)
        except YamlErrors as error:
            raise YamlErrors(str(error).replace(f"{file}:", "")) from None

    return read


def forget_locations(models):
    return {name: ModelEntry(None, entry.versions, entry.plan) for name, entry in models.items()}


def test_versions_and_names_are_strings_as_they_are_written(read):
    assert forget_locations(read(FULL)) == {
        "dga": ModelEntry(
            None,
            {
                "1.10": VersionEntry(2, "/user/me/dga/1.10", 512),
                "2.0": VersionEntry(1, "file:///home/me/dga"),
            },
            TrafficPlan({"1.10": 90, "2.0": 0.5}, per_instance=True, shadow=Shadow("2.0", 0.25)),
        ),
        "on": ModelEntry(None, {"1": VersionEntry(0)}, TrafficPlan()),
    }


def test_an_empty_list_of_models_is_valid(read):
    assert read("models: {}") == {}


names = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name.isprintable() and name.strip() and "/" not in name and name not in (".", "..")
)
paths = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.isprintable)
entries = st.builds(
    VersionEntry,
    st.integers(1, 10**6),
    paths,
    st.integers(0, 1 << 24),
    st.integers(0, 64),
    st.sampled_from([(), ("host=a.com",), ("a=1&b=\u00e9", "a=2")]),
)
weights = st.one_of(st.integers(1, 10**9), st.floats(1e-9, 1e9))


@st.composite
def models(draw):
    versions = draw(st.dictionaries(names, entries, min_size=1, max_size=3))
    planned = {version: draw(weights) for version in versions}
    plan = draw(
        st.sampled_from([None, TrafficPlan(planned), TrafficPlan({}, shadow=Shadow(next(iter(versions)), 0.1))])
    )
    return ModelEntry(None, versions, plan)


@given(st.dictionaries(names, models(), max_size=3))
def test_what_is_written_reads_the_same(written):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "models.yaml")
        file.write_text(format_manifest(written), encoding="utf-8")
        assert forget_locations(read_manifest(file)) == written


def model(version):
    return f"models: {{dga: {{versions: {{1.0: {version}}}}}}}"


INVALID = [
    ("", "the file is empty"),
    ("# only a comment", "the file is empty"),
    ("[]", "1:1: invalid the file: expected a mapping, got a sequence"),
    ("model: {}", "1:1: unknown key 'model' in the file: did you mean models?"),
    ("{}", "1:1: missing key 'models'"),
    ("models:", "1:8: invalid models: expected a mapping, got null; write {} for an empty one"),
    ("models: 5", "1:9: invalid models: expected a mapping, got '5'"),
    ("models: {a/b: {versions: {}}}", "1:10: the model's name 'a/b' is invalid"),
    ("models: {dga: {}}", "1:10: model dga needs 'versions'; write {} for none"),
    ("models: {dga: {version: {}}}", "1:16: unknown key 'version' in model dga: did you mean versions?"),
    ("models: {dga: {versions: {..: {instances: 0}}}}", "the model's version '..' is invalid"),
    (model("{instances: 1}"), "1:27: dga @ 1.0 needs 'path', the path of its files in the model store"),
    (model("{path: /x}"), "1:27: dga @ 1.0 needs 'instances'"),
    (model("{path: /x, instnaces: 1}"), "1:43: unknown key 'instnaces' in dga @ 1.0: did you mean instances?"),
    (model("{path: /x, instances: -1}"), "expected an integer from 0 to 1,000,000, got '-1'"),
    (model("{path: /x, instances: 1.0}"), "expected an integer from 0 to 1,000,000, got '1.0'"),
    (model("{path: /x, instances: 1_000}"), "expected an integer from 0 to 1,000,000, got '1_000'"),
    (model("{path: /x, instances: 010}"), "expected an integer from 0 to 1,000,000, got '010'"),
    (model("{path: /x, instances: '1'}"), "expected an integer from 0 to 1,000,000, got '1'"),
    (model("{path: /x, instances: 9999999}"), "expected an integer from 0 to 1,000,000, got '9999999'"),
    (model("{path: /x, instances: 1, memory: 1G}"), "invalid memory of dga @ 1.0: expected an integer from 0 to"),
    (model("{path: [], instances: 1}"), "invalid path of dga @ 1.0: expected a string, got a sequence"),
    (model('{path: "a\\x1bb", instances: 1}'), "invalid path of dga @ 1.0: too long, or contains control characters"),
    (model("{path: /x, instances: 1, gpus: 65}"), "invalid gpus of dga @ 1.0: expected an integer from 0 to 64"),
    (model("{path: /x, instances: 1, warm_up: a}"), "invalid warm_up of dga @ 1.0: expected a sequence, got 'a'"),
    (model("{path: /x, instances: 1, warm_up: [{}]}"), "invalid warm_up of dga @ 1.0: expected a string, got a"),
    (model("2"), "1:32: invalid dga @ 1.0: expected a mapping, got '2'"),
    ("models: {a: {versions: {}}, a: {versions: {}}}", "1:29: duplicate key 'a', first at 1:10"),
    ("models: &x {}", "1:9: anchors and aliases are not allowed; repeat the value"),
    ("models: *x", "1:9: anchors and aliases are not allowed"),
    ("models: !!python/object/apply:os.system [id]", "1:9: tags such as 'tag:yaml.org,2002:python/object/apply:os"),
    ("models: !!str {}", "1:9: tags such as 'tag:yaml.org,2002:str' are not allowed"),
    ("models: {}\n---\nmodels: {}", "2:1: several documents; expected one"),
    ("models: {[1]: 2}", "1:10: invalid key: expected a string, got a sequence"),
    ("models: {\n  a", "invalid YAML"),
    ("models: {}\n\ta: 1", "2:1: invalid YAML"),
    ("a: " + "[" * 100_000, "nested more than 16 levels deep"),
    (b"models: \xff", "1: invalid UTF-8: byte 0xff"),
    (b"models: \x00", "invalid YAML"),
    (b"#" * (MAX_BYTES + 1), "too large: expected at most 262,144 bytes"),
    ("models: {dga: {versions: {}, traffic: {weights: {1.0: 1}}}}", "unknown version '1.0': its versions are none"),
    (
        "models: {dga: {versions: {1.0: {instances: 0}}, traffic: {weights: {1.O: 1}}}}",
        "1:49: traffic of dga: unknown version '1.O': its versions are 1.0",
    ),
    ("models: {dga: {versions: {}, traffic: }}", "invalid traffic of dga: expected a mapping, got null; write {}"),
    ("models: {dga: {versions: {}, traffic: {weights: {1: x}}}}", "expected a number such as 10 or 0.5, got 'x'"),
    ("models: {dga: {versions: {}, traffic: {weights: {1: .inf}}}}", "expected a number such as 10 or 0.5"),
    ("models: {dga: {versions: {}, traffic: {per: day}}}", 'invalid per: expected "version" or "instance", got'),
    ("models: {dga: {versions: {}, traffic: {shadow: {share: 1}}}}", "shadow of dga needs 'version'"),
    ("models: {dga: {versions: {}, traffic: {shadow: {version: 1, share: 2}}}}", "invalid share of the shadow"),
]


@pytest.mark.parametrize(("content", "reason"), INVALID)
def test_an_invalid_file_is_rejected_with_location_and_reason(content, reason, read):
    with pytest.raises(YamlErrors) as error:
        read(content)
    assert reason in str(error.value)


def test_all_errors_are_reported_at_once_up_to_a_limit(read):
    versions = ", ".join(f"{number}: {{instances: x, path: /x}}" for number in range(30))
    with pytest.raises(YamlErrors) as error:
        read(f"models: {{dga: {{versions: {{{versions}}}}}}}")
    lines = str(error.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 10 more errors"


@given(st.text(max_size=200))
def test_any_string_gives_models_or_located_errors(content):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "models.yaml")
        file.write_bytes(content.encode("utf-8", "surrogatepass"))
        try:
            read_manifest(file)
        except YamlErrors as error:
            message = str(error)
        else:
            return
        assert message.startswith(str(file))
