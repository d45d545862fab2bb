"""Tables of the cold store, and the ledger as a view of them."""

from typing import Final

APPLICATION_ID: Final = 0x564D5443  # "VMTC"
SCHEMA_VERSION: Final = 1

# Orders and trade sides lie sorted by account, market and id, as clients ask for them; of a market
# ids and times are sorted alike, so times need no index (cold_queries.py).
SCHEMA: Final = """
CREATE TABLE watermarks (shard TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE markets (
    symbol TEXT PRIMARY KEY, base_asset TEXT NOT NULL, quote_asset TEXT NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE orders (
    account_id INTEGER NOT NULL, symbol TEXT NOT NULL, order_id INTEGER NOT NULL,
    order_ref INTEGER NOT NULL, client_order_id TEXT NOT NULL, side INTEGER NOT NULL,
    order_type INTEGER NOT NULL, time_in_force INTEGER NOT NULL, price_ticks INTEGER NOT NULL,
    quantity_lots INTEGER NOT NULL, quote_amount INTEGER NOT NULL, executed_lots INTEGER NOT NULL,
    executed_quote INTEGER NOT NULL, status INTEGER NOT NULL, stp_mode INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL, updated_at_ns INTEGER NOT NULL, expiry_reason INTEGER NOT NULL,
    stop_ticks INTEGER NOT NULL, iceberg_lots INTEGER NOT NULL, list_id INTEGER NOT NULL,
    prevented_lots INTEGER NOT NULL, PRIMARY KEY (account_id, symbol, order_id)
) WITHOUT ROWID, STRICT;
CREATE INDEX orders_by_client_order_id ON orders (account_id, client_order_id);
CREATE TABLE account_trades (
    account_id INTEGER NOT NULL, symbol TEXT NOT NULL, trade_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL, price_ticks INTEGER NOT NULL, quantity_lots INTEGER NOT NULL,
    base_amount INTEGER NOT NULL, quote_amount INTEGER NOT NULL, commission INTEGER NOT NULL,
    commission_asset TEXT NOT NULL, at_ns INTEGER NOT NULL, is_buyer INTEGER NOT NULL,
    is_maker INTEGER NOT NULL, PRIMARY KEY (account_id, symbol, trade_id, is_maker)
) WITHOUT ROWID, STRICT;
CREATE INDEX account_trades_by_order ON account_trades (symbol, order_id);
CREATE TABLE transfers (
    transfer_id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL, asset TEXT NOT NULL,
    amount INTEGER NOT NULL, at_ns INTEGER NOT NULL, identity BLOB NOT NULL
) STRICT;
CREATE INDEX transfers_by_account ON transfers (account_id, asset);
CREATE TABLE trades (
    symbol TEXT NOT NULL, trade_id INTEGER NOT NULL, price_ticks INTEGER NOT NULL,
    quantity_lots INTEGER NOT NULL, quote_amount INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    is_buyer_maker INTEGER NOT NULL, PRIMARY KEY (symbol, trade_id)
) WITHOUT ROWID, STRICT;
CREATE TABLE candles_1m (
    symbol TEXT NOT NULL, open_at_ms INTEGER NOT NULL, open_ticks INTEGER NOT NULL,
    high_ticks INTEGER NOT NULL, low_ticks INTEGER NOT NULL, close_ticks INTEGER NOT NULL,
    volume_lots INTEGER NOT NULL, volume_quote INTEGER NOT NULL, taker_buy_lots INTEGER NOT NULL,
    taker_buy_quote INTEGER NOT NULL, trades INTEGER NOT NULL, first_trade_id INTEGER NOT NULL,
    last_trade_id INTEGER NOT NULL, PRIMARY KEY (symbol, open_at_ms)
) WITHOUT ROWID, STRICT;
CREATE VIEW trade_sides AS
    SELECT t.symbol, t.trade_id, t.is_maker, t.account_id, t.at_ns, t.commission,
        iif(t.is_buyer, m.quote_asset, m.base_asset) AS paid_asset,
        iif(t.is_buyer, t.quote_amount, t.base_amount) AS paid,
        iif(t.is_buyer, m.base_asset, m.quote_asset) AS received_asset,
        iif(t.is_buyer, t.base_amount, t.quote_amount) AS received
    FROM account_trades t JOIN markets m USING (symbol);
-- Double entry: the lines of one source sum to zero in each asset. 'account' is available and held
-- funds together; 'clearing' is what one side of a trade gave and the other has yet to take.
CREATE VIEW ledger (source, at_ns, book, account_id, asset, amount) AS
    SELECT symbol || '/' || trade_id || iif(is_maker, '/maker', '/taker'), at_ns,
        'account', account_id, paid_asset, -paid FROM trade_sides
    UNION ALL
    SELECT symbol || '/' || trade_id || iif(is_maker, '/maker', '/taker'), at_ns,
        'clearing', 0, paid_asset, paid FROM trade_sides
    UNION ALL
    SELECT symbol || '/' || trade_id || iif(is_maker, '/maker', '/taker'), at_ns,
        'clearing', 0, received_asset, -received FROM trade_sides
    UNION ALL
    SELECT symbol || '/' || trade_id || iif(is_maker, '/maker', '/taker'), at_ns,
        'account', account_id, received_asset, received - commission FROM trade_sides
    UNION ALL
    SELECT symbol || '/' || trade_id || iif(is_maker, '/maker', '/taker'), at_ns,
        'commission', 0, received_asset, commission FROM trade_sides
    UNION ALL
    SELECT 'transfer/' || transfer_id, at_ns, 'account', account_id, asset, amount FROM transfers
    UNION ALL
    SELECT 'transfer/' || transfer_id, at_ns, 'external', 0, asset, -amount FROM transfers;
"""
