"""Create an organizer with customer accounts, and print a token of a team that may do everything. For pretix' own shell."""

from django_scopes import scopes_disabled
from pretix.base.models import Organizer, Team

with scopes_disabled():
    organizer = Organizer.objects.create(name="Shop", slug="shop")
    organizer.settings.customer_accounts = True
    rights = {"all_events": True, "all_event_permissions": True, "all_organizer_permissions": True}
    team = Team.objects.create(organizer=organizer, name="Hub", **rights)
    token = team.tokens.create(name="Hub").token

print(token)
