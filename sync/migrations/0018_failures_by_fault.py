"""What failed at the identity service is grouped under its connection. The columns keep their names: code that runs
while this is applied goes on."""

from collections import Counter
from datetime import timedelta

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Count

CARE = ("open", "acknowledged", "ignored", "resolved")  # what asks most of people first
HOUR = timedelta(hours=1)


def blame(apps, schema_editor):
    """Move groups and counts of `identity-…` to the connection through which most of their deliveries went.

    The hours are marked: the worker counts them anew from the deliveries, each at its own connection.
    """
    side = _identities(apps)
    _move_groups(apps.get_model("sync", "FailureGroup"), apps.get_model("sync", "FailureDecision"), side)
    hours = _move_counts(apps.get_model("sync", "FailureCount"), side)
    mark = apps.get_model("sync", "CountMark")
    mark.objects.bulk_create([mark(hour=each) for each in hours], batch_size=500)


def _identities(apps):
    """By commercial connection and code: dead deliveries say it, or else routes."""
    dead = apps.get_model("sync", "Delivery").objects.filter(state="dead", code__startswith="identity-")
    routes = apps.get_model("sync", "Route").objects.order_by().values_list("commercial_id", "identity_id")
    usual = {commercial: identity for commercial, identity, _ in _rarest_first(routes, 2)}
    counted = _rarest_first(dead.order_by().values_list("commercial_id", "code", "identity_id"), 3)
    said = {(commercial, code): identity for commercial, code, identity, _ in counted}
    return lambda row: said.get((row.connection_id, row.code), usual.get(row.connection_id))


def _rarest_first(rows, width):
    return sorted(rows.annotate(Count("pk")), key=lambda row: row[width])


def _misplaced(model):
    of_identity = model.objects.filter(code__startswith="identity-", connection__side="commercial")
    return of_identity.order_by("pk").iterator(chunk_size=500)


def _move_groups(groups, decisions, side):
    for group in list(_misplaced(groups)):
        identity = side(group)
        if identity is None:
            continue
        there = groups.objects.filter(connection_id=identity, code=group.code).first()
        if there is None:
            groups.objects.filter(pk=group.pk).update(connection_id=identity)
            continue
        _join(there, group)
        there.save()
        decisions.objects.filter(group_id=group.pk).update(group_id=there.pk)
        group.delete()


def _join(there, group):
    """What people know of either; where it stands is what asks more of them."""
    there.number += group.number
    there.first_at, there.last_at = min(there.first_at, group.first_at), max(there.last_at, group.last_at)
    if CARE.index(group.state) < CARE.index(there.state):
        there.state, there.seen_until, there.ignored_until = (
            group.state,
            group.seen_until,
            group.ignored_until,
        )
    there.owner_id = there.owner_id or group.owner_id
    for name in ("note", "known_fix"):
        texts = dict.fromkeys(each for each in (getattr(there, name), getattr(group, name)) if each)
        setattr(there, name, "\n".join(texts)[:2000])


def _move_counts(counts, side):
    """The hours of those that were moved."""
    moved = Counter()
    gone = []
    for row in _misplaced(counts):
        identity = side(row)
        if identity is not None:
            moved[row.hour, identity, row.code] += row.number
            gone.append(row.pk)
    for start in range(0, len(gone), 500):
        counts.objects.filter(pk__in=gone[start : start + 500]).delete()
    counts.objects.bulk_create(
        [
            counts(hour=hour, connection_id=identity, code=code, number=number)
            for (hour, identity, code), number in moved.items()
        ],
        batch_size=500,
        ignore_conflicts=True,
    )
    return sorted({hour for hour, _, _ in moved})


def renamed(model, constraint, names):
    """The field has another name, and the column the same one."""
    field = models.ForeignKey(
        db_column="commercial_id",
        db_index=False,
        on_delete=django.db.models.deletion.CASCADE
        if model == "failurecount"
        else django.db.models.deletion.PROTECT,
        related_name="+",
        to="sync.connection",
    )
    return [
        migrations.RemoveConstraint(model, constraint),
        migrations.RenameField(model, "commercial", "connection"),
        migrations.AlterField(model, "connection", field),
        migrations.AddConstraint(model, models.UniqueConstraint(*names, name=constraint)),
    ]


class Migration(migrations.Migration):
    dependencies = [("sync", "0017_route_pauses")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                *renamed("failuregroup", "failure_group_once", ("connection", "code")),
                *renamed("failurecount", "failure_count_once", ("hour", "connection", "code")),
            ]
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state", "dead")),
                fields=["identity", "code", "settled_at", "id"],
                name="delivery_dead_identity",
            ),
        ),
        # Backwards the worker of before makes the groups anew; those at identity connections stay empty.
        migrations.RunPython(blame, migrations.RunPython.noop),
    ]
