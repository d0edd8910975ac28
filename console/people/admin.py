"""ModelAdmins of people and roles: Django's pages, with each change on the audit log without names or passwords."""

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

from console.base.audited_admin import AuditedAdmin
from console.people.access import depends_on_role, lock_permission_changes, users_who_can_change_users
from console.people.auth_events import record_password_change
from console.people.forms import NewPersonForm, PermissionField, PersonForm, RoleForm
from console.ui.formatting import render_time
from console.ui.outcome_texts import render_pill

# Their permissions open no page of the console, so the forms do not offer them.
_APPS_WITHOUT_PAGES = ("admin", "contenttypes", "sessions")


class RoleFilter(admin.RelatedFieldListFilter):
    """List filter of people by role. Django calls a role a group."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("role")


admin.site.unregister([User, Group])


class AccountAdmin(AuditedAdmin):
    """Share what the pages of people and roles have in common: titles, no bulk delete, safe changes of permissions.

    Changes run one at a time, and a person who can change people must remain: two people who remove the permission from
    each other at the same moment do not both succeed.
    """

    # Django deletes selected rows by `delete_queryset`, without the check that `delete_model` makes below.
    actions = None
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    filter_horizontal = ()
    delete_confirmation_template = "console/base/confirm_delete.html"
    list_title: Any = ""
    add_title: Any = ""
    permission_field: ClassVar[str]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"title": self.list_title, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        row = context.get("original")
        context |= {"title": self.display_name(row) if row else self.add_title, "subtitle": None}
        return super().render_change_form(request, context, *args, **kwargs)

    def render_delete_form(self, request: HttpRequest, context: Any) -> Any:
        name = self.display_name(context["object"])
        context |= {"title": _("Delete %(name)s?") % {"name": name}, "subtitle": None}
        return super().render_delete_form(request, context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        if request.method == "POST" and connection.in_atomic_block:
            # Taken before the row is read, so that the check below sees the last committed state.
            lock_permission_changes()
        return super().get_object(request, object_id, from_field)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Keep the permissions that the form does not offer."""
        chosen = form.cleaned_data.get(self.permission_field)
        if chosen is not None:
            # Saving the form replaces all permissions, those that it does not show included.
            held = getattr(form.instance, self.permission_field).filter(
                content_type__app_label__in=_APPS_WITHOUT_PAGES
            )
            form.cleaned_data[self.permission_field] = [*chosen, *held]
        super().save_related(request, form, formsets, change)
        # Checked after the change, in its transaction: raising rolls the change back.
        if change:
            _require_remaining_admin()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            super().delete_model(request, obj)
            _require_remaining_admin()

    def display_name(self, row: Any) -> str:
        return str(row)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Remove the links that add a role or a permission from the form of a person."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        # The wrapper adds the links; the widget inside is the plain field.
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        if db_field.related_model is Permission:
            kwargs |= {"queryset": _assignable_permissions(), "form_class": PermissionField}
            kwargs |= {"widget": forms.CheckboxSelectMultiple}
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[arg-type]


