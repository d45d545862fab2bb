"""One account: balances, holds, its view of its orders, settlement."""
