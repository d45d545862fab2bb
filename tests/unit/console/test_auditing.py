"""The audit of a data directory folds what is in the files, and believes nothing else."""

from pathlib import Path

import pytest

from actors.client import NodeUnreachableError, publish_config
from config.load import override
from config.schema import NodeConfig
from console.auditing import AuditUnreadableError, audit_data_dir
from exchange.account.events import Deposited, OrderSubmitted
from exchange.audit import AuditReport
from exchange.instrument import Instrument
from exchange.market.events import MarketOpened, OrderAccepted
from exchange.message import Event
from exchange.money import UNIT
from exchange.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from storage.codec import encode_body, encode_event
from storage.factory import open_hot_store
from storage.ports import BatchRecord

ACCOUNT = 2  # of account/0
INSTRUMENT = Instrument(
    symbol="BTCUSDT", base_asset="BTC", quote_asset="USDT", tick_size=UNIT // 100, lot_size=UNIT
)
DEPOSIT = Deposited(ACCOUNT, "USDT", 100 * UNIT, 1, b"d" * 16)
SUBMITTED = OrderSubmitted(
    ACCOUNT,
    1,
    "BTCUSDT",
    Side.BUY,
    OrderType.LIMIT,
    TimeInForce.GTC,
    1_000,
    2,
    0,
    0,
    "c-1",
    SelfTradePrevention.NONE,
    "USDT",
    20 * UNIT,
    10 * UNIT,
    0,
    0,
    2,
    b"o" * 16,
    "",
    0,
)
ACCEPTED = OrderAccepted(
    1,
    ACCOUNT,
    1,
    "BTCUSDT",
    Side.BUY,
    OrderType.LIMIT,
    TimeInForce.GTC,
    1_000,
    2,
    0,
    "c-1",
    SelfTradePrevention.NONE,
    10 * UNIT,
    0,
    0,
    3,
)
Record = tuple[list[Event], dict[str, int], dict[str, int]]  # events, watermarks, outbox


async def audited(data_dir: Path, account: list[Record], market: list[Record]) -> AuditReport:
    """Write both streams and audit them."""
    config = override(NodeConfig(), "node", data_dir=str(data_dir))
    publish_config(config)
    for slot, shard, entity, records in (
        ("accounts-1", "account/0", ACCOUNT, account),
        ("markets-1", "market/BTCUSDT", 0, market),
    ):
        store = open_hot_store(config.hot_url(slot))
        epoch = (await store.take_epoch(shard, slot)).epoch
        seq = 0
        for number, (events, watermarks, outbox) in enumerate(records):
            first, seq = seq + 1, seq + (len(events) or 1)
            entries = [encode_event(event) for event in events]
            payload = encode_body(entries, watermarks, outbox, [entity] * len(events))
            batch_id = number.to_bytes(16, "big")
            record = BatchRecord(shard, epoch, first, seq, batch_id, payload)
            assert await store.append([record]) == [None]
        await store.close()
    return await audit_data_dir(data_dir)


async def test_money_that_came_in_is_there(tmp_path: Path) -> None:
    report = await audited(tmp_path, [([DEPOSIT], {}, {})], [])
    assert report.is_clean
    assert [(line.asset, line.available, line.external) for line in report.assets] == [
        ("USDT", 100 * UNIT, 100 * UNIT)
    ]


async def test_a_message_on_its_way_is_taken_from_the_markets_stream(tmp_path: Path) -> None:
    report = await audited(
        tmp_path,
        [([DEPOSIT, SUBMITTED], {}, {"market/BTCUSDT": 1})],
        [
            ([MarketOpened(INSTRUMENT, 1)], {}, {}),
            ([ACCEPTED], {"account/0": 1}, {"account/0": 1}),
        ],
    )
    assert report.findings == ()
    assert (report.unconsumed, report.open_orders) == (1, 1)


async def test_a_consumed_message_is_not_on_its_way(tmp_path: Path) -> None:
    report = await audited(
        tmp_path,
        [
            ([DEPOSIT, SUBMITTED], {}, {"market/BTCUSDT": 1}),
            ([ACCEPTED], {"market/BTCUSDT": 1}, {}),
        ],
        [
            ([MarketOpened(INSTRUMENT, 1)], {}, {}),
            ([ACCEPTED], {"account/0": 1}, {"account/0": 1}),
        ],
    )
    assert report.findings == ()
    assert (report.unconsumed, report.open_orders) == (0, 1)


async def test_a_message_that_was_skipped_is_found(tmp_path: Path) -> None:
    report = await audited(
        tmp_path,
        [
            ([DEPOSIT, SUBMITTED], {}, {"market/BTCUSDT": 1}),
            ([], {"market/BTCUSDT": 1}, {}),
        ],
        [
            ([MarketOpened(INSTRUMENT, 1)], {}, {}),
            ([ACCEPTED], {"account/0": 1}, {"account/0": 1}),
        ],
    )
    assert not report.is_clean


async def test_no_journals_are_no_clean_audit(tmp_path: Path) -> None:
    with pytest.raises(NodeUnreachableError):
        await audit_data_dir(tmp_path)
    publish_config(override(NodeConfig(), "node", data_dir=str(tmp_path)))
    with pytest.raises(AuditUnreadableError, match="no journals"):
        await audit_data_dir(tmp_path)
