"""A wrong spec is refused when it is built, and the error names the field."""

from typing import Any

import pytest

from supervision.reason import NORMAL, error_reason
from supervision.restart import affected, should_restart
from supervision.spec import (
    AutoShutdown,
    ChildKind,
    ChildSpec,
    Restart,
    Shutdown,
    SpecError,
    Strategy,
    SupervisorSpec,
)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("child_id", {"child_id": ""}),
        ("child_id", {"child_id": 7}),
        ("start", {"start": None}),
        ("arguments", {"arguments": [1]}),
        ("restart", {"restart": "permanent"}),
        ("kind", {"kind": "worker"}),
        ("significant", {"significant": 1}),
        ("significant", {"significant": True}),
        ("shutdown", {"shutdown": -1}),
        ("shutdown", {"shutdown": 0.5}),
        ("shutdown", {"shutdown": True}),
        ("shutdown", {"shutdown": "infinity"}),
    ],
)
def test_wrong_child_spec_names_the_field(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"^{field}: ") as caught:
        ChildSpec(**{"child_id": "a", "start": print, **options})
    assert caught.value.field == field


CHILD = ChildSpec("a", print)
SIGNIFICANT = ChildSpec("b", print, restart=Restart.TRANSIENT, significant=True)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("name", {"name": ""}),
        ("strategy", {"strategy": "one_for_one"}),
        ("auto_shutdown", {"auto_shutdown": "never"}),
        ("children", {"children": [CHILD]}),
        ("children", {"children": ("a",)}),
        ("children", {"children": (CHILD, CHILD)}),
        ("children", {"strategy": Strategy.SIMPLE_ONE_FOR_ONE}),
        ("significant", {"children": (SIGNIFICANT,)}),
        ("restarts_max", {"restarts_max": -1}),
        ("restarts_max", {"restarts_max": True}),
        ("restarts_period_ms", {"restarts_period_ms": 0}),
        ("restarts_period_ms", {"restarts_period_ms": 1_500}),
    ],
)
def test_wrong_supervisor_spec_names_the_field(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"^{field}: "):
        SupervisorSpec(**{"name": "s", **options})


def test_defaults_are_those_of_otp() -> None:
    assert CHILD.restart is Restart.PERMANENT
    assert CHILD.shutdown == 5_000
    assert ChildSpec("s", print, kind=ChildKind.SUPERVISOR).shutdown is Shutdown.INFINITY
    spec = SupervisorSpec("s")
    assert (spec.strategy, spec.restarts_max) == (Strategy.ONE_FOR_ONE, 1)
    assert (spec.restarts_period_ms, spec.auto_shutdown) == (5_000, AutoShutdown.NEVER)


@pytest.mark.parametrize(
    ("strategy", "ids"),
    [
        (Strategy.ONE_FOR_ONE, ["b"]),
        (Strategy.SIMPLE_ONE_FOR_ONE, ["b"]),
        (Strategy.REST_FOR_ONE, ["b", "c"]),
        (Strategy.ONE_FOR_ALL, ["a", "b", "c"]),
    ],
)
def test_strategy_says_who_is_affected(strategy: Strategy, ids: list[str]) -> None:
    children = [ChildSpec(child_id, print) for child_id in "abc"]
    assert [child.child_id for child in affected(strategy, children, "b")] == ids
    with pytest.raises(ValueError, match="'d' is not in list"):
        affected(strategy, children, "d")


@pytest.mark.parametrize(
    ("restart", "after_normal", "after_crash"),
    [
        (Restart.PERMANENT, True, True),
        (Restart.TRANSIENT, False, True),
        (Restart.TEMPORARY, False, False),
    ],
)
def test_restart_type_says_who_comes_back(
    restart: Restart, after_normal: bool, after_crash: bool
) -> None:
    assert should_restart(restart, NORMAL) is after_normal
    assert should_restart(restart, error_reason("crash")) is after_crash
