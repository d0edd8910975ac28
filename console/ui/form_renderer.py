"""How the console renders a field of a form: `{{ field.as_field_group }}`."""

from django.forms.renderers import TemplatesSetting


class ConsoleFormRenderer(TemplatesSetting):
    """Renders a field with the template of the console, and widgets with Django's."""

    field_template_name = "console/base/field.html"
