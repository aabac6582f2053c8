"""Cluster DNS of an offline cluster: A records of Services and their endpoints, from the API server.

It replaces CoreDNS in the Deployment that kubeadm creates: DNS on port 53, /health on 8080, /ready on 8181. It serves
the cluster domain only and forwards nothing: every other name is NXDOMAIN.
"""

import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSLogger, DNSServer
from kubernetes_api import Api, Mirror

DOMAIN = "cluster.local."
# The address of a Pod changes when it restarts.
TTL_SECONDS = 1

Records = dict[str, list[str]]


def service_name(item: dict) -> str:
    return f"{item['metadata']['name']}.{item['metadata']['namespace']}.svc.{DOMAIN}"


def records_of(services: Iterable[dict], endpoints: Iterable[dict]) -> Records:
    """Return every existing name with its addresses; a name such as `svc.cluster.local.` has none."""
    records: Records = {}
    headless = set()
    for service in services:
        address = service["spec"].get("clusterIP") or "None"
        if address == "None":
            headless.add(service_name(service))
        records[service_name(service)] = [] if address == "None" else [address]
    for name, label, address in endpoint_addresses(endpoints):
        if name in headless:
            records[name].append(address)
            records.setdefault(f"{label}.{name}", []).append(address)
    for name in list(records):
        above = name
        while above != DOMAIN:
            above = above.partition(".")[2]
            records.setdefault(above, [])
    return {name: sorted(set(addresses)) for name, addresses in records.items()}


def endpoint_addresses(endpoints: Iterable[dict]) -> Iterable[tuple[str, str, str]]:
    """Yield the Service name, Pod label and address of every published endpoint.

    Kubernetes lists the unready Pods of a Service with `publishNotReadyAddresses` under `addresses`.
    """
    for item in endpoints:
        for subset in item.get("subsets") or []:
            for address in subset.get("addresses") or []:
                label = address.get("hostname") or address["ip"].replace(".", "-")
                yield service_name(item), label, address["ip"]


class ClusterResolver(BaseResolver):
    def __init__(self, api: Api) -> None:
        self.records: Records | None = None
        self._services = Mirror(api, "/api/v1/services", self._renew)
        self._endpoints = Mirror(api, "/api/v1/endpoints", self._renew)
        self._renewal = threading.Lock()

    def follow(self) -> None:
        self._services.start()
        self._endpoints.start()

    def _renew(self) -> None:
        with self._renewal:
            if self._services.complete.is_set() and self._endpoints.complete.is_set():
                self.records = records_of(self._services.objects(), self._endpoints.objects())

    def resolve(self, request: DNSRecord, _handler: object) -> DNSRecord:
        reply = request.reply()
        if self.records is None:  # the records are not loaded yet
            reply.header.rcode = RCODE.SERVFAIL
            return reply
        addresses = self.records.get(str(request.q.qname).lower())
        if addresses is None:
            reply.header.rcode = RCODE.NXDOMAIN
        elif request.q.qtype in (QTYPE.A, QTYPE.ANY):
            reply.add_answer(*(RR(request.q.qname, QTYPE.A, ttl=TTL_SECONDS, rdata=A(ip)) for ip in addresses))
        return reply


def serve_probes(resolver: ClusterResolver, port: int) -> None:
    class Probe(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if resolver.records is None else 200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    ThreadingHTTPServer(("", port), Probe).serve_forever()


def main() -> None:
    resolver = ClusterResolver(Api())
    resolver.follow()
    for tcp in (False, True):
        DNSServer(resolver, port=53, tcp=tcp, logger=DNSLogger("-request,-reply,-truncated")).start_thread()
    threading.Thread(target=serve_probes, args=(resolver, 8080), daemon=True).start()
    serve_probes(resolver, 8181)


if __name__ == "__main__":
    main()
