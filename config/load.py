"""Read a settings file. A bad one fails in one sentence: file, key and what is allowed."""

import re
import tomllib
from pathlib import Path

import msgspec
from msgspec import inspect

from config.schema import NodeConfig

_WHERE = re.compile(r"^(?P<what>.*) - at `\$\.?(?P<path>[^`]*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")


class ConfigError(Exception):
    """The settings cannot be used; the text is the sentence to print."""


def load_config(path: Path | None) -> NodeConfig:
    """Return the settings of the TOML file at `path`; None: the defaults.

    Raises:
        ConfigError: not readable, not TOML, an unknown key, a wrong type or a value out of bounds.
    """
    if path is None:
        return NodeConfig()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}.") from error
    return parse_config(text, source=str(path))


def parse_config(text: str, source: str) -> NodeConfig:
    """Return the settings of TOML `text`; `source` names it in errors. Raises as load_config."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}.") from error
    try:
        config = msgspec.convert(tree, NodeConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_sentence(str(error), tree)}") from error
    _check_together(config, source)
    return config


def override(config: NodeConfig, section: str, **values: object) -> NodeConfig:
    """Return the settings with some values of one section replaced, None leaving one as it is.

    The command line uses it. Raises ConfigError as load_config, with the option's section and key.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        return config
    tree = msgspec.to_builtins(config)
    tree[section].update(given)
    try:
        changed = msgspec.convert(tree, NodeConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"command line: {_sentence(str(error), tree)}") from error
    _check_together(changed, "command line")
    return changed


def _check_together(config: NodeConfig, source: str) -> None:
    """Raise ConfigError where values contradict each other."""
    gateway = config.gateway
    if config.storage.hot_url.startswith("sqlite:") and "{slot}" not in config.storage.hot_url:
        raise ConfigError(
            f"{source}: storage.hot_url: must contain {{slot}}: every host writes its own file."
        )
    if gateway.answer_timeout_ms <= gateway.ask_outcome_after_ms:
        raise ConfigError(
            f"{source}: gateway.answer_timeout_ms: must be more than gateway.ask_outcome_after_ms,"
            f" which is {gateway.ask_outcome_after_ms}."
        )
    if gateway.ws_port == config.node.admin_port:
        raise ConfigError(
            f"{source}: gateway.ws_port: must differ from node.admin_port,"
            f" both are {gateway.ws_port}."
        )
    if config.demo.base_asset == config.demo.quote_asset:
        raise ConfigError(f"{source}: demo.quote_asset: must differ from demo.base_asset.")


def _sentence(message: str, tree: dict[str, object]) -> str:
    """Turn msgspec's message into ours: key, what is wrong with it, what is allowed."""
    where = _WHERE.match(message)
    what, path = (where["what"], where["path"]) if where else (message, "")
    unknown = _UNKNOWN.search(what)
    if unknown:
        key = ".".join(part for part in (path, unknown["field"]) if part)
        fields = ", ".join(sorted(_fields(path)))
        return f"{key}: unknown key; allowed here are {fields}."
    return f"{path}: must be {_allowed(path)}, not {_shown(path, tree)}."


def _fields(path: str) -> dict[str, inspect.Type]:
    """Return the keys of the table at `path` with their types; {} where there is no table."""
    kind: inspect.Type = inspect.type_info(NodeConfig)
    for part in filter(None, path.split(".")):
        if not isinstance(kind, inspect.StructType):
            return {}
        kind = {field.name: field.type for field in kind.fields}[part]
    if not isinstance(kind, inspect.StructType):
        return {}
    return {field.name: field.type for field in kind.fields}


def _allowed(path: str) -> str:
    """Say in words what the type of the key at `path` allows."""
    table, _, name = path.rpartition(".")
    kind = _fields(table).get(name)
    match kind:
        case inspect.IntType():
            return f"a whole number from {kind.ge} to {kind.le}"
        case inspect.StrType() if kind.pattern:
            return f"text like {kind.pattern}"
        case inspect.StrType():
            return f"text of {kind.min_length or 0} to {kind.max_length} characters"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return "one of " + ", ".join(f'"{value}"' for value in kind.values)
        case _:
            return "a table of settings"


def _shown(path: str, tree: dict[str, object]) -> str:
    value: object = tree
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return repr(value)
