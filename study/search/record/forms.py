"""The form of what a record holds as JSON: told in Python's own types, and compared."""

from __future__ import annotations

from typing import Any

Form = Any  # see `has_form`: a type, None, or a tuple, list or dictionary of forms


def has_form(value: object, form: Form) -> bool:
    """Whether a value, as JSON is read, has a form.

    A form is a type (`float` takes whole numbers, too), None, a tuple of forms of which one will do, a list of forms in
    their order, a list `[form, ...]` of any number of such, or a dictionary: `{str: form}` for any names,
    else the keys that must be there, `"key?"` for one that may be missing. A dictionary may hold more keys.
    """
    if isinstance(form, tuple):
        return any(has_form(value, one) for one in form)
    if isinstance(form, list):
        if type(value) is not list:
            return False
        forms = [form[0]] * len(value) if form[1:] == [...] else form
        return len(value) == len(forms) and all(map(has_form, value, forms))
    if isinstance(form, dict):
        return isinstance(value, dict) and _has_keys(value, form)
    if form is None or form is float:
        return value is None if form is None else type(value) in (int, float)
    return type(value) is form


def _has_keys(value: dict[str, Any], form: dict[Any, Form]) -> bool:
    if str in form:
        return all(has_form(one, form[str]) for one in value.values())
    for key, one in form.items():
        name = key.removesuffix("?")
        if name in value and not has_form(value[name], one):
            return False
        if name == key and name not in value:
            return False
    return True
