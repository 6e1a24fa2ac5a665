"""The client of YARN services: requests, responses and errors."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from maas_runtime.deployers.yarn.configuration import find_configuration, read_resource_manager_urls, read_site
from maas_runtime.deployers.yarn.rest import YarnContainer, YarnServices, validate_url
from maas_runtime.errors import DeployError

RM = "http://rm1:8088"
SERVICE = {
    "name": "maas-dga",
    "id": "application_17_0001",
    "state": "STABLE",
    "configuration": {"properties": {"maas.definition": "abc"}},
    "components": [
        {
            "name": "model",
            "number_of_containers": 3,
            "containers": [
                {"id": "container_3", "component_instance_name": "model-2", "launch_time": 30, "state": "READY"},
                {"id": "container_2", "component_instance_name": "model-0", "launch_time": 20, "state": "READY"},
                {"id": "container_1", "component_instance_name": "model-1", "launch_time": 10, "state": "STOPPED"},
            ],
        }
    ],
}


@pytest.fixture
def asked():
    return []


@pytest.fixture
def yarn(asked, monkeypatch):
    """Make a YARN with given responses: `yarn((500, {"diagnostics": …}), …)`; the last one repeats."""
    monkeypatch.setattr("maas_runtime.deployers.yarn.rest.RETRY_SECONDS", 0.0)
    made = []

    def make(*answers, urls=(RM,)):
        left = list(answers)

        def answer(request):
            asked.append(request)
            status, said = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(status, Exception):
                raise status
            if isinstance(said, str):
                return httpx.Response(status, text=said)
            return httpx.Response(status, json=said)

        made.append(YarnServices(urls, user="metron", transport=httpx.MockTransport(answer)))
        return made[-1]

    yield make
    for services in made:
        services.close()


def test_the_state_lists_containers_oldest_first(yarn):
    state = yarn((200, SERVICE)).state("maas-dga")
    assert (state.state, state.application, state.desired) == ("STABLE", "application_17_0001", 3)
    assert state.containers == (
        YarnContainer("container_2", "model-0", 20),
        YarnContainer("container_3", "model-2", 30),
    )
    assert state.properties == {"maas.definition": "abc"}


def test_the_desired_number_is_unknown_while_the_master_is_unavailable(yarn):
    state = yarn((200, {"name": "maas-dga", "state": "ACCEPTED", "components": []})).state("maas-dga")
    assert (state.desired, state.containers, state.ended) == (None, (), False)


def test_requests_have_yarns_format(yarn, asked):
    services = yarn((202, {"state": "ACCEPTED"}))
    services.create({"name": "maas-dga"})
    services.resize("maas-dga", "model", 3)
    services.decommission("maas-dga", "model", ["model-0"])
    services.delete("../x")
    assert [(r.method, r.url.raw_path.decode(), r.content and json.loads(r.content)) for r in asked] == [
        ("POST", "/app/v1/services?user.name=metron", {"name": "maas-dga"}),
        (
            "PUT",
            "/app/v1/services/maas-dga/components/model?user.name=metron",
            {"name": "model", "number_of_containers": 3},
        ),
        (
            "PUT",
            "/app/v1/services/maas-dga?user.name=metron",
            {"name": "maas-dga", "components": [{"name": "model", "decommissioned_instances": ["model-0"]}]},
        ),
        ("DELETE", "/app/v1/services/..%2Fx?user.name=metron", b""),
    ]


REFUSALS = [
    (
        500,
        "Component model: specified memory size (64000) is larger than configured max container memory size (8192)",
        "64000 MB is more than the 8192 MB that YARN allows for a container (yarn.scheduler.maximum-allocation-mb); "
        "use less with -m",
    ),
    (
        500,
        "Failed to submit a_3 to YARN : Application a_3 submitted by user me to unknown queue: q",
        "unknown YARN queue q; choose another with -q",
    ),
    (500, "Service name maas-dga is already taken.", "the YARN service maas-dga belongs to another user"),
    (
        500,
        "File file:/nfs/x.pyz does not exist",
        "YARN cannot read file:/nfs/x.pyz; choose a model store that all nodes can read (--store)",
    ),
    (500, "Invalid label expression: gpu . Node label gpu not found", "YARN rejected the node label (-nle): Invalid"),
    (500, "org.apache.hadoop.security.AccessControlException: User me cannot submit", "YARN denied access: org.ap"),
    (400, "something new", "YARN reports: something new"),
    (403, "not you", "YARN denied access: not you"),
    (401, "", "YARN denied access: Unauthorized"),
]


@pytest.mark.parametrize(("status", "diagnostics", "sentence"), REFUSALS)
def test_a_rejected_request_suggests_a_fix(status, diagnostics, sentence, yarn):
    with pytest.raises(DeployError) as refused:
        yarn((status, {"diagnostics": diagnostics})).create({})
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    "answer",
    [(404, {"diagnostics": "Service x not found", "code": 404004}), (400, {"diagnostics": "Service x doesn't exist"})],
)
def test_a_missing_service_has_no_state_and_can_be_deleted(answer, yarn):
    services = yarn(answer)
    assert services.state("x") is None
    services.delete("x")


def test_a_response_to_an_anonymous_client_suggests_an_identity(yarn):
    page = httpx.Response(401, html="<html>Error 401 Authentication required</html>")
    services = YarnServices([RM], transport=httpx.MockTransport(lambda _: page))
    with (
        services,
        pytest.raises(DeployError, match=r"YARN denied access: .*; add --principal and --keytab, or run kin"),
    ):
        services.cluster()


def test_a_missing_ticket_is_a_deploy_error(yarn):
    with pytest.raises(DeployError, match="YARN denied access: no ticket found; run kinit"):
        yarn((PermissionError("no ticket found; run kinit"), None)).state("x")


def test_a_service_without_a_principal_is_not_queried_again(yarn, asked):
    reason = "No principal specified in the persisted service definition, fail to connect to AM."
    with pytest.raises(DeployError, match="the service has no Kerberos principal"):
        yarn((500, {"diagnostics": reason})).state("x")
    assert len(asked) == 1


def test_a_stack_trace_is_not_in_the_message(yarn):
    trace = (
        'Permission denied: user=me, inode="/":hdfs:drwxr-xr-x\n'
        "\tat org.apache.hadoop.hdfs.FSPermissionChecker.check(FSPermissionChecker.java:661)\n"
        "\tat java.base/java.security.AccessController.doPrivileged(AccessController.java:712)\n"
    )
    with pytest.raises(DeployError) as refused:
        yarn((500, {"diagnostics": trace})).create({})
    assert str(refused.value) == 'YARN denied access: Permission denied: user=me, inode="/":hdfs:drwxr-xr-x'


AWAY = [
    ((httpx.ConnectError("refused"), None), "cannot reach YARN: http://rm1:8088: refused"),
    ((httpx.ReadTimeout(""), None), "cannot reach YARN: http://rm1:8088: ReadTimeout"),
    ((503, {"message": "starting"}), "YARN is not available: 503 starting"),
    ((500, {}), "YARN is not available: 500 Internal Server Error"),
    ((200, "<html>"), "is not YARN: status 200"),
    ((200, []), "is not YARN: status 200"),
    ((307, ""), "cannot reach YARN: http://rm1:8088 is on standby"),
    ((500, {"diagnostics": "No content to map"}), "YARN cannot report the service now: No content to map"),
]


@pytest.mark.parametrize(("answer", "sentence"), AWAY)
def test_an_unreachable_yarn_is_a_connection_error(answer, sentence, yarn):
    with pytest.raises(ConnectionError, match=sentence):
        yarn(answer).state("x")


def test_a_temporarily_unavailable_state_is_retried(yarn, monkeypatch):
    services = yarn((500, {"diagnostics": "No content to map"}), (200, SERVICE))
    monkeypatch.setattr("maas_runtime.deployers.yarn.rest.RETRY_SECONDS", 5.0)
    assert services.state("maas-dga").desired == 3


@pytest.mark.parametrize("trouble", [(httpx.ConnectError(""), None), (200, "This is standby RM. The redirect url is:")])
def test_the_active_resource_manager_is_found_and_tried_first(trouble, yarn, asked):
    services = yarn(trouble, (200, SERVICE), urls=(RM, "http://rm2:8088"))
    services.state("maas-dga")
    services.state("maas-dga")
    assert [request.url.host for request in asked] == ["rm1", "rm2", "rm2"]


def test_a_request_that_may_have_been_received_is_not_repeated(yarn, asked):
    services = yarn((httpx.ReadTimeout("slow"), None), (202, {}), urls=(RM, "http://rm2:8088"))
    with pytest.raises(ConnectionError, match="slow"):
        services.create({})
    assert len(asked) == 1


def test_diagnostics_are_one_line(yarn):
    assert (
        yarn((200, {"app": {"diagnostics": "killed\n by  me\n"}})).read_diagnostics("application_1") == "killed by me"
    )
    assert yarn((404, {"RemoteException": {"message": "no such app"}})).read_diagnostics("application_1") == ""


@pytest.mark.parametrize("url", ["rm1:8088", "ftp://rm1", "http://", "http://a@rm1", "http://rm1?x=1", "http://[::1"])
def test_an_invalid_url_is_rejected(url):
    with pytest.raises(ValueError, match="expected a URL such as http://node1:8088"):
        validate_url(url)


# --- Hadoop's configuration


@pytest.fixture
def site(tmp_path):
    def write(**properties):
        rows = "".join(
            f"<property><name>{name.replace('__', '-').replace('_', '.')}</name><value>{value}</value></property>"
            for name, value in properties.items()
        )
        (tmp_path / "yarn-site.xml").write_text(f"<configuration>{rows}</configuration>")
        return tmp_path

    return write


YARN = "yarn_resourcemanager_"
FOUND = [
    ({f"{YARN}hostname": "rm1"}, ["http://rm1:8088"]),
    ({f"{YARN}webapp_address": "rm1:9000", f"{YARN}hostname": "other"}, ["http://rm1:9000"]),
    (
        {f"{YARN}hostname": "rm1", f"{YARN}webapp_address": "${yarn.resourcemanager.hostname}:9"},
        ["http://rm1:9"],
    ),
    ({f"{YARN}hostname": "rm1", "yarn_http_policy": "HTTPS_ONLY"}, ["https://rm1:8090"]),
    (
        {
            f"{YARN}ha_enabled": "true",
            f"{YARN}ha_rm__ids": "a, b",
            f"{YARN}hostname_a": "rm1",
            f"{YARN}webapp_address_b": "rm2:9",
        },
        ["http://rm1:8088", "http://rm2:9"],
    ),
]


@pytest.mark.parametrize(("properties", "urls"), FOUND)
def test_urls_are_read_from_the_configuration(properties, urls, site):
    assert read_resource_manager_urls(site(**properties)) == urls


def test_a_configuration_without_a_resource_manager_is_rejected(site):
    with pytest.raises(ValueError, match="has no address of a resource manager; add --yarn URL"):
        read_resource_manager_urls(site())


def test_an_invalid_site_file_is_rejected(tmp_path):
    (tmp_path / "yarn-site.xml").write_text("<configuration>")
    with pytest.raises(ValueError, match=r"yarn-site\.xml: "):
        read_site(tmp_path / "yarn-site.xml")


def test_find_configuration_requires_yarn_site_xml(site, monkeypatch, tmp_path):
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    assert find_configuration() is None
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    assert find_configuration() is None
    assert find_configuration() is None
    site()
    assert find_configuration() == Path(tmp_path)
