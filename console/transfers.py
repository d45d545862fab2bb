"""`deposit` and `withdraw`: money in and out of an account, by an operator's word."""

import secrets
import time

from console.node import NO_REQUEST, NOBODY, NodePort, Outcome, refused, unexpected
from exchange.account.commands import Deposit, Withdraw
from exchange.answers import Refused, Transferred
from exchange.ids import request_identity
from exchange.protocol.decimals import amount_text


async def transfer(
    node: NodePort,
    kind: type[Deposit] | type[Withdraw],
    account_id: int,
    asset: str,
    amount: int,
    reference: str = "",
) -> Outcome:
    """Deposit or withdraw `amount` minor units.

    With the same `reference` again, within the account's memory of requests (two minutes), nothing
    happens twice: the first answer comes again.
    """
    reference = reference or secrets.token_hex(16)
    identity = request_identity(
        kind.__name__.encode(), str(account_id).encode(), asset.encode(), reference.encode()
    )
    answer = await node.account(
        kind(account_id, asset, amount, time.time_ns(), identity, NOBODY, NO_REQUEST)
    )
    match answer:
        case Transferred():
            return Outcome(
                {
                    "account": account_id,
                    "asset": asset,
                    "available": amount_text(answer.available),
                    "held": amount_text(answer.held),
                    "reference": reference,
                }
            )
        case Refused():
            return refused(answer)
        case _:
            return unexpected(answer)
