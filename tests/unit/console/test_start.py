"""Settings of file and command line become one node."""

from pathlib import Path

import pytest

from config.load import ConfigError
from config.schema import NodeConfig, decode_config
from console.start import StartOptions, node_options, settings


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text('[gateway]\nws_port = 9500\nhost = "127.0.0.2"\n[node]\nadmin_port = 1950\n')
    config = settings(StartOptions(config=path, ws_port=9600, log_level="debug"))
    assert (config.gateway.ws_port, config.gateway.host) == (9600, "127.0.0.2")
    assert (config.node.admin_port, config.logging.level) == (1950, "debug")


def test_the_data_directory_becomes_absolute() -> None:
    assert settings(StartOptions(data=Path("x"))).node.data_dir == str(Path("x").absolute())
    assert Path(settings(StartOptions()).node.data_dir) == Path("data").absolute()


def test_a_bad_option_is_a_settings_error() -> None:
    with pytest.raises(ConfigError, match=r"command line: logging\.level: must be one of"):
        settings(StartOptions(log_level="loud"))


def test_hosts_start_before_those_that_depend_on_them() -> None:
    config = NodeConfig()
    options = node_options(config)
    assert [host.name for host in options.hosts] == [
        "accounts-1",
        "markets-1",
        "gateway-1",
        "projection",
    ]
    assert [host.kind for host in options.hosts] == ["shards", "shards", "gateway", "projection"]
    assert all(decode_config(host.config) == config for host in options.hosts)
    assert options.cookie_file == "data/cookie"


def test_without_projection_there_is_no_host_for_it(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("[projection]\nenabled = false\n[hosts]\nmarket_hosts = 2\n")
    options = node_options(settings(StartOptions(config=path)))
    assert [host.name for host in options.hosts] == [
        "accounts-1",
        "markets-1",
        "markets-2",
        "gateway-1",
    ]
