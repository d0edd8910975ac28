"""Vendure: a shop. Its customers are read and written over a GraphQL API. On SQLite in its own process."""

from pathlib import Path
from typing import Any

from tests.peers.systems.peer import JsonApi, Peer, PeerUnavailable, new_secret

PACKAGES = {"@vendure/core": "3.7.3", "sql.js": "1.14.1"}
SERVER_PROGRAM = Path(__file__).with_name("programs") / "vendure_server.js"
USER_NAME = "admin"
_CUSTOMER = "id emailAddress firstName lastName customFields { externalId }"


class Vendure(Peer):
    """`api` is its admin API, as an administrator who is logged in uses it."""

    name = "vendure"
    api: JsonApi

    @property
    def password(self) -> str:
        return (self.run_folder / "password").read_text()

    def installation_inputs(self) -> str:
        return f"{PACKAGES} {self.node()} {SERVER_PROGRAM.read_text()}"

    def install(self, installed: Path) -> None:
        self.install_node_packages(installed, PACKAGES)

    def prepare(self, template: Path) -> None:
        """Start the server once: it creates its database, which takes most of the time of a start."""
        template.mkdir()
        (template / "password").write_text(new_secret())
        command, variables = self._server_command(template)
        server = self.start_process(command, variables)
        try:
            self.wait_for(self.is_ready, server)
        finally:
            server.stop()
        if not (template / "vendure.sqlite").exists():
            raise PeerUnavailable("Vendure saved no database")

    def server_command(self) -> tuple[list[str], dict[str, str]]:
        return self._server_command(self.run_folder)

    def is_ready(self) -> bool:
        return JsonApi(self.url, {}).send("GET", "/health").ok

    def seed(self) -> None:
        query = 'mutation($p: String!) { login(username: "admin", password: $p, rememberMe: true) { __typename } }'
        answer = JsonApi(self.url, {}).send(
            "POST", "/admin-api", {"query": query, "variables": {"p": self.password}}
        )
        token = answer.headers["vendure-auth-token"]
        self.api = JsonApi(self.url, {"Authorization": f"Bearer {token}"})

    def query(self, query: str, **variables: Any) -> Any:
        """Send a query that must succeed. Returns the value of its only field."""
        answer = self.api.call("POST", "/admin-api", {"query": query, "variables": variables})
        assert "errors" not in answer, answer["errors"]
        [value] = answer["data"].values()
        return value

    def create_customer(self, external_id: str, first: str, last: str, email: str) -> str:
        """Create a customer and return its id."""
        fields = {"firstName": first, "lastName": last, "emailAddress": email}
        mutation = (
            "mutation($i: CreateCustomerInput!) { createCustomer(input: $i) { ... on Customer { id } } }"
        )
        return str(self.query(mutation, i=fields | {"customFields": {"externalId": external_id}})["id"])

    def find_customer(self, external_id: str) -> dict[str, Any] | None:
        """Return the customer with this external id; None if there is none."""
        query = f"""query($id: String!) {{
            customers(options: {{filter: {{externalId: {{eq: $id}}}}}}) {{ items {{ {_CUSTOMER} }} }}
        }}"""
        customers = self.query(query, id=external_id)["items"]
        assert len(customers) <= 1, "Vendure has two customers with one external id"
        return customers[0] if customers else None

    def find_group(self, name: str) -> dict[str, Any] | None:
        """Return the customer group of this name with `members`, the external ids of its customers."""
        query = """query($name: String!) {
            customerGroups(options: {filter: {name: {eq: $name}}}) {
                items { id name customers { items { customFields { externalId } } } }
            }
        }"""
        groups = self.query(query, name=name)["items"]
        assert len(groups) <= 1, "Vendure has two groups of one name"
        if not groups:
            return None
        members = [one["customFields"]["externalId"] for one in groups[0]["customers"]["items"]]
        return {"id": groups[0]["id"], "name": groups[0]["name"], "members": sorted(members)}

    def _server_command(self, folder: Path) -> tuple[list[str], dict[str, str]]:
        variables = {
            "PACKAGES": str(self.folder / "installed" / "node_modules"),
            "PORT": str(self.port),
            "FOLDER": str(folder),
            "ADMIN_PASSWORD": (folder / "password").read_text(),
            "COOKIE_SECRET": new_secret(),
            "VENDURE_DISABLE_TELEMETRY": "true",
        }
        return [self.node(), str(SERVER_PROGRAM)], variables
