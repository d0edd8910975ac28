"""The words of bulk replays as template filters."""

from django import template

from integration_hub.console import replay_words

register = template.Library()
register.filter("replay_mark", replay_words.replay_mark)
