"""The client side of Model as a Service; it knows nothing of the language.

    from stellar.maas import FileRegistry, ModelClient

    with FileRegistry("registry") as registry, ModelClient(registry) as client:
        endpoint = registry.endpoint("dga")
        client.apply(endpoint.as_map(), arguments={"host": "yahoo.com"})

Each name is loaded when it is first used, so that who only registers a model does not load an HTTP client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stellar.maas.breaker import CircuitBreakers as CircuitBreakers
    from stellar.maas.client import ClientSettings as ClientSettings
    from stellar.maas.client import ModelClient as ModelClient
    from stellar.maas.errors import MaasError as MaasError
    from stellar.maas.errors import ModelNotFound as ModelNotFound
    from stellar.maas.errors import ModelRefused as ModelRefused
    from stellar.maas.errors import ModelTimeOut as ModelTimeOut
    from stellar.maas.errors import ModelUnavailable as ModelUnavailable
    from stellar.maas.errors import RecordRefused as RecordRefused
    from stellar.maas.files import FileQueue as FileQueue
    from stellar.maas.files import FileRegistry as FileRegistry
    from stellar.maas.homes import home as home
    from stellar.maas.registry import MemoryRegistry as MemoryRegistry
    from stellar.maas.registry import Registry as Registry
    from stellar.maas.requests import MemoryQueue as MemoryQueue
    from stellar.maas.requests import RequestQueue as RequestQueue
    from stellar.maas.schema import MaaSConfig as MaaSConfig
    from stellar.maas.schema import Model as Model
    from stellar.maas.schema import ModelEndpoint as ModelEndpoint
    from stellar.maas.schema import ModelRequest as ModelRequest
    from stellar.maas.schema import ServiceInstance as ServiceInstance
    from stellar.maas.shadow import Disagreement as Disagreement
    from stellar.maas.traffic import Chosen as Chosen
    from stellar.maas.traffic import Shadow as Shadow
    from stellar.maas.traffic import TrafficPlan as TrafficPlan
    from stellar.maas.transport import Transport as Transport
    from stellar.maas.zookeeper import ZooKeeper as ZooKeeper
    from stellar.maas.zookeeper import ZooKeeperQueue as ZooKeeperQueue
    from stellar.maas.zookeeper import ZooKeeperSettings as ZooKeeperSettings
    from stellar.maas.zookeeper_registry import ZooKeeperRegistry as ZooKeeperRegistry

_HOMES = {
    "breaker": ("CircuitBreakers",),
    "client": ("ClientSettings", "ModelClient"),
    "errors": ("MaasError", "ModelNotFound", "ModelRefused", "ModelTimeOut", "ModelUnavailable", "RecordRefused"),
    "files": ("FileQueue", "FileRegistry"),
    "homes": ("home",),
    "registry": ("MemoryRegistry", "Registry"),
    "requests": ("MemoryQueue", "RequestQueue"),
    "schema": ("MaaSConfig", "Model", "ModelEndpoint", "ModelRequest", "ServiceInstance"),
    "shadow": ("Disagreement",),
    "traffic": ("Chosen", "Shadow", "TrafficPlan"),
    "transport": ("Transport",),
    "zookeeper": ("ZooKeeper", "ZooKeeperQueue", "ZooKeeperSettings"),
    "zookeeper_registry": ("ZooKeeperRegistry",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return __all__
