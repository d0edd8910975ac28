"""What Django's admin loads: one line for each topic that registers pages."""

import integration_hub.console.alarms
import integration_hub.console.audit_log
import integration_hub.console.connections
import integration_hub.console.erasures
import integration_hub.console.events
import integration_hub.console.export_pages
import integration_hub.console.failure_pages
import integration_hub.console.held
import integration_hub.console.mappings
import integration_hub.console.people
import integration_hub.console.preferences
import integration_hub.console.refusals
import integration_hub.console.replays
import integration_hub.console.routes
import integration_hub.console.sign_in
import integration_hub.console.sources  # noqa: F401
