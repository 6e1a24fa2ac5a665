"""The runtime of Model as a Service: starts models, keeps the desired number of instances running, rolls out versions.

    cli           the commands of `maas`, and Metron's two
    service       desired state, reconciliation and rollouts, and the agent of each host
    state         registry, queue and state store of a service, in a directory or in ZooKeeper
    deployers     assign instances to hosts and run them there, or on YARN
    runner        runs one instance: start, readiness, health checks, drain
    store         the files of models, in a directory or in HDFS
    archive       `maas.pyz`, runner and service in one file for the nodes of a cluster

Each name is loaded on first use, so a runner does not load the service.
"""

from __future__ import annotations

from stellar.util.lazy_exports import export_lazily

TYPE_CHECKING = False

if TYPE_CHECKING:
    from maas_runtime.archive import build_archive as build_archive
    from maas_runtime.deployers import Deployer as Deployer
    from maas_runtime.deployers import Deployment as Deployment
    from maas_runtime.deployers.assigning import AssigningDeployer as AssigningDeployer
    from maas_runtime.deployers.local import LocalInstances as LocalInstances
    from maas_runtime.deployers.memory import MemoryDeployer as MemoryDeployer
    from maas_runtime.deployers.yarn.deployer import YarnDeployer as YarnDeployer
    from maas_runtime.deployers.yarn.deployer import YarnSettings as YarnSettings
    from maas_runtime.deployers.yarn.rest import YarnServices as YarnServices
    from maas_runtime.errors import DeployError as DeployError
    from maas_runtime.runner.limits import Limits as Limits
    from maas_runtime.service.agent import Agent as Agent
    from maas_runtime.service.service import Service as Service
    from maas_runtime.state.store import DirectoryStateStore as DirectoryStateStore
    from maas_runtime.state.store import StateStore as StateStore
    from maas_runtime.state.zookeeper import ZooKeeperStateStore as ZooKeeperStateStore
    from maas_runtime.store.base import LocalStore as LocalStore
    from maas_runtime.store.base import ModelStore as ModelStore
    from maas_runtime.store.hdfs import HdfsStore as HdfsStore

__getattr__, __dir__, __all__ = export_lazily(
    __name__,
    {
        ".archive": ("build_archive",),
        ".deployers": ("Deployer", "Deployment"),
        ".deployers.assigning": ("AssigningDeployer",),
        ".deployers.local": ("LocalInstances",),
        ".deployers.memory": ("MemoryDeployer",),
        ".deployers.yarn.deployer": ("YarnDeployer", "YarnSettings"),
        ".deployers.yarn.rest": ("YarnServices",),
        ".errors": ("DeployError",),
        ".runner.runner": ("Limits",),
        ".service.agent": ("Agent",),
        ".service.service": ("Service",),
        ".state.store": ("DirectoryStateStore", "StateStore"),
        ".state.zookeeper": ("ZooKeeperStateStore",),
        ".store.base": ("LocalStore", "ModelStore"),
        ".store.hdfs": ("HdfsStore",),
    },
)
