"""How a whole answer of the simulated model (no `stream`) reaches the caller, with the fault that was asked for.

Faults of streams become what is nearest: those that break off send half of the body, those without end send white
space, which JSON allows and some real servers send to keep a connection alive.
"""

import asyncio

from proxy.demo.delivery import FLOOD_CHARS, GARBAGE, Delivery, stall
from proxy.demo.directives import Fault, Place

_WRONG_TYPES = b'{"id":7,"choices":"none","content":5,"candidates":5}'


class WholeDelivery:
    """Sends an answer as one body."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._plan = delivery.plan

    async def send(self) -> None:
        """Raises Struck when a fault ended the answer."""
        delivery, plan = self._delivery, self._plan
        if plan.fault_at is Place.HEADERS:
            await self._strike_before_headers()
        rate = delivery.pace.rate
        await asyncio.sleep(delivery.pace.delay_s + (plan.answer.usage.output / rate if rate > 0 else 0))
        body = self._body()
        half = 0 if plan.fault_at is Place.FIRST else len(body) // 2
        match plan.fault:
            case Fault.CUT | Fault.HALF:
                await delivery.open("application/json")
                await delivery.response.write(body[:half])
                await delivery.end_body()
            case Fault.FIN | Fault.RST as fault:
                await self._send_part(body, 0, half)
                delivery.disconnect(is_reset=fault is Fault.RST)
            case Fault.STALL:
                await self._send_part(body, 0, half)
                await stall(plan.options.stall_s)
                await self._send_part(body, half, len(body))
            case Fault.PINGS | Fault.ENDLESS | Fault.FLOOD as fault:
                await self._send_blanks(fault)
            case _:
                await self._send_part(body, 0, len(body))
        await delivery.response.write_eof()

    def _body(self) -> bytes:
        match self._plan.fault:
            case Fault.GARBAGE:
                return GARBAGE
            case Fault.WRONG_TYPE:
                return _WRONG_TYPES
            case Fault.HUGE:
                return self._delivery.writer.whole() + b" " * self._plan.options.size
            case _:
                return self._delivery.writer.whole()

    async def _strike_before_headers(self) -> None:
        match self._plan.fault:
            case Fault.FIN | Fault.RST as fault:
                self._delivery.disconnect(is_reset=fault is Fault.RST)
            case Fault.STALL:
                await stall(self._plan.options.stall_s)
                self._plan.fault = None
            case _:
                pass

    async def _send_part(self, body: bytes, start: int, end: int) -> None:
        await self._delivery.open("application/json", len(body))
        if start < end:
            await self._delivery.response.write(body[start:end])

    async def _send_blanks(self, fault: Fault) -> None:
        await self._delivery.open("application/json")
        while True:
            await self._delivery.response.write(b" " * (FLOOD_CHARS if fault is Fault.FLOOD else 1))
            await asyncio.sleep(0 if fault is Fault.FLOOD else self._plan.options.interval or 1.0)