@admin.register(User)
class PersonAdmin(AccountAdmin, UserAdmin):  # type: ignore[type-arg]
    """Manage the logins of staff."""

    audit_kind = "person"
    redacted_fields = frozenset({"username", "first_name", "last_name", "email", "password"})
    m2m_fields = ("groups", "user_permissions")
    permission_field = "user_permissions"
    list_title = gettext_lazy("People")
    add_title = gettext_lazy("Add a person")
    count_nouns = (gettext_lazy("person"), gettext_lazy("people"))

    form = PersonForm
    add_form = NewPersonForm
    add_form_template = "admin/change_form.html"
    list_display = ("login_name", "full_name", "role_names", "login_status", "last_login_at")
    list_filter = ("is_active", ("groups", RoleFilter))
    readonly_fields = ("password_link", "last_login_at", "added_at")
    add_fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name", "email", "groups")}),
        (gettext_lazy("Password"), {"fields": ("password1", "password2")}),
    )
    fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name", "email", "password_link")}),
        (gettext_lazy("Access"), {"fields": ("is_active", "is_staff", "groups", "is_superuser")}),
        (
            gettext_lazy("Permissions in addition to the roles"),
            {"fields": ("user_permissions",), "classes": ("collapse",)},
        ),
        (gettext_lazy("Logins"), {"fields": ("last_login_at", "added_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        # `get_form` returns a new class for each request, so this reaches no other request.
        form.editor_pk = request.user.pk
        return form

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Forbid deleting one's own login: it could not be undone from that session."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.pk != request.user.pk)

    def display_name(self, row: User) -> str:
        full = row.get_full_name()
        return f"{full} ({row.username})" if full else row.username

    @admin.display(description=gettext_lazy("username"))
    def login_name(self, person: User) -> str:
        return person.username

    @admin.display(description=gettext_lazy("name"), empty_value="–")
    def full_name(self, person: User) -> str:
        return person.get_full_name()

    @admin.display(description=gettext_lazy("roles"), empty_value="–")
    def role_names(self, person: User) -> str:
        held = [role.name for role in person.groups.all()]
        return ", ".join([_("everything"), *held] if person.is_superuser else held)

    @admin.display(description=gettext_lazy("status"))
    def login_status(self, person: User) -> SafeString:
        if not person.is_active:
            return render_pill("neutral", "⊘", _("Disabled"))
        return (
            render_pill("good", "✓", _("Active"))
            if person.is_staff
            else render_pill("neutral", "–", _("No console"))
        )

    @admin.display(description=gettext_lazy("last login"))
    def last_login_at(self, person: User) -> str:
        return render_time(person.last_login, _("never"))

    @admin.display(description=gettext_lazy("added"))
    def added_at(self, person: User) -> str:
        return render_time(person.date_joined)

    @admin.display(description=gettext_lazy("password"))
    def password_link(self, person: User) -> SafeString:
        words = _("Set a new password…") if person.has_usable_password() else _("Set a password…")
        return format_html('<a class="button" href="../password/">{}</a>', words)

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        if db_field.name == "groups":
            kwargs["widget"] = forms.CheckboxSelectMultiple
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def audit_stream(self, pk: Any) -> str:
        """Return the audit stream of a person, which also holds logins and password changes."""
        return f"person:{pk}"

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        person = self.get_object(request, unquote(id))
        page = partial(super().user_change_password, request, id, form_url)
        return page() if person is None else record_password_change(request, person.pk, page)


@admin.register(Group)
class RoleAdmin(AccountAdmin, GroupAdmin):
    """Manage roles and their permissions."""

    audit_kind = "group"
    m2m_fields = ("permissions",)
    permission_field = "permissions"
    list_title = gettext_lazy("Roles")
    add_title = gettext_lazy("Add a role")
    count_nouns = (gettext_lazy("role"), gettext_lazy("roles"))

    form = RoleForm
    list_display = ("name", "people_count")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        # `get_form` returns a new class for each request, so this reaches no other request.
        form.editor = request.user
        return form

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Forbid deleting the role through which alone this person may change people."""
        may = super().has_delete_permission(request, obj)
        return may and (obj is None or not depends_on_role(request.user, obj))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        counted: QuerySet[Group] = super().get_queryset(request).annotate(member_count=Count("user"))
        return counted

    @admin.display(description=gettext_lazy("people"))
    def people_count(self, role: Any) -> int:
        return int(role.member_count)


def _require_remaining_admin() -> None:
    if not users_who_can_change_users().exists():
        raise PermissionDenied(_("This would leave no one who can manage users."))


def _assignable_permissions() -> QuerySet[Permission]:
    return Permission.objects.exclude(content_type__app_label__in=_APPS_WITHOUT_PAGES).order_by("name")
