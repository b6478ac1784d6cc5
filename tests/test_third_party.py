"""CMSIS-NN is fetched whole or not at all, and only as pinned."""

from pathlib import Path

import pytest

from tinyseal.build.third_party import cmsis_nn
from tinyseal.errors import BuildError

# The build's own cache: one download serves the tests and the firmware.
CACHE = Path(__file__).resolve().parents[1] / "build" / "third_party"


@pytest.fixture
def library(tmp_path):
    """A copy of the library in the layout of Arm's own repository, without core headers."""
    fetched = cmsis_nn(CACHE)
    nn = fetched.include_dirs[0].parent
    for source in nn.rglob("*.[ch]"):
        target = tmp_path / "nn" / source.relative_to(nn)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    return tmp_path / "nn"


def test_fetched_library_has_headers_and_sources():
    nn = cmsis_nn(CACHE)
    assert nn.version == "4.0.0"
    include, core = nn.include_dirs
    assert (include / "arm_nnfunctions.h").is_file()
    assert (core / "cmsis_compiler.h").is_file()
    assert not [s for s in nn.sources if not s.name.startswith("arm_")]


def test_sources_of_follows_calls():
    names = {s.name for s in cmsis_nn(CACHE).sources_of({"arm_fully_connected_s8"})}
    assert {"arm_fully_connected_s8.c", "arm_nn_vec_mat_mult_t_s8.c"} <= names
    assert "arm_convolve_s8.c" not in names


def test_missing_function_is_named():
    with pytest.raises(BuildError, match=r"4\.0\.0 has no arm_nonesuch_s8"):
        cmsis_nn(CACHE).sources_of({"arm_nonesuch_s8"})


def test_edited_cache_is_refused(library, tmp_path):
    (tmp_path / "nn").rename(tmp_path / "cmsis-nn-4.0.0")
    with pytest.raises(BuildError, match="delete the folder"):
        cmsis_nn(tmp_path)


def test_offline_says_the_way_out_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(BuildError, match=r"connect once, .*cmsis_nn=PATH") as error:
        cmsis_nn(tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_checkout_is_used_and_lacks_only_core_headers(library):
    nn = cmsis_nn(CACHE, library)
    assert nn.include_dirs[0] == library / "Include"
    assert all(s.is_relative_to(library) for s in nn.sources)
    assert (nn.include_dirs[1] / "cmsis_compiler.h").is_file()


def test_checkout_with_core_headers_uses_its_own(library):
    core = library / "Core" / "Include"
    core.mkdir(parents=True)
    (core / "cmsis_compiler.h").touch()
    assert cmsis_nn(CACHE, library).include_dirs[1] == core


def test_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(BuildError, match="top folder of a CMSIS-NN checkout"):
        cmsis_nn(CACHE, tmp_path)
