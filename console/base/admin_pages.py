"""Pages that a ModelAdmin has besides those of Django, its columns, and what all pages of the console share."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from console.ui.filters import FilterChip, FilterOption

RowT = TypeVar("RowT", bound=Model)
ViewT = TypeVar("ViewT", bound=Callable[..., HttpResponseBase])


def admin_page(address: str, name: str, *, button_on: str = "") -> Callable[[ViewT], ViewT]:
    """Make a view, which takes a ModelAdmin and a request, a page at this address below those of the model.

    `name` is the end of its URL name. `button_on`: the page that has its button. The view is then called for a POST
    only: browsers open such an address with GET after a login in between, which leads back to that page.
    """

    def mark(view: ViewT) -> ViewT:
        view.admin_page = (address, name, button_on)  # type: ignore[attr-defined]
        return view

    return mark


def column(model: type[RowT], label: Any, show: Callable[[RowT], object], empty: str | None = None) -> Any:
    """Return a column of a ModelAdmin's list: its heading, and what it shows of a row."""

    @admin.display(description=label, empty_value=empty)
    def show_column(_admin: Any, row: RowT) -> object:
        return show(row)

    return show_column


class AdminWithPages(admin.ModelAdmin):  # type: ignore[type-arg]
    """ModelAdmin whose methods with `admin_page` are pages, and so are the functions in `pages`."""

    pages: ClassVar[Sequence[Callable[..., HttpResponseBase]]] = ()

    def get_urls(self) -> list[URLPattern]:
        return [*self._own_urls(), *super().get_urls()]

    def _own_urls(self) -> Iterator[URLPattern]:
        methods: Iterator[Any] = (getattr(type(self), name, None) for name in dir(type(self)))
        for view in (*methods, *self.pages):
            if hasattr(view, "admin_page"):
                address, name, button_on = view.admin_page
                page = partial(self._answer_button, view, button_on) if button_on else partial(view, self)
                yield path(address, self.admin_site.admin_view(page), name=self.url_name(name))

    def _answer_button(
        self, view: Callable[..., HttpResponseBase], button_on: str, request: HttpRequest, **keys: Any
    ) -> HttpResponseBase:
        if request.method == "POST":
            return view(self, request, **keys)
        messages.warning(request, _("This action needs the button. Nothing was changed; press it again."))
        # The page itself checks permissions.
        of_row = () if button_on == "changelist" else list(keys.values())[:1]
        return redirect(f"admin:{self.url_name(button_on)}", *of_row)

    def url_name(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        title = {"title": str(self.opts.verbose_name_plural).capitalize()}
        return super().changelist_view(request, {**title, **(extra_context or {})})

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Move the filters from Django's side column to chips above the rows."""
        changelist: Any = super().get_changelist_instance(request)
        changelist.chips = list(_build_chips(changelist))
        changelist.has_filters = False
        return changelist

    def list_headline(self, rows: Sequence[Any]) -> str:
        """Return the sentence that matters most about all rows of the list; empty if there is none."""
        return ""

    def require_permissions(self, request: HttpRequest, *permissions: str) -> None:
        """Raise PermissionDenied unless the person may see these rows and has all these permissions."""
        if not (self.has_view_permission(request) and request.user.has_perms(permissions)):
            raise PermissionDenied

    def get_changeable(self, request: HttpRequest, pk: int) -> Any:
        """Return a row. Raises Http404 if there is none, PermissionDenied if the person may not change it."""
        row = get_object_or_404(self.model, pk=pk)
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        return row

    def template_permissions(self, request: HttpRequest) -> dict[str, bool]:
        """Return what the person may do, by the names that templates use (`may.<name>`)."""
        return {}

    def render_page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        """Render a template with the context that all pages of the console share."""
        shared = {
            **self.admin_site.each_context(request),
            "media": self.media,
            "may": self.template_permissions(request),
        }
        return TemplateResponse(request, template, {**shared, **context})


def _build_chips(changelist: Any) -> Iterator[FilterChip]:
    """Build a chip for each filter of the changelist. Django's first choice of a filter is "All"."""
    for spec in changelist.filter_specs:
        everything, *others = spec.choices(changelist)
        choices = [
            FilterOption(capfirst(str(choice["display"])), choice["query_string"], choice["selected"])
            for choice in others
        ]
        chosen = next((choice.text for choice in choices if choice.is_chosen), "")
        # Django's filters of a field have no parameter of one name.
        name = getattr(spec, "parameter_name", "") or spec.field_path
        yield FilterChip(name, capfirst(spec.title), chosen, choices, everything["query_string"])
