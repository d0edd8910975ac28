"""Logins and roles: Django's own pages, every change on the audit log without names or passwords."""

from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.audited import AuditedAdmin
from console.people.access import lock_access, needs_role, who_may_change
from console.people.auth_events import record_change
from console.people.forms import NewPersonForm, PermissionField, PersonForm, RoleForm
from console.ui.formatting import moment
from console.ui.status import pill

_WITHOUT_PAGES = ("admin", "contenttypes", "sessions")


class RoleFilter(admin.RelatedFieldListFilter):
    """Django calls a role a group."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("role")


admin.site.unregister([User, Group])


class AccessAdmin(AuditedAdmin):
    """The frame of logins and roles: its own words, and no row deleted by the dozen.

    Who may do what is changed by one request after the other, and somebody is left who may change it back: two people
    who take it from each other at the same moment do not both succeed.
    """

    actions = None
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    filter_horizontal = ()
    delete_confirmation_template = "console/base/confirm_delete.html"
    list_title: Any = ""
    add_words: Any = ""
    single: ClassVar[str]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"title": self.list_title, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        row = context.get("original")
        context |= {"title": self.name_of(row) if row else self.add_words, "subtitle": None}
        return super().render_change_form(request, context, *args, **kwargs)

    def render_delete_form(self, request: HttpRequest, context: Any) -> Any:
        name = self.name_of(context["object"])
        context |= {"title": _("Delete %(name)s?") % {"name": name}, "subtitle": None}
        return super().render_delete_form(request, context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        if request.method == "POST" and connection.in_atomic_block:
            lock_access()
        return super().get_object(request, object_id, from_field)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """What the form does not offer nobody can leave ticked: it stays as it is."""
        chosen = form.cleaned_data.get(self.single)
        if chosen is not None:
            held = getattr(form.instance, self.single).filter(content_type__app_label__in=_WITHOUT_PAGES)
            form.cleaned_data[self.single] = [*chosen, *held]
        super().save_related(request, form, formsets, change)
        if change:
            _check_somebody_is_left()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            super().delete_model(request, obj)
            _check_somebody_is_left()

    def name_of(self, row: Any) -> str:
        return str(row)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Without the links that add a role or a permission from the form of a person."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        if db_field.related_model is Permission:
            kwargs |= {"queryset": _permissions(), "form_class": PermissionField}
            kwargs |= {"widget": forms.CheckboxSelectMultiple}
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[arg-type]


@admin.register(User)
class PersonAdmin(AccessAdmin, UserAdmin):  # type: ignore[type-arg]
    """A staff member's login."""

    kind = "person"
    withheld = frozenset({"username", "first_name", "last_name", "email", "password"})
    many = ("groups", "user_permissions")
    single = "user_permissions"
    list_title = gettext_lazy("People")
    add_words = gettext_lazy("Add a person")
    counted_as = (gettext_lazy("person"), gettext_lazy("people"))

    form = PersonForm
    add_form = NewPersonForm
    add_form_template = "admin/change_form.html"
    list_display = ("login", "full_name", "roles", "standing", "came_last")
    list_filter = ("is_active", ("groups", RoleFilter))
    readonly_fields = ("own_password", "came_last", "came_first")
    add_fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name", "email", "groups")}),
        (gettext_lazy("Password"), {"fields": ("password1", "password2")}),
    )
    fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name", "email", "own_password")}),
        (gettext_lazy("Access"), {"fields": ("is_active", "is_staff", "groups", "is_superuser")}),
        (
            gettext_lazy("Single permissions, besides those of the roles"),
            {"fields": ("user_permissions",), "classes": ("collapse",)},
        ),
        (gettext_lazy("Logins"), {"fields": ("came_last", "came_first")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.asked_by = request.user.pk  # a class of this request alone
        return form

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One's own login is not deleted: nobody could undo it."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.pk != request.user.pk)

    def name_of(self, row: User) -> str:
        full = row.get_full_name()
        return f"{full} ({row.username})" if full else row.username

    @admin.display(description=gettext_lazy("login name"))
    def login(self, person: User) -> str:
        return person.username

    @admin.display(description=gettext_lazy("name"), empty_value="–")
    def full_name(self, person: User) -> str:
        return person.get_full_name()

    @admin.display(description=gettext_lazy("roles"), empty_value="–")
    def roles(self, person: User) -> str:
        held = [each.name for each in person.groups.all()]
        return ", ".join([_("everything"), *held] if person.is_superuser else held)

    @admin.display(description=gettext_lazy("login"))
    def standing(self, person: User) -> SafeString:
        if not person.is_active:
            return pill("neutral", "⊘", _("Switched off"))
        return pill("good", "✓", _("Active")) if person.is_staff else pill("neutral", "–", _("No console"))

    @admin.display(description=gettext_lazy("last login"))
    def came_last(self, person: User) -> str:
        return moment(person.last_login, _("never"))

    @admin.display(description=gettext_lazy("added"))
    def came_first(self, person: User) -> str:
        return moment(person.date_joined)

    @admin.display(description=gettext_lazy("password"))
    def own_password(self, person: User) -> SafeString:
        words = _("Set a new password…") if person.has_usable_password() else _("Set a password…")
        return format_html('<a class="button" href="../password/">{}</a>', words)

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        if db_field.name == "groups":
            kwargs["widget"] = forms.CheckboxSelectMultiple
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def stream(self, pk: Any) -> str:
        """The audit stream of a person, which has their logins and passwords too."""
        return f"person:{pk}"

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        person = self.get_object(request, unquote(id))
        page = partial(super().user_change_password, request, id, form_url)
        return page() if person is None else record_change(request, person.pk, page)


@admin.register(Group)
class RoleAdmin(AccessAdmin, GroupAdmin):
    """A group, and what its members may do."""

    kind = "group"
    many = ("permissions",)
    single = "permissions"
    list_title = gettext_lazy("Roles")
    add_words = gettext_lazy("Add a role")
    counted_as = (gettext_lazy("role"), gettext_lazy("roles"))

    form = RoleForm
    list_display = ("name", "members")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.asked_by = request.user  # a class of this request alone
        return form

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not the role through which whoever asks may change people."""
        may = super().has_delete_permission(request, obj)
        return may and (obj is None or not needs_role(request.user, obj))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        counted: QuerySet[Group] = super().get_queryset(request).annotate(member_count=Count("user"))
        return counted

    @admin.display(description=gettext_lazy("people"))
    def members(self, role: Any) -> int:
        return int(role.member_count)


def _check_somebody_is_left() -> None:
    if not who_may_change().exists():
        raise PermissionDenied("Nobody who may log in could change people any more.")


def _permissions() -> QuerySet[Permission]:
    return Permission.objects.exclude(content_type__app_label__in=_WITHOUT_PAGES).order_by("name")
