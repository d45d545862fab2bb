"""What a supervisor is told: plain data, checked when built. Defaults are those of OTP 25."""

import enum
from dataclasses import dataclass


class Restart(enum.Enum):
    PERMANENT = "permanent"  # always restarted
    TRANSIENT = "transient"  # restarted unless it exits normal, shutdown or {shutdown, Term}
    TEMPORARY = "temporary"  # never restarted; its spec goes with it


class Shutdown(enum.Enum):
    """How to stop a child, beside a number of milliseconds to wait before killing it."""

    BRUTAL_KILL = "brutal_kill"
    INFINITY = "infinity"


class ChildKind(enum.Enum):
    WORKER = "worker"
    SUPERVISOR = "supervisor"


class Strategy(enum.Enum):
    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"
    SIMPLE_ONE_FOR_ONE = "simple_one_for_one"


class AutoShutdown(enum.Enum):
    """Whether the supervisor ends (reason shutdown) when significant children end by themselves."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class SpecError(ValueError):
    """A child or supervisor spec is wrong. The message starts with the name of the field."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


SHUTDOWN_MS_DEFAULT = 5_000  # of a worker; a supervisor gets all the time its children need


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child. What `start` and `arguments` mean is said by the backend of ChildPort.

    `shutdown` is milliseconds to wait after the shutdown signal before killing, or a Shutdown;
    None stands for OTP's default: 5000 for a worker, infinity for a supervisor.
    """

    child_id: str
    start: object
    arguments: tuple[object, ...] = ()
    restart: Restart = Restart.PERMANENT
    shutdown: int | Shutdown | None = None
    kind: ChildKind = ChildKind.WORKER
    significant: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.child_id, str) or not self.child_id:
            raise SpecError("child_id", f"must be a non-empty string, not {self.child_id!r}")
        if self.start is None:
            raise SpecError("start", f"missing in the spec of {self.child_id!r}")
        _check_type("arguments", self.arguments, tuple)
        _check_type("restart", self.restart, Restart)
        _check_type("kind", self.kind, ChildKind)
        _check_type("significant", self.significant, bool)
        if self.shutdown is None:
            is_worker = self.kind is ChildKind.WORKER
            default = SHUTDOWN_MS_DEFAULT if is_worker else Shutdown.INFINITY
            object.__setattr__(self, "shutdown", default)
        elif not isinstance(self.shutdown, Shutdown):
            _check_integer("shutdown", self.shutdown, 0)
        if self.significant and self.restart is Restart.PERMANENT:
            raise SpecError("significant", "a permanent child cannot be significant")


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """A supervisor: it gives up at more than `restarts_max` restarts in `restarts_period_ms`.

    The period is in whole seconds, as in OTP. With SIMPLE_ONE_FOR_ONE `children` holds exactly one
    spec, the template of all; nothing is started until start_child.
    """

    name: str
    strategy: Strategy = Strategy.ONE_FOR_ONE
    restarts_max: int = 1
    restarts_period_ms: int = 5_000
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    children: tuple[ChildSpec, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise SpecError("name", f"must be a non-empty string, not {self.name!r}")
        _check_type("strategy", self.strategy, Strategy)
        _check_type("auto_shutdown", self.auto_shutdown, AutoShutdown)
        _check_type("children", self.children, tuple)
        _check_integer("restarts_max", self.restarts_max, 0)
        _check_integer("restarts_period_ms", self.restarts_period_ms, 1_000)
        if self.restarts_period_ms % 1_000:
            raise SpecError("restarts_period_ms", f"{self.restarts_period_ms} is no whole second")
        for child in self.children:
            self.check_child(child)
        child_ids = [child.child_id for child in self.children]
        if len(dict.fromkeys(child_ids)) != len(child_ids):
            raise SpecError("children", f"duplicate_child_name in {child_ids}")
        if self.strategy is Strategy.SIMPLE_ONE_FOR_ONE and len(child_ids) != 1:
            raise SpecError("children", "simple_one_for_one takes exactly one spec, the template")

    def check_child(self, child: ChildSpec) -> None:
        """Raise SpecError unless `child` may be a child of this supervisor."""
        _check_type("children", child, ChildSpec)
        if child.significant and self.auto_shutdown is AutoShutdown.NEVER:
            raise SpecError("significant", "means nothing with auto_shutdown never")


def _check_type(field: str, value: object, wanted: type) -> None:
    if not isinstance(value, wanted):
        raise SpecError(field, f"must be of type {wanted.__name__}, not {value!r}")


def _check_integer(field: str, value: object, value_min: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < value_min:
        raise SpecError(field, f"must be an integer of at least {value_min}, not {value!r}")
