"""``shelfpulse chaos``: its scenes are played on a real stack, and what is broken on purpose is found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.chaos import run, scenes
from deploy.chaos.scenes import Scene
from deploy.chaos.world import World

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

PLAYED = ("second-stream", "poison", "frames-repeated", "disk-full", "network-deaf-up", "api-flooded", "recovery-lost")


def lose_a_reading(world: World) -> list[str]:
    with world.connect() as connection:
        connection.execute("DELETE FROM reading WHERE ctid = (SELECT min(ctid) FROM reading) AND tableoid = "
                           "(SELECT min(tableoid::oid) FROM reading)")  # fmt: skip
    return []


def test_scenes_break_nothing_and_a_reading_that_is_lost_is_found(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(run, "SCENES", (*scenes.SCENES, Scene("sabotage", "a reading is deleted", lose_a_reading)))
    said: list[str] = []
    result = run.run(run.Options(minutes=1, seed=3, scenes=(*PLAYED, "sabotage"), dsn=""), said.append)
    request.addfinalizer(lambda: shutil.rmtree(result.state))
    played = {each.scene: each for each in result.played}
    assert list(played) == [name for name in (*PLAYED, "sabotage") if name not in result.left_out]
    assert {name: each.broken for name, each in played.items() if name != "sabotage"} == {
        name: [] for name in played if name != "sabotage"
    }
    assert any(text.startswith("I2 demo/") for text in played["sabotage"].broken)
    assert result.readings_committed == result.readings_sent
    assert result.gaps == 0
    assert not result.ok
    assert Path(result.state).exists(), "its logs are kept"
    assert any(result.state in text for text in said)


def test_a_scene_that_there_is_not_is_told_with_those_that_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "chaos", "--scene", "flood"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "stream-killed" in done.stderr
