"""The tree of a node, read as data."""

from actors.control import HostSpec
from actors.node_messages import NodeOptions
from actors.tree import node_tree
from supervision.spec import ChildKind, Restart, Strategy, SupervisorSpec


def test_every_host_has_a_supervisor_of_its_own_in_order_of_dependence() -> None:
    hosts = tuple(HostSpec(name=name, kind="shards", data_dir="d") for name in ("a", "b"))
    options = NodeOptions(data_dir="d", admin_port=1, hosts=hosts, stop_timeout_ms=7_000)
    tree = node_tree(options)
    assert tree.strategy is Strategy.REST_FOR_ONE
    assert [child.child_id for child in tree.children] == ["a", "b"]
    for child, host in zip(tree.children, hosts, strict=True):
        assert child.kind is ChildKind.SUPERVISOR
        assert isinstance(child.start, SupervisorSpec)
        assert (child.start.restarts_max, child.start.restarts_period_ms) == (5, 60_000)
        (process,) = child.start.children
        assert (process.start, process.shutdown) == (host, 7_000)
        assert process.restart is Restart.PERMANENT
