"""The client side of Model as a Service; independent of the language.

    from stellar.maas import FileRegistry, ModelClient

    with FileRegistry("registry") as registry, ModelClient(registry) as client:
        endpoint = registry.endpoint("dga")
        client.apply(endpoint.as_map(), arguments={"host": "yahoo.com"})

Each name is loaded when it is first used, so that a program that only registers a model does not load an HTTP client.
"""

from __future__ import annotations

from stellar.util.lazy_exports import export_lazily

TYPE_CHECKING = False

if TYPE_CHECKING:
    from stellar.maas.client.client import ModelClient as ModelClient
    from stellar.maas.client.settings import ClientSettings as ClientSettings
    from stellar.maas.client.shadow import Disagreement as Disagreement
    from stellar.maas.default_location import find_default_registry as find_default_registry
    from stellar.maas.default_location import home as home
    from stellar.maas.errors import MaasError as MaasError
    from stellar.maas.errors import ModelNotFound as ModelNotFound
    from stellar.maas.errors import ModelRefused as ModelRefused
    from stellar.maas.errors import ModelTimeOut as ModelTimeOut
    from stellar.maas.errors import ModelUnavailable as ModelUnavailable
    from stellar.maas.errors import RecordRefused as RecordRefused
    from stellar.maas.registries.directory import FileRegistry as FileRegistry
    from stellar.maas.registries.directory_queue import FileQueue as FileQueue
    from stellar.maas.registries.memory import MemoryRegistry as MemoryRegistry
    from stellar.maas.registries.zookeeper import ZooKeeperRegistry as ZooKeeperRegistry
    from stellar.maas.registries.zookeeper_queue import ZooKeeperQueue as ZooKeeperQueue
    from stellar.maas.registry import Registry as Registry
    from stellar.maas.requests import MemoryQueue as MemoryQueue
    from stellar.maas.requests import RequestQueue as RequestQueue
    from stellar.maas.routing import Chosen as Chosen
    from stellar.maas.routing import Shadow as Shadow
    from stellar.maas.routing import TrafficPlan as TrafficPlan
    from stellar.maas.routing import Trial as Trial
    from stellar.maas.schema import MaaSConfig as MaaSConfig
    from stellar.maas.schema import Model as Model
    from stellar.maas.schema import ModelEndpoint as ModelEndpoint
    from stellar.maas.schema import ModelRequest as ModelRequest
    from stellar.maas.schema import ServiceInstance as ServiceInstance
    from stellar.maas.transport.base import Transport as Transport
    from stellar.maas.zookeeper import ZooKeeper as ZooKeeper
    from stellar.maas.zookeeper import ZooKeeperSettings as ZooKeeperSettings
    from stellar.net.breaker import CircuitBreakers as CircuitBreakers

__getattr__, __dir__, __all__ = export_lazily(
    __name__,
    {
        ".client.client": ("ModelClient",),
        ".client.settings": ("ClientSettings",),
        ".errors": ("MaasError", "ModelNotFound", "ModelRefused", "ModelTimeOut", "ModelUnavailable", "RecordRefused"),
        ".registries.directory": ("FileRegistry",),
        ".registries.directory_queue": ("FileQueue",),
        ".default_location": ("find_default_registry", "home"),
        ".registries.memory": ("MemoryRegistry",),
        ".registry": ("Registry",),
        ".requests": ("MemoryQueue", "RequestQueue"),
        ".schema": ("MaaSConfig", "Model", "ModelEndpoint", "ModelRequest", "ServiceInstance"),
        ".client.shadow": ("Disagreement",),
        ".routing": ("Chosen", "Shadow", "TrafficPlan", "Trial"),
        ".transport.base": ("Transport",),
        ".registries.zookeeper_queue": ("ZooKeeperQueue",),
        ".zookeeper": ("ZooKeeper", "ZooKeeperSettings"),
        ".registries.zookeeper": ("ZooKeeperRegistry",),
        "stellar.net.breaker": ("CircuitBreakers",),
    },
)
