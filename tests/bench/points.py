"""Where the account is taken: the functions of the product, by the part of the work that they are.

A name that is not there any more is reported and left out. Time counts for the innermost part that is running.
"""

POINTS: dict[str, tuple[str, ...]] = {
    "gate: verify and parse": (
        "webhooks.arrival.read_arrival",
        "webhooks.sources.source_of",
        "webhooks.gate.verify_sender",
        "webhooks.gate.read_notice",
    ),
    "receive and record": (
        "webhooks.receiving.receive_webhook",
        "webhooks.recording.record_webhook",
        "sync.opening.open_deliveries",
    ),
    "claim": (
        "sync.claiming.claim",
        "sync.claiming.start_claimed",
        "sync.subjects.lock_open",
        "sync.subjects.next_of_subject",
    ),
    "protection of neighbours": (
        "webhooks.admission.admit",
        "sync.breaking.passing",
        "sync.breaking.note_success",
        "sync.guarding.guard",
        "sync.pacing.wait_for_turn",
        "sync.slots.free_slot",
    ),
    "configuration": ("sync.configuration.ways_of", "sync.configuration.way_of"),
    "connect": ("sync.delivering.connect_to", "sync.connectors.registry.connect"),
    "plan: map, match, compare": (
        "sync.attempting.run",
        "sync.mapping.parse_mapping",
        "sync.planning.plan_present",
        "sync.linking.linked",
    ),
    "HTTP: our client": ("sync.connectors.client.HttpClient.ask", "sync.connectors.client.HttpClient.read"),
    "HTTP: library and socket": ("sync.connectors.http.transmit",),
    "record calls": (
        "sync.recording.AttemptRecorder.about_to_send",
        "sync.recording.AttemptRecorder.answered",
        "sync.recording.save_calls",
    ),
    "settle": ("sync.settling.settle", "sync.linking.keep_link"),
    "outcome and answer": (
        "sync.outcomes.outcome_of",
        "sync.outcomes.outcome_of_attempt",
        "webhooks.answers.outcome_answer",
        "webhooks.receiving._told",
        "webhooks.views.respond",
    ),
    "queue and wake-up": (
        "sync.tasks.wake",
        "sync.tasks.defer",
        "sync.tasks.Place.start",
        "sync.queue.defer",
        "sync.waiting.wait",
        "sync.waiting.notify",
    ),
    "audit append": ("audit.log.append",),
    "sealing": ("webhooks.sealing.seal", "webhooks.sealing.unseal"),
    "JSON": (
        "audit.canonical.canonical",
        "sync.connectors.answers.read_json",
        "sync.connectors.client._encode",
        "webhooks.answers._bytes",
    ),
    "logging": ("logging.Logger._log",),
    "ORM around the statements": (
        "django.db.models.query.QuerySet._fetch_all",
        "django.db.models.query.QuerySet._filter_or_exclude",
        "django.db.models.query.QuerySet._clone",
        "django.db.models.query.QuerySet.exists",
        "django.db.models.query.QuerySet.first",
        "django.db.models.query.QuerySet.get",
        "django.db.models.query.QuerySet.update",
        "django.db.models.query.QuerySet.bulk_create",
        "django.db.models.query.QuerySet.select_related",
        "django.db.models.base.Model.save",
        "django.db.models.base.Model.refresh_from_db",
    ),
    "transactions: begin and commit": (
        "django.db.backends.base.base.BaseDatabaseWrapper.set_autocommit",
        "django.db.backends.base.base.BaseDatabaseWrapper.commit",
        "django.db.backends.base.base.BaseDatabaseWrapper.rollback",
        "django.db.backends.base.base.BaseDatabaseWrapper.close",
    ),
}
