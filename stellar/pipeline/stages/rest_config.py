"""The configuration of the adapter rest: a list of services, in the form of Cloudera's Cyber Toolkit.

Differences from that form: certificates are PEM files rather than Java key stores, `sources` may be left out, and
credentials may be in files.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from stellar.pipeline.config.schema import StrictModel
from stellar.pipeline.stages.rest_templates import ANY

_JAVA_KEYS = ("trustStorePath", "trustStorePassword", "keyStorePath", "keyStorePassword", "keyAlias", "keyPassword")


class TlsFiles(BaseModel):
    """The certificates of a service, as PEM files."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="forbid")

    ca_path: str | None = Field(default=None, description="The authorities to trust; by default those of the system.")
    certificate_path: str | None = Field(default=None, description="The certificate of the client, for mutual TLS.")
    key_path: str | None = Field(default=None, description="Its private key; by default in the same file.")

    @model_validator(mode="before")
    @classmethod
    def _reject_key_stores(cls, value: object) -> object:
        if isinstance(value, dict) and not value.keys().isdisjoint(_JAVA_KEYS):
            raise PydanticCustomError(
                "explained",
                "Java key stores are not supported; convert them to PEM files by keytool and openssl, and name these "
                "as caPath, certificatePath and keyPath",
            )
        return value


class RestAuthorization(StrictModel):
    """The header Authorization: Basic, a bearer token, or the content of a file."""

    type: Literal["basic", "token", "file"] = Field(description="basic, token or file.")
    user_name_template: str | None = Field(default=None, description="For basic: the user.")
    password_template: str | None = Field(default=None, description="For basic: the password.")
    bearer_token_template: str | None = Field(default=None, description="For token: the token.")
    path: str | None = Field(default=None, description="For file: one line, Bearer TOKEN or Basic USER:PASSWORD.")

    @model_validator(mode="after")
    def _check_complete(self) -> Self:
        needed = {
            "basic": {"userNameTemplate": self.user_name_template, "passwordTemplate": self.password_template},
            "token": {"bearerTokenTemplate": self.bearer_token_template},
            "file": {"path": self.path},
        }[self.type]
        for key, value in needed.items():
            if value is None:
                raise PydanticCustomError(
                    "explained", "missing key {key} for the type {type}", {"key": repr(key), "type": self.type}
                )
        return self


Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
Seconds = Annotated[int, Field(ge=0, le=31_536_000)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]


class RestService(StrictModel):
    """A service that is called for each record, unless the response is cached."""

    endpoint_template: str = Field(description="The URL, with ${name} for properties and fields of the record.")
    entity_template: str | None = Field(default=None, description="The body of a POST, with ${name} as in the URL.")
    method: Literal["GET", "POST"] = Field(default="GET", description="GET or POST.")
    tls: TlsFiles | None = Field(default=None, description="Certificates, for mutual TLS.")
    sources: list[str] = Field(default=[ANY], description="The sensors whose records are enriched, or ANY.")
    authorization: RestAuthorization | None = Field(default=None, description="The header Authorization.")
    headers: dict[str, str] = Field(default={}, description="Headers, with ${name} for properties.")
    properties: dict[str, str] = Field(default={}, description="Values for templates, the same for all records.")
    timeout_millis: Milliseconds = Field(default=1000, description="Milliseconds for a call with all redirects.")
    capacity: Count = Field(default=1000, description="Concurrent calls.")
    cache_size: Count = Field(default=10_000, description="Cached responses.")
    success_cache_expiration_seconds: Seconds = Field(default=1800, description="Time that a result is cached.")
    failure_cache_expiration_seconds: Seconds = Field(default=300, description="Time that a failure is cached.")
    prefix: str = Field(min_length=1, description="The first part of the names of new fields.")
    filter_expression: str | None = Field(default=None, description="A Stellar condition for records to enrich.")
    success_json_path: str | None = Field(default=None, description="The path of a boolean in the response.")
    results_json_path: str = Field(default="$", description="The path of the map with the new fields.")

    @model_validator(mode="after")
    def _check_body(self) -> Self:
        if self.method == "POST" and self.entity_template is None:
            raise PydanticCustomError("explained", "missing key 'entityTemplate', the body of a POST")
        if self.method == "GET" and self.entity_template is not None:
            raise PydanticCustomError("explained", "unexpected key 'entityTemplate': only a POST has a body")
        return self
