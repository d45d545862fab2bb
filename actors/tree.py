"""The supervision tree of one node."""

from actors.control import HostSpec
from actors.node_messages import NodeOptions
from supervision.spec import ChildKind, ChildSpec, Strategy, SupervisorSpec

NODE_RESTARTS_MAX = 1  # supervisors of hosts that gave up, within the same period


def node_tree(options: NodeOptions) -> SupervisorSpec:
    """node (rest_for_one) -> one supervisor for each host -> the host.

    A host that dies takes no other along: only when its own supervisor gives up are those that
    were started after it, and so may depend on it, started again with it. When that does not help
    the node ends: a crash loop must be seen, not hidden.
    """
    return SupervisorSpec(
        name=options.name,
        strategy=Strategy.REST_FOR_ONE,
        restarts_max=NODE_RESTARTS_MAX,
        restarts_period_ms=options.restarts_period_ms,
        children=tuple(
            ChildSpec(
                child_id=host.name,
                start=_host_supervisor(host, options),
                kind=ChildKind.SUPERVISOR,
            )
            for host in options.hosts
        ),
    )


def _host_supervisor(host: HostSpec, options: NodeOptions) -> SupervisorSpec:
    return SupervisorSpec(
        name=f"{host.name}-supervisor",
        strategy=Strategy.ONE_FOR_ONE,
        restarts_max=options.restarts_max,
        restarts_period_ms=options.restarts_period_ms,
        children=(ChildSpec(child_id=host.name, start=host, shutdown=options.stop_timeout_ms),),
    )
