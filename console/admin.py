"""What Django's admin loads: one line for each topic that registers pages."""

import console.access_requests.admin
import console.alarms.admin
import console.audit_log.admin
import console.comparisons.admin
import console.deliveries.admin
import console.erasures.admin
import console.events.admin
import console.export_jobs.admin
import console.failures.admin
import console.people.admin
import console.people.logins
import console.people.preferences
import console.replays.admin
import console.requests.admin
import console.settings.connections.admin
import console.settings.mappings.admin
import console.settings.routes.admin
import console.settings.sources.admin  # noqa: F401
