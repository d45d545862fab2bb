"""A settings file is taken as it stands or refused in one sentence."""

from pathlib import Path

import pytest

from config.load import ConfigError, load_config, override, parse_config
from config.schema import NodeConfig, decode_config, encode_config

DEV = Path(__file__).parents[3] / "config" / "dev.toml"

REFUSALS = [
    ("[gateway]\nws_port = 0", "gateway.ws_port: must be a whole number from 1 to 65535, not 0."),
    ("[gateway]\nws_port = 65536", "gateway.ws_port: must be a whole number from 1 to 65535"),
    ("[gateway]\nws_port = 1.5", "gateway.ws_port: must be a whole number from 1 to 65535"),
    ('[gateway]\nws_port = "80"', "gateway.ws_port: must be a whole number from 1 to 65535"),
    ("[gateway]\nport = 1", "gateway.port: unknown key; allowed here are answer_timeout_ms, "),
    ("[gatway]\nport = 1", "gatway: unknown key; allowed here are demo, gateway, hosts, "),
    ("gateway = 3", "gateway: must be a table of settings, not 3."),
    ("[projection]\nenabled = 1", "projection.enabled: must be true or false, not 1."),
    ('[logging]\nlevel = "loud"', 'logging.level: must be one of "debug", "error", '),
    ('[node]\nname = "A b"', "node.name: must be text like ^[a-z]"),
    ('[node]\ndata_dir = ""', "node.data_dir: must be text of 1 to 1000 characters, not ''."),
    ("[node", "not valid TOML: "),
    ('[storage]\nhot_url = "sqlite:all.db"', "storage.hot_url: must contain {slot}"),
    ('[storage]\nhot_url = "oracle:{slot}"', "storage.hot_url: must be text like ^(sqlite"),
    ("[node]\nadmin_port = 9443", "gateway.ws_port: must differ from node.admin_port"),
    ("[gateway]\nanswer_timeout_ms = 900", "gateway.answer_timeout_ms: must be more than "),
    ('[demo]\nquote_asset = "BTC"', "demo.quote_asset: must differ from demo.base_asset."),
    ("[hosts]\naccount_shards = 0", "hosts.account_shards: must be a whole number from 1 to 1024"),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSALS)
def test_a_bad_setting_is_refused_in_one_sentence_that_names_file_and_key(
    text: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, source="my.toml")
    message = str(caught.value)
    assert message.startswith(f"my.toml: {sentence}")
    assert message.endswith(".")
    assert "\n" not in message


def test_the_commented_example_holds_exactly_the_defaults() -> None:
    assert load_config(DEV) == load_config(None) == NodeConfig()


def test_the_commented_example_names_every_setting() -> None:
    text = DEV.read_text(encoding="utf-8")
    for section in NodeConfig.__struct_fields__:
        assert f"[{section}]" in text
        for key in getattr(NodeConfig(), section).__struct_fields__:
            assert f"\n{key} = " in text


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^/nowhere/x\.toml: cannot be read: No such file"):
        load_config(Path("/nowhere/x.toml"))


def test_the_command_line_overrides_single_values_within_their_bounds() -> None:
    config = override(NodeConfig(), "gateway", ws_port=9500, host=None)
    assert config.gateway.ws_port == 9500
    assert config.gateway.host == NodeConfig().gateway.host
    with pytest.raises(ConfigError, match=r"^command line: gateway\.ws_port: must be a whole"):
        override(NodeConfig(), "gateway", ws_port=0)


def test_places_in_the_data_directory_are_filled_in() -> None:
    config = override(NodeConfig(), "node", data_dir="/var/x")
    assert config.hot_url("accounts-1") == "sqlite:/var/x/hot-accounts-1.db"
    assert config.cold_url == "sqlite:/var/x/cold.db"
    assert config.cookie_path == "/var/x/cookie"


def test_settings_handed_to_a_host_arrive_unchanged() -> None:
    config = override(NodeConfig(), "pipeline", window=1)
    assert decode_config(encode_config(config)) == config
