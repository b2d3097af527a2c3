"""What surrounds one service on its machine: the service manager, users, limits, and hooks of the operator's."""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.config.paths import Paths
from changeover.supervisor.config.rlimits import parse_rlimit
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.hooks import SupervisorHooks
from changeover.supervisor.notifier import Notifier
from changeover.supervisor.process import notify
from changeover.supervisor.process import passed as passed_sockets
from changeover.supervisor.process.address import Address, FdAddress, parse_address
from changeover.supervisor.process.arrivals import allow_all_arrivals
from changeover.supervisor.process.holders import worded
from changeover.supervisor.process.limiting import refuse_impossible
from changeover.supervisor.process.listeners import BoundListener, CannotListen, Listeners
from changeover.supervisor.process.runtime_directory import RuntimeDirectory, private_directory
from changeover.supervisor.process.sharing import STATE_MODE, other_account, share_state
from changeover.supervisor.process.temporary import spare_temporary
from changeover.supervisor.telemetry.shell import AddressHeld

Tell = Callable[[Record], None]


class Host:
    """Made on the loop, before anything else: it takes what the service manager says out of the environment.

    Args:
        settings: The service's settings.

    Attributes:
        account: Whom workers run as, None for ourselves; known once the runtime directory is taken.
    """

    def __init__(self, settings: Settings) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._passed = passed_sockets.of_this_process()
        slots = settings.slots(os.cpu_count() or 1)
        self._notifier = Notifier(loop, *notify.of_this_process(loop.call_later), slots)
        self.account: Account | None = None
        self._hooks = SupervisorHooks(settings, lambda: self.account)

    def take_runtime(self, paths: Paths, lock: int | None) -> RuntimeDirectory:
        """Find out whom workers run as, and hold the runtime directory for them.

        Args:
            paths: Where it is.
            lock: Descriptor of the lock that this process held before it was executed anew.

        Raises:
            SupervisorError: We may not do what the settings ask for, or the directory cannot be had.
        """
        self.account = other_account(self._settings)
        refuse_impossible(map(parse_rlimit, self._settings.rlimits))
        return RuntimeDirectory.take(paths.runtime, self._settings.name, self.account, lock)

    async def prepare(self, runtime: RuntimeDirectory, paths: Paths, comes_back: bool) -> None:
        """Run what comes before the boot, and make the places that workers read.

        Args:
            runtime: Held.
            paths: Where everything is.
            comes_back: Whether the service was begun by this very program: nothing refuses that now.

        Raises:
            SupervisorError: The operator's hook refuses, or a directory cannot be used.
        """
        if not comes_back:
            await self._hooks.before_boot()
        os.environ.update(spare_temporary(runtime.real, self.account))
        private_directory(paths.state, STATE_MODE)
        if self.account is not None:
            share_state(paths.state, paths.store, self.account)

    def listen(self, addresses: Iterable[str], living: Mapping[str, Mapping[str, int]]) -> Listeners:
        """Take every address, new or passed, and have the service manager keep what is ours.

        Args:
            addresses: What to listen on.
            living: What processes of a former supervisor listen on; where there are any, that is what is taken: on a
                new address none of them would answer.

        Raises:
            SupervisorError: One cannot be had.
        """
        wanted = [parse_address(text) for text in living or addresses]
        listeners = Listeners.bind(wanted, self._settings.backlog, self._passed, living)
        configured = {str(parse_address(text)) for text in self._settings.bind}
        for listener in listeners.bound:
            if str(listener.address) not in configured:
                listener.leave_file()  # only a worker says that it is ours, and we may remove what it may not
        allow_all_arrivals(listeners.bound)
        self._notifier.store(listeners.bound, self._passed)
        return listeners

    def bind(self, wanted: Sequence[Address], beside: Sequence[Address]) -> Listeners:
        """Take further addresses while we serve. Blocks: names are looked up.

        Args:
            wanted: What to listen on.
            beside: What is listened on already.

        Raises:
            SupervisorError: One cannot be had; none is.
        """
        lent = self._passed.lent
        for address in wanted:
            if isinstance(address, FdAddress) and address.fd not in lent.numbers():
                raise CannotListen(address, "it was not passed to us when we started; restart the server to take it")
        listeners = Listeners.bind(wanted, self._settings.backlog, lent, beside=beside)
        allow_all_arrivals(listeners.bound)
        return listeners

    def keep(self, added: Iterable[BoundListener], removed: Iterable[BoundListener]) -> None:
        """Have the service manager keep what was added, and what was removed no longer."""
        self._notifier.keep(added)
        self._notifier.forget(removed)

    def began(self, tell: Tell) -> None:
        """Look at what need not be known earlier."""
        self._notifier.look_at_unit(tell)

    def hear(self, record: Record) -> None:
        """Pass on what a record means outside."""
        self._notifier.hear(record)
        self._hooks.hear(record)

    def beat(self) -> None:
        """Say to the service manager's watchdog that we live, ahead of time."""
        self._notifier.beat()

    def failed(self, reason: str) -> None:
        """Say why there will be no service."""
        self._notifier.say(reason)

    def give_back(self, listeners: Listeners) -> None:
        """Let arrivals begin again where we were only lent the socket."""
        allow_all_arrivals(listener for listener in listeners.bound if not listener.is_ours)

    async def name_holders(self, listeners: Listeners, tell: Tell) -> None:
        """Say who keeps an address from being listened on again, once nobody of ours does."""
        for listener, holders in await asyncio.to_thread(lambda: tuple(listeners.held_by_others())):
            tell(AddressHeld(listener.shown, worded(holders)))

    async def close(self) -> None:
        """End hooks, and say nothing more."""
        await self._hooks.close()
        self._notifier.close()
